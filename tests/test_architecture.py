# SPDX-License-Identifier: GPL-3.0-or-later
"""The house stands as its maps say: every module in a room, arrows only downwards, each foreign library in one place.

The maps are the tables in the docstrings of `collector` and of the rooms that have rooms of their own. They are read
here, so what a newcomer reads is what holds.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT = Path(__file__).parents[1]
MAPPED: Final = (
    "collector",
    "collector.agent",
    "collector.agent.device",
    "collector.center",
    "collector.center.runs",
    "collector.center.web",
    "collector.cli",
    "collector.settlement",
    "simulators",
)
EVERYWHERE: Final = frozenset({"base", "model"})
MOST_MODULES: Final = 15  # of a folder that a newcomer can take in; migrations are frozen and only grow
FROZEN: Final = "collector/center/db/migrations/versions"

# library -> the only places that may import it
HOMES: Final[dict[str, set[str]]] = {
    "pymodbus": {"collector/agent/device/modbus/"},
    "c104": {"collector/agent/device/iec104/link.py"},
    "serialx": {"collector/agent/device/serial.py", "simulators/"},
    "sqlalchemy": {"collector/center/"},
    "argon2": {"collector/center/people/passwords.py"},
    "litestar": {"collector/center/web/"},
    "granian": {"collector/center/web/server/serve.py"},
    "amqtt": {"collector/trial/broker.py"},
    "alembic": {"collector/center/db/migrations/"},
}

# what the settlement must not know of: it is pure and synchronous
FORBIDDEN_IN_SETTLEMENT: Final = {"asyncio", "sqlite3", "logging", "time", "os", "socket", "threading", "random"}


@dataclass(frozen=True)
class Room:
    """A row of a map. `name`: dotted; `allowed`: rooms of the house it may import, None for all of them."""

    name: str
    place: int
    allowed: frozenset[str] | None
    tests: Path


@functools.cache
def rooms_of(package: str) -> tuple[Room, ...]:
    """The rows of a package's map, in their order."""
    text = importlib.import_module(package).__doc__ or ""
    lines = text[text.index("\nroom  ") + 1 :].rstrip().splitlines()
    rows = []
    for place, line in enumerate(lines[1:]):
        name, _, allowed, tests = re.split(r"\s{2,}", line.strip())
        may = None if allowed == "everything" else frozenset(allowed.split()) - {"-"} | EVERYWHERE
        dotted = name.rstrip("/") if name == "simulators" else f"{package}.{name.rstrip('/')}"
        rows.append(Room(dotted, place, may, ROOT / "tests" / tests))
    return tuple(rows)


