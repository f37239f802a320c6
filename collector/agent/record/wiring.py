# SPDX-License-Identifier: GPL-3.0-or-later
"""Objects made from the configuration: sources for the recorder, channels and jobs for polling. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from collector.agent.device.factory import DeviceOnLine
from collector.agent.record.poll import Channel, Job, Sink
from collector.agent.record.recorder import layouts_of
from collector.agent.record.sources import QuantitySource
from collector.base.clock import Clock
from collector.model.record import UnitLayout
from collector.points import Point
from collector.points.agent_config import AgentConfig, AgentSettings
from collector.wire import Signer, load_signing_key


def point_period_ms(settings: AgentSettings, built: DeviceOnLine, point: Point) -> int:
    """Polling period of a point: its own, the device's, or the record period; of 101 and 104 when they change."""
    if point.period_s is None or built.settings.is_telecontrol:
        return round((built.settings.period_s or settings.gateway.record_period_s) * 1000)
    return max(1, round(point.period_s * 1000))


def sources_of(config: AgentConfig, devices: Sequence[DeviceOnLine]) -> list[QuantitySource]:
    """The sources of all quantities of all units, each with the greatest age of a usable value."""
    gateway = config.settings.gateway
    sources = []
    for built in devices:
        for point in built.device.points:
            if point.guard:
                continue
            period_ms = max(point_period_ms(config.settings, built, point), gateway.record_period_ms)
            unit = point.unit or built.settings.unit
            sources.append(QuantitySource(point, unit, gateway.stale_after_periods * period_ms, built.settings.id))
    return sources


def channels_of(config: AgentConfig, devices: Sequence[DeviceOnLine], clock: Clock, sink: Sink) -> list[Channel]:
    """One channel per line, with a job per device and period; guard points are read with every job of their device."""
    lines: dict[str, list[DeviceOnLine]] = {}
    for built in devices:
        lines.setdefault(built.line, []).append(built)
    channels = []
    for line, sharing in lines.items():
        jobs = []
        for built in sharing:
            guards = [p for p in built.device.points if p.guard]
            periods: dict[int, list[Point]] = {}
            for point in built.device.points:
                if not point.guard:
                    periods.setdefault(point_period_ms(config.settings, built, point), []).append(point)
            for period_ms, points in sorted(periods.items()):
                # Slaves on a shared line share the period as time budget; a slave alone on its line has all of it.
                budget_s = max(2 * built.settings.timeout_s, period_ms / 1000 / len(sharing))
                backoff_s, units = built.settings.backoff_max_s, (built.settings.unit,)
                wanted = (*guards, *points)
                if wanted == built.device.points:  # where all points are read together, no second tuple is made
                    wanted = built.device.points
                job = Job(built.device, wanted, period_ms, budget_s, backoff_s, units)
                job.at_once = built.settings.is_telecontrol
                jobs.append(job)
        channels.append(Channel(line, jobs, clock, sink))
    return channels


def layouts_with_all_units(config: AgentConfig, sources: Sequence[QuantitySource]) -> dict[str, UnitLayout]:
    """The layout of every configured unit; a unit without points has no quantities."""
    return {unit.id: UnitLayout(unit.id, ()) for unit in config.settings.unit} | layouts_of(sources)


def plants_of_unit(config: AgentConfig) -> Mapping[str, str]:
    """The plant of each unit."""
    return {unit.id: unit.plant for unit in config.settings.unit}


def load_signers(config: AgentConfig) -> dict[str, Signer | None]:
    """The signing key of each plant; None where the configuration names none.

    Raises:
        ConfigError: a key file is missing or holds no key.
    """
    return {
        plant.id: load_signing_key(config.resolve(plant.signing_key_file)) if plant.signing_key_file else None
        for plant in config.settings.plant
    }
