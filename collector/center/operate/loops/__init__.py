# SPDX-License-Identifier: GPL-3.0-or-later
"""Loops of the center that make what was asked for elsewhere."""
