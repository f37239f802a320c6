# SPDX-License-Identifier: GPL-3.0-or-later
"""The journal of step 6: every arrival is stored exactly once.

A group of arrivals is committed in one transaction, and only the result of that transaction is acknowledged.
Invariants:

- A batch id (plant, gateway, epoch, sequence) is stored at most once. The same bytes again are a repeat: counted and
  acknowledged again. Other bytes under a stored id (a cloned disk) go to quarantine and are refused `epoch_conflict`.
- `through` and the ranges beyond it are computed in the committing transaction from the sequences that are committed,
  refused or declared lost by gap records; order, repetition and grouping of arrivals do not change them.
- A refusal counts as settled only when its code is final and its sender was authenticated: anybody may send garbage
  under a plant's next sequence, and the plant's own batch must still be accepted then. A curable refusal leaves a hole:
  the plant keeps the batch and offers it again, and it is committed once it is within the limits.
- The cost of one batch does not depend on the batches its plant sent before: streams of a plant and ranges of a stream
  are bounded, and a batch that would go beyond is refused (curable).
- A sequence declared lost or refused that arrives after all is committed: data is better than its absence.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, func, insert, select, update

import collector.wire as wire
from collector.center.db.store import insert_new
from collector.center.db.tables_receive import agent_state, batch, batch_day, gap, payload
from collector.center.receive import day_index, quarantine, ranges, stream_room, stream_state
from collector.center.receive.arrivals import Accepted, AgentState, Arrival, Rejected, StreamKey
from collector.model.record import GapRecord

MAX_ALSO: Final = 256  # ranges beyond `through` named in one ack; later acks name the rest
MAX_GATEWAYS: Final = 100  # gateways of a plant whose state is kept
MAX_RANGES: Final = 1024  # settled ranges of one stream: all of them are read with each of its batches


@dataclass(frozen=True, slots=True)
class DueAck:
    """The acknowledgement due to one stream after the commit."""

    plant: str
    gateway: str
    epoch: int
    through: int
    also: tuple[tuple[int, int], ...]
    refused: tuple[tuple[int, str], ...]

    def covers(self, sequence: int) -> bool:
        """True if `sequence` is settled in the store."""
        return sequence <= self.through or any(first <= sequence <= last for first, last in self.also)


@dataclass
class _Touched:
    """The effect of one group on one stream."""

    cover: list[ranges.Range] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    unsettled: list[tuple[int, str]] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    known: bool = True


@dataclass(frozen=True)
class GroupResult:
    """The result of a committed group: counts of each outcome, and the acknowledgements now due."""

    settled: tuple[DueAck, ...]
    committed: int
    records: int
    repeated: int
    refused: int


def commit_group(
    connection: Connection,
    arrivals: Sequence[Arrival],
    *,
    now_ms: int,
    quarantine_max_bytes: int,
    quarantine_max_rows: int = 100_000,
    max_streams: int = 1 << 62,
) -> GroupResult:
    """Store a group of arrivals in the transaction of `connection`; acknowledge the result after its commit.

    `max_streams`: limit for the gateways of one plant together.
    """
    touched: dict[StreamKey, _Touched] = defaultdict(_Touched)
    rejected = [a for a in arrivals if isinstance(a, Rejected)]
    by_stream: dict[StreamKey, list[Accepted]] = defaultdict(list)
    room = stream_room.find_room(connection, arrivals, max_streams=max_streams, max_ranges=MAX_RANGES)
    for arrival in arrivals:
        if isinstance(arrival, Accepted):
            if refusal := room.refusal(arrival):
                rejected.append(refusal)
            else:
                by_stream[arrival.stream].append(arrival)
        elif isinstance(arrival, AgentState):
            _store_state(connection, arrival, now_ms)
    ids = stream_state.make_streams(connection, by_stream, now_ms)
    fresh, repeated, conflicts = _split(connection, ids, by_stream)
    rejected += conflicts
    for key, accepted in by_stream.items():
        touched[key].seen += [a.sequence for a in accepted]
    for arrival in fresh:
        # A gap record may close a hole of its own epoch or of an earlier one of the same gateway.
        for key, claimed in stream_room.claims_of(arrival):
            touched[key].cover.append(claimed)
    _insert(connection, fresh, ids, now_ms)
    quarantine.forget_cured(connection, fresh)
    day_index.record_parts(connection, list(fresh), now_ms)
    _refuse(connection, rejected, touched, room, now_ms, (quarantine_max_bytes, quarantine_max_rows))
    added: Counter[int] = Counter()
    for arrival in fresh:
        added[ids[arrival.stream]] += len(arrival.payload)
    settled = _settle(connection, touched, ids, added, now_ms)
    records = sum(a.record_count for a in fresh)
    return GroupResult(settled, len(fresh), records, repeated, len(rejected))


def _split(
    connection: Connection, ids: Mapping[StreamKey, int], by_stream: Mapping[StreamKey, Sequence[Accepted]]
) -> tuple[dict[Accepted, int], int, list[Rejected]]:
    """New batches with the number of their repeats in this group; the number of all repeats; and the conflicts."""
    numbered = [(ids[key], arrival) for key in sorted(by_stream) for arrival in by_stream[key]]
    stored = stream_state.stored_hashes(connection, {(number, a.sequence) for number, a in numbered})
    new: dict[tuple[int, int], Accepted] = {}
    repeats: Counter[tuple[int, int]] = Counter()
    conflicts: list[Rejected] = []
    for number, arrival in numbered:
        place = (number, arrival.sequence)
        known = new[place].sha256 if place in new else stored.get(place)
        if known is None:
            new[place] = arrival
        elif known == arrival.sha256:
            repeats[place] += 1
        else:
            conflicts.append(_conflict(arrival, known))
    stream_state.count_repeats(connection, {place: n for place, n in repeats.items() if place not in new})
    return {arrival: repeats[place] for place, arrival in new.items()}, repeats.total(), conflicts


def _conflict(arrival: Accepted, stored_sha256: bytes) -> Rejected:
    return Rejected(
        plant=arrival.plant,
        gateway=arrival.gateway,
        topic=arrival.topic,
        sha256=hashlib.sha256(arrival.payload).digest(),
        payload=arrival.payload,
        code="epoch_conflict",
        reason=f"this id is stored with SHA-256 {stored_sha256.hex()}; a second gateway uses a copy of the buffer",
        epoch=arrival.epoch,
        sequence=arrival.sequence,
        authentic=True,
    )


def _insert(connection: Connection, fresh: Mapping[Accepted, int], ids: Mapping[StreamKey, int], now_ms: int) -> None:
    if not fresh:
        return
    connection.execute(insert(batch), [_batch_row(a, ids[a.stream], now_ms, n) for a, n in fresh.items()])
    keys = [{"stream_id": ids[a.stream], "sequence": a.sequence, "received_ms": now_ms} for a in fresh]
    connection.execute(insert(payload), [k | {"bytes": a.payload} for k, a in zip(keys, fresh, strict=True)])
    day_rows = [
        {"plant": a.plant, "day": day, "stream_id": ids[a.stream], "sequence": a.sequence}
        for a in fresh
        for day in sorted({part.day for part in a.parts})
    ]
    if day_rows:
        connection.execute(insert(batch_day), day_rows)
    gap_rows = [row for a in fresh for g in a.gaps for row in _gap_rows(a, g, ids[a.stream])]
    if gap_rows:
        connection.execute(insert(gap), gap_rows)


def _batch_row(arrival: Accepted, stream_id: int, now_ms: int, repeats: int) -> dict[str, object]:
    return {
        "stream_id": stream_id,
        "sequence": arrival.sequence,
        "sha256": arrival.sha256,
        "record_count": arrival.record_count,
        "gap_count": len(arrival.gaps),
        "first_ms": arrival.first_ms,
        "last_ms": arrival.last_ms,
        "received_ms": now_ms,
        "size_bytes": len(arrival.payload),
        "repeats": repeats,
    }


def _gap_rows(arrival: Accepted, lost: GapRecord, stream_id: int) -> Iterable[dict[str, object]]:
    for unit in lost.units:
        yield {
            "stream_id": stream_id,
            "sequence": arrival.sequence,
            "plant": arrival.plant,
            "unit": unit,
            "from_ms": lost.from_ms,
            "to_ms": lost.to_ms,
            "reason": lost.reason,
            "epoch": None if lost.epoch is None else f"{lost.epoch:016x}",
            "from_seq": lost.from_seq,
            "to_seq": lost.to_seq,
        }


def _refuse(
    connection: Connection,
    rejected: Iterable[Rejected],
    touched: dict[StreamKey, _Touched],
    streams_room: stream_room.StreamRoom,
    now_ms: int,
    limits: tuple[int, int],
) -> None:
    """Put refusals into quarantine within `limits` (bytes, rows), and note the streams to inform."""
    place: quarantine.Room | None = None
    for refusal in rejected:
        place = place or quarantine.Room.find(connection, max_bytes=limits[0], max_rows=limits[1])
        quarantine.keep(connection, refusal, now_ms, place)
        if refusal.epoch is None or refusal.sequence is None:
            continue  # the batch can't be identified, so nobody is informed
        key = (refusal.plant, refusal.gateway, refusal.epoch)
        if key not in touched:
            touched[key].known = False
        settles = refusal.authentic and refusal.code not in wire.CURABLE
        # Without room for its stream or range, a final refusal is sent but not recorded.
        if settles and streams_room.takes([(key, (refusal.sequence, refusal.sequence))]):
            touched[key].known = True
            touched[key].refused.append((refusal.sequence, refusal.code))
            touched[key].cover.append((refusal.sequence, refusal.sequence))
        else:
            touched[key].unsettled.append((refusal.sequence, refusal.code))


def readmit(connection: Connection, admit: Callable[[str, bytes], Arrival | None], *, now_ms: int) -> GroupResult:
    """Check the quarantine again with today's keys and units; batches that pass are committed and leave it.

    The plant is informed by its next acknowledgement.
    """
    passed: list[Arrival] = []
    for number, topic, kept in quarantine.candidates(connection):
        arrival = admit(topic, kept)
        if isinstance(arrival, Accepted):
            passed.append(arrival)
            quarantine.release(connection, number)
    # A batch that now conflicts with a later one goes back to the quarantine: nothing is lost here.
    return commit_group(connection, passed, now_ms=now_ms, quarantine_max_bytes=1 << 62)


def _settle(
    connection: Connection,
    touched: Mapping[StreamKey, _Touched],
    ids: Mapping[StreamKey, int],
    added: Mapping[int, int],
    now_ms: int,
) -> tuple[DueAck, ...]:
    """Extend the streams' covered ranges, and make the acknowledgements from them."""
    others = touched.keys() - ids.keys()
    known = stream_state.make_streams(connection, {key for key in others if touched[key].known}, now_ms)
    numbers = {**ids, **known, **stream_state.lock_streams(connection, others - known.keys())}
    held = stream_state.covered_ranges(connection, (numbers[key] for key in touched if key in numbers))
    settled: list[DueAck] = []
    changes: dict[int, tuple[set[ranges.Range], set[ranges.Range]]] = {}
    through: dict[int, int] = {}
    for key in sorted(touched):
        number = numbers.get(key)
        before = held.get(number, []) if number is not None else []
        after = ranges.merge(before + touched[key].cover)
        settled.append(_promise(key, touched[key], after))
        if number is not None:
            changes[number] = (set(before) - set(after), set(after) - set(before))
            through[number] = settled[-1].through
    stream_state.replace_ranges(connection, changes)
    stream_state.move_through(connection, through, added, now_ms)
    return tuple(settled)


