# SPDX-License-Identifier: GPL-3.0-or-later
"""A new configuration while the agent runs (SIGHUP): first checked as a whole, then only the differences are applied.

Devices, points and units may change. All the rest (gateway, broker, uplink, buffer, plants) needs a restart: a reload
that changes it is refused, so that nobody thinks it is in force. A line with unchanged devices keeps running with its
connections; the others are closed and opened again, and their last values stay valid as long as they are fresh.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from collector.agent.device.factory import DeviceOnLine, line_name
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.points import Point
from collector.points.agent_config import AgentConfig, DeviceConfig, load_agent

_FIXED: Final = ("gateway", "mqtt", "uplink", "buffer", "plant")

Described = tuple[DeviceConfig, tuple[Point, ...]]


def load_again(path: Path, running: AgentConfig) -> AgentConfig:
    """The configuration on the disk now.

    Raises:
        ConfigError: every problem in it, and every change that needs a restart.
    """
    # Imported at the first reload: it imports the drivers of every protocol, and most gateways use one or two.
    from collector.agent.operate.config_check import find_problems

    found = load_agent(path)
    problems = find_problems(found, str(path))
    problems += [
        Problem(str(path), 0, key, tr("has changed, which takes a restart: systemctl restart collector-agent"))
        for key in _FIXED
        if getattr(found.settings, key) != getattr(running.settings, key)
    ]
    if problems:
        raise ConfigError(problems)
    return found


def kept_lines(before: AgentConfig, after: AgentConfig) -> set[str]:
    """Lines whose devices and points are the same in both configurations."""
    old, new = _lines(before), _lines(after)
    return {line for line, described in new.items() if old.get(line) == described}


def _lines(config: AgentConfig) -> Mapping[str, list[Described]]:
    lines: dict[str, list[Described]] = {}
    for device in config.settings.device:
        lines.setdefault(line_name(device), []).append((device, config.points[device.id]))
    return lines


def merge_devices(running: Sequence[DeviceOnLine], fresh: Sequence[DeviceOnLine], kept: set[str]) -> list[DeviceOnLine]:
    """The devices of the new configuration; on kept lines, the running ones."""
    old = {built.settings.id: built for built in running}
    return [old[built.settings.id] if built.line in kept else built for built in fresh]
