# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of admission for the journal: an accepted batch, a rejected one, or a gateway's state message."""

from __future__ import annotations

from dataclasses import dataclass

from collector.model.record import GapRecord

StreamKey = tuple[str, str, int]  # plant, gateway, epoch


@dataclass(frozen=True, slots=True)
class UnitPart:
    """The records of one unit on one local day (ISO text) in one batch. `minutes`: as in the unit_day table."""

    unit: str
    day: str
    count: int
    first_ms: int
    last_ms: int
    minutes: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Accepted:
    """A batch that passed every check, with the facts by which the journal indexes it.

    `sha256`: of its header, which includes the body's hash. `first_ms`, `last_ms`: of its records, else of its gaps.
    `parts`: one per unit and local day.
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
        """The stream of the batch's sequence."""
        return self.plant, self.gateway, self.epoch


@dataclass(frozen=True, slots=True)
class Rejected:
    """A refused message. `epoch` and `sequence` are None where the header can't be read.

    `authentic`: plant, gateway, epoch and sequence are proved by the plant's own signature (or need none in a trial).
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
    """A gateway's message on its state topic."""

    plant: str
    gateway: str
    payload: bytes


Arrival = Accepted | Rejected | AgentState