def _promise(key: StreamKey, touched: _Touched, after: list[ranges.Range]) -> DueAck:
    through = ranges.through(after)
    beyond = [r for r in after if r[0] > through]
    # A stranger's batch under a settled sequence does not concern the plant; nor does a refusal cured since.
    unsettled = [u for u in touched.unsettled if not ranges.holds(after, u[0])]
    refused = tuple(dict.fromkeys(touched.refused + unsettled))
    return DueAck(*key, through, _most_wanted(beyond, touched.seen), refused)


def _most_wanted(beyond: list[ranges.Range], seen: Sequence[int]) -> tuple[ranges.Range, ...]:
    """At most MAX_ALSO ranges: first those of the batches just received, then the lowest."""
    if len(beyond) <= MAX_ALSO:
        return tuple(beyond)
    now = {r for sequence in seen if (r := ranges.find(beyond, sequence)) is not None}
    rest = [r for r in beyond if r not in now]
    return tuple(sorted((sorted(now) + rest)[:MAX_ALSO]))


def _store_state(connection: Connection, state: AgentState, now_ms: int) -> None:
    where = (agent_state.c.plant == state.plant) & (agent_state.c.gateway == state.gateway)
    values = {"received_ms": now_ms, "bytes": state.payload}
    if not connection.execute(update(agent_state).where(where).values(values)).rowcount:
        # States are unsigned: a plant must not be able to fill the store and everybody's page with invented gateways.
        named = select(func.count()).select_from(agent_state).where(agent_state.c.plant == state.plant)
        if connection.execute(named).scalar_one() >= MAX_GATEWAYS:
            return
        row = {"plant": state.plant, "gateway": state.gateway} | values
        connection.execute(insert_new(connection, agent_state).values(row))
