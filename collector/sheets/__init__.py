# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of cells as people deliver them (CSV, XLSX, E text): bounded grids, and one kind of finding about them."""
