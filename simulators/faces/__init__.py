# SPDX-License-Identifier: GPL-3.0-or-later
"""The protocol servers (faces) of simulated devices, one per protocol, each with a codec of its own."""
