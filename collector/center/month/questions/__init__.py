# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about a day asked before its month is disclosed, or by the regulator."""
