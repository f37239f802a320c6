# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated plants and devices: real sockets, values that agree with each other, own books of what really happened.

plant.py and schedule.py move the units; signals.py carries their values to the faces; modbus.py, iec104.py and
dlt645.py are the faces' own codecs (none shared with the agent: a shared codec shares its mistakes); books.py keeps
the truth; timekeeper.py keeps the time; scenario.py reads PLANT.toml; devices.py builds faces from the agent's own
configuration and point tables.
"""
