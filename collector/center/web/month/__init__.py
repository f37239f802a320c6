# SPDX-License-Identifier: GPL-3.0-or-later
"""Pages and REST of a month: board, steps, duties, filings, bills."""
