# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of 补召: who asked which gateway for which data, and the answers that have arrived since."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any, Final

import aiomqtt
from sqlalchemy import Connection, delete, func, insert, select

import collector.wire as wire
from collector.base.errors import LinkError
from collector.base.text import said_by
from collector.center.db.store import CenterStore
from collector.center.db.tables_quality import asked
from collector.center.db.tables_receive import batch, gap, stream
from collector.center.people import audit
from collector.center.people.access import Actor, Permission
from collector.center.receive.send_ask import asks_for, gateways_by_folder, publish_asks
from collector.center.settings import CenterSettings
from collector.model.interval import Interval

# A broker drops the older of two connections with one client id: one ask at a time in a process.
_asking: Final = threading.Lock()


def ask_again(
    store: CenterStore, settings: CenterSettings, unit: str, interval: Interval, *, actor: Actor
) -> list[wire.Ask]:
    """Ask every gateway of a unit's plant again for an interval; returns when the broker has the asks.

    Called in a thread: it runs an event loop of its own until the broker has answered.

    Raises:
        Denied: the role may not ask.
        StoreError: no plant has the unit, or none of its gateways has been heard of.
        ConfigError: the signing key can't be used.
        LinkError: there is no broker; nothing was asked.
    """
    actor.require(Permission.IMPORT)
    asks = store.read(lambda c: asks_for(c, settings, unit, interval))
    by_folder = store.read(lambda c: gateways_by_folder(c, settings))
    now_ms = store.clock.now_utc_ms()
    store.write(lambda c: record_asks(c, asks, actor=actor, now_ms=now_ms)).result()
    try:
        with _asking:
            asyncio.run(publish_asks(settings, asks, by_folder))
    except (aiomqtt.MqttError, OSError) as error:
        store.write(lambda c: forget_asks(c, asks, actor=actor, now_ms=now_ms)).result()
        where = settings.receiver.folder if isinstance(error, OSError) and error.filename else ""
        raise LinkError(said_by(error), subject=where or f"{settings.mqtt.host}:{settings.mqtt.port}") from error
    return asks


def record_asks(connection: Connection, asks: Sequence[wire.Ask], *, actor: Actor, now_ms: int) -> None:
    """Record asks by unit and interval that are about to be published.

    Raises:
        Denied: the role may not ask.
    """
    actor.require(Permission.IMPORT)
    for each in asks:
        assert each.unit is not None and each.from_ms is not None and each.to_ms is not None  # noqa: PT018
        values = {
            "id": each.id,
            "plant": each.plant,
            "gateway": each.gateway,
            "unit": each.unit,
            "from_ms": each.from_ms,
            "to_ms": each.to_ms,
            "who": actor.name,
            "at_ms": now_ms,
            "repeats_before": _repeats(connection, each.plant, each.gateway, each.from_ms, each.to_ms),
        }
        connection.execute(insert(asked).values(values))
        detail = {"id": each.id, "gateway": each.gateway, "from_ms": each.from_ms, "to_ms": each.to_ms}
        audit.append(connection, actor=actor, action="records.ask", subject=each.unit, detail=detail, now_ms=now_ms)


def forget_asks(connection: Connection, asks: Sequence[wire.Ask], *, actor: Actor, now_ms: int) -> None:
    """Delete the record of asks that could not be published; the audit log keeps the attempt."""
    for each in asks:
        connection.execute(delete(asked).where(asked.c.id == each.id))
        subject, detail = each.unit or "", {"id": each.id}
        action = "records.ask_not_sent"
        audit.append(connection, actor=actor, action=action, subject=subject, detail=detail, now_ms=now_ms)


def list_asks(connection: Connection, *, plant: str = "", unit: str = "", limit: int = 200) -> list[dict[str, Any]]:
    """Asks, newest first, each with the data that arrived since from that gateway for that time.

    `new_batches`: batches not held before; `repeats`: batches that came again; `gap_reasons`: reasons of its gap
    records for the unit; `state`: `answered` as soon as any of them came, else `open`.
    """
    query = select(asked).order_by(asked.c.at_ms.desc(), asked.c.id).limit(limit)
    for column, wanted in ((asked.c.plant, plant), (asked.c.unit, unit)):
        if wanted:
            query = query.where(column == wanted)
    return [dict(row) | _answer(connection, row) for row in connection.execute(query).mappings().all()]


def _answer(connection: Connection, row: Any) -> dict[str, Any]:
    streams = (stream.c.plant == row["plant"]) & (stream.c.gateway == row["gateway"])
    joined = batch.join(stream, stream.c.id == batch.c.stream_id)
    overlaps = (batch.c.first_ms < row["to_ms"]) & (batch.c.last_ms >= row["from_ms"])
    since = (batch.c.received_ms >= row["at_ms"]) & (batch.c.record_count > 0)
    count = select(func.count()).select_from(joined).where(streams & overlaps & since)
    new_batches = int(connection.execute(count).scalar_one())
    repeats = _repeats(connection, row["plant"], row["gateway"], row["from_ms"], row["to_ms"]) - row["repeats_before"]
    same = (batch.c.stream_id == gap.c.stream_id) & (batch.c.sequence == gap.c.sequence)
    told = (
        select(gap.c.reason)
        .select_from(gap.join(batch, same).join(stream, stream.c.id == gap.c.stream_id))
        .where(streams & (gap.c.unit == row["unit"]) & (batch.c.received_ms >= row["at_ms"]))
        .where((gap.c.from_ms < row["to_ms"]) & (gap.c.to_ms > row["from_ms"]))
    )
    reasons = sorted(set(connection.execute(told).scalars()))
    state = "answered" if new_batches or repeats > 0 or reasons else "open"
    return {"new_batches": new_batches, "repeats": max(int(repeats), 0), "gap_reasons": reasons, "state": state}


def _repeats(connection: Connection, plant: str, gateway: str, from_ms: int, to_ms: int) -> int:
    query = (
        select(func.coalesce(func.sum(batch.c.repeats), 0))
        .select_from(batch.join(stream, stream.c.id == batch.c.stream_id))
        .where((stream.c.plant == plant) & (stream.c.gateway == gateway))
        .where((batch.c.first_ms < to_ms) & (batch.c.last_ms >= from_ms))
    )
    return int(connection.execute(query).scalar_one())
