# SPDX-License-Identifier: GPL-3.0-or-later
"""Alarms: problems that need a person now; raised and cleared from the content of the store, with time and words.

Stable codes: plant_silent · quarantine_growing · days_unsealed · disk_nearly_full · gateway_clock · gateway_twice; and
of a running center: plant_flooding (its receiver), center_not_writing (`readiness`)
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, select, update

from collector.base.text import tr
from collector.center.db.store import insert_new
from collector.center.db.tables_quality import alarm
from collector.center.db.tables_receive import agent_state, batch, lake_day, quarantine, store, stream
from collector.center.receive.stream_state import OF_GATEWAYS
from collector.center.receive.turns import Served
from collector.center.settings import Alarms
from collector.model.interval import HOUR_MS, format_time, time_to_read

CODES: Final = (
    "plant_silent", "quarantine_growing", "days_unsealed", "disk_nearly_full", "gateway_clock", "gateway_twice",
    "plant_flooding", "center_not_writing",
)  # fmt: skip
# Alarms that each receiver sees on its own: cleared when no receiver has seen them for the watch time of a flooding.
SEEN_BY_ONE: Final = frozenset({"plant_flooding"})
UNSEEN_MS: Final = 60_000
# a gateway restarted with a new buffer never records in both, even if old batches are sent late
_OVERLAP_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Alarm:
    """One problem. `subject`: plant, plant/gateway, or the part of the center."""

    code: str
    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class Heard:
    """The last sign of life of a plant. `said_goodbye`: its last message, newer than that, says that it is offline."""

    last_ms: int | None
    said_goodbye: bool


def find_alarms(
    connection: Connection, limits: Alarms, plants: Collection[str], directory: Path, *, now_ms: int
) -> list[Alarm]:
    """All alarms that stand now. `plants`: the enrolled ones; `directory`: its disk is checked."""
    return [
        *_silent(connection, limits, plants, now_ms),
        *_quarantine(connection, limits, now_ms),
        *_unsealed(connection, limits, now_ms),
        *_disk(directory, limits),
        *_clocks(connection),
        *_twice(connection, now_ms),
    ]


def find_flooding(before: Mapping[str, Served], now: Mapping[str, Served], passed_s: float) -> Iterator[Alarm]:
    """Plants held back for half of the last `passed_s` seconds, or that lost messages, by the counts of both times."""
    for plant, served in sorted(now.items()):
        former = before.get(plant, Served(0, 0, 0.0))
        held_s, dropped = served.held_back_s - former.held_back_s, served.dropped - former.dropped
        if not dropped and held_s < passed_s / 2:
            continue
        words = tr(
            "sends more than its share: held back {held:.0f} of the last {passed:.0f} s, "
            "{taken} messages taken, {dropped} let go",
            held=held_s, passed=passed_s, taken=served.messages - former.messages, dropped=dropped,
        )  # fmt: skip
        yield Alarm("plant_flooding", plant or tr("plants that are not enrolled, or not vouched for"), words)


def apply_alarms(connection: Connection, standing: Collection[Alarm], *, now_ms: int) -> tuple[int, int]:
    """Record the alarms raised and cleared since; returns the number of each. A standing alarm keeps its first words.

    `standing`: all alarms from the store, and those of this receiver.
    """
    rows = connection.execute(select(alarm).where(alarm.c.standing == 1).with_for_update()).all()
    known = {(row.code, row.subject): int(row.id) for row in rows}
    fresh = {row.id for row in rows if row.code in SEEN_BY_ONE and (row.seen_ms or 0) > now_ms - UNSEEN_MS}
    now = {(each.code, each.subject[:255]): each for each in standing}
    new = [each for key, each in now.items() if key not in known]
    for each in new:
        values = {"code": each.code, "subject": each.subject[:255], "since_ms": now_ms, "standing": 1}
        # Another receiver may have raised it at this moment; then its row stays.
        connection.execute(insert_new(connection, alarm).values(values | {"text": each.text[:1000]}))
    for each in now.values():
        if each.code in SEEN_BY_ONE:
            same = (alarm.c.code == each.code) & (alarm.c.subject == each.subject[:255]) & (alarm.c.standing == 1)
            connection.execute(update(alarm).where(same).values(seen_ms=now_ms))
    gone = sorted(number for key, number in known.items() if key not in now and number not in fresh)
    if gone:
        cleared = {"until_ms": now_ms, "standing": None}
        connection.execute(update(alarm).where(alarm.c.id.in_(gone)).values(cleared))
    return len(new), len(gone)


def list_alarms(
    connection: Connection, *, include_cleared: bool = False, plant: str = "", limit: int = 1000
) -> list[dict[str, Any]]:
    """Alarms, newest first; of one plant where given (its gateways' too)."""
    query = select(alarm).order_by(alarm.c.since_ms.desc(), alarm.c.id.desc()).limit(limit)
    if not include_cleared:
        query = query.where(alarm.c.standing == 1)
    if plant:
        query = query.where((alarm.c.subject == plant) | alarm.c.subject.startswith(f"{plant}/", autoescape=True))
    names = ("id", "code", "subject", "since_ms", "until_ms", "text")
    return [{name: row[name] for name in names} for row in connection.execute(query).mappings()]


def last_heard(connection: Connection, plants: Collection[str]) -> dict[str, Heard]:
    """Per plant: the time of its last batch, or of its last message that was not a goodbye."""
    latest = select(stream.c.plant, func.max(stream.c.last_received_ms).label("at_ms")).where(OF_GATEWAYS)
    last: dict[str, int] = {r.plant: int(r.at_ms) for r in connection.execute(latest.group_by(stream.c.plant))}
    goodbye: dict[str, int] = {}
    for row in connection.execute(select(agent_state)):
        target = goodbye if _said(row.bytes).get("online") is False else last
        target[row.plant] = max(target.get(row.plant, 0), int(row.received_ms))
    return {p: Heard(last.get(p), goodbye.get(p, 0) > last.get(p, 0)) for p in plants}


def _silent(connection: Connection, limits: Alarms, plants: Collection[str], now_ms: int) -> Iterator[Alarm]:
    begun_ms = int(connection.execute(select(store.c.since_ms)).scalar_one())
    for plant, heard in sorted(last_heard(connection, plants).items()):
        since_ms = begun_ms if heard.last_ms is None else heard.last_ms
        if now_ms - since_ms < limits.silent_after_s * 1000:
            continue
        words = (
            tr("was never heard of")
            if heard.last_ms is None
            else tr("nothing heard since {time}", time=time_to_read(since_ms))
        )
        if heard.said_goodbye:
            words = tr("{silence}; its gateway went offline", silence=words)
        yield Alarm("plant_silent", plant, words)


def _quarantine(connection: Connection, limits: Alarms, now_ms: int) -> Iterator[Alarm]:
    recent = select(quarantine.c.code, func.count().label("n")).where(quarantine.c.last_received_ms > now_ms - HOUR_MS)
    counts = {row.code: int(row.n) for row in connection.execute(recent.group_by(quarantine.c.code))}
    if sum(counts.values()) >= limits.quarantined_per_h:
        words = ", ".join(f"{code} {count}" for code, count in sorted(counts.items()))
        yield Alarm("quarantine_growing", "quarantine", tr("refused within an hour: {counts}", counts=words))


def _unsealed(connection: Connection, limits: Alarms, now_ms: int) -> Iterator[Alarm]:
    waiting = (lake_day.c.wanted > lake_day.c.sealed) & (
        lake_day.c.changed_ms < now_ms - int(limits.unsealed_after_s * 1000)
    )
    query = select(func.count().label("n"), func.min(lake_day.c.day).label("day")).where(waiting)
    row = connection.execute(query).one()
    if row.n:
        yield Alarm(
            "days_unsealed", "lake", tr("{count} days wait to be written, the oldest {day}", count=row.n, day=row.day)
        )


def _disk(directory: Path, limits: Alarms) -> Iterator[Alarm]:
    usage = shutil.disk_usage(directory)
    if usage.free < limits.disk_free_ratio * usage.total:
        free, total = f"{usage.free / 1e9:.1f}", f"{usage.total / 1e9:.1f}"
        words = tr("{free} of {total} GB free", free=free, total=total)
        yield Alarm("disk_nearly_full", str(directory), words)


def _clocks(connection: Connection) -> Iterator[Alarm]:
    for row in connection.execute(select(agent_state).order_by(agent_state.c.plant, agent_state.c.gateway)):
        said = _said(row.bytes)
        if said.get("clock") == "unsynchronised" and said.get("online") is not False:
            words = tr("said {time} that its clock is not synchronised", time=time_to_read(int(row.received_ms)))
            yield Alarm("gateway_clock", f"{row.plant}/{row.gateway}", words)


def _twice(connection: Connection, now_ms: int) -> Iterator[Alarm]:
    """Gateways under whose id two buffers record at the same time: two machines that end each other's connections."""
    latest = select(stream).where(OF_GATEWAYS & (stream.c.last_received_ms > now_ms - HOUR_MS))
    by_gateway: dict[tuple[str, str], list[Any]] = {}
    for row in connection.execute(latest.order_by(stream.c.first_received_ms, stream.c.id)):
        by_gateway.setdefault((row.plant, row.gateway), []).append(row)
    for (plant, gateway), rows in by_gateway.items():
        if any(_records_beside(connection, older, newer) for older, newer in pairwise(rows)):
            words = tr("two buffers record under this id at once: a second machine, a cloned disk? Stop one of them")
            yield Alarm("gateway_twice", f"{plant}/{gateway}", words)


def _records_beside(connection: Connection, older: Any, newer: Any) -> bool:
    """True if a stream still records after another stream of the gateway began, i.e. not only sends old records."""
    if older.last_received_ms <= newer.first_received_ms:
        return False
    with_records = select(batch.c.first_ms, batch.c.last_ms).where(batch.c.record_count > 0).limit(1)
    begun = connection.execute(with_records.where(batch.c.stream_id == newer.id).order_by(batch.c.sequence)).first()
    last = connection.execute(
        with_records.where(batch.c.stream_id == older.id).order_by(batch.c.sequence.desc())
    ).first()
    return begun is not None and last is not None and last.last_ms > begun.first_ms + _OVERLAP_MS


def _said(payload: bytes) -> dict[str, Any]:
    """The content of a state message; empty where it is malformed."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def events_to_send(connection: Connection, *, since_ms: int, limit: int) -> list[dict[str, Any]]:
    """Events the webhook has not received, oldest first: an alarm raised, or one cleared after it was sent."""
    fresh = (alarm.c.since_ms >= since_ms) | (alarm.c.until_ms >= since_ms)
    raised = alarm.c.raised_sent_ms.is_(None)
    cleared = alarm.c.until_ms.is_not(None) & alarm.c.cleared_sent_ms.is_(None)
    query = select(alarm).where(fresh & (raised | cleared)).order_by(alarm.c.id).limit(limit)
    events = []
    for row in connection.execute(query):
        facts = {"id": int(row.id), "code": row.code, "subject": row.subject, "text": row.text}
        facts |= {"since": format_time(int(row.since_ms))}
        if row.raised_sent_ms is None:
            events.append(facts | {"event": "raised"})
        if row.until_ms is not None:
            events.append(facts | {"event": "cleared", "until": format_time(int(row.until_ms))})
    return events


def mark_sent(connection: Connection, event: dict[str, Any], *, now_ms: int) -> None:
    """Record that the webhook accepted an event."""
    values = {f"{event['event']}_sent_ms": now_ms}
    connection.execute(update(alarm).where(alarm.c.id == event["id"]).values(values))
