# SPDX-License-Identifier: GPL-3.0-or-later
"""The Mosquitto files in config/mosquitto do what they promise, in a broker of their own."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.tls_broker import (
    ACCEPTED,
    answer_to_a_connect,
    connected,
    context_of,
    needs_mosquitto,
    shipped_broker,
)
from tests.patience import HANG_S

BATCH = "collector/v1/P1/gateway-1/batch"

pytestmark = needs_mosquitto


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Port of a mosquitto with the shipped files, and the folder of the certificates."""
    with shipped_broker(tmp_path) as port:
        yield port, tmp_path


async def heard(port: int, folder: Path, messages: list[tuple[str, str]], listener: str, topics: str) -> list[str]:
    """The topics of `topics` that reach `listener`, of messages (sender, topic) published in turn; the last must."""
    found: list[str] = []
    async with asyncio.timeout(HANG_S), connected(port, folder, listener) as ear:
        await ear.subscribe(topics, qos=1)
        for sender, topic in messages:
            async with connected(port, folder, sender) as mouth:
                await mouth.publish(topic, b"x", qos=1)
        async for message in ear.messages:
            found.append(message.topic.value)
            if message.topic.value == messages[-1][1]:
                break
    return found


def test_a_gateway_can_send_for_its_own_plant_only(broker: tuple[int, Path]) -> None:
    sent = [("gateway-1", "collector/v1/P2/gateway-2/batch"), ("gateway-2", BATCH), ("gateway-1", BATCH)]
    assert asyncio.run(heard(*broker, sent, "center", "collector/v1/+/+/batch")) == [BATCH]


def test_a_gateway_hears_its_own_acknowledgements_only(broker: tuple[int, Path]) -> None:
    own = "collector/v1/P1/gateway-1/ack"
    sent = [("center", "collector/v1/P2/gateway-2/ack"), ("gateway-2", own), ("center", own)]
    assert asyncio.run(heard(*broker, sent, "gateway-1", "collector/v1/+/+/ack")) == [own]


def test_nobody_gets_in_without_a_certificate(broker: tuple[int, Path]) -> None:
    port, folder = broker
    assert answer_to_a_connect(port, context_of(folder, "gateway-1")) == ACCEPTED
    assert answer_to_a_connect(port, ssl.create_default_context(cafile=str(folder / "ca.pem"))) == b""
