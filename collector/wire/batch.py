# SPDX-License-Identifier: GPL-3.0-or-later
"""The batch of records, and the limits of its parts.

The limits protect the receiver: input is checked against them before memory is allocated for it. They are far above
what a gateway sends (60 s × 4 units is 240 records).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from collector.model.record import GapRecord, UnitLayout, UnitRecord

MAX_PAYLOAD_BYTES: Final = 4 * 1024 * 1024
MAX_BODY_BYTES: Final = 32 * 1024 * 1024
MAX_RECORDS: Final = 100_000
MAX_UNITS: Final = 256
MAX_GAPS: Final = 4096
MAX_GAP_UNITS: Final = 65_536  # units named by all gaps of a batch together
MAX_TIME_MS: Final = 1 << 47
MAX_SEQUENCE: Final = (1 << 63) - 1
MAX_VALUE: Final = 1 << 61  # the difference of two values then fits 64 bits

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}\Z", re.ASCII)


def is_name(text: str) -> bool:
    """True if `text` is a valid name of a plant, gateway, unit or reason: safe in a topic and in a file name."""
    return _NAME.match(text) is not None


@dataclass(frozen=True, slots=True)
class Stream:
    """The numbered sequence of batches of one epoch. `epoch`: 64 random bits, new per buffer file; may exceed 2^63."""

    plant: str
    gateway: str
    epoch: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Records and gap records that travel under one sequence number.

    `layouts` names each unit once. Records are grouped by unit in the order of `layouts`, within a unit in the order in
    which they were recorded. A batch may hold only gap records.
    """

    stream: Stream
    sequence: int
    layouts: tuple[UnitLayout, ...]
    records: tuple[UnitRecord, ...]
    gaps: tuple[GapRecord, ...] = ()

    @property
    def first_ms(self) -> int:
        """Earliest time of the records, UTC ms; of the gaps where there are no records."""
        return min((r.time_utc_ms for r in self.records), default=min((g.from_ms for g in self.gaps), default=0))

    @property
    def last_ms(self) -> int:
        """Latest time of the records, UTC ms; of the gaps where there are no records."""
        return max((r.time_utc_ms for r in self.records), default=max((g.to_ms for g in self.gaps), default=0))
