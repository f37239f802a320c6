# SPDX-License-Identifier: GPL-3.0-or-later
"""The loops of a center beside receiving: sealing, keys and alarms, runs that other processes handed over."""
