# SPDX-License-Identifier: GPL-3.0-or-later
"""A connection for each plant: what one sends too much waits at the broker, in a queue that is nobody else's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import aiomqtt
import pytest

from collector import wire
from collector.base.config import Mqtt
from collector.center.receive.links import BrokerLink
from tests.center.center_batches import NOON, batch_topic, minutes, new_signer, payload_of
from tests.center.center_process import (
    configured,
    free_port,
    running_broker,
    running_center,
    running_mosquitto,
    status_of,
    wait_for_log,
)
from tests.patience import HANG_S, until

FLOOD = 1500


@contextlib.asynccontextmanager
async def said_to(port: int, topic: str) -> AsyncIterator[tuple[aiomqtt.Client, aiomqtt.MessagesIterator]]:
    """A client of the broker, and what it hears on a topic."""
    async with aiomqtt.Client("127.0.0.1", port, timeout=HANG_S) as client, asyncio.timeout(HANG_S):
        client.pending_calls_threshold = 1 << 30
        await client.subscribe(topic, qos=1)
        yield client, client.messages


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_a_paused_connection_brings_nothing_and_loses_nothing(tmp_path: Path, kind: str) -> None:
    port = free_port()
    sent, size = 200, 20_000  # more than the system keeps for a socket
    heard: list[bytes] = []

    async def pause_and_resume() -> None:
        client = await BrokerLink(Mqtt(port=port)).client("x/P1", lambda m: heard.append(bytes(m.payload)))
        async with client, aiomqtt.Client("127.0.0.1", port, timeout=HANG_S) as plant:
            await client.subscribe("t", qos=1)
            client.pause()
            client.pause()
            for number in range(sent):
                await plant.publish("t", number.to_bytes(4) * (size // 4), qos=1)
            assert not heard
            client.resume()
            await until(lambda: len(heard) > 10)
            client.pause()
            count = len(heard)
            for _ in range(100):
                await asyncio.sleep(0)
            assert len(heard) == count
            client.resume()
            await until(lambda: len(heard) == sent)

    broker = running_mosquitto(tmp_path, port) if kind == "mosquitto" else running_broker(port)
    with broker:
        asyncio.run(pause_and_resume())
    assert [int.from_bytes(payload[:4]) for payload in heard] == list(range(sent))


def test_an_honest_plant_is_acknowledged_while_the_flood_before_it_still_waits(tmp_path: Path) -> None:
    """P2's first batch comes behind 1 500 of P1, which may ask for little; none of those is refused for that."""
    flooding, honest = configured(tmp_path, lines="max_rows_per_s_per_plant = 100"), new_signer(tmp_path, "honest")
    with (tmp_path / "center.toml").open("a", encoding="utf-8") as settings:
        settings.write('[[plant]]\nid = "P2"\nunits = ["V1"]\npublic_key_files = ["honest.pub"]\n')
    port = free_port()
    flood = [payload_of(n, minutes("U1", NOON + n * 60_000, 1), signer=flooding) for n in range(1, FLOOD + 1)]
    batch = payload_of(1, minutes("V1", NOON, 5), signer=honest, plant="P2")

    async def send() -> None:
        async with said_to(port, wire.topic("collector", "P2", "g1", "ack")) as (client, acks):
            for payload in flood:
                await client.publish(batch_topic(), payload, qos=1)
            await client.publish(batch_topic("P2"), batch, qos=1)
            ack = wire.decode_ack(bytes((await anext(aiter(acks))).payload), None)
            assert (ack.through, ack.refused) == (1, ())

    with running_mosquitto(tmp_path, port), running_center(tmp_path, port):
        wait_for_log(tmp_path, "connected", 1)
        asyncio.run(send())
        status = status_of(tmp_path)
    stored = {gateway["plant"]: gateway["batches"] for gateway in status["gateways"]}
    assert stored["P2"] == 1
    assert 0 < stored["P1"] < FLOOD
    assert not status["quarantined"]


def test_a_plant_that_is_not_enrolled_is_heard_and_told_once_it_has_said_that_it_is_there(tmp_path: Path) -> None:
    configured(tmp_path)
    signer = new_signer(tmp_path, "stranger")
    port = free_port()
    batch = payload_of(1, minutes("U1", NOON, 1), signer=signer, plant="P9")

    async def knock() -> None:
        async with said_to(port, wire.topic("collector", "P9", "g1", "ack")) as (client, acks):
            await client.publish(wire.topic("collector", "P9", "g1", "state"), b'{"online":true}', qos=1, retain=True)
            answer = asyncio.ensure_future(anext(aiter(acks)))
            while not answer.done():  # as a gateway does that hears nothing
                await client.publish(batch_topic("P9"), batch, qos=1)
                await asyncio.sleep(0.2)
            ack = wire.decode_ack(bytes(answer.result().payload), None)
            assert (ack.through, ack.refused) == (0, ((1, "unknown_plant"),))

    with running_broker(port), running_center(tmp_path, port):
        wait_for_log(tmp_path, "connected", 1)
        asyncio.run(knock())
    assert status_of(tmp_path)["quarantined"] == {"unknown_plant": 1}
