# SPDX-License-Identifier: GPL-3.0-or-later
"""What admission hands to the journal: a batch that passed, one that did not, or a word of a gateway about itself."""

from __future__ import annotations

from dataclasses import dataclass

from collector.model.record import GapRecord

StreamKey = tuple[str, str, int]  # plant, gateway, epoch


@dataclass(frozen=True, slots=True)
class UnitPart:
    """What one batch holds of one unit on one local day (ISO text). `minutes`: as in the unit_day table."""

    unit: str
    day: str
    count: int
    first_ms: int
    last_ms: int
    minutes: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """A batch that passed every check, with what the journal indexes it by.

    `sha256`: of its header, which names the body's. `first_ms`, `last_ms`: of its records, else of its gaps. `parts`:
    one per unit and local day.
    """

    plant: str
    gateway: str
    epoch: int
    sequence: int
    sha256: bytes
    payload: bytes
    record_count: int
    first_ms: int
    last_ms: int
    parts: tuple[UnitPart, ...]
    gaps: tuple[GapRecord, ...]
    topic: str = ""

    @property
    def stream(self) -> StreamKey:
        """Whose sequence it is in."""
        return self.plant, self.gateway, self.epoch


@dataclass(frozen=True, slots=True)
class Rejected:
    """What can't be accepted. `epoch` and `sequence` are None where the header can't be read.

    `authentic`: the plant's own signature (or its trial setting) vouches for plant, gateway, epoch and sequence.
    """

    plant: str
    gateway: str
    topic: str
    sha256: bytes
    payload: bytes
    code: str
    reason: str
    epoch: int | None = None
    sequence: int | None = None
    authentic: bool = False


@dataclass(frozen=True, slots=True)
class AgentState:
    """What a gateway said on its state topic."""

    plant: str
    gateway: str
    payload: bytes


Arrival = Accepted | Rejected | AgentState
