# SPDX-License-Identifier: GPL-3.0-or-later
"""A broker with a limit for packets stops nothing: batches are divided, whether it names its limit or only acts on it.

What a broker refuses is told by its reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from collector.agent.buffer.buffer import Buffer, Position
from collector.agent.uplink.broker_words import REMEDIES
from collector.agent.uplink.packet_limit import LEAST_BYTES, PacketLimit
from collector.agent.uplink.uplink import SHORT_SESSIONS, Uplink
from collector.model.record import GapRecord, Quality, UnitRecord
from collector.wire import decode_batch, open_envelope
from tests.agent.buffer.agent_buffers import T0, ack, contents, gaps, open_buffer, pending, seal_one, times
from tests.agent.uplink.uplink_world import Center, agent_config, all_acknowledged, broker, free_port, running
from tests.patience import until

RECORDS = 3000
GOOD = (Quality.GOOD, Quality.GOOD)
_SENTENCE = 10  # letters of the shortest advice


def on_a_loop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """A test that is a coroutine, run to its end."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(test(*arguments, **named))

    return run


def fill(buffer: Buffer, records: int = RECORDS) -> None:
    """One large batch, sealed: noise does not compress."""
    noise = random.Random(7)
    buffer.append([UnitRecord("U1", T0 + 1000 * n, (noise.getrandbits(60), 1), GOOD) for n in range(1, records + 1)])
    buffer.seal_all()


def mosquitto() -> str:
    """Path of the program; the test is skipped where it isn't installed."""
    found = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if found is None:
        pytest.skip("mosquitto is not installed")
    return found


def arrived(center: Center) -> set[int]:
    """Times of all records the center has committed, as seconds after T0."""
    return {
        (r.time_utc_ms - T0) // 1000
        for held in center.committed.values()
        for payload in held.values()
        for r in decode_batch(open_envelope(payload)).records
    }


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    """One MQTT packet whole (MQTT 5.0, 2.1)."""
    head, length, shift = await reader.readexactly(1), 0, 0
    while len(head) == 1 or head[-1] & 0x80:
        head += await reader.readexactly(1)
        length |= (head[-1] & 0x7F) << shift
        shift += 7
    return head + await reader.readexactly(length)


@contextlib.asynccontextmanager
async def guard(port: int, most_bytes: int) -> AsyncIterator[int]:
    """Port of a relay that closes the connection without a word at a larger packet, as brokers of 3.1.1 do."""

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, checked: bool) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                packet = await read_packet(reader)
                if checked and len(packet) > most_bytes:
                    break
                writer.write(packet)
                await writer.drain()
        writer.close()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.TaskGroup() as group:
            up = group.create_task(forward(reader, back, checked=True))
            down = group.create_task(forward(there, writer, checked=False))
            await asyncio.wait([up, down], return_when=asyncio.FIRST_COMPLETED)
            writer.close()
            back.close()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[Buffer]:
    """An empty buffer that seals nothing by count."""
    with closing(open_buffer(tmp_path / "b", max_records=100_000, max_age_s=86_400)) as opened:
        yield opened


@pytest.mark.parametrize(
    "settings", ["max_packet_size 8000", "message_size_limit 8000"], ids=["names its limit", "drops in silence"]
)
@on_a_loop
async def test_a_batch_larger_than_mosquitto_takes_is_divided(settings: str, buffer: Buffer, tmp_path: Path) -> None:
    fill(buffer)
    assert len(pending(buffer)[0].payload) > 8000
    port = free_port()
    with broker(port, mosquitto=mosquitto(), directory=tmp_path, settings=f"allow_anonymous true\n{settings}"):
        center = Center(port)
        async with running(buffer, agent_config(port, tmp_path, ack_timeout_s=0.3), center) as uplink:
            seal_one(buffer, RECORDS + 1)
            await until(
                lambda: arrived(center) == set(range(1, RECORDS + 2)),
                progress=lambda: (buffer.counts(), uplink.divided),
            )
            await all_acknowledged(buffer)
            assert uplink.divided >= 1
    counts = buffer.counts()
    assert counts.sealed == counts.freed + counts.pending + counts.evicted  # B6
    assert counts.evicted_records == 0


@on_a_loop
async def test_a_broker_that_hangs_up_on_large_packets_gets_smaller_ones(
    buffer: Buffer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(buffer)
    port = free_port()
    with broker(port):
        center = Center(port)
        async with (
            guard(port, 8000) as narrow,
            running(buffer, agent_config(narrow, tmp_path, backoff_max_s=0.05), center) as uplink,
        ):
            await until(
                lambda: arrived(center) == set(range(1, RECORDS + 1)),
                progress=lambda: (buffer.counts(), uplink.divided),
            )
            await all_acknowledged(buffer)
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR and "loses batches" in r.getMessage()]
    assert told
    assert "larger ones are divided" in told[0]


def test_parts_of_a_batch_keep_order_gaps_and_books(tmp_path: Path) -> None:
    with closing(open_buffer(tmp_path / "b", max_records=100_000, max_age_s=86_400)) as buffer:
        buffer.append([], [GapRecord(("U1",), T0, T0 + 500, "agent_down")])
        fill(buffer)
        old = pending(buffer)[0]
        buffer.limit_batches(4096)
        assert buffer.divide(old.position)
        parts = pending(buffer)
        assert all(len(part.payload) <= 4096 for part in parts)
        assert [p.position.sequence for p in parts] == list(range(2, len(parts) + 2))  # B1, B4
        assert times(parts) == list(range(1, RECORDS + 1))
        assert [(g.units, g.reason) for g in gaps(parts)] == [(("U1",), "agent_down")]
        assert buffer.read(old.position) is None
        # The center is told that sequence 1 does not come, and that no time is missing by it.
        ack(buffer, old.epoch, 0, also=((2, 2),))
        buffer.seal_all()
        (told,) = [g for g in gaps(pending(buffer)) if g.from_seq is not None]
        assert (told.from_seq, told.to_seq, told.units, told.reason) == (1, 1, (), "resealed")
        counts = buffer.counts()
        assert (counts.evicted_records, counts.recorded) == (0, RECORDS)
        assert counts.sealed == counts.freed + counts.pending + counts.evicted
    with closing(open_buffer(tmp_path / "b")) as buffer:  # the books are checked at open
        assert buffer.counts().recorded == RECORDS


