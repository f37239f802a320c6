# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulated device shows on the wire, one protocol each, with a codec of its own."""
