# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps 7 to 10 on the center's store: a month settled as a run, its inputs pinned, read, compared, packed."""