def test_new_batches_keep_the_limit_and_what_cant_be_divided_stays(buffer: Buffer) -> None:
    buffer.limit_batches(4096)
    fill(buffer)
    assert all(len(part.payload) <= 4096 for part in pending(buffer))
    seal_one(buffer, RECORDS + 1)
    single = pending(buffer)[-1]
    assert len(contents(single).records) == 1
    assert not buffer.divide(single.position)
    assert not buffer.divide(Position(99, 1))


def test_the_limit_is_the_least_of_what_is_configured_named_and_learned() -> None:
    limit, first, second = PacketLimit(100_000), Position(1, 1), Position(1, 2)
    limit.announced(50_000, 40)
    assert limit.bytes < 50_000 - 40
    limit.announced(None, 40)
    assert limit.bytes == 100_000
    assert [limit.lost(first, 80_000) for _ in range(3)] == [False, False, True]
    assert limit.bytes == 40_000
    for _ in range(2):
        limit.lost(second, 30_000)
    limit.passed(second)
    assert not limit.lost(second, 30_000)
    assert limit.lost(second, 30_000, is_certain=True)
    assert limit.bytes == 15_000
    assert not any(limit.lost(first, LEAST_BYTES) for _ in range(9))  # the link, not the size


@on_a_loop
async def test_a_broker_that_forbids_our_topics_is_named(buffer: Buffer, tmp_path: Path) -> None:
    acl = tmp_path / "acl"
    acl.write_text("topic read $SYS/#\n")
    acl.chmod(0o700)
    port = free_port()
    settings = f"allow_anonymous true\nacl_file {acl}\nuser root"
    with broker(port, mosquitto=mosquitto(), directory=tmp_path, settings=settings):
        async with running(buffer, agent_config(port, tmp_path), Center(port)) as uplink:
            seal_one(buffer, 1)
            await until(lambda: uplink.broker_code is not None)
            assert uplink.broker_code == 135
            assert "Not authorized" in uplink.last_error
    assert buffer.counts().pending == 1


@on_a_loop
async def test_a_wrong_password_is_named(buffer: Buffer, tmp_path: Path) -> None:
    port = free_port()
    with broker(port, mosquitto=mosquitto(), directory=tmp_path, settings="allow_anonymous false"):
        async with running_alone(buffer, port, tmp_path) as uplink:
            await until(lambda: uplink.broker_code is not None)
            assert uplink.broker_code in (134, 135)


@pytest.mark.parametrize("code", [142, 149, 151, 152])
@on_a_loop
async def test_the_reason_for_which_a_broker_hangs_up_is_kept(code: int, buffer: Buffer, tmp_path: Path) -> None:
    async with hanging_up(code) as port, running_alone(buffer, port, tmp_path) as uplink:
        await until(lambda: uplink.broker_code is not None)
        assert uplink.broker_code == code
        assert f"MQTT reason {code}" in uplink.last_error
        seal_one(buffer, 1)
    assert buffer.counts().pending == 1


@contextlib.asynccontextmanager
async def hanging_up(code: int) -> AsyncIterator[int]:
    """Port of a broker of MQTT 5 that accepts everybody and ends the connection at the first subscription."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind = (await read_packet(reader))[0] >> 4
                if kind == PacketTypes.CONNECT:
                    writer.write(bytes([0x20, 3, 0, 0, 0]))
                elif kind == PacketTypes.SUBSCRIBE:
                    writer.write(bytes([0xE0, 2, code, 0]))
                    break
                elif kind == PacketTypes.DISCONNECT:
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@on_a_loop
async def test_two_machines_under_one_gateway_id_are_suspected_where_the_broker_says_nothing(
    buffer: Buffer, tmp_path: Path
) -> None:
    port = free_port()
    with broker(port, mosquitto=mosquitto(), directory=tmp_path):
        async with running_alone(buffer, port, tmp_path) as uplink:
            for _ in range(SHORT_SESSIONS):
                await until(lambda: uplink.is_connected)
                async with aiomqtt.Client("127.0.0.1", port, identifier="g1"):
                    await until(lambda: not uplink.is_connected)
            await until(lambda: uplink.short_sessions >= SHORT_SESSIONS)


@contextlib.asynccontextmanager
async def running_alone(buffer: Buffer, port: int, directory: Path) -> AsyncIterator[Uplink]:
    """An uplink without a center."""
    uplink = Uplink(buffer, agent_config(port, directory))
    task = asyncio.create_task(uplink.run())
    try:
        yield uplink
    finally:
        task.cancel()
        await asyncio.wait([task])


def test_every_advice_belongs_to_a_reason_of_mqtt() -> None:
    for number, advice in REMEDIES.items():
        kinds = (PacketTypes.CONNACK, PacketTypes.DISCONNECT, PacketTypes.PUBACK, PacketTypes.SUBACK)
        names = set()
        for kind in kinds:
            with contextlib.suppress(KeyError, ValueError):
                names.add(str(ReasonCode(kind, identifier=number)))
        assert names, number
        assert len(advice) > _SENTENCE
