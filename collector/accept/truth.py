# SPDX-License-Identifier: GPL-3.0-or-later
"""The true values of the simulated plant: its seeded simulation is run again, without sockets, agent or codec.

Also the allowed distance of a reading from them: register steps, dead bands, the age of values that are read rarely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Final

from collector.accept.layout import tagged_statuses
from collector.model.quantity import BY_NAME
from collector.points import RAW_UNITS, Point
from collector.points.agent_config import AgentConfig, DeviceConfig

Values = Mapping[tuple[str, str], int | None]
_FLOAT32_STEP: Final = 2**-22  # relative: one of its 24 bits, up or down


@dataclass(frozen=True, slots=True)
class TrueSource:
    """The source of a quantity of a unit. `step`: one step of its register, in stored integers."""

    device: str
    point: str
    backup: bool
    period_ms: int
    step: int
    relative: float

    def tolerance(self, truth: int) -> int:
        """Allowed distance of a correct reading from the true stored integer."""
        return self.step + int(abs(truth) * self.relative)


@dataclass
class Truth:
    """True values per record instant; switches of tagged statuses, in order; instants of all switches."""

    ticks: dict[int, dict[tuple[str, str], int | None]] = field(default_factory=dict)
    switches: list[tuple[int, str, str, int]] = field(default_factory=list)  # (time, unit, quantity, value)
    instants: set[tuple[int, str]] = field(default_factory=set)  # (time, unit)


def sources_of(config: AgentConfig) -> dict[tuple[str, str], list[TrueSource]]:
    """The sources of every recorded (unit, quantity), the primary source first."""
    found: dict[tuple[str, str], list[TrueSource]] = {}
    for device in config.settings.device:
        for point in config.points[device.id]:
            if point.quantity:
                found.setdefault((point.unit or device.unit, point.quantity), []).append(_source(config, device, point))
    for sources in found.values():
        sources.sort(key=lambda source: source.backup)
    return found


def _source(config: AgentConfig, device: DeviceConfig, point: Point) -> TrueSource:
    period_s: Fraction | float = device.period_s or config.settings.gateway.record_period_s
    if point.period_s and not device.is_telecontrol:
        period_s = point.period_s
    if device.is_telecontrol:
        period_s = config.settings.gateway.record_period_s  # the device reports spontaneously
    factor = abs(RAW_UNITS[point.raw_unit][1]) * BY_NAME[point.quantity].scale
    raw_step = abs(point.scale)
    if device.protocol.startswith("dlt645"):
        from simulators.faces.dlt645 import layout_of

        layout = layout_of(point.address)
        raw_step = raw_step / 10 ** (layout.decimals if layout else 0)
    elif device.protocol.startswith("dlt698"):
        from simulators.faces.dlt698 import layout_of as attribute_of

        attribute = attribute_of(point.address)
        raw_step = raw_step / 10 ** (attribute.decimals if attribute else 0)
    is_float = point.type.startswith("float") or point.area in ("13", "36", "9", "21", "34")
    step = -(-(0 if is_float and not device.protocol.startswith("dlt") else raw_step) * factor // 1)
    dead_band = -(-(point.deadband or 0) * abs(point.scale) * factor // 1)
    relative = _FLOAT32_STEP if is_float else 0.0
    return TrueSource(device.id, point.name, point.backup, round(period_s * 1000), int(step + dead_band) + 1, relative)


def go_through(scenario_file: Path, config: AgentConfig, *, until_ms: int) -> Truth:
    """Run the simulation again up to an instant.

    Args:
        scenario_file: the scenario that the simulators played.
        config: the agent under test: its record period, units and quantities.
        until_ms: last instant, UTC ms.
    """
    from simulators.plant.plant import World
    from simulators.plant.scenario import load_scenario
    from simulators.plant.signals import Board

    scenario = load_scenario(scenario_file)
    world = World(scenario, board := Board())
    period_ms = config.settings.gateway.record_period_ms
    wanted = list(sources_of(config))
    tagged = set(tagged_statuses(config))
    found = Truth()
    every = [switch for schedule in world.schedules.values() for switch in schedule.switches]
    found.instants = {(switch.time_ms, switch.unit) for switch in every if switch.time_ms <= until_ms}
    first_ms = scenario.run.start_ms // period_ms * period_ms + period_ms
    ticks = set(range(first_ms, until_ms + 1, period_ms))
    for time_ms in sorted({time_ms for time_ms, _ in found.instants} | ticks):
        before = {key: board.signal(*key).value for key in tagged}
        world.advance(time_ms)
        for unit, quantity in sorted(tagged):
            value = board.signal(unit, quantity).value
            if value is not None and value != before[unit, quantity]:
                found.switches.append((time_ms, unit, quantity, value))
        if time_ms in ticks:
            found.ticks[time_ms] = {key: board.signal(*key).value for key in wanted}
    return found


def value_at(scenario_file: Path, at_ms: int, keys: Sequence[tuple[str, str]]) -> Values:
    """The plant's true values at one instant."""
    from simulators.plant.plant import World
    from simulators.plant.scenario import load_scenario
    from simulators.plant.signals import Board

    world = World(load_scenario(scenario_file), board := Board())
    world.advance(at_ms)
    return {key: board.signal(*key).value for key in keys}
