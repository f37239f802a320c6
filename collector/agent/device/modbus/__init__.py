# SPDX-License-Identifier: GPL-3.0-or-later
"""Modbus TCP, RTU and RTU over TCP: requests planned in blocks, replies decoded from registers."""
