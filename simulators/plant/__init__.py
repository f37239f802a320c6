# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated plants: physics, books, scenarios. They keep the truth that a test compares with."""
