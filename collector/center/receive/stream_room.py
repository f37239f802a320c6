# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of the streams of a plant and of the settled ranges of a stream, which bound the cost of a group.

All settled ranges of a stream are read with each of its batches, and a gap record may name any epoch and range: without
a bound, a plant could make each later group as expensive as everything it ever sent. Looked up once for a group, by
three statements.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from collector.center.db.tables_receive import stream
from collector.center.receive import ranges, stream_state
from collector.center.receive.arrivals import Accepted, Arrival, Rejected, StreamKey

Claim = tuple[StreamKey, ranges.Range]


@dataclass
class StreamRoom:
    """The remaining room within both limits, while a group is processed.

    `held`: settled ranges of the existing streams; `streams_of`: number of streams by plant.
    """

    max_streams: int
    max_ranges: int
    held: dict[StreamKey, list[ranges.Range]]
    streams_of: Counter[str]

    def refusal(self, arrival: Accepted) -> Rejected | None:
        """The refusal of a batch that exceeds a limit; otherwise None, and its room is taken."""
        if is_imported(arrival.stream):  # imported by people, who are responsible for it
            return None
        claims = claims_of(arrival)
        if self._lacks_streams(claims):
            reason = f"it begins a stream, {self.max_streams} are taken of a plant (receiver.max_streams_per_plant)"
            return _refused(arrival, code="too_many_streams", reason=reason)
        if not self.takes(claims):
            reason = (
                f"its sequences would lie in more than {self.max_ranges} separate ranges: some must be closed first"
            )
            return _refused(arrival, code="too_many_gaps", reason=reason)
        return None

    def takes(self, claims: Sequence[Claim]) -> bool:
        """True if there is room for these streams and ranges, all of one plant; the room is then taken."""
        if self._lacks_streams(claims):
            return False
        after: dict[StreamKey, list[ranges.Range]] = {}
        for key, claimed in claims:
            ranges.add(after.setdefault(key, list(self.held.get(key, ()))), claimed)
        if any(len(there) > max(self.max_ranges, len(self.held.get(key, ()))) for key, there in after.items()):
            return False
        self.streams_of.update(key[0] for key in after if key not in self.held)
        self.held.update(after)
        return True

    def _lacks_streams(self, claims: Sequence[Claim]) -> bool:
        new = {key for key, _ in claims if key not in self.held}
        return bool(new) and self.streams_of[claims[0][0][0]] + len(new) > self.max_streams


def find_room(connection: Connection, arrivals: Iterable[Arrival], *, max_streams: int, max_ranges: int) -> StreamRoom:
    """Look up the room for everything that a group may settle."""
    keys: set[StreamKey] = set()
    for arrival in arrivals:
        if isinstance(arrival, Accepted):
            keys.update(key for key, _ in claims_of(arrival))
        elif isinstance(arrival, Rejected) and arrival.authentic and arrival.epoch is not None:
            keys.add((arrival.plant, arrival.gateway, arrival.epoch))
    keys = {key for key in keys if not is_imported(key)}
    ids = stream_state.lock_streams(connection, keys)
    covered = stream_state.covered_ranges(connection, ids.values())
    held = {key: ranges.merge(covered.get(number, ())) for key, number in ids.items()}
    plants = sorted({plant for plant, _, _ in keys - ids.keys()})
    count = select(stream.c.plant, func.count().label("n")).where(stream.c.plant.in_(plants) & stream_state.OF_GATEWAYS)
    there = Counter({row.plant: int(row.n) for row in connection.execute(count.group_by(stream.c.plant))})
    return StreamRoom(max_streams, max_ranges, held, there)


def is_imported(key: StreamKey) -> bool:
    """True if a stream was imported by people."""
    return key[1] in (stream_state.IMPORTED, stream_state.REPLACING)


def claims_of(arrival: Accepted) -> list[Claim]:
    """The sequences that a batch settles: its own, and those its gap records declare lost."""
    lost = [
        ((arrival.plant, arrival.gateway, gap.epoch), (gap.from_seq, gap.to_seq))
        for gap in arrival.gaps
        if gap.epoch is not None and gap.from_seq is not None and gap.to_seq is not None
    ]
    return [(arrival.stream, (arrival.sequence, arrival.sequence)), *lost]


def _refused(arrival: Accepted, *, code: str, reason: str) -> Rejected:
    return Rejected(
        plant=arrival.plant,
        gateway=arrival.gateway,
        topic=arrival.topic,
        sha256=hashlib.sha256(arrival.payload).digest(),
        payload=arrival.payload,
        code=code,
        reason=reason,
        epoch=arrival.epoch,
        sequence=arrival.sequence,
        authentic=True,
    )
