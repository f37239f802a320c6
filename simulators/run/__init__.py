# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulations that run: time, sockets, control, and the pytest plugin."""
