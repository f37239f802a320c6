# SPDX-License-Identifier: GPL-3.0-or-later
"""Units in motion: voltage on its bus, start and stop in stages, frequency and governor, pump and condenser."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector.model.interval import DAY_MS, HOUR_MS, parse_time_ms
from simulators.plant.plant import GeneratingUnit, World
from simulators.plant.scenario import load_scenario
from simulators.plant.signals import Board

CONFIG = Path(__file__).parents[2] / "config"
DEMO = CONFIG / "demo" / "plant.toml"
MINUTE = 60_000
_POWER = "active_power_mw"


def ticks(world: World, until: int, step: int = MINUTE) -> Iterator[int]:
    """Every tick from the next one to `until`, after it has passed."""
    for time in range(-(-world.now_utc_ms // step) * step, until + 1, step):
        world.advance(time)
        yield time


def unit_of(world: World, name: str) -> GeneratingUnit:
    return next(unit for unit in world.units() if unit.unit.id == name)


def test_voltage_and_reactive_power_lie_on_one_line_of_the_bus_and_limits_arise_from_q() -> None:
    world = World(load_scenario(CONFIG / "scenarios" / "bad_month.toml"), Board())
    coal, limited = unit_of(world, "coal-1"), 0
    for _ in ticks(world, world.now_utc_ms + 6 * DAY_MS):
        now, bus = coal.moment, coal.bus
        # U = E + x·Q as far as the transducer resolves: 100 V, and Q in whole kvar.
        assert abs(now.voltage_v - bus.source_v - bus.volts_per_kvar * now.reactive_kvar) < 101
        assert -150_000 <= now.reactive_kvar <= 320_000
        if now.at_limit:
            limited += 1
            assert now.reactive_kvar in (-150_000, 320_000)
    assert 10 < limited < 3000


def test_avc_brings_the_bus_to_its_target_where_the_machine_can() -> None:
    world = World(load_scenario(DEMO), Board())
    coal, away = unit_of(world, "coal-2"), []
    for _ in ticks(world, world.now_utc_ms + 2 * DAY_MS):
        now = coal.moment
        if now.avc and not now.at_limit:
            away.append(abs(now.voltage_v - now.avc_target_v))
    away.sort()
    assert away[len(away) * 8 // 10] <= 300  # its dead band of 200 V and the transducer's 100 V
    assert away[len(away) // 2] <= 200


def test_a_gas_unit_synchronises_holds_loads_up_and_unloads_before_it_opens() -> None:
    world = World(load_scenario(DEMO), Board())
    gas = unit_of(world, "gas-1")
    opening, closing = world.schedules["gas-1"].stops[0]
    seen: dict[int, int] = {}
    for time in ticks(world, closing + HOUR_MS):
        seen[time] = gas.moment.power_kw
    sync_kw, near_kw = 31_200, 800  # 8 % of 390 MW, five sigma of noise
    for minute in range(1, 5):  # the last five minutes before the breaker opens
        assert abs(seen[(opening // MINUTE - minute) * MINUTE] - sync_kw) < near_kw
    assert seen[(opening // MINUTE - 30) * MINUTE] > 150_000
    first = closing // MINUTE + 1
    for minute in range(5):  # six minutes at the first load
        assert abs(seen[(first + minute) * MINUTE] - sync_kw) < near_kw
    loading = [seen[(first + minute) * MINUTE] for minute in range(6, 40)]  # from when the plan asks for more
    steps = [b - a for a, b in itertools.pairwise(loading) if a > sync_kw + near_kw and b < 156_000]
    assert all(abs(step - 11_700) < 2 * near_kw for step in steps)  # 3 % a minute up to 40 %
    assert steps
    assert seen[(first + 50) * MINUTE] > 180_000


def test_a_pumped_storage_unit_pumps_leaves_the_grid_and_generates_and_its_register_counts_one_way() -> None:
    world = World(load_scenario(CONFIG / "scenarios" / "pumped_storage.toml"), Board())
    unit = unit_of(world, "hydro-1")
    start = parse_time_ms("2026-03-02T00:00:00+08:00")
    world.advance(start)
    energy, powers = unit.energy_kw_ms, {}
    for time in ticks(world, start + 9 * HOUR_MS):
        powers[(time - start) / HOUR_MS] = (unit.moment.power_kw, unit.moment.on, unit.moment.agc)
        if time == start + 5 * HOUR_MS:
            assert unit.energy_kw_ms == energy
    assert powers[3] == (-300_000, 1, 0)  # a pump takes its one load, without AGC
    assert powers[5.5] == (0, 0, 0)
    assert powers[8][0] > 100_000
    assert unit.energy_kw_ms > energy


def test_a_condenser_takes_its_losses_and_still_holds_the_voltage() -> None:
    world = World(load_scenario(CONFIG / "scenarios" / "reactive_order.toml"), Board())
    unit = unit_of(world, "hydro-1")
    world.advance(parse_time_ms("2026-03-12T02:30:00+08:00"))
    assert (unit.moment.condenser, unit.moment.power_kw) == (1, -4500)  # 1.5 % of 300 MW
    assert unit.moment.reactive_kvar != 0


def test_the_frequency_recovers_after_an_event_and_units_answer_only_beyond_their_dead_band() -> None:
    world = World(load_scenario(CONFIG / "scenarios" / "bad_month.toml"), Board())
    start, end = (parse_time_ms(f"2026-03-08T19:{minute}:00+08:00") for minute in ("00", "12"))
    world.advance(start + MINUTE)
    deep = world.frequency_uhz
    world.advance(end + 30 * MINUTE)
    assert deep < 49_940_000 < 49_960_000 < world.frequency_uhz
    assert unit_of(world, "coal-1").governed_kw(50_033_000) == 0
    # 67 mHz beyond 33 mHz: 0.067 ÷ (50 × 0.05) × 660 MW = 17.688 MW; hydro: 0.05 ÷ (50 × 0.04) × 300 MW = 7.5 MW.
    assert unit_of(world, "coal-1").governed_kw(49_900_000) == 17_688
    assert unit_of(world, "hydro-1").governed_kw(50_100_000) == -7_500


@pytest.mark.parametrize("step_s", [1, 10])
def test_units_may_move_every_second(tmp_path: Path, step_s: int) -> None:
    file = tmp_path / "plant.toml"
    file.write_text(f'base = "{DEMO}"\nstep_s = {step_s}\n', "utf-8")
    world = World(load_scenario(file), Board())
    coal, before = unit_of(world, "coal-1"), unit_of(world, "coal-1").moment.power_kw
    for _ in ticks(world, world.now_utc_ms + HOUR_MS // 4, step_s * 1000):
        # 1.5 % of 660 MW a minute, and five sigma of noise.
        assert abs(coal.moment.power_kw - before) <= 9_900 * step_s / 60 + 10 * 264
        before = coal.moment.power_kw
