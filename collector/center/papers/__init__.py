# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents of a month for others: filings, bills, corrections."""
