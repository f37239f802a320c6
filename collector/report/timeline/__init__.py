# SPDX-License-Identifier: GPL-3.0-or-later
"""The drawing of a unit's day: power, plan, states, paid and unpaid time."""
