# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of each plant and unit: last record, last messages of the gateways, completeness.

Read from the store alone, so it works beside a running receiver and on a copy.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select

from collector.base.text import join, tr
from collector.center.db.tables_receive import agent_state, batch, covered, gap, lake_day, quarantine, stream, unit_day
from collector.center.quality.completeness import held_minutes
from collector.center.receive.day_index import MINUTE_MS
from collector.center.receive.keys import enrolled_units
from collector.center.receive.stream_state import OF_GATEWAYS
from collector.model.interval import Interval, Month, time_to_read


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """One unit over the elapsed part of a month. `last_record_ms`: of all time, None where none ever came.

    `known_min`: minutes with a record, or within the hold limit after one. `gaps`: gap records touching the month.
    """

    plant: str
    unit: str
    last_record_ms: int | None
    received: int
    known_min: int
    elapsed_min: int
    gaps: int

    @property
    def completeness_ratio(self) -> float | None:
        """Known time in elapsed time, 0..1; None before the month has begun."""
        return self.known_min / self.elapsed_min if self.elapsed_min else None


def _printable(text: str) -> str:
    """A sender's own words, without what would move a terminal's cursor."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


@dataclass(frozen=True, slots=True)
class GatewayStatus:
    """One gateway of a plant over all its epochs. `state`: its last state message, None where none came."""

    plant: str
    gateway: str
    epochs: int
    batches: int
    records: int
    repeats: int
    missing_sequences: int
    last_received_ms: int | None
    state: Mapping[str, Any] | None
    state_received_ms: int | None

    @property
    def buffer_words(self) -> str:
        """The buffer in its last state message, for people; word by word where another program than ours sent it."""
        buffer = (self.state or {}).get("buffer")
        if not isinstance(buffer, dict):
            return _printable(str(buffer or ""))
        numbers = [buffer.get(name) for name in ("pending", "pending_records", "evicted_records", "used_bytes")]
        if not all(isinstance(number, int) for number in numbers):
            return _printable(", ".join(f"{name} {value}" for name, value in buffer.items()))
        pending, records, lost, used_bytes = (int(number or 0) for number in numbers)
        said = [tr("waiting: {batches} batches, {records} records", batches=pending, records=records)]
        if isinstance(oldest_ms := buffer.get("oldest_pending_ms"), int):
            said.append(tr("since {time}", time=time_to_read(oldest_ms)))
        if lost:
            said.append(tr("lost: {records} records", records=lost))
        return join(", ", [*said, tr("{used} MB in use", used=f"{used_bytes / 1e6:.1f}")])


@dataclass(frozen=True, slots=True)
class CenterStatus:
    """The data of `center status`."""

    month: Month
    units: tuple[UnitStatus, ...]
    gateways: tuple[GatewayStatus, ...]
    quarantined: Mapping[str, int]
    unsealed_days: int


def read_status(connection: Connection, month: Month, *, now_ms: int, hold_limit_s: int) -> CenterStatus:
    """The status of all enrolled plants and of other senders. `hold_limit_s`: from the data policy."""
    codes = connection.execute(select(quarantine.c.code, func.count()).group_by(quarantine.c.code))
    unsealed = select(func.count()).select_from(lake_day).where(lake_day.c.wanted > lake_day.c.sealed)
    return CenterStatus(
        month=month,
        units=_units(connection, month, now_ms, hold_limit_s),
        gateways=read_gateways(connection),
        quarantined={code: int(count) for code, count in codes},
        unsealed_days=int(connection.execute(unsealed).scalar_one()),
    )


def latest_month(connection: Connection) -> Month | None:
    """The month of the latest record; None in an empty store."""
    day = connection.execute(select(func.max(unit_day.c.day))).scalar()
    return None if day is None else Month.parse(str(day)[:7])


def _units(connection: Connection, month: Month, now_ms: int, hold_limit_s: int) -> tuple[UnitStatus, ...]:
    last = {
        (r.plant, r.unit): int(r.last_ms)
        for r in connection.execute(
            select(unit_day.c.plant, unit_day.c.unit, func.max(unit_day.c.last_ms).label("last_ms")).group_by(
                unit_day.c.plant, unit_day.c.unit
            )
        )
    }
    known = set(last)
    for plant, units in enrolled_units(connection).items():
        known |= {(plant, unit) for unit in units}
    interval = month.interval
    # A simulated month may be ahead of the center's own clock; its latest record then gives the time.
    now_ms = max(now_ms, *(last or {("", ""): now_ms}).values())
    elapsed = Interval(interval.start_ms, max(interval.start_ms, min(now_ms, interval.end_ms)))
    first, until = month.first_day.isoformat(), month.next().first_day.isoformat()
    in_month = (unit_day.c.day >= first) & (unit_day.c.day < until)
    days: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in connection.execute(select(unit_day).where(in_month)):
        days[row.plant, row.unit].append(row)
    touching = (gap.c.from_ms < interval.end_ms) & (gap.c.to_ms > interval.start_ms)
    counted = select(gap.c.plant, gap.c.unit, func.count().label("n")).where(touching).group_by(gap.c.plant, gap.c.unit)
    gaps = {(r.plant, r.unit): int(r.n) for r in connection.execute(counted)}
    return tuple(
        UnitStatus(
            plant=plant,
            unit=unit,
            last_record_ms=last.get((plant, unit)),
            received=sum(int(r.received) for r in days[plant, unit]),
            known_min=held_minutes({r.day: r.minutes for r in days[plant, unit]}, elapsed, hold_limit_s).bit_count(),
            elapsed_min=(elapsed.end_ms - elapsed.start_ms) // MINUTE_MS,
            gaps=gaps.get((plant, unit), 0),
        )
        for plant, unit in sorted(known)
    )


def read_gateways(connection: Connection) -> tuple[GatewayStatus, ...]:
    """Every gateway that has sent a batch or a state."""
    counts = (func.count().label("batches"), func.sum(batch.c.record_count).label("records"))
    totals = select(batch.c.stream_id, *counts, func.sum(batch.c.repeats).label("repeats"))
    totals_of = totals.group_by(batch.c.stream_id).subquery()
    width = func.sum(covered.c.to_seq - covered.c.from_seq + 1)
    missing = (func.max(covered.c.to_seq) - width).label("missing")
    missing_of = select(covered.c.stream_id, missing).group_by(covered.c.stream_id).subquery()
    query = (
        select(stream, totals_of.c.batches, totals_of.c.records, totals_of.c.repeats, missing_of.c.missing)
        .outerjoin(totals_of, totals_of.c.stream_id == stream.c.id)
        .outerjoin(missing_of, missing_of.c.stream_id == stream.c.id)
        .where(OF_GATEWAYS)
    )
    rows: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in connection.execute(query):
        rows[row.plant, row.gateway].append(row)
    states = {
        (r.plant, r.gateway): (int(r.received_ms), _state(r.bytes)) for r in connection.execute(select(agent_state))
    }
    last_words = {key: _with_will(key, states) for key in states}
    return tuple(_gateway(key, rows[key], last_words.get(key)) for key in sorted({*rows, *states}))


def _with_will(
    key: tuple[str, str], states: Mapping[tuple[str, str], tuple[int, Mapping[str, Any]]]
) -> tuple[int, Mapping[str, Any]]:
    """The last state of a gateway for a plant; offline where its will, on another plant's topic, is newer.

    A connection has one will, on one topic; the message names all plants it is for.
    """
    plant, gateway = key
    at_ms, state = states[key]
    for (_, other_gateway), (other_ms, other) in states.items():
        named = other.get("plants")
        is_will = other.get("online") is False and isinstance(named, list) and plant in named
        if other_gateway == gateway and is_will and other_ms > at_ms:
            at_ms, state = other_ms, {**state, "online": False}
    return at_ms, state


def _gateway(key: tuple[str, str], streams: list[Any], state: tuple[int, Mapping[str, Any]] | None) -> GatewayStatus:
    return GatewayStatus(
        plant=key[0],
        gateway=key[1],
        epochs=len(streams),
        batches=sum(int(s.batches or 0) for s in streams),
        records=sum(int(s.records or 0) for s in streams),
        repeats=sum(int(s.repeats or 0) for s in streams),
        missing_sequences=sum(int(s.missing or 0) for s in streams),
        last_received_ms=max((int(s.last_received_ms) for s in streams), default=None),
        state=state[1] if state else None,
        state_received_ms=state[0] if state else None,
    )


def _state(payload: bytes) -> Mapping[str, Any]:
    """A state message as an object; a malformed one, or one that can't be written as JSON, as its text."""
    try:
        found = json.loads(payload)
        # Half a character (\ud800) can be read but not written: one plant would break the page of all plants.
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        found = None
    return found if isinstance(found, dict) else {"text": payload[:200].decode("utf-8", "replace")}
