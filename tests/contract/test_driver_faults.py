# SPDX-License-Identifier: GPL-3.0-or-later
"""Mistakes anywhere in a driver: an exception raised at one call after the other, and the other channel goes on.

A profile function of the interpreter raises at the n-th call that is made in, from or into a file of the drivers
(their own functions, what they call of their libraries, resumptions of their coroutines), n drawn from a fixed seed.
What the interpreter does not show, c104's own threads, is reached through the clock that is passed to the driver.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import uvloop

import collector.agent.device as drivers
from collector.agent.device.contract import Answer
from collector.agent.device.factory import build_devices
from collector.agent.record.poll import Channel, Job
from collector.base.clock import SystemClock
from collector.model.record import Quality
from collector.points.agent_config import AgentConfig, AgentSettings
from tests.contract.device_peers import Script, modbus_tcp
from tests.contract.every_driver import PEERS, PROTOCOLS, build, run, until_good

MISTAKES: tuple[Callable[[], Exception], ...] = (
    lambda: RuntimeError("injected"), lambda: KeyError(16385), lambda: struct.error("injected"), AssertionError,
    MemoryError, lambda: ValueError("injected"), lambda: OSError("injected"),
)  # fmt: skip
ROUNDS, FURTHEST_CALL = (200 if os.environ.get("SOAK") else 24), 250
PERIOD_S = 0.02
_FOLDER = Path(drivers.__file__).parent
# Of the files that drivers share only this one is never used by the sound device beside the wrong one.
_SHARED = {_FOLDER / "serial.py"}
_OF_METERS = {_FOLDER / "meter.py", _FOLDER / "meter_line.py", _FOLDER / "frames.py"}
# The interpreter's own do not fail: an `asyncio.timeout` that can't end, a lock that can't be let go of.
_SPARED = (str(Path(asyncio.__file__).parent), threading.__file__)


class Injection:
    """Raises once, at the n-th call that the driver of a protocol makes or gets from now on."""

    def __init__(self, protocol: str) -> None:
        own = set((_FOLDER / protocol.partition("_")[0]).glob("*.py"))
        if protocol.startswith("iec10"):
            own |= set((_FOLDER / "iec60870").glob("*.py"))
        shared = _SHARED | _OF_METERS if protocol.startswith("dlt") else _SHARED
        self._files = {str(path) for path in own | shared}
        self._calls_left = 0
        self._mistake: Callable[[], Exception] = RuntimeError
        self.raised = 0

    def arm(self, call: int, mistake: Callable[[], Exception]) -> None:
        self._calls_left, self._mistake = call, mistake
        sys.setprofile(self._on_call)

    def _on_call(self, frame: FrameType, event: str, argument: object) -> None:
        del argument
        if event not in ("call", "c_call") or not self._is_of_the_driver(frame, event):
            return
        self._calls_left -= 1
        if self._calls_left <= 0:
            sys.setprofile(None)
            self.raised += 1
            raise self._mistake()

    def _is_of_the_driver(self, frame: FrameType, event: str) -> bool:
        if frame.f_code.co_filename in self._files:
            return True
        caller = frame.f_back
        is_called = event == "call" and caller is not None and caller.f_code.co_filename in self._files
        return is_called and not frame.f_code.co_filename.startswith(_SPARED)


@contextmanager
def injection_into(protocol: str) -> Iterator[Injection]:
    """For the time of a test; a profiler of somebody else comes back."""
    before = sys.getprofile()
    try:
        yield Injection(protocol)
    finally:
        sys.setprofile(before)


class Polled:
    """A channel with one device, read as often as it can be; `newest` and `good` of what it gave."""

    def __init__(self, name: str, device: Any) -> None:
        self.answers = self.good = 0
        self.job = Job(device, device.points, round(PERIOD_S * 1000), budget_s=1.0, backoff_max_s=PERIOD_S)
        self.channel = Channel(name, [self.job], SystemClock(), self._take)
        self.worker = asyncio.create_task(self.channel.run(), name=f"poll[{name}]")

    def _take(self, answer: Answer) -> None:
        self.answers += 1
        self.good += any(r.quality is Quality.GOOD for r in answer.readings)

    def turn(self) -> None:
        """What the timetable does at each tick."""
        self.channel.start(SystemClock().now_utc_ms())
        self._take(Answer(self.channel.collect(), 0))

    async def end(self) -> None:
        self.worker.cancel()
        await asyncio.wait([self.worker])
        assert self.worker.cancelled()


# A coroutine that was made, and not awaited because its maker failed, is complained of as it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_mistake_at_any_call_of_a_driver_ends_neither_its_channel_nor_another(protocol: str, tmp_path: Path) -> None:
    async def scenario(injection: Injection) -> None:
        draw = random.Random(protocol)
        other = "dlt645_over_tcp" if protocol.startswith("modbus") else "modbus_tcp"
        (tmp_path / "sound").mkdir()
        async with PEERS[protocol](Script()) as place, PEERS[other](Script()) as port:
            wrong = Polled("wrong", build(protocol, tmp_path, place, timeout_s=0.5))
            sound = Polled("sound", build(other, tmp_path / "sound", port))
            for _ in range(ROUNDS):
                injection.arm(draw.randrange(1, FURTHEST_CALL), draw.choice(MISTAKES))
                before, good = injection.raised, sound.good
                while injection.raised == before or sound.good == good:
                    for polled in (wrong, sound):
                        polled.turn()
                    await asyncio.sleep(PERIOD_S)
                    assert not wrong.worker.done()
                    assert not sound.worker.done()
            good = wrong.good
            while wrong.good == good:
                wrong.turn()
                await asyncio.sleep(PERIOD_S)
            assert wrong.job.health.faults > ROUNDS / 4
            assert sound.job.health.failures == 0
            for polled in (wrong, sound):
                await polled.end()

    # uvloop keeps a datagram socket whose protocol failed as it was told of it, and never ends closing then.
    loop_factory = asyncio.new_event_loop if protocol == "modbus_udp" else uvloop.new_event_loop
    with injection_into(protocol) as injection:
        run(lambda: scenario(injection), loop_factory=loop_factory)


def test_a_device_that_can_not_be_made_is_tried_and_told_and_the_others_are_made(tmp_path: Path) -> None:
    async def scenario() -> None:
        # `agent check` and the loader refuse such a guard; the driver itself stumbles over it.
        async with modbus_tcp(Script()) as port:
            sound = build("modbus_tcp", tmp_path, port)
            wrong = (replace(sound.points[0], quantity="", guard="x"),)
            settings = AgentSettings.model_validate(
                {"schema": 1, "gateway": {"id": "g"}, "plant": [{"id": "P"}], "unit": [{"id": "U", "plant": "P"}],
                 "device": [{"id": name, "protocol": "modbus_tcp", "points": "points.csv", "unit": "U", "slave": slave,
                             "host": "127.0.0.1", "port": port} for slave, name in enumerate(("wrong", "sound"), 1)]}
            )  # fmt: skip
            config = AgentConfig(settings, {"wrong": wrong, "sound": sound.points}, tmp_path)
            channels = [Polled(b.settings.id, b.device) for b in build_devices(config, SystemClock())]
            while channels[0].job.health.faults < 3 or not channels[1].good:
                for polled in channels:
                    polled.turn()
                await asyncio.sleep(PERIOD_S)
            assert "ValueError" in channels[0].job.health.last_fault
            assert channels[1].job.health.failures == 0
            for polled in channels:
                await polled.end()

    run(scenario)


class ClockThatErrsOnForeignThreads(SystemClock):
    """Raises on every second call that no thread of the interpreter makes."""

    def __init__(self) -> None:
        super().__init__()
        self.mistakes = 0
        self.errs = True
        self._calls = 0

    def now_utc_ms(self) -> int:
        if threading.current_thread() is not threading.main_thread() and self.errs:
            self._calls += 1
            if self._calls % 2:
                self.mistakes += 1
                raise KeyError("on a thread of c104")
        return super().now_utc_ms()


def test_a_mistake_on_a_thread_of_c104_is_told_by_the_read_and_the_callback_is_called_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = ClockThatErrsOnForeignThreads()
        async with PEERS["iec104"](Script()) as port:
            polled = Polled("d", build("iec104", tmp_path, port, clock=clock, timeout_s=2.0))
            while clock.mistakes < 6 or polled.job.health.faults < 2:
                polled.turn()
                await asyncio.sleep(PERIOD_S)
                assert not polled.worker.done()
            assert "KeyError" in polled.job.health.last_fault
            clock.errs = False
            await polled.end()
            await polled.job.device.close()  # as a worker does after a fault
            await until_good(polled.job.device)
            await polled.job.device.close()

    run(scenario)
