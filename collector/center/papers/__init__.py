# SPDX-License-Identifier: GPL-3.0-or-later
"""What leaves the house about a month: filings, bills, corrections, their documents."""
