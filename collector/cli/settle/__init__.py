# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector settle`: offline, over the cores of this machine."""
