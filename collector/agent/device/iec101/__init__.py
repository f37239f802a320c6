# SPDX-License-Identifier: GPL-3.0-or-later
"""IEC 60870-5-101: stations on a serial line, asked in turn (unbalanced) or heard on a line of their own (balanced)."""
