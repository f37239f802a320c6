# SPDX-License-Identifier: GPL-3.0-or-later
"""The receiver as a process behind a real broker: acknowledged is stored, and stored once, whatever is killed."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from pathlib import Path

import aiomqtt
import pytest

from collector import wire
from collector.center.lake.seal import count_records, seal_month
from collector.model.interval import Month
from tests.center.center_batches import EPOCH, NOON, batch_topic, minutes, payload_of
from tests.center.center_process import (
    CENTER,
    Plant,
    configured,
    free_port,
    running_broker,
    running_center,
    running_mosquitto,
    start_center,
    status_of,
    stored,
    wait_for_log,
    wait_for_through,
)
from tests.patience import HANG_S
from tests.size import sized

KILLS, BATCHES = int(os.environ.get("KILLS", sized(2, 8))), sized(400, 1200)


def test_what_is_sent_is_stored_acknowledged_with_a_signature_and_sealed(tmp_path: Path) -> None:
    signer = configured(tmp_path)
    port = free_port()
    payloads = {n: payload_of(n, minutes("U1", NOON + n * 600_000, 5), signer=signer) for n in range(1, 41)}
    payloads[41] = payload_of(41, minutes("U7", NOON, 1), signer=signer)
    plant = Plant(tmp_path, port, payloads)

    async def say_state_and_send() -> None:
        async with aiomqtt.Client("127.0.0.1", port, timeout=HANG_S) as client:
            topic = wire.topic("collector", "P1", "g1", "state")
            await client.publish(topic, b'{"online": true, "buffer": {"pending": 3}}', qos=1, retain=True)
        await plant.send_all()

    with running_broker(port), running_center(tmp_path, port):
        asyncio.run(say_state_and_send())
        with pytest.raises(subprocess.CalledProcessError):  # a second receiver on the same state
            subprocess.run(
                [*CENTER, "run", str(tmp_path / "center.toml"), "--broker", f"127.0.0.1:{port}"],
                check=True,
                capture_output=True,
                timeout=HANG_S,
            )
    assert plant.refused == {41: "foreign_unit"}
    assert stored(tmp_path) == (40, 200, 41)
    assert {(a.epoch, len(a.store_id)) for a in plant.acks} == {(EPOCH, 32)}
    assert count_records(seal_month(tmp_path / "state", Month(2026, 3))) == 200
    status = status_of(tmp_path)
    [gateway] = status["gateways"]
    assert (gateway["batches"], gateway["records"], gateway["missing_sequences"]) == (40, 200, 0)
    assert gateway["state"] == {"online": True, "buffer": {"pending": 3}}
    assert status["quarantined"] == {"foreign_unit": 1}
    assert [(u["unit"], u["received"]) for u in status["units"]] == [("U1", 200), ("U2", 0)]


def test_an_ask_reaches_the_gateway_signed(tmp_path: Path) -> None:
    signer = configured(tmp_path)
    port = free_port()
    asked: list[wire.Ask] = []
    key = wire.load_public_key(tmp_path / "center.pub")
    words = ["ask", str(tmp_path / "center.toml"), "U2", "2026-03-10T12:00:00+08:00", str(NOON + 60_000)]

    async def listen_while_asked() -> None:
        async with aiomqtt.Client("127.0.0.1", port, timeout=HANG_S) as client, asyncio.timeout(HANG_S):
            await client.subscribe(wire.topic("collector", "P1", "g1", "ask"), qos=1)
            command = [*CENTER, *words, "--broker", f"127.0.0.1:{port}"]
            process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
            assert await process.wait() == 0
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                asked.append(wire.decode_ask(message.payload, key))
                return

    with running_broker(port):
        with running_center(tmp_path, port):
            asyncio.run(Plant(tmp_path, port, {1: payload_of(1, minutes("U1", NOON, 1), signer=signer)}).send_all())
        asyncio.run(listen_while_asked())
    [ask] = asked
    assert (ask.plant, ask.gateway, ask.unit, ask.from_ms, ask.to_ms) == ("P1", "g1", "U2", NOON, NOON + 60_000)


def test_the_receiver_outlives_its_broker(tmp_path: Path) -> None:
    signer = configured(tmp_path)
    port = free_port()
    payloads = {n: payload_of(n, minutes("U1", NOON + n * 600_000, 2), signer=signer) for n in range(1, 21)}
    first, second = ({n: p for n, p in payloads.items() if (n <= 10) == early} for early in (True, False))
    with running_center(tmp_path, port):
        with running_broker(port):
            asyncio.run(Plant(tmp_path, port, first).send_all())
        with running_broker(port):
            asyncio.run(Plant(tmp_path, port, second).send_all())
    assert stored(tmp_path) == (20, 40, 20)


def test_a_durable_broker_keeps_what_came_while_the_center_was_away(tmp_path: Path) -> None:
    """MQTT 5, persistent session: each batch is published once only, most of them to nobody."""
    signer = configured(tmp_path)
    port = free_port()

    async def publish(sequences: range) -> None:
        async with aiomqtt.Client("127.0.0.1", port, timeout=HANG_S) as client:
            for n in sequences:
                payload = payload_of(n, minutes("U1", NOON + n * 600_000, 2), signer=signer)
                await client.publish(batch_topic(), payload, qos=1)

    with running_mosquitto(tmp_path, port):
        first = start_center(tmp_path, port)
        try:
            wait_for_log(tmp_path, "connected", 1)
            asyncio.run(publish(range(1, 11)))
            wait_for_through(tmp_path, 10)
        finally:
            os.kill(first.pid, signal.SIGKILL)
            first.wait()
        asyncio.run(publish(range(11, 51)))
        with running_center(tmp_path, port):
            wait_for_log(tmp_path, "connected", 2)
            wait_for_through(tmp_path, 50)
    assert stored(tmp_path) == (50, 100, 50)


def test_a_running_center_seals_quiet_days_by_itself(tmp_path: Path) -> None:
    signer = configured(tmp_path, lines="[lake]\nseal_after_s = 0.0\ncheck_every_s = 0.2")
    port = free_port()
    payloads = {1: payload_of(1, minutes("U1", NOON, 5), signer=signer)}
    with running_broker(port), running_center(tmp_path, port):
        asyncio.run(Plant(tmp_path, port, payloads).send_all())
        wait_for_log(tmp_path, "sealed 2026-03-10-", 1)
    assert status_of(tmp_path)["unsealed_days"] == 0


@pytest.mark.crash
def test_kills_of_the_receiver_lose_and_double_nothing(tmp_path: Path) -> None:
    signer = configured(tmp_path)
    port = free_port()
    payloads = {n: payload_of(n, minutes("U1", NOON + n * 600_000, 3), signer=signer) for n in range(1, BATCHES + 1)}
    plant = Plant(tmp_path, port, payloads)
    rng = random.Random(7)
    kills = 0

    async def kill_and_restart() -> None:
        nonlocal kills
        center = start_center(tmp_path, port)
        try:
            sending = asyncio.create_task(plant.send_all())
            while kills < KILLS:
                # Until something new is acknowledged, so that every life of the process did some work …
                plant.heard.clear()
                await asyncio.wait([asyncio.create_task(plant.heard.wait()), sending], return_when="FIRST_COMPLETED")
                plant.heard.set()
                # … and then at any step of the next groups.
                await asyncio.sleep(rng.uniform(0, 0.06))
                os.kill(center.pid, signal.SIGKILL)
                center.wait()
                kills += 1
                center = start_center(tmp_path, port)
                if not plant.pending:
                    plant.pending = dict(rng.sample(sorted(payloads.items()), 200))  # a repeat may also be killed
                    sending = asyncio.create_task(plant.send_all())
            await sending
        finally:
            center.terminate()
            # One that was still starting, its work done by the one before it, is ended by the signal itself.
            assert center.wait(HANG_S) in (0, -signal.SIGTERM)

    with running_broker(port):
        asyncio.run(kill_and_restart())
    assert kills == KILLS
    assert stored(tmp_path) == (BATCHES, 3 * BATCHES, BATCHES)
    assert count_records(seal_month(tmp_path / "state", Month(2026, 3))) == 3 * BATCHES
