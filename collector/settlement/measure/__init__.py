# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 7, measuring: records and dispatch inputs become integers on a timeline of pieces."""
