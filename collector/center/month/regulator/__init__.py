# SPDX-License-Identifier: GPL-3.0-or-later
"""Acts of the regulator without a proposal by the center."""
