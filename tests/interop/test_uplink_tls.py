# SPDX-License-Identifier: GPL-3.0-or-later
"""The uplink at a Mosquitto with the shipped files: who gets in, whom it believes, and what it may write there."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from collector.agent.buffer.buffer import Buffer
from collector.agent.uplink.uplink import Uplink
from collector.base.config import Mqtt
from collector.base.mqtt import tls_context
from collector.model.record import Quality, UnitLayout, UnitRecord
from collector.points import agent_config
from collector.points.agent_config import AgentConfig, AgentSettings
from collector.wire import Ack, encode_ack, epoch_text, open_envelope
from tests.interop.tls_broker import (
    ACCEPTED,
    Authority,
    answer_to_a_connect,
    connected,
    needs_mosquitto,
    shipped_broker,
)
from tests.patience import HANG_S, until

T0 = 1_772_294_400_000

# paho leaves a socket whose handshake failed to the collector of cycles, which `with_uplink` calls.
pytestmark = [
    needs_mosquitto,
    pytest.mark.filterwarnings("ignore:Exception ignored in. <ssl.SSLSocket:pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    with shipped_broker(tmp_path) as number:
        yield number


def with_uplink(
    folder: Path,
    port: int,
    scenario: Callable[[Uplink, Buffer], Awaitable[None]],
    *,
    plant: str = "P1",
    authority: str = "ca.pem",
) -> None:
    """Run it beside the uplink of gateway-1, which has one sealed batch and believes the broker's `authority`."""
    settings = AgentSettings.model_validate(
        {
            "schema": 1, "gateway": {"id": "gateway-1"},
            "plant": [{"id": plant}], "unit": [{"id": "U1", "plant": plant}],
            "mqtt": {"port": port, "ca_file": authority, "cert_file": "gateway-1.pem", "key_file": "gateway-1.key"},
            "uplink": {"ack_timeout_s": 0.5, "backoff_max_s": 0.2}, "device": [],
        }
    )  # fmt: skip
    layouts = {"U1": UnitLayout("U1", ("active_power_mw",))}
    with closing(
        Buffer.open(
            folder / "g.buffer", gateway="gateway-1", plants_of_unit={"U1": plant},
            settings=agent_config.BufferConfig(), layouts=layouts, signers={plant: None}, now_utc_ms=T0,
        )
    ) as buffer:  # fmt: skip
        buffer.append([UnitRecord("U1", T0, (380_000,), (Quality.GOOD,))])
        buffer.seal_all()
        uplink = Uplink(buffer, AgentConfig(settings, {}, folder))

        async def body() -> None:
            task = asyncio.create_task(uplink.run())
            try:
                async with asyncio.timeout(HANG_S):
                    await scenario(uplink, buffer)
            finally:
                task.cancel()
                await asyncio.wait([task], timeout=HANG_S)

        asyncio.run(body())
    gc.collect()


def test_a_batch_goes_out_and_its_acknowledgement_comes_back_over_tls(port: int, tmp_path: Path) -> None:
    async def scenario(uplink: Uplink, buffer: Buffer) -> None:
        async with connected(port, tmp_path, "center") as center:
            await center.subscribe("collector/v1/+/+/batch", qos=1)
            message = await anext(aiter(center.messages))
            assert message.topic.value == "collector/v1/P1/gateway-1/batch"
            assert isinstance(message.payload, bytes)
            stream = open_envelope(message.payload).stream
            ack = encode_ack(Ack("store-1", epoch_text(stream.epoch), 1), None)
            await center.publish("collector/v1/P1/gateway-1/ack", ack, qos=1)
            await until(lambda: buffer.counts().pending == 0)
        assert uplink.acknowledged == 1

    with_uplink(tmp_path, port, scenario)


def test_a_broker_of_another_authority_is_not_believed(port: int, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    Authority(tmp_path / "other")

    async def scenario(uplink: Uplink, buffer: Buffer) -> None:
        await until(lambda: uplink.last_error)
        assert "certificate verify failed" in uplink.last_error
        assert not uplink.is_connected
        assert buffer.counts().pending == 1

    with_uplink(tmp_path, port, scenario, authority="other/ca.pem")


def test_the_uplinks_certificate_must_be_of_the_brokers_authority(port: int, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    Authority(tmp_path / "other").issue("gateway-1")
    for name, answer in (("gateway-1", ACCEPTED), ("other/gateway-1", b"")):
        mqtt = Mqtt(ca_file="ca.pem", cert_file=f"{name}.pem", key_file=f"{name}.key")
        context = tls_context(mqtt, lambda file: tmp_path / file)
        assert context is not None
        assert answer_to_a_connect(port, context) == answer


def test_what_is_written_for_another_plant_reaches_nobody_and_stays_in_the_buffer(port: int, tmp_path: Path) -> None:
    async def scenario(uplink: Uplink, buffer: Buffer) -> None:
        async with connected(port, tmp_path, "center") as center, connected(port, tmp_path, "gateway-1") as own:
            await center.subscribe("collector/v1/+/+/batch", qos=1)
            await until(lambda: uplink.published >= 2)  # sent, and sent again
            await own.publish("collector/v1/P1/gateway-1/batch", b"the first that arrives", qos=1)
            message = await anext(aiter(center.messages))
            assert message.payload == b"the first that arrives"
        assert buffer.counts().pending == 1

    with_uplink(tmp_path, port, scenario, plant="P2")
