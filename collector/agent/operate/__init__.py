# SPDX-License-Identifier: GPL-3.0-or-later
"""The views of an agent for people: status, doctor, check, reading once, metrics, reload."""
