# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of the gateway's clock, stored in every record: how far its time stamps can be trusted."""

from __future__ import annotations

from enum import IntEnum


class ClockState(IntEnum):
    """The state of the gateway's clock when it stamped a record."""

    SYNCHRONISED = 0
    UNSYNCHRONISED = 1
    UNKNOWN = 2
