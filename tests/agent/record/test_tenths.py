# SPDX-License-Identifier: GPL-3.0-or-later
"""Periods in tenths of a second, from a simulated device's registers to sealed records: evidence of AGC commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from collector.agent.device.factory import build_devices
from collector.agent.record.recorder import Recorder
from collector.agent.record.schedule import Timetable
from collector.agent.record.wiring import channels_of, sources_of
from collector.base.errors import ConfigError
from collector.model.record import UnitRecord
from collector.points.agent_config import AgentConfig, load_agent
from collector.wire import Batch, Stream, decode_batch, encode_batch, open_envelope
from simulators.plant.scenario import free_ports
from simulators.run.devices import serve
from tests.agent.record.fake_devices import MemoryStore, SteppedClock, T
from tests.patience import HANG_S

# The slow row is read once in half a second, and its value stands until then.
TABLE = """name,quantity,area,type,address,raw_unit,period_s
setpoint,agc_setpoint_mw,holding,int32,0,kW,
power,active_power_mw,holding,int32,2,kW,
reactive,reactive_power_mvar,holding,int32,4,kvar,0.5
"""


def agent_of(folder: Path, port: int, record_period_s: str = "0.1") -> AgentConfig:
    (folder / "points.csv").write_text(TABLE, "utf-8")
    (folder / "agent.toml").write_text(
        f'schema = 1\n[gateway]\nid = "g"\nrecord_period_s = {record_period_s}\n[[plant]]\nid = "P"\n'
        '[[unit]]\nid = "U"\nplant = "P"\n[[device]]\nid = "governor"\nprotocol = "modbus_tcp"\nunit = "U"\n'
        f'points = "points.csv"\nhost = "127.0.0.1"\nport = {port}\ntimeout_s = 60\n',
        "utf-8",
    )
    return load_agent(folder / "agent.toml")


class ShowingClock(SteppedClock):
    """At each instant it is asked for, the plant moves first."""

    def __init__(self, end_utc_ms: int, show: Callable[[int], None]) -> None:
        super().__init__(end_utc_ms=end_utc_ms)
        self._show = show

    async def sleep_until(self, time_utc_ms: int) -> int:
        if time_utc_ms <= self.end:
            self._show(time_utc_ms - T)
        return await super().sleep_until(time_utc_ms)


async def records_of(config: AgentConfig, show: Callable[[int], None], ms: int) -> list[UnitRecord]:
    clock, store = ShowingClock(T + ms, show), MemoryStore()
    built = build_devices(config, clock)
    period_ms = config.settings.gateway.record_period_ms
    channels = channels_of(config, built, clock, lambda answer: timetable.take(answer))
    recorder = Recorder(sources_of(config, built), period_ms=period_ms, last={})
    timetable = Timetable(channels, recorder, clock, period_ms=period_ms, reorder_ms=200, in_step=True)
    with ThreadPoolExecutor(1) as executor:
        work = [*(c.run() for c in channels), timetable.run(), timetable.store(store, executor)]
        tasks = [asyncio.create_task(w) for w in work]
        await clock.over.wait()
        await timetable.drain()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert store.gaps == []
    sealed = encode_batch(Batch(Stream("P", "g", 1), 1, tuple(recorder.layouts.values()), tuple(store.records)), None)
    return list(decode_batch(open_envelope(sealed)).records)


def test_a_step_of_a_tenth_of_a_second_is_seen_in_the_record_of_its_instant(tmp_path: Path) -> None:
    config = agent_of(tmp_path, free_ports(1)[0])

    async def scenario() -> list[UnitRecord]:
        async with serve(config) as devices:

            def show(ms: int) -> None:
                # The command comes 300 ms after a second, the unit follows 400 ms later by 1 MW in each tenth.
                devices.board.show("U", "agc_setpoint_mw", 440 if ms >= 1300 else 400)
                devices.board.show("U", "active_power_mw", 400 + max(0, (ms - 1600) // 100))
                devices.board.show("U", "reactive_power_mvar", ms // 100)

            return await records_of(config, show, 3000)

    records = asyncio.run(asyncio.wait_for(scenario(), HANG_S))
    assert [r.time_utc_ms - T for r in records] == list(range(0, 2801, 100))
    # Reactive power, active power and set-point in the order of the quantities, in kvar and kW.
    by_time = {r.time_utc_ms - T: dict(zip(("p", "q", "set"), r.values, strict=True)) for r in records}
    assert [by_time[ms]["set"] for ms in (1200, 1300)] == [400_000, 440_000]
    assert [by_time[ms]["p"] for ms in (1600, 1700, 1800, 2000)] == [400_000, 401_000, 402_000, 404_000]
    assert [by_time[ms]["q"] for ms in (900, 1000, 1100, 1400, 1500)] == [5_000, 10_000, 10_000, 10_000, 15_000]


@pytest.mark.parametrize(
    ("written", "told"),
    [("0.25", "tenths of a second"), ("0.05", "0.1"), ("0", "0.1"), ("3601", "3600"), ("1.01", "tenths")],
)
def test_a_period_that_is_no_number_of_tenths_is_refused(written: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        agent_of(tmp_path, 1, written)
    (problem,) = caught.value.problems
    assert problem.key == "gateway.record_period_s"
    assert told in problem.message


@pytest.mark.parametrize(("written", "ms"), [("1", 1000), ("0.3", 300), ("0.7", 700), ("2.5", 2500), ("60", 60_000)])
def test_a_period_is_whole_milliseconds(written: str, ms: int, tmp_path: Path) -> None:
    assert agent_of(tmp_path, 1, written).settings.gateway.record_period_ms == ms
