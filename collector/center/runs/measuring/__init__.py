# SPDX-License-Identifier: GPL-3.0-or-later
"""Days measured once and kept: keys of day results, the process pool, the table of results."""
