# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks of the received records: plausibility, validation, substituted values, gaps, completeness."""
