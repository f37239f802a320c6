# SPDX-License-Identifier: GPL-3.0-or-later
"""Reload: devices and points change while the agent runs, and the ticks go on as if nothing had happened."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.agent.device.contract import Reading
from collector.agent.operate.reload import kept_lines, load_again
from collector.agent.record.recorder import Recorder
from collector.agent.record.sources import QuantitySource
from collector.base.clock_state import ClockState
from collector.base.errors import ConfigError
from collector.model.record import Quality
from collector.points.agent_config import load_agent
from simulators.run.pytest_plugin import ServedDevices
from tests.agent.running_agent import TABLE, WIDER, agent_at, buffered, recorded, run, write_agent
from tests.agent.uplink.uplink_world import free_port
from tests.patience import until

Serve = Callable[..., ServedDevices]


def test_no_tick_is_lost_by_a_reload_and_untouched_devices_keep_their_connection(
    modbus_device: Serve, tmp_path: Path
) -> None:
    kept, changed = modbus_device(WIDER), modbus_device(WIDER)
    for device in (kept, changed):
        device.show("active_power_mw", "380")
        device.show("reactive_power_mvar", "20")
    broker = free_port()
    path = write_agent(tmp_path, [kept.port, changed.port], broker=broker)

    async def scenario() -> None:
        async with agent_at(path) as reload:
            await until(lambda: recorded(path) >= 4)
            peers = await asyncio.to_thread(lambda: kept.devices.peers("d1"))
            write_agent(tmp_path, [kept.port, changed.port], tables=[TABLE, WIDER], broker=broker)
            reload.set()
            at = recorded(path)
            await until(lambda: recorded(path) >= at + 6)
            assert await asyncio.to_thread(lambda: kept.devices.peers("d1")) == peers

    run(scenario())
    records, gaps = buffered(path)
    assert gaps == []
    for unit in ("U1", "U2"):
        times = [r.time_utc_ms for _, r in records if r.unit == unit]
        assert times == list(range(times[0], times[0] + 1000 * len(times), 1000))
        # The first tick may come before the first answer; after that every one has its value.
        assert {r.qualities[0] for _, r in records if r.unit == unit and r.time_utc_ms > times[1]} == {Quality.GOOD}
    wider = [r for layout, r in records if layout.quantities == ("active_power_mw", "reactive_power_mvar")]
    assert {r.unit for r in wider} == {"U2"}
    assert wider[-1].values == (380_000, 20_000)


def test_a_bad_configuration_is_refused_in_the_log_and_the_old_one_goes_on(
    modbus_device: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    device = modbus_device(TABLE)
    device.show("active_power_mw", "380")
    path = write_agent(tmp_path, [device.port])

    async def scenario() -> None:
        async with agent_at(path) as reload:
            await until(lambda: recorded(path) >= 2)
            (tmp_path / "d1.csv").write_text(TABLE.replace("int32", "int31"), "utf-8")
            reload.set()
            await until(lambda: "reload=refused" in caplog.text)
            at = recorded(path)
            await until(lambda: recorded(path) >= at + 2)

    with caplog.at_level(logging.INFO):
        run(scenario())
    assert "d1.csv:2: type" in caplog.text
    records, gaps = buffered(path)
    times = [r.time_utc_ms for _, r in records]
    assert times == list(range(times[0], times[0] + 1000 * len(times), 1000))
    assert gaps == []


def test_what_takes_a_restart_is_named_and_refused(tmp_path: Path) -> None:
    path = write_agent(tmp_path, [502])
    running = load_agent(path)
    path.write_text(path.read_text("utf-8").replace("reorder_ms = 100", "reorder_ms = 200"), "utf-8")
    with pytest.raises(ConfigError, match="gateway: has changed, which takes a restart"):
        load_again(path, running)


def test_a_line_is_kept_where_its_devices_and_points_are_the_same(tmp_path: Path) -> None:
    path = write_agent(tmp_path, [502, 503])
    before = load_agent(path)
    (tmp_path / "d2.csv").write_text(WIDER, "utf-8")
    assert kept_lines(before, load_agent(path)) == {"127.0.0.1:502"}


def test_values_count_on_only_where_point_and_device_stayed_the_same(tmp_path: Path) -> None:
    path = write_agent(tmp_path, [502])
    config = load_agent(path)
    (point,) = config.points["d1"]
    moved = load_agent(write_agent(tmp_path, [502], tables=[TABLE.replace(",0,", ",8,")])).points["d1"][0]

    def recorder_of(*sources: QuantitySource) -> Recorder:
        return Recorder(list(sources), period_ms=1000, last={})

    former = recorder_of(QuantitySource(point, "U1", 3000, "d1"))
    former.feed([Reading(point, 380_000, Quality.GOOD, 1_000_000)])
    former.record(1_000_000, ClockState.SYNCHRONISED)
    former.feed([Reading(point, 381_000, Quality.GOOD, 1_000_500)])
    for source, expected in (
        (QuantitySource(point, "U1", 3000, "d1"), (381_000, Quality.GOOD)),
        (QuantitySource(moved, "U1", 3000, "d1"), (None, Quality.SILENT)),
        (QuantitySource(point, "U1", 3000, "other"), (None, Quality.SILENT)),
    ):
        following = recorder_of(source)
        following.succeed(former)
        records, gaps = following.record(1_001_000, ClockState.SYNCHRONISED)
        assert [(r.values[0], r.qualities[0]) for r in records] == [expected]
        assert gaps == []
