# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the host's clock could be trusted at an instant: a word of the clock, kept in every record."""

from __future__ import annotations

from enum import IntEnum


class ClockState(IntEnum):
    """What the gateway knew of its own clock when it stamped the record."""

    SYNCHRONISED = 0
    UNSYNCHRONISED = 1
    UNKNOWN = 2
