# SPDX-License-Identifier: GPL-3.0-or-later
"""What everything stands on: errors, clock, configuration files, tasks, notices to systemd."""
