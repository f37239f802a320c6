# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts of a run besides its checks: people, place, machine, files."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from collector import __version__
from collector.accept.run import Acceptance
from collector.base.errors import ConfigError
from collector.points.agent_config import load_agent

_PACKAGES = ("pymodbus", "c104", "serialx", "aiomqtt", "pyarrow", "amqtt")


@dataclass(frozen=True, slots=True)
class Fact:
    """One line in the head of the report."""

    key: str
    zh: str
    en: str
    value: str


def facts_of(acceptance: Acceptance, *, started: str, ended: str) -> list[Fact]:
    """The facts in the order of the report."""
    settings = acceptance.plan.settings
    cover = settings.acceptance
    kinds = {"factory": "出厂验收 FAT", "site": "现场验收 SAT"}
    how = "模拟装置 simulated devices" if acceptance.plan.is_simulated else "实际装置 real devices"
    if settings.simulate is not None:
        how += f", {'模拟时间 simulated time' if acceptance.plan.is_driven else '实际时间 real time'}"
    if not acceptance.plan.starts:
        how += ", 已运行的采集进程 an agent that runs already"
    gateway = "" if acceptance.config is None else acceptance.config.settings.gateway.id
    machine = f"{platform.node()}, {platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPU"
    return [
        Fact("kind", "类别", "kind", kinds[cover.kind]),
        Fact("project", "项目", "project", cover.project),
        Fact("site", "地点", "site", cover.site),
        Fact("supplier", "供方", "supplier", cover.supplier),
        Fact("tested_by", "试验人", "tested by", cover.tested_by),
        Fact("witnessed_by", "见证人", "witnessed by", cover.witnessed_by),
        Fact("gateway", "网关", "gateway", gateway),
        Fact("devices", "装置", "devices", how),
        Fact("started", "开始", "started", started),
        Fact("ended", "结束", "ended", ended),
        Fact("machine", "计算机", "machine", machine),
        Fact("versions", "版本", "versions", ", ".join(f"{k} {v}" for k, v in versions().items())),
    ]


def versions() -> dict[str, str]:
    """The versions of the installed packages that matter."""
    found = {"collector": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def hashes(acceptance: Acceptance) -> Mapping[str, str]:
    """SHA-256 of the plan, the configuration and the point tables under test, and the scenario."""
    plan = acceptance.plan
    paths = [plan.path, plan.agent_file, *_tables(plan.agent_file)]
    if plan.served_file is not None and plan.scenario_file is not None:
        paths += [plan.scenario_file, plan.served_file, *_tables(plan.served_file)]
    return {str(path.resolve()): _sha256(path) for path in dict.fromkeys(paths) if path.is_file()}


def _tables(agent_file: Path) -> Iterator[Path]:
    try:
        devices = load_agent(agent_file).settings.device
    except ConfigError:
        return
    yield from dict.fromkeys(agent_file.parent / device.points for device in devices)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
