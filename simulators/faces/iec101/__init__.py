# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated IEC 60870-5-101 stations: a codec of their own, and lines of them."""
