# SPDX-License-Identifier: GPL-3.0-or-later
"""The shipped scenarios: the books of each against hand workings, and that each loads and starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.base.errors import ConfigError
from collector.model.interval import DAY_MS, parse_time_ms
from collector.points.agent_config import load_agent
from simulators.faults.file import load_faults
from simulators.plant.inputs import write_inputs
from simulators.plant.plant import World
from simulators.plant.scenario import instantiate, load_scenario
from simulators.plant.signals import Board

CONFIG = Path(__file__).parents[2] / "config"
SCENARIOS = sorted(p for p in (CONFIG / "scenarios").glob("*.toml") if "faults" not in p.name)


def books(name: str, until: str) -> dict[tuple[str, str], str]:
    world = World(load_scenario(CONFIG / "scenarios" / name), Board())
    world.advance(parse_time_ms(until))
    return {(row["unit"], row["service"]): row["quantity"] for row in world.book_lines()}


def test_reactive_condenser_spill_and_reserve_equal_hand_workings() -> None:
    lines = books("reactive_order.toml", "2026-03-13T00:00:00+08:00")
    # 09-10: (265 − 225) × 1 h = 40. 10-10:30: voltage 501 below 505 and 265 below 320 − 1: nothing.
    # 10:30-11: 319.5 is within 1 Mvar of the limit: (319.5 − 225) × 0.5 h = 47.25.
    assert lines["coal-1", "reactive_lag"] == "87.250000"
    assert lines["coal-1", "reactive_lead"] == "0.000000"
    # 01:20:00.5 to 03:00:00, where the order ends: 1 h 39 min 59.5 s = 5999.5 s.
    assert lines["hydro-1", "condenser_run"] == "1.666528"
    assert lines["hydro-1", "condenser_start"] == "1.000000"
    # 04:30:00 to 05:30:00.125.
    assert lines["hydro-1", "hydro_spill"] == "1.000035"
    # Peak hours 08:00-11:00 inside the row: 3 h × 100 MW.
    assert lines["coal-2", "spinning_reserve"] == "300.000000"


def test_one_of_two_start_stops_lies_within_24_h() -> None:
    lines = books("start_stop.toml", "2026-03-13T00:00:00+08:00")
    assert lines["gas-1", "gas_start_stop"] == "1.000000"


def test_a_unit_under_droop_answers_a_frequency_event() -> None:
    scenario = load_scenario(CONFIG / "scenarios" / "bad_month.toml")
    world = World(scenario, Board())
    start = parse_time_ms("2026-03-21T03:30:00+08:00")
    coal = world.units()[0]
    world.advance(start - 60_000)
    before = coal.moment.power_kw - coal.moment.plan_kw
    world.advance(start + 4 * 60_000)
    after = coal.moment.power_kw - coal.moment.plan_kw
    # About 90 mHz over, 33 mHz dead band, droop 0.05: −57 mHz ÷ (50 Hz · 0.05) · 660 MW = −15 MW, plus or minus AGC.
    assert after - before < -5_000


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_each_scenario_starts_from_a_folder_of_its_own(path: Path, tmp_path: Path) -> None:
    instance = instantiate(path, tmp_path / "run")
    scenario = load_scenario(instance.scenario_file)
    assert scenario.agent_file == instance.agent_file
    assert len(load_agent(instance.agent_file).settings.device) == (3 if path.stem == "pumped_storage" else 11)
    world = World(scenario, Board())
    world.advance(scenario.run.start_ms + DAY_MS)
    write_inputs(scenario, tmp_path / "inputs")
    assert (tmp_path / "inputs" / "orders.csv").is_file()


def test_the_faults_of_the_bad_month_name_devices_that_exist() -> None:
    scenario = load_scenario(CONFIG / "scenarios" / "bad_month.toml")
    devices = frozenset(device.id for device in load_agent(scenario.agent_file).settings.device)
    assert len(load_faults(CONFIG / "scenarios" / "bad_month_faults.toml", devices)) == 5


def test_a_scenario_that_changes_what_its_base_lacks_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(
        f'base = "{CONFIG / "demo" / "plant.toml"}"\n'
        'event = [{ at = "2026-03-01T00:00:00", unit = "coal-9", quantity = "on_grid", value = "1" }]\n',
        "utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_scenario(file)
    assert [p.key for p in caught.value.problems] == ["event[1].unit", "event[1].at"]
    file.write_text(f'base = "{CONFIG / "demo" / "plant.toml"}"\n[[unit]]\nid = "coal-9"\n', "utf-8")
    with pytest.raises(ConfigError, match="the base has no unit 'coal-9'"):
        load_scenario(file)


def test_a_base_that_leads_back_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('base = "b.toml"\n', "utf-8")
    (tmp_path / "b.toml").write_text('base = "a.toml"\n', "utf-8")
    with pytest.raises(ConfigError, match="leads back to itself"):
        load_scenario(tmp_path / "a.toml")
