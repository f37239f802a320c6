# SPDX-License-Identifier: GPL-3.0-or-later
"""The operation of the center itself: status, alarms, doctor, integrity, backup, loops."""
