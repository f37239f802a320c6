# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 2, record: polls devices on a schedule and turns their readings into records of units."""