@functools.cache
def modules() -> dict[str, Path]:
    """Each module of the product by its dotted name."""
    found = {}
    for top in ("collector", "simulators"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = path
    return found


@functools.cache
def parts(path: Path) -> tuple[ast.Import | ast.ImportFrom | ast.ClassDef, ...]:
    """A file's imports and classes, however deep they stand; no expression holds any."""
    found: list[ast.Import | ast.ImportFrom | ast.ClassDef] = []
    left: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while left:
        node = left.pop()
        if isinstance(node, ast.Import | ast.ImportFrom | ast.ClassDef):
            found.append(node)
        for field in ("body", "orelse", "handlers", "finalbody", "cases"):
            inside = getattr(node, field, ())
            if isinstance(inside, list):  # a lambda's and a condition's body is an expression
                left += inside
    return tuple(found)


@functools.cache
def imports(name: str) -> frozenset[str]:
    """What a module imports, dotted; modules of ours by their own names."""
    found: set[str] = set()
    for node in parts(modules()[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: write the whole name of an import"
            for (
                alias
            ) in node.names:  # `from collector import wire` names a module, `from collector.wire import Ack` not
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in modules() else node.module or "")
    return frozenset(found)


def ours(name: str) -> list[str]:
    return sorted(i for i in imports(name) if i.split(".")[0] in ("collector", "simulators"))


def room_of(name: str, package: str) -> Room | None:
    """The row of a map that a module belongs to; None for the package itself and what lies outside."""
    return next((room for room in rooms_of(package) if name == room.name or name.startswith(room.name + ".")), None)


def house_room(name: str) -> str:
    """The room of the house, by its short name."""
    room = room_of(name, "collector")
    return room.name.removeprefix("collector.") if room else ""


def test_every_module_is_in_a_room_and_every_row_is_there_with_its_tests() -> None:
    wrong = []
    for package in MAPPED:
        for room in rooms_of(package):
            if room.name not in modules():
                wrong.append(f"{package}: no room {room.name}")
            if not room.tests.is_dir():
                wrong.append(f"{package}: {room.name} has its tests in {room.tests}, which is no folder")
        inside = (name for name in modules() if name.startswith(package + "."))
        wrong += [f"{package}: its map has no row for {name}" for name in inside if room_of(name, package) is None]
    assert not wrong, "\n".join(wrong)


def test_a_room_imports_what_its_row_allows() -> None:
    wrong = []
    for name in modules():
        for package in MAPPED:
            room = room_of(name, package)
            if room is None or room.allowed is None:
                continue
            for target in ours(name):
                other = room_of(target, package)
                if target == "collector" or other == room or target == package:
                    continue
                if package == "collector":
                    fine = house_room(target) in room.allowed
                elif other is not None:
                    fine = other.place < room.place
                else:  # outside: a room of the house, or what the room around this one may import
                    around = house_room(package)
                    fine = house_room(target) in (room.allowed | {around})
                if not fine:
                    wrong.append(f"{name} must not import {target}: {package} does not allow it to {room.name}")
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle() -> None:
    seen: dict[str, int] = {}
    path: list[str] = []

    def walk(name: str) -> None:
        seen[name] = 1
        path.append(name)
        for target in ours(name):
            if target in modules() and modules()[target].name != "__init__.py":
                assert seen.get(target) != 1, " → ".join([*path[path.index(target) :], target])
                if target not in seen:
                    walk(target)
        path.pop()
        seen[name] = 2

    for name in modules():
        if name not in seen:
            walk(name)


def test_no_folder_holds_more_than_a_newcomer_takes_in() -> None:
    count = Counter(path.parent for path in modules().values() if path.name != "__init__.py")
    crowded = {folder.relative_to(ROOT).as_posix(): n for folder, n in count.items() if n > MOST_MODULES}
    assert {folder for folder in crowded if folder != FROZEN} == set(), crowded


def test_each_foreign_library_lives_in_one_place() -> None:
    wrong = []
    for name, path in modules().items():
        place = path.relative_to(ROOT).as_posix()
        for library, homes in HOMES.items():
            if any(i.split(".")[0] == library for i in imports(name)) and not place.startswith(tuple(homes)):
                wrong.append(f"{name} imports {library}")
    assert not wrong, "\n".join(wrong)


def test_the_settlement_is_pure() -> None:
    for name in modules():
        if name.startswith("collector.settlement"):
            assert not {i.split(".")[0] for i in imports(name)} & FORBIDDEN_IN_SETTLEMENT, name


def test_the_model_needs_the_standard_library_only() -> None:
    for name in modules():
        if name.startswith("collector.model"):
            outside = {i.split(".")[0] for i in imports(name)} - set(sys.stdlib_module_names) - {"collector"}
            assert not outside, f"{name} imports {outside}"


def test_a_public_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for name, path in modules().items():
        if name.startswith("collector."):
            for node in parts(path):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(name)
    shared = {name: where for name, where in places.items() if len(where) > 1}
    assert not shared, shared


def test_no_test_imports_another_test() -> None:
    wrong = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in parts(path):
            if isinstance(node, ast.ImportFrom | ast.Import):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                if any(name.rsplit(".", 1)[-1].startswith("test_") for name in names):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not wrong, f"what tests share is no test: {wrong}"


def picture() -> str:
    """The house as the imports make it, for docs/extend.md: an arrow where no longer way leads there."""
    lines = ["```mermaid", "graph TD"]
    for package in ("collector", "collector.center", "collector.agent", "collector.settlement"):
        arrows: dict[str, set[str]] = {room.name: set() for room in rooms_of(package)}
        for name in modules():
            room = room_of(name, package)
            targets = (room_of(target, package) for target in ours(name))
            if room is not None:
                arrows[room.name] |= {target.name for target in targets if target is not None and target != room}
        short = package.rpartition(".")[2]
        lines.append(f"  subgraph {short}_rooms [{short}]")
        for name, targets_of in arrows.items():
            around = {further for target in targets_of for further in _reachable(target, arrows)}
            lines += [f"    {_node(name)} --> {_node(target)}" for target in sorted(targets_of - around)]
        lines.append("  end")
    return "\n".join([*lines, "```"])


def _reachable(name: str, arrows: dict[str, set[str]]) -> set[str]:
    return {further for target in arrows[name] for further in ({target} | _reachable(target, arrows))}


def _node(name: str) -> str:
    return name.removeprefix("collector.").replace(".", "_") + f"[{name.rpartition('.')[2]}]"


def test_the_picture_in_the_docs_is_the_house_as_it_stands() -> None:
    for page in ("extend.md", "extend.zh-CN.md"):
        assert picture() in (ROOT / "docs" / page).read_text("utf-8"), f"docs/{page} should hold:\n{picture()}"
