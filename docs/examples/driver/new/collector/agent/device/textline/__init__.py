# SPDX-License-Identifier: GPL-3.0-or-later
"""An example of a protocol: lines of text over TCP. `R 7` is answered by `7 4660`, or by `7 ?` where it is refused."""
