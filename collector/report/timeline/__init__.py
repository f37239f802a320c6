# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit's day drawn: what held, what was paid, what was not."""
