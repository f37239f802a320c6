# SPDX-License-Identifier: GPL-3.0-or-later
"""What people import: registers, plans, orders, revenue, records; versions, conflicts, undo."""
