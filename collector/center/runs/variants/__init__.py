# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are looked at and never disclosed: on other inputs or another rulebook, or of a month not yet over."""
