# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated devices and plants on real sockets and serial lines, with codecs of their own.

A simulator that shared our codecs would share their mistakes: of `collector` only the nouns (model), errors, the clock,
point tables and agent.toml are used.

room     what it does                                        may import  tests/
plant/   physics, books and scenarios: the true values       -           simulators
faults/  faults of devices, from files and schedules         -           simulators
faces/   protocol servers of the devices, one per protocol   points      simulators
run/     simulations that run: time, sockets, pytest plugin  points      simulators
"""
