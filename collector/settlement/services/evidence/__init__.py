# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of evidence that a service leaves beside its sums (settlement/evidence.py); nothing is paid by them."""
