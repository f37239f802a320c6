# SPDX-License-Identifier: GPL-3.0-or-later
"""What the simulated plant knew: its seeded world gone through a second time, without sockets, agent or codec.

And how near a reading can come to it: the steps of a register, a dead band, the age of a value that is read rarely.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from collector.accept.layout import tagged_statuses
from collector.model.quantity import BY_NAME
from collector.points import RAW_UNITS, Point
from collector.points.agent_config import AgentConfig, Device

Values = Mapping[tuple[str, str], int | None]
_FLOAT32_STEP: Final = 2**-22  # relative: one bit of its 24, either way


@dataclass(frozen=True, slots=True)
class Source:
    """Where a quantity of a unit comes from. `step`: stored integers one step of its register is worth."""

    device: str
    point: str
    backup: bool
    period_ms: int
    step: int
    relative: float

    def tolerance(self, truth: int) -> int:
        """How far a true reading may be from the truth."""
        return self.step + int(abs(truth) * self.relative)


@dataclass
class Truth:
    """Per instant of a record every quantity; each switch of a tagged status, in order; all instants of any switch."""

    ticks: dict[int, dict[tuple[str, str], int | None]] = field(default_factory=dict)
    switches: list[tuple[int, str, str, int]] = field(default_factory=list)  # (time, unit, quantity, value)
    instants: set[tuple[int, str]] = field(default_factory=set)  # (time, unit)


def sources_of(config: AgentConfig) -> dict[tuple[str, str], list[Source]]:
    """Every (unit, quantity) that is recorded, its primary source first."""
    found: dict[tuple[str, str], list[Source]] = {}
    for device in config.settings.device:
        for point in config.points[device.id]:
            if point.quantity:
                found.setdefault((point.unit or device.unit, point.quantity), []).append(_source(config, device, point))
    for sources in found.values():
        sources.sort(key=lambda source: source.backup)
    return found


def _source(config: AgentConfig, device: Device, point: Point) -> Source:
    period_s = device.period_s or config.settings.gateway.record_period_s
    if point.period_s and device.protocol != "iec104":
        period_s = int(point.period_s)
    if device.protocol == "iec104":
        period_s = config.settings.gateway.record_period_s  # it reports by itself
    factor = abs(RAW_UNITS[point.raw_unit][1]) * BY_NAME[point.quantity].scale
    raw_step = abs(point.scale)
    if device.protocol.startswith("dlt645"):
        from simulators.faces.dlt645 import layout_of

        layout = layout_of(point.address)
        raw_step = raw_step / 10 ** (layout.decimals if layout else 0)
    is_float = point.type.startswith("float") or point.area in ("13", "36", "9", "21", "34")
    step = -(-(0 if is_float and not device.protocol.startswith("dlt645") else raw_step) * factor // 1)
    dead_band = -(-(point.deadband or 0) * abs(point.scale) * factor // 1)
    relative = _FLOAT32_STEP if is_float else 0.0
    return Source(device.id, point.name, point.backup, period_s * 1000, int(step + dead_band) + 1, relative)


def go_through(scenario_file: Path, config: AgentConfig, *, until_ms: int) -> Truth:
    """Everything that happens up to an instant.

    Args:
        scenario_file: what the simulators played.
        config: the agent under test: its record period, units and quantities.
        until_ms: UTC.
    """
    from simulators.plant.plant import World
    from simulators.plant.scenario import load_scenario
    from simulators.plant.signals import Board

    scenario = load_scenario(scenario_file)
    world = World(scenario, board := Board())
    period_ms = config.settings.gateway.record_period_s * 1000
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
    """What the plant knows at one instant."""
    from simulators.plant.plant import World
    from simulators.plant.scenario import load_scenario
    from simulators.plant.signals import Board

    world = World(load_scenario(scenario_file), board := Board())
    world.advance(at_ms)
    return {key: board.signal(*key).value for key in keys}
