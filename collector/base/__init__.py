# SPDX-License-Identifier: GPL-3.0-or-later
"""The foundation of all rooms: errors, clock, configuration files, tasks, MQTT settings, notices to systemd."""
