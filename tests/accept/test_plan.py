# SPDX-License-Identifier: GPL-3.0-or-later
"""PLAN.toml: refused with every problem at once; the shipped one shows every key with its default."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from collector.accept.layout import lay_out, tagged_statuses, toml_text
from collector.accept.outcome import CHECKS
from collector.accept.plan import Checks, PassLimits, ReportCover, StepDurations, UnderTest, load_plan
from collector.base.errors import ConfigError
from collector.points.agent_config import load_agent
from simulators.plant.scenario import load_scenario

CONFIG = Path(__file__).parents[2] / "config"
SHIPPED = CONFIG / "accept.toml"


def test_a_plan_is_refused_with_every_problem_at_once(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'schema = 2\n[acceptance]\nkind = "somewhere"\n[steps]\ncycls = 5\nkills = 0\n[limits]\nusable_ratio = "-1"\n',
        "utf-8",
    )
    with pytest.raises(ConfigError) as refused:
        load_plan(plan)
    messages = {problem.key: problem.message for problem in refused.value.problems}
    assert set(messages) == {"schema", "acceptance.kind", "steps.cycls", "steps.kills", "limits.usable_ratio"}
    assert messages["steps.cycls"] == "unknown key; did you mean 'cycles'?"


def test_what_a_plan_can_not_mean_is_refused_at_once_too(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f'schema = 1\n[acceptance]\nkind = "site"\n[under_test]\nstart = false\n'
        f'[simulate]\nscenario = "{CONFIG / "accept" / "plant.toml"}"\n'
        '[steps]\nsilence_device = "governor-3"\n[checks]\nleave_out = ["A04", "silense"]\n',
        "utf-8",
    )
    with pytest.raises(ConfigError) as refused:
        load_plan(plan)
    keys = {problem.key for problem in refused.value.problems}
    assert keys == {"under_test.start", "simulate", "steps.silence_device", "checks.leave_out[2]"}


def test_without_simulators_an_agent_must_be_named(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text('schema = 1\n[acceptance]\nkind = "site"\n', "utf-8")
    with pytest.raises(ConfigError, match=r"under_test\.agent: is missing"):
        load_plan(plan)


@pytest.mark.parametrize(
    ("section", "model"),
    [
        ("acceptance", ReportCover),
        ("under_test", UnderTest),
        ("steps", StepDurations),
        ("limits", PassLimits),
        ("checks", Checks),
    ],
)
def test_the_shipped_plan_shows_every_key_with_its_default(section: str, model: type[BaseModel]) -> None:
    shown = tomllib.loads(SHIPPED.read_text("utf-8"))[section]
    assert set(shown) == set(model.model_fields)
    if section in ("steps", "limits", "checks"):
        assert shown == model().model_dump()


def test_codes_and_names_are_unique_and_in_order() -> None:
    assert list(CHECKS) == [f"A{number:02d}" for number in range(1, len(CHECKS) + 1)]
    assert len({check.name for check in CHECKS.values()}) == len(CHECKS)


def test_the_run_changes_places_and_waits_and_lists_each(tmp_path: Path) -> None:
    plan = load_plan(SHIPPED)
    layout = lay_out(plan, tmp_path, 4711)
    asked, served = layout.config.settings, load_agent(layout.agent_file.parent / "served.toml").settings
    sample = load_agent(CONFIG / "agent.toml").settings
    assert {device.id: device.port for device in asked.device} == {device.id: device.port for device in served.device}
    assert all(device.host == "127.0.0.1" for device in asked.device if not device.serial)
    assert [device.period_s for device in asked.device] == [device.period_s for device in sample.device]
    assert asked.gateway.record_period_s == sample.gateway.record_period_s
    assert asked.mqtt.port == 4711
    assert "device governor-1.host: 192.168.10.11 → 127.0.0.1" in layout.changes
    assert "device governor-1.timeout_s: 1.0 → 5.0" in layout.changes
    assert layout.scenario_file is not None
    events = load_scenario(layout.scenario_file).settings.event
    wanted = [(unit, name) for unit, name in tagged_statuses(layout.config) for _ in range(2)]
    assert [(event.unit, event.quantity) for event in events] == wanted
    assert [event.value for event in events] == ["0", "1"] * (len(wanted) // 2)  # all are in service at the beginning


def test_toml_is_written_as_it_is_read() -> None:
    data = {"a": 1, "b": '„"\\\n中', "c": [1, 2], "t": {"x": 1.5, "y": False, "z": []}, "r": [{"k": "v"}, {"k": "w"}]}
    assert tomllib.loads(toml_text(data)) == data
