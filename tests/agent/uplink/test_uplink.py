# SPDX-License-Identifier: GPL-3.0-or-later
"""The uplink over a real broker, against a center that loses, doubles, delays and refuses."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collector.agent.buffer.buffer import Buffer, Position
from collector.agent.uplink.send_queue import Flights, take
from collector.base.config import Mqtt
from collector.base.errors import ConfigError
from collector.base.mqtt import tls_context
from collector.points.agent_config import UplinkConfig
from collector.wire import Ask, Signer, decode_batch, generate_key_pair, load_signing_key, open_envelope
from tests.agent.buffer.agent_buffers import T0, ack, contents, open_buffer, pending, seal_one
from tests.agent.uplink.uplink_world import Center, agent_config, all_acknowledged, broker, free_port, running
from tests.patience import until


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    number = free_port()
    with broker(number):
        yield number


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[Buffer]:
    with closing(open_buffer(tmp_path / "g1.buffer")) as opened:
        yield opened


def test_with_acks_lost_doubled_and_strange_every_batch_arrives_and_only_own_acks_free(
    port: int, buffer: Buffer, tmp_path: Path
) -> None:
    for second in range(1, 31):
        seal_one(buffer, second)
        seal_one(buffer, second, unit="V1")
    center = Center(port, drop_first=1, ack_every=7, acks_twice=True, strangers=True)

    async def scenario() -> None:
        async with running(buffer, agent_config(port, tmp_path, window=10, ack_timeout_s=0.2), center) as uplink:
            await all_acknowledged(buffer)
            assert uplink.ignored > 0

    asyncio.run(scenario())
    assert center.sequences("P1") == center.sequences("P2") == list(range(1, 31))


def test_nothing_is_freed_on_the_brokers_word(port: int, buffer: Buffer, tmp_path: Path) -> None:
    for second in range(1, 6):
        seal_one(buffer, second)
    center = Center(port, silent=True)

    async def scenario() -> None:
        async with running(buffer, agent_config(port, tmp_path), center):
            await until(lambda: center.arrivals.count(("P1", 5)) >= 2)
            assert buffer.counts().pending == 5
            center.silent = False
            await all_acknowledged(buffer)

    asyncio.run(scenario())


def test_batches_leave_in_sequence_order_and_at_most_a_window_unacknowledged(
    port: int, buffer: Buffer, tmp_path: Path
) -> None:
    for second in range(1, 21):
        seal_one(buffer, second)
    center = Center(port, silent=True)

    async def scenario() -> None:
        async with running(buffer, agent_config(port, tmp_path, window=4, ack_timeout_s=600.0), center):
            await until(lambda: len(center.arrivals) == 4)
            await asyncio.sleep(0.3)
            assert center.arrivals == [("P1", n) for n in (1, 2, 3, 4)]

    asyncio.run(scenario())


def test_a_broker_that_was_killed_is_found_again(buffer: Buffer, tmp_path: Path) -> None:
    number = free_port()
    for second in range(1, 11):
        seal_one(buffer, second)
    center = Center(number)

    async def scenario() -> None:
        with broker(number) as first:
            async with running(buffer, agent_config(number, tmp_path), center):
                await all_acknowledged(buffer)
                first.kill()
                first.wait()
                for second in range(11, 21):
                    seal_one(buffer, second)
                await asyncio.sleep(1)
                with broker(number):
                    await all_acknowledged(buffer)

    asyncio.run(scenario())
    assert center.sequences() == list(range(1, 21))


def test_acks_that_the_center_did_not_sign_change_nothing(port: int, buffer: Buffer, tmp_path: Path) -> None:
    generate_key_pair(tmp_path / "center.pem", tmp_path / "center.pub.pem")
    seal_one(buffer, 1)
    center = Center(port, signer=Signer(Ed25519PrivateKey.generate()))
    settings = agent_config(port, tmp_path, center_key_file="center.pub.pem")

    async def scenario() -> None:
        async with running(buffer, settings, center) as uplink:
            await until(lambda: uplink.ignored >= 2)
            assert buffer.counts().pending == 1
            center.signer = load_signing_key(tmp_path / "center.pem")
            await all_acknowledged(buffer)

    asyncio.run(scenario())


def test_the_word_of_an_earlier_store_frees_nothing_and_is_told(port: int, buffer: Buffer, tmp_path: Path) -> None:
    for second in (1, 2, 3):
        seal_one(buffer, second)
    epoch = pending(buffer)[0].epoch
    for store in ("store-1", "store-2"):
        ack(buffer, epoch, 1, store=store)
    center = Center(port, store_id="store-1")

    async def scenario() -> None:
        async with running(buffer, agent_config(port, tmp_path), center) as uplink:
            await until(lambda: uplink.earlier_store == "store-1")
            assert buffer.counts().pending == 2
            center.store_id = "store-2"
            await all_acknowledged(buffer)
            await until(lambda: uplink.earlier_store == "")

    asyncio.run(scenario())


def test_an_ask_is_answered_by_the_same_bytes_after_they_were_freed(port: int, buffer: Buffer, tmp_path: Path) -> None:
    for second in (10, 20, 30):
        seal_one(buffer, second)
    center = Center(port)

    async def scenario() -> None:
        async with running(buffer, agent_config(port, tmp_path), center):
            await all_acknowledged(buffer)
            center.arrivals.clear()
            interval = Ask(id="a", plant="P1", gateway="g1", unit="U1", from_ms=T0 + 20_000, to_ms=T0 + 21_000)
            await center.ask(interval)
            await until(lambda: center.arrivals == [("P1", 2)])  # the center asserts that the bytes are the same
            await center.ask(Ask(id="b", plant="P1", gateway="g1", unit="U1", from_ms=T0 + 90_000, to_ms=T0 + 91_000))
            await until(lambda: 4 in center.sequences())

    asyncio.run(scenario())
    (held,) = center.committed.values()
    (gap,) = decode_batch(open_envelope(held[4])).gaps
    assert (gap.units, gap.reason) == (("U1",), "no_records")


def test_a_conflict_of_epochs_is_answered_with_a_new_one(port: int, buffer: Buffer, tmp_path: Path) -> None:
    for second in (1, 2, 3):
        seal_one(buffer, second)
    old = pending(buffer)[0].epoch
    center = Center(port, refuse={2: "epoch_conflict"})

    async def scenario() -> None:
        async with running(buffer, agent_config(port, tmp_path), center):
            await until(lambda: any(epoch != old for _, epoch in center.committed))
            center.refuse.clear()
            await all_acknowledged(buffer)

    asyncio.run(scenario())
    seconds = {
        (r.time_utc_ms - T0) // 1000
        for held in center.committed.values()
        for payload in held.values()
        for r in decode_batch(open_envelope(payload)).records
    }
    assert seconds == {1, 2, 3}


def test_what_a_kill_left_of_a_conflict_goes_out_at_the_next_start(
    port: int, buffer: Buffer, tmp_path: Path
) -> None:  # fmt: skip
    for second in (1, 2, 3):
        seal_one(buffer, second)
    old = pending(buffer)[0].epoch
    # The refusal was committed; the process died before anything had been sealed again.
    assert ack(buffer, old, 0, refused=((1, "epoch_conflict"),)).is_new_epoch
    center = Center(port)

    async def scenario() -> None:
        async with running(buffer, agent_config(port, tmp_path), center):
            await all_acknowledged(buffer)

    asyncio.run(scenario())
    assert {epoch for _, epoch in center.committed}.isdisjoint({old})
    assert sum(len(held) for held in center.committed.values()) == 3


def test_live_batches_pass_a_backlog_when_they_come_first(port: int, buffer: Buffer, tmp_path: Path) -> None:
    for second in range(1, 200):
        seal_one(buffer, second)
    center = Center(port)
    settings = agent_config(port, tmp_path, order="live_first", rate_cap_bytes_per_s=10_000, window=4)

    async def scenario() -> None:
        async with running(buffer, settings, center):
            await until(lambda: len(center.arrivals) > 5)
            seal_one(buffer, 1000)
            await until(lambda: 200 in center.sequences(), progress=center.sequences)

    asyncio.run(scenario())
    assert center.arrivals.index(("P1", 200)) < 150
    backlog = [n for _, n in center.arrivals if n < 200]
    assert backlog == sorted(backlog)


def test_the_state_message_is_retained_and_says_when_the_gateway_leaves(
    port: int, buffer: Buffer, tmp_path: Path
) -> None:
    seal_one(buffer, 1)
    center = Center(port)

    async def scenario() -> None:
        async with running(buffer, agent_config(port, tmp_path), center):
            online = b'"online":true'
            await until(lambda: sum(online in state for state in center.states.values()) == 2)
            state = json.loads(center.states["collector/v1/P1/g1/state"])
            assert state["online"] is True
            assert state["plants"] == ["P1", "P2"]
            assert state["buffer"]["sealed"] == 1
            assert state["versions"]["batch"] == 2

    asyncio.run(scenario())
    late = Center(port)

    async def arriving_late() -> None:
        task = asyncio.create_task(late.run())
        await until(lambda: len(late.states) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(arriving_late())
    assert json.loads(late.states["collector/v1/P1/g1/state"])["online"] is False


def test_with_a_broker_of_mqtt_5_everything_arrives_too(buffer: Buffer, tmp_path: Path) -> None:
    mosquitto = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if mosquitto is None:
        pytest.skip("mosquitto is not installed")
    for second in range(1, 31):
        seal_one(buffer, second)
    number = free_port()
    center = Center(number)

    async def scenario() -> None:
        async with running(buffer, agent_config(number, tmp_path), center):
            await all_acknowledged(buffer)

    with broker(number, mosquitto=mosquitto, directory=tmp_path):
        asyncio.run(scenario())
    assert center.sequences() == list(range(1, 31))


def test_each_lane_keeps_a_place_in_the_window(buffer: Buffer) -> None:
    for second in range(1, 13):
        seal_one(buffer, second)
    flights = Flights(UplinkConfig(order="live_first", window=8))
    flights.begin({"P1": Position(buffer.newest("P1").stream, 8)})
    flights.ask([Position(1, 3), Position(1, 1)])
    sent = []
    while (request := flights.request()) is not None and (choice := take(buffer, request)) is not None:
        assert flights.depart(request, choice, 0.0)
        sent.append((request.lanes[choice.index].name, choice.outgoing.position.sequence))
    live = [("live", n) for n in (9, 10, 11, 12)]
    assert sent == [*live, ("asked", 1), ("asked", 3), ("backlog", 2), ("backlog", 4)]
    assert [p.sequence for p in flights.overdue(30.0)] == [1, 2, 3, 4, 9, 10, 11, 12]
    assert flights.overdue(29.9) == []
    flights.land([Position(1, 9)])
    assert flights.request() is not None


def test_a_plants_batches_stay_its_own_across_turns(buffer: Buffer) -> None:
    for second in range(1, 4):
        seal_one(buffer, second)
        seal_one(buffer, second, unit="V1")
    flights = Flights(UplinkConfig(window=6))
    flights.begin({plant: buffer.newest(plant) for plant in buffer.plants})
    sent: dict[str, list[int]] = {"P1": [], "P2": []}
    while (request := flights.request()) is not None and (choice := take(buffer, request)) is not None:
        flights.depart(request, choice, 0.0)
        sent[choice.outgoing.plant].append(contents(choice.outgoing).sequence)
    assert sent == {"P1": [1, 2, 3], "P2": [1, 2, 3]}
    ack(buffer, pending(buffer)[0].epoch, 3)
    assert pending(buffer) == []


def test_tls_files_that_can_not_be_used_are_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(ConfigError, match=r"ca\.pem"):
        tls_context(Mqtt(ca_file="ca.pem"), lambda name: tmp_path / name)
    assert tls_context(Mqtt(), lambda name: tmp_path / name) is None
