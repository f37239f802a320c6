# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about a day that are asked before its month is disclosed, or by the regulator."""
