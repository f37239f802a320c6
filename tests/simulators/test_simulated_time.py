# SPDX-License-Identifier: GPL-3.0-or-later
"""Simulated time: it goes on when everybody waits, never past a hold, and only after what fell due has arrived."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import pytest

from collector.base.clock import SimulatedClock
from collector.model.interval import Interval
from simulators.faces import iec104
from simulators.faces.audit import Audit
from simulators.faces.iec104_station import Station
from simulators.faults.faults import Faults
from simulators.plant.scenario import Instance, instantiate, load_scenario
from simulators.run.simulation import Simulation, opened, split_address
from simulators.run.timekeeper import TimeKeeper
from tests.patience import HANG_S, SILENCE_S

DEMO = Path(__file__).parents[2] / "config" / "demo" / "plant.toml"


class Recorder:
    """What time moves: remembers where it was taken."""

    def __init__(self) -> None:
        self.reached: list[int] = []

    def advance(self, time_utc_ms: int) -> None:
        self.reached.append(time_utc_ms)


async def still_waits(awaited: Awaitable[Any]) -> asyncio.Task[Any]:
    task = asyncio.ensure_future(awaited)
    done, _ = await asyncio.wait([task], timeout=SILENCE_S)
    assert not done
    return asyncio.ensure_future(task)


async def in_time(awaited: Awaitable[Any]) -> Any:
    async with asyncio.timeout(HANG_S):
        return await awaited


def test_time_goes_to_the_nearest_target_once_all_clients_wait() -> None:
    async def run() -> None:
        world = Recorder()
        keeper = TimeKeeper(world, [], Interval(1000, 100_000))
        port = await keeper.listen("127.0.0.1", 0)
        one, two = [await SimulatedClock.connect("127.0.0.1", port) for _ in range(2)]
        assert one.now_utc_ms() == 1000
        waiting = await still_waits(one.sleep_until(5000))
        await in_time(two.sleep_until(3000))
        assert (two.now_utc_ms(), world.reached) == (3000, [3000])
        later = asyncio.ensure_future(two.sleep_until(9000))
        await in_time(waiting)
        assert (one.now_utc_ms(), world.reached) == (5000, [3000, 5000])
        await one.close()  # who goes away is not waited for
        await in_time(later)
        assert world.reached == [3000, 5000, 9000]
        third = await SimulatedClock.connect("127.0.0.1", port)
        assert third.now_utc_ms() == 9000
        for clock in (two, third):
            await clock.close()
        keeper.close()

    asyncio.run(run())


def test_time_may_stand_a_while_so_that_real_back_off_can_end() -> None:
    async def run() -> None:
        keeper = TimeKeeper(Recorder(), [], Interval(1000, 100_000))
        clock = await SimulatedClock.connect("127.0.0.1", await keeper.listen("127.0.0.1", 0))
        keeper.linger(1.0)
        waits = await still_waits(clock.sleep_until(5000))
        await in_time(waits)
        await in_time(clock.sleep_until(6000))
        await clock.close()
        keeper.close()

    asyncio.run(run())


def test_beyond_the_end_of_the_run_nobody_is_answered() -> None:
    async def run() -> None:
        keeper = TimeKeeper(Recorder(), [], Interval(1000, 2000))
        clock = await SimulatedClock.connect("127.0.0.1", await keeper.listen("127.0.0.1", 0))
        await in_time(clock.sleep_until(2000))
        task = await still_waits(clock.sleep_until(2001))
        task.cancel()
        await clock.close()
        keeper.close()

    asyncio.run(run())


class QuickClock:
    """A host's clock of which half a second passes at every look."""

    def __init__(self) -> None:
        self.looks = 0

    def now_utc_ms(self) -> int:
        return 1_800_000_000_000

    def monotonic_s(self) -> float:
        self.looks += 1
        return self.looks / 2

    async def sleep_until(self, time_utc_ms: int) -> int:
        raise AssertionError(f"nobody sleeps here until {time_utc_ms}")


def test_accelerated_time_follows_the_hosts_clock_to_the_end_of_the_run_and_answers_clients() -> None:
    async def run() -> list[int]:
        world = Recorder()
        keeper = TimeKeeper(world, [], Interval(0, 100_000))
        client = await SimulatedClock.connect("127.0.0.1", await keeper.listen("127.0.0.1", 0))
        following = keeper.follow(QuickClock(), 100.0, asyncio.Event())
        waits = asyncio.ensure_future(client.sleep_until(60_000))
        await in_time(following)
        await in_time(waits)
        assert client.now_utc_ms() == 100_000
        await client.close()
        keeper.close()
        return world.reached

    assert asyncio.run(run()) == [50_000, 100_000]


def test_at_speed_1_the_stations_show_the_hosts_time() -> None:
    async def run() -> int:
        station = Station("s", (), [1], Audit(), Faults(), now_utc_ms=lambda: 0)
        keeper = TimeKeeper(Recorder(), [station], Interval(0, 1000))
        await in_time(keeper.follow(QuickClock(), 1.0, asyncio.Event()))
        return station.tag_shift_ms

    assert asyncio.run(run()) == 1_800_000_000_000


