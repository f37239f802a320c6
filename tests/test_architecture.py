# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports point one way, and each protocol library is imported in one place."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# part -> what of ours it may import (itself always). The longest matching prefix decides.
ALLOWED: dict[str, set[str]] = {
    "collector": set(),  # the package docstring
    "collector.base.errors": set(),
    "collector.base.clock_state": set(),
    "collector.model": {"collector.base.errors", "collector.base.clock_state"},
    "collector.base.tasks": set(),
    "collector.base.mqtt": {"collector.base.config", "collector.base.errors"},
    "collector.base.resources": set(),
    "collector.base.cycles": set(),
    "collector.base.notify": set(),
    "collector.base.clock": {"collector.base.errors", "collector.base.clock_state"},
    "collector.points": {"collector.base.errors", "collector.model", "collector.base.config"},
    "collector.base.config": {"collector.base.errors"},
    "collector.wire": {"collector.base.errors", "collector.model"},
    "collector.tables": {"collector.base.errors", "collector.model"},
    # a settlement folder read: what `collector settle` and the center compute from
    "collector.tables.folder": {"collector.base.errors", "collector.model", "collector.tables", "collector.settlement"},
    "collector.agent": {"collector.base.errors", "collector.model", "collector.base.clock", "collector.points",
                        "collector.base.config", "collector.wire", "collector.base.tasks", "collector.base.mqtt", "collector.base.notify"},
    # 对点: the agent's drivers read, the sheets are written as the statement's are
    "collector.verify": {"collector.base.errors", "collector.model", "collector.base.clock", "collector.points",
                         "collector.base.config", "collector.agent", "collector.report"},
    "collector.center": {"collector.base.errors", "collector.model", "collector.base.clock", "collector.base.config",
                         "collector.wire", "collector.tables", "collector.base.tasks", "collector.base.mqtt", "collector.base.notify"},
    "collector.settlement": {"collector.base.errors", "collector.model"},
    "collector.report": {"collector.base.errors", "collector.model", "collector.settlement"},
    "simulators": {"collector.base.errors", "collector.model", "collector.base.clock", "collector.points", "collector.base.config"},
    "collector.cli": {"collector", "simulators"},
    "collector.trial.processes": {"collector.base.errors"},
    # An acceptance holds all parts against each other, as the demo does, and so may know them all.
    "collector.accept": {"collector.base.errors", "collector.model", "collector.base.clock", "collector.points",
                         "collector.base.config", "collector.wire", "collector.agent", "collector.center",
                         "collector.trial.processes", "simulators"},
    # Where the store and the settlement meet (docs/decisions/0012): what receives knows nothing of what is computed.
    "collector.center.month": {"collector.base.errors", "collector.model", "collector.base.clock", "collector.base.config",
                               "collector.tables.folder", "collector.tables", "collector.center", "collector.settlement",
                               "collector.report", "collector.base.resources", "collector.base.cycles"},
    "collector.center.web": {"collector.base.errors", "collector.model", "collector.base.clock", "collector.base.config",
                             "collector.tables.folder", "collector.tables", "collector.center", "collector.settlement",
                             "collector.report", "collector.base.resources"},
    "collector.center.app": {"collector"},
}  # fmt: skip
for _may in ALLOWED.values():  # a record carries the clock's state
    if "collector.model" in _may:
        _may.add("collector.base.clock_state")

# library -> the only files that may import it
HOMES: dict[str, set[str]] = {
    "pymodbus": {"collector/agent/device/modbus/driver.py"},
    "c104": {"collector/agent/device/iec104/link.py"},
    "serialx": {"collector/agent/device/serial.py", "simulators/"},
    "sqlalchemy": {"collector/center/"},
    "argon2": {"collector/center/people/accounts.py"},
    "litestar": {"collector/center/web/"},
    "granian": {"collector/center/web/server/serve.py"},
    "amqtt": {"collector/trial/broker.py"},
    "alembic": {"collector/center/migrations/"},
}

# what the settlement must not know of: it is pure and synchronous
FORBIDDEN_IN_SETTLEMENT = {"asyncio", "sqlite3", "logging", "time", "os", "socket", "threading", "random"}


def modules() -> Iterator[tuple[str, str, set[str]]]:
    """(dotted name, path, imported dotted names) of each module of the product."""
    for top in ("collector", "simulators"):
        for path in sorted((ROOT / top).rglob("*.py")):
            relative = path.relative_to(ROOT)
            name = ".".join(relative.with_suffix("").parts).removesuffix(".__init__")
            yield name, relative.as_posix(), imports(path, name)


def imports(path: Path, name: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: write the whole name of an import"
            module = node.module or ""
            folder = ROOT.joinpath(*module.split("."))
            for (
                alias
            ) in node.names:  # `from collector import wire` names a module, `from collector.wire import Ack` not
                is_module = (folder / alias.name).is_dir() or (folder / f"{alias.name}.py").is_file()
                found.add(f"{module}.{alias.name}" if is_module else module)
    return found


def part_of(name: str) -> str:
    return max((p for p in ALLOWED if name == p or name.startswith(p + ".")), key=len)


@pytest.mark.parametrize(("name", "path", "imported"), [pytest.param(*m, id=m[0]) for m in modules()])
def test_imports_point_one_way(name: str, path: str, imported: set[str]) -> None:
    part = part_of(name)
    for target in sorted(i for i in imported if i.split(".")[0] in ("collector", "simulators")):
        near = part_of(target)
        fine = near == part or any(near == a or near.startswith(a + ".") for a in ALLOWED[part])
        assert fine or (part == "collector.center.app"), f"{name} must not import {target}"
        if part.startswith("collector.center") and near == "collector.center.app" and part != near:
            pytest.fail(f"{name} must not import {target}")
    del path


@pytest.mark.parametrize(("name", "path", "imported"), [pytest.param(*m, id=m[0]) for m in modules()])
def test_each_protocol_library_lives_in_one_place(name: str, path: str, imported: set[str]) -> None:
    for library, homes in HOMES.items():
        if any(i.split(".")[0] == library for i in imported):
            assert any(path.startswith(home) for home in homes), f"{name} imports {library}"


def test_the_settlement_is_pure() -> None:
    for name, _, imported in modules():
        if name.startswith("collector.settlement"):
            assert not {i.split(".")[0] for i in imported} & FORBIDDEN_IN_SETTLEMENT, name


def test_the_model_needs_the_standard_library_only() -> None:
    import sys

    for name, _, imported in modules():
        if name.startswith("collector.model"):
            outside = {i.split(".")[0] for i in imported} - set(sys.stdlib_module_names) - {"collector"}
            assert not outside, f"{name} imports {outside}"
