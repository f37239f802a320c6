# SPDX-License-Identifier: GPL-3.0-or-later
"""Flow control of MQTT 5 with a real broker: each side sends at most as many messages as the other said it takes."""

from __future__ import annotations

import asyncio
from contextlib import closing
from pathlib import Path

import aiomqtt
import pytest

from collector.agent.uplink.uplink import Uplink
from collector.base.config import Mqtt
from collector.base.mqtt import RECEIVE_MAXIMUM
from collector.center.receive.links import BrokerLink
from tests.agent.buffer.agent_buffers import open_buffer, seal_one
from tests.agent.uplink.uplink_world import Center, agent_config, all_acknowledged, broker, free_port, running
from tests.interop.held_back import held_back
from tests.interop.tls_broker import MOSQUITTO, needs_mosquitto
from tests.patience import HANG_S, SILENCE_S, until

pytestmark = needs_mosquitto

FLOOD = 3 * RECEIVE_MAXIMUM
TAKES = 3  # what the broker announces in the second test; the agent's window is 16, paho's own limit 20
BATCHES = 40


def test_the_broker_sends_the_center_no_more_at_once_than_it_said_it_takes(tmp_path: Path) -> None:
    async def scenario(port: int) -> None:
        heard: list[bytes] = []
        async with held_back(port, "broker") as held:
            link = BrokerLink(Mqtt(port=held.port))
            async with await link.client("center", lambda message: heard.append(bytes(message.payload))) as client:
                await client.subscribe("t", qos=1)
                async with aiomqtt.Client("127.0.0.1", port, timeout=HANG_S) as plant:
                    plant.pending_calls_threshold = FLOOD
                    for number in range(FLOOD):
                        await plant.publish("t", number.to_bytes(4), qos=1)
                    await until(lambda: held.messages >= RECEIVE_MAXIMUM)
                    await asyncio.sleep(SILENCE_S)
                    assert held.messages == RECEIVE_MAXIMUM
                    held.release()
                    await until(lambda: len(heard) == FLOOD)
        assert sorted(heard) == [number.to_bytes(4) for number in range(FLOOD)]

    port = free_port()
    settings = f"allow_anonymous true\nmax_inflight_messages 0\nmax_queued_messages {2 * FLOOD}"  # no limit of its own
    with broker(port, mosquitto=MOSQUITTO, directory=tmp_path, settings=settings):
        asyncio.run(scenario(port))


@pytest.mark.parametrize("plants_sender", ["agent", "center"])
def test_agent_and_center_send_no_more_at_once_than_the_broker_takes(tmp_path: Path, plants_sender: str) -> None:
    async def as_agent(port: int) -> None:
        with closing(open_buffer(tmp_path / "b")) as buffer:
            for second in range(1, BATCHES + 1):
                seal_one(buffer, second)
            async with held_back(port, "client") as held:
                center = Center(port)
                async with running(buffer, agent_config(held.port, tmp_path), center) as uplink:
                    await until(lambda: held.messages >= TAKES)
                    await asyncio.sleep(SILENCE_S)
                    assert held.messages == held.most == TAKES
                    held.release()
                    await all_acknowledged(buffer)
                    assert_never_refused(uplink)
                assert held.most <= TAKES
            assert center.sequences() == list(range(1, BATCHES + 1))

    async def as_center(port: int) -> None:
        async with held_back(port, "client") as held:
            async with await BrokerLink(Mqtt(port=held.port)).client("center") as client:
                sending = [asyncio.create_task(client.publish("t", b"x", qos=1)) for _ in range(BATCHES)]
                await until(lambda: held.messages >= TAKES)
                await asyncio.sleep(SILENCE_S)
                assert held.messages == held.most == TAKES
                held.release()
                await asyncio.wait_for(asyncio.gather(*sending), HANG_S)
            assert (held.messages, held.most) == (BATCHES, TAKES)

    port = free_port()
    settings = f"allow_anonymous true\nmax_inflight_messages {TAKES}"
    with broker(port, mosquitto=MOSQUITTO, directory=tmp_path, settings=settings):
        asyncio.run(as_agent(port) if plants_sender == "agent" else as_center(port))


def assert_never_refused(uplink: Uplink) -> None:
    assert uplink.broker_code is None, uplink.last_error