class Unconfirmed(Station):
    """A station whose link owes a confirmation for ever."""

    acknowledged = False


def test_time_that_follows_a_clock_does_not_stand_for_a_link_that_has_not_confirmed() -> None:
    async def run() -> list[int]:
        world = Recorder()
        station = Unconfirmed("s", (), [1], Audit(), Faults(), now_utc_ms=lambda: 0)
        keeper = TimeKeeper(world, [station], Interval(0, 1000))
        await asyncio.wait_for(keeper.follow(QuickClock(), 1.0, asyncio.Event()), HANG_S)
        return world.reached

    assert asyncio.run(run()) == [500, 1000]


async def control(address: str, **ask: object) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection(*split_address(address))
    writer.write(json.dumps(ask).encode() + b"\n")
    answer: dict[str, Any] = json.loads(await in_time(reader.readline()))
    writer.close()
    await writer.wait_closed()
    return answer


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return instantiate(DEMO, tmp_path)


def test_a_hold_stops_time_at_its_instant_until_release(instance: Instance) -> None:
    async def run() -> None:
        simulation = Simulation.of_scenario(load_scenario(instance.scenario_file))
        async with opened(simulation, control_listen=instance.control):
            start = simulation.keeper.run.start_ms
            tick = start + 120_000
            clock = await SimulatedClock.connect(*split_address(instance.time_server))
            assert await control(instance.control, do="hold", at_utc_ms=tick) == {"held": tick}
            await in_time(clock.sleep_until(tick))
            assert (await control(instance.control, do="status"))["holding"] is False
            blocked = await still_waits(clock.sleep_until(tick + 1500))
            status = await control(instance.control, do="status")
            assert (status["holding"], status["now_utc_ms"], status["clients"]) == (True, tick, 1)
            assert await control(instance.control, do="release") == {"released": True}
            await in_time(blocked)
            # An agent that was killed is gone; somebody else lets three minutes pass; it comes back into a later world.
            await clock.close()
            other = await SimulatedClock.connect(*split_address(instance.time_server))
            await in_time(other.sleep_until(tick + 180_000))
            await other.close()
            assert (await control(instance.control, do="status"))["now_utc_ms"] == tick + 180_000

    asyncio.run(run())


def test_control_answers_books_and_names_what_it_does_not_know(instance: Instance) -> None:
    async def run() -> None:
        simulation = Simulation.of_scenario(load_scenario(instance.scenario_file))
        async with opened(simulation, control_listen=instance.control):
            books = await control(instance.control, do="books")
            assert books["month"] == "2026-03"
            assert {"unit", "service", "quantity", "quantity_unit"} == set(books["lines"][0])
            assert "do is one of" in (await control(instance.control, do="dance"))["error"]
            assert "whole number" in (await control(instance.control, do="hold"))["error"]
            assert (
                "no such device" in (await control(instance.control, do="fault", device="x", kind="silence"))["error"]
            )
            assert await control(instance.control, do="stop") == {"stopping": True}
            assert simulation.stopped.is_set()

    asyncio.run(run())


def test_an_instant_is_answered_only_after_its_104_frames_are_confirmed(instance: Instance) -> None:
    async def run() -> None:
        simulation = Simulation.of_scenario(load_scenario(instance.scenario_file))
        async with opened(simulation):
            place = next(d for d in simulation.config.settings.device if d.id == "coal-telecontrol")
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(iec104.encode_u(iec104.STARTDT_ACT))
            await in_time(reader.readexactly(6))
            clock = await SimulatedClock.connect(*split_address(instance.time_server))
            signal = simulation.devices.board.signal("coal-1", "agc_in_service")
            signal.set(1 - (signal.value or 0), clock.now_utc_ms())
            blocked = await still_waits(clock.sleep_until(clock.now_utc_ms() + 1))
            frame = await in_time(reader.readexactly(6))
            assert frame[2] & 1 == 0
            writer.write(iec104.encode_s(1))
            await in_time(blocked)
            writer.close()
            await clock.close()

    asyncio.run(run())


def test_a_104_client_that_goes_away_does_not_stop_time(instance: Instance) -> None:
    async def run() -> None:
        simulation = Simulation.of_scenario(load_scenario(instance.scenario_file))
        async with opened(simulation):
            place = next(d for d in simulation.config.settings.device if d.id == "coal-telecontrol")
            reader, writer = await asyncio.open_connection(place.host, place.port)
            writer.write(iec104.encode_u(iec104.STARTDT_ACT))
            await in_time(reader.readexactly(6))
            clock = await SimulatedClock.connect(*split_address(instance.time_server))
            simulation.devices.board.signal("coal-1", "on_grid").set(0, clock.now_utc_ms())
            blocked = await still_waits(clock.sleep_until(clock.now_utc_ms() + 1))
            writer.close()
            await in_time(blocked)
            await clock.close()

    asyncio.run(run())
