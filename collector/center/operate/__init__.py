# SPDX-License-Identifier: GPL-3.0-or-later
"""The center itself, looked at and looked after: status, alarms, doctor, integrity, backup, loops."""
