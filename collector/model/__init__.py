# SPDX-License-Identifier: GPL-3.0-or-later
"""The nouns: quantity, record, interval, register, money. Standard library only; no I/O, no clock."""
