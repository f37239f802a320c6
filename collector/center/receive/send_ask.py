# SPDX-License-Identifier: GPL-3.0-or-later
"""补召: ask gateways again for the records of a unit and interval. The answer is a batch, or a gap record."""

from __future__ import annotations

import secrets
from collections.abc import Container, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from sqlalchemy import Connection, select

import collector.wire as wire
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.tables_receive import agent_state, stream, unit_day
from collector.center.receive.links import BrokerLink
from collector.center.receive.stream_state import OF_GATEWAYS
from collector.center.settings import CenterSettings
from collector.model.interval import Interval
from collector.wire.spool import put


class _Way(msgspec.Struct):
    """The one field of a state message that is used here. `way`: the gateway's kind of uplink, mqtt or file."""

    way: str = ""


def asks_for(connection: Connection, settings: CenterSettings, unit: str, interval: Interval) -> list[wire.Ask]:
    """One ask for each gateway that has ever sent for the unit's plant.

    Raises:
        StoreError: no plant has the unit, or none of its gateways has been heard of.
    """
    plant = next((p.id for p in settings.plant if unit in p.units), None)
    if plant is None:
        found = connection.execute(select(unit_day.c.plant).where(unit_day.c.unit == unit)).scalar()
        if found is None:
            raise StoreError(tr("no enrolled plant has this unit"), subject=unit)
        plant = str(found)
    heard = (stream.c.plant == plant) & OF_GATEWAYS
    query = select(stream.c.gateway).where(heard).distinct().order_by(stream.c.gateway)
    gateways = list(connection.execute(query).scalars())
    if not gateways:
        raise StoreError(tr("no gateway of {plant} has been heard of", plant=plant), subject=unit)
    return [
        wire.Ask(
            id=secrets.token_hex(8),
            plant=plant,
            gateway=gateway,
            unit=unit,
            from_ms=interval.start_ms,
            to_ms=interval.end_ms,
        )
        for gateway in gateways
    ]


def gateways_by_folder(connection: Connection, settings: CenterSettings) -> set[tuple[str, str]]:
    """(plant, gateway) of gateways whose state says that they send files, where this center reads a folder."""
    if not settings.receiver.folder:
        return set()
    found = set()
    for row in connection.execute(select(agent_state)):
        with suppress(msgspec.MsgspecError):
            if msgspec.json.decode(row.bytes, type=_Way).way == "file":
                found.add((str(row.plant), str(row.gateway)))
    return found


async def publish_asks(
    settings: CenterSettings, asks: Sequence[wire.Ask], by_folder: Container[tuple[str, str]] = ()
) -> None:
    """Sign and publish asks; returns when the broker has them.

    A gateway that is offline gets them from the broker later, or never: then the person who sees the gap asks again.
    Asks to the gateways `by_folder` are written to the folder from which an isolation device takes acknowledgements.

    Raises:
        ConfigError: the signing key can't be used.
        aiomqtt.MqttError: no broker.
        OSError: the folder can't be written.
    """
    key_file = settings.center.signing_key_file
    signer = wire.load_signing_key(Path(key_file)) if key_file else None
    for ask in (ask for ask in asks if (ask.plant, ask.gateway) in by_folder):
        topic = wire.topic(settings.mqtt.root, ask.plant, ask.gateway, "ask")
        put(Path(settings.receiver.folder) / "out", topic, wire.encode_ask(ask, signer))
    asks = [ask for ask in asks if (ask.plant, ask.gateway) not in by_folder]
    if not asks:
        return
    async with await BrokerLink(settings.mqtt).client(f"collector-{settings.center.id}-ask") as client:
        for ask in asks:
            topic = wire.topic(settings.mqtt.root, ask.plant, ask.gateway, "ask")
            await client.publish(topic, wire.encode_ask(ask, signer), qos=1)
