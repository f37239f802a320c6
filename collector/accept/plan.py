# SPDX-License-Identifier: GPL-3.0-or-later
"""PLAN.toml: the agent under test, the duration of each step, the limits, and the parties of the acceptance.

The plan selects one of three modes. With `[simulate]` the devices are simulated, their true values are known and faults
can be injected. Without it the agent is started against the real devices. With `start = false` the agent runs already:
only its status is read, and nothing is started, cut or killed.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from collector.accept.outcome import CHECKS
from collector.base.config import Section, load_settings
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.points.agent_config import AgentConfig, load_agent

DecimalText = Annotated[str, Field(pattern=r"^\d+(\.\d+)?$")]


class ReportCover(Section):
    """`[acceptance]`: the cover of the report. `out`: folder of reports, relative to the working directory."""

    kind: Literal["factory", "site"]
    project: str = ""
    site: str = ""
    supplier: str = ""
    tested_by: str = ""
    witnessed_by: str = ""
    out: str = "acceptance"


class UnderTest(Section):
    """`[under_test]`: the agent. Empty with `[simulate]`: the one that the scenario names."""

    agent: str = ""
    start: bool = True


class Simulate(Section):
    """`[simulate]`: `scenario` is a PLANT.toml. `driven`: simulated time, as fast as all processes can work, values
    comparable to the last digit; `real`: real time, to test that periods are kept.
    """

    scenario: str
    time: Literal["driven", "real"] = "driven"


class StepDurations(Section):
    """`[steps]`: duration of the steps. Cycles are record periods; seconds are in the time of the records.

    `silence_device`: the device to silence; empty: the first whose loss can be seen in the records.
    """

    cycles: Annotated[int, Field(ge=10, le=100_000)] = 120
    silence_device: str = ""
    silence_cycles: Annotated[int, Field(ge=10, le=10_000)] = 30
    network_cut_s: Annotated[int, Field(ge=10, le=86_400)] = 300
    broker_down_s: Annotated[int, Field(ge=10, le=86_400)] = 120
    kills: Annotated[int, Field(ge=1, le=200)] = 3


class PassLimits(Section):
    """`[limits]`: limits for a pass. A record that is lost without a gap record, doubled or invented never passes."""

    missing_records: Annotated[int, Field(ge=0)] = 0
    usable_ratio: DecimalText = "1"
    value_tolerance_ratio: DecimalText = "0.0001"
    change_time_ms: Annotated[int, Field(ge=0)] = 0
    read_time_ratio: DecimalText = "0.8"
    clock_synchronised: bool = True
    device_clock_offset_ms: Annotated[int, Field(ge=0)] = 1000
    buffer_hours: Annotated[int, Field(ge=0)] = 168
    catch_up_s: Annotated[int, Field(ge=1)] = 120


class Checks(Section):
    """`[checks]`: checks to leave out; the report names them."""

    leave_out: list[str] = []


class PlanSettings(Section):
    """The content of PLAN.toml."""

    schema_version: Literal[1] = Field(alias="schema")
    acceptance: ReportCover
    under_test: UnderTest = UnderTest()
    simulate: Simulate | None = None
    steps: StepDurations = StepDurations()
    limits: PassLimits = PassLimits()
    checks: Checks = Checks()


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked plan. `agent_file`: agent under test; `served_file`: that of the simulators, None: real devices."""

    path: Path
    settings: PlanSettings
    agent_file: Path
    served_file: Path | None
    scenario_file: Path | None

    @property
    def is_simulated(self) -> bool:
        """True if the devices are simulated, so that faults can be injected."""
        return self.scenario_file is not None

    @property
    def is_driven(self) -> bool:
        """True if time is simulated, so that the true values at every instant are known."""
        return self.settings.simulate is not None and self.settings.simulate.time == "driven"

    @property
    def starts(self) -> bool:
        """True if the acceptance starts the installation."""
        return self.settings.under_test.start

    def tolerance(self, truth: int) -> int:
        """Allowed distance of a stored integer from the truth, besides the steps of its register."""
        return int(abs(truth) * Decimal(self.settings.limits.value_tolerance_ratio))


def load_plan(path: Path) -> Plan:
    """Load PLAN.toml and check the files it needs.

    Raises:
        ConfigError: every problem, with its key.
    """
    settings = load_settings(path, PlanSettings)
    problems = [Problem(str(path), 0, key, message) for key, message in _problems(settings)]
    scenario = served = None
    agent = path.parent / settings.under_test.agent
    if settings.simulate is not None:
        scenario = path.parent / settings.simulate.scenario
        try:
            served = _served_file(scenario)
        except ConfigError as error:
            problems.extend(error.problems)
        else:
            agent = agent if settings.under_test.agent else served
            problems += _device_problems(str(path), settings, served)
    if problems:
        raise ConfigError(problems)
    return Plan(path, settings, agent, served, scenario)


def _problems(settings: PlanSettings) -> Iterable[tuple[str, str]]:
    codes = {each: check.code for check in CHECKS.values() for each in (check.code, check.name)}
    for index, code in enumerate(settings.checks.leave_out, 1):
        if code not in codes:
            yield f"checks.leave_out[{index}]", f"no check has this code or name; there are {', '.join(CHECKS)}"
    if settings.simulate is None and not settings.under_test.agent:
        yield "under_test.agent", "is missing: name an agent.toml, or simulate"
    if settings.simulate is not None and not settings.under_test.start:
        yield "under_test.start", "an agent that runs already can't be given simulated devices"
    if settings.simulate is not None and settings.acceptance.kind == "site":
        yield "simulate", "an acceptance on site is done on the devices of the site"
    if Decimal(settings.limits.usable_ratio) > 1:
        yield "limits.usable_ratio", f"is a share, at most 1, got {settings.limits.usable_ratio}"
    if settings.under_test.start:
        for module, extra in (("pyarrow", "center"), ("amqtt", "demo")):
            if importlib.util.find_spec(module) is None:
                remedy = f"pip install '.[{extra}]' in the checkout"
                yield "under_test.start", f"needs {module} to start a trial center: {remedy}"


def _served_file(scenario: Path) -> Path:
    """The agent.toml that a scenario serves; both files are checked."""
    from simulators.plant.scenario import load_scenario

    loaded = load_scenario(scenario)
    load_agent(loaded.agent_file)
    return loaded.agent_file


def _device_problems(file: str, settings: PlanSettings, served: Path) -> list[Problem]:
    name, known = settings.steps.silence_device, [device.id for device in load_agent(served).settings.device]
    if not name or name in known:
        return []
    message = tr("no simulated device has id {name!r}; there are {names}", name=name, names=", ".join(known))
    return [Problem(file, 0, "steps.silence_device", message)]


def longest_period_ms(config: AgentConfig) -> int:
    """The longest polling period of all devices, ms; 104 devices, which report spontaneously, do not count."""
    base_s = config.settings.gateway.record_period_s
    return round(max((d.period_s or base_s) for d in config.settings.device) * 1000)
