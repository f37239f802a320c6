# SPDX-License-Identifier: GPL-3.0-or-later
"""DL/T 698.45 meters on serial lines and serial servers: current values and registers by GET."""
