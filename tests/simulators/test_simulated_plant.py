# SPDX-License-Identifier: GPL-3.0-or-later
"""Plants that behave like plants: values agree with each other, and a seed fixes them."""

from __future__ import annotations

import csv
import tomllib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from collector.base.errors import ConfigError
from collector.model.interval import DAY_MS, HOUR_MS, LOCAL_OFFSET_MS, parse_time_ms
from collector.points.agent_config import load_agent
from simulators.plant.inputs import write_inputs
from simulators.plant.plant import World
from simulators.plant.scenario import Scenario, instantiate, load_scenario
from simulators.plant.schedule import make_schedule
from simulators.plant.signals import Board

DEMO = Path(__file__).parents[2] / "config" / "demo" / "plant.toml"
TICK = 60_000


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    return load_scenario(DEMO)


def watched(scenario: Scenario, unit: str, quantity: str) -> tuple[World, list[tuple[int, int | None]]]:
    board, seen = Board(), list[tuple[int, int | None]]()
    world = World(scenario, board)
    board.signal(unit, quantity).connect(lambda value, time: seen.append((time or world.now_utc_ms, value)))
    return world, seen


def test_the_meter_is_the_integral_of_power(scenario: Scenario) -> None:
    world, powers = watched(scenario, "coal-1", "active_power_mw")
    unit = world.units()[0]
    start_ms, start_energy = world.now_utc_ms, unit.energy_kw_ms
    world.advance(start_ms + 3 * HOUR_MS)
    total = 0
    for (time, value), (later, _) in zip(powers, [*powers[1:], (world.now_utc_ms, 0)], strict=True):
        total += (value or 0) * (later - time)
    assert unit.energy_kw_ms - start_energy == total


def test_nothing_is_generated_off_grid_and_power_moves_only_on_ticks(scenario: Scenario) -> None:
    world, powers = watched(scenario, "gas-1", "active_power_mw")
    opening, closing = world.schedules["gas-1"].stops[0]
    world.advance(closing + HOUR_MS)
    off = [value for time, value in powers if opening <= time < closing]
    assert off == [0]
    assert {time % TICK for time, _ in powers} == {0, opening % TICK}
    assert powers[-1][1] is not None
    assert powers[-1][1] > 100_000


def test_units_keep_their_ramps(scenario: Scenario) -> None:
    world, powers = watched(scenario, "coal-1", "active_power_mw")
    world.advance(world.now_utc_ms + DAY_MS)
    steps = [abs((b or 0) - (a or 0)) for (_, a), (_, b) in pairwise(powers)]
    assert max(steps) <= 660_000 * 0.015 + 5 * 660_000 * 0.0004  # the ramp and five sigma of noise


def test_the_seed_fixes_every_value_however_time_is_cut(scenario: Scenario) -> None:
    first, second = watched(scenario, "coal-2", "bus_voltage_kv"), watched(scenario, "coal-2", "bus_voltage_kv")
    end = scenario.run.start_ms + DAY_MS
    first[0].advance(end)
    for time in range(scenario.run.start_ms, end + 1, 777_777):
        second[0].advance(time)
    second[0].advance(end)
    assert [value for _, value in first[1]] == [value for _, value in second[1]]
    assert first[0].book_lines() == second[0].book_lines()


def test_switches_fall_between_ticks_and_leave_the_quiet_hours_alone(scenario: Scenario) -> None:
    for unit in scenario.settings.unit:
        for switch in make_schedule(scenario, unit).switches:
            assert switch.time_ms % TICK
            hour = (switch.time_ms + LOCAL_OFFSET_MS) % DAY_MS / HOUR_MS
            assert not 12 <= hour < 14, f"{switch} falls into the quiet hours"


def test_statuses_alternate(scenario: Scenario) -> None:
    for unit in scenario.settings.unit:
        switches = make_schedule(scenario, unit).switches
        for status in ("on_grid", "agc_in_service", "avc_in_service", "avc_at_limit"):
            values = [int(s.value or 0) for s in switches if s.quantity == status]
            assert values == [values[0] if index % 2 == 0 else 1 - values[0] for index in range(len(values))]


def test_the_month_has_what_the_demo_is_to_show(scenario: Scenario) -> None:
    world = World(scenario, Board())
    world.advance(scenario.run.end_ms)
    lines = {(r["unit"], r["service"]): Fraction(r["quantity"]) for r in world.book_lines()}
    for unit in ("coal-1", "coal-2"):
        assert lines[unit, "deep_peak"] > 1000
    for unit in ("coal-1", "coal-2", "gas-1", "hydro-1"):
        assert lines[unit, "agc_up"] > 1000
        assert lines[unit, "agc_down"] > 1000
    # Ten stops: seven ordered and kept, one too late, one over 24 h, one without an order.
    assert lines["gas-1", "gas_start_stop"] == 7
    for part in ("coal-1", "coal-2", "hydro-1"):
        counts = world.book_parts()[part]
        assert counts["avc_judged"] > counts["avc_passed"] > 50


def test_the_dispatch_side_says_what_the_plants_do(scenario: Scenario, tmp_path: Path) -> None:
    write_inputs(scenario, tmp_path)
    register = tomllib.loads((tmp_path / "register.toml").read_text("utf-8"))
    assert [unit["id"] for unit in register["unit"]] == ["coal-1", "coal-2", "gas-1", "hydro-1"]
    assert register["policy"] == {"hold_limit_s": 180}
    with (tmp_path / "plan.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["unit"] == "hydro-1"]
    assert len(rows) == 31 * 96
    world, _ = watched(scenario, "hydro-1", "active_power_mw")
    for row in (rows[0], rows[37], rows[-1]):
        world.advance(parse_time_ms(row["start"]))
        assert world.units()[3].moment.plan_kw == Fraction(row["power_mw"]) * 1000
    assert (tmp_path / "reserve.csv").read_text("utf-8") == "unit,kind,start,end,power_mw\n"


def test_an_instance_has_ports_of_its_own(tmp_path: Path) -> None:
    one = instantiate(DEMO, tmp_path / "one", mqtt="127.0.0.1:4711", edits={"state_dir": '"elsewhere"'})
    two = instantiate(DEMO, tmp_path / "two")
    first, second = load_agent(one.agent_file).settings, load_agent(two.agent_file).settings
    assert (first.mqtt.port, first.gateway.state_dir) == (4711, "elsewhere")
    assert first.gateway.time_server == one.time_server != two.time_server
    ports = [{d.id: d.port for d in s.device} for s in (first, second)]
    assert not set(ports[0].values()) & set(ports[1].values())
    assert ports[0]["coal-1-meter"] == ports[0]["coal-2-meter"]


def test_a_scenario_with_mistakes_names_all_of_them(tmp_path: Path) -> None:
    text = (
        DEMO.read_text("utf-8").replace('plant = "hydro"', 'plant = "water"').replace('area = "fujian"', 'area = "x"')
    )
    broken = tmp_path / "plant.toml"
    broken.write_text(text, "utf-8")
    with pytest.raises(ConfigError) as caught:
        load_scenario(broken)
    assert [p.key for p in caught.value.problems] == ["plant[3].area", "unit[4].plant"]
