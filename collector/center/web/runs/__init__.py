# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages and REST of settlement runs: statement, unit days, comparison, what-if."""
