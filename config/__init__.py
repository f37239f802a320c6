# SPDX-License-Identifier: GPL-3.0-or-later
"""Samples, rulebooks and calendars, installed as the package `collector_config`: every verb finds them anywhere."""
