# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are never disclosed: on other inputs or another rulebook, or of a month that is not over."""
