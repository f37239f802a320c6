# SPDX-License-Identifier: GPL-3.0-or-later
"""How people look at an agent: status, doctor, check, reading once, metrics, reload."""
