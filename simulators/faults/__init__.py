# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of simulated devices, from files and schedules."""
