# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the gateway's clock can be trusted: the clock state stored in every record."""

from __future__ import annotations

from enum import IntEnum


class ClockState(IntEnum):
    """The state of the gateway's clock when it stamped a record."""

    SYNCHRONISED = 0
    UNSYNCHRONISED = 1
    UNKNOWN = 2
