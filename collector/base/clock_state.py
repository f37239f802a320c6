# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the gateway's clock can be trusted: the clock state stored in every record."""

from __future__ import annotations

from enum import IntEnum


class ClockState(IntEnum):
    """What the gateway knew of its own clock when it stamped the record."""

    SYNCHRONISED = 0
    UNSYNCHRONISED = 1
    UNKNOWN = 2
