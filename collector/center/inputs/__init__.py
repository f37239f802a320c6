# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports of people: registers, plans, orders, revenue, records; their versions, conflicts, and undo."""
