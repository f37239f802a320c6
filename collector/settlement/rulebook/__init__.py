# SPDX-License-Identifier: GPL-3.0-or-later
"""The regulation as dated data: rules, readings, calendar, and the days on which nothing changes."""
