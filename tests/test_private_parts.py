# SPDX-License-Identifier: GPL-3.0-or-later
"""Private parts of libraries in use stand in docs/extend.md, each with the test that fails when a release moves it."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from pymodbus.transport import ModbusProtocol

ROOT: Final = Path(__file__).parents[1]
PAGES: Final = ("docs/extend.md", "docs/extend.zh-CN.md")
# Named tuples and the operating system: documented, though they begin with an underscore.
DOCUMENTED: Final = frozenset({"_replace", "_make", "_asdict", "_exit", "_is_protocol", "_is_runtime_protocol"})
# What pymodbus's transport has is not documented; its callbacks are those of asyncio and of its own base class.
PYMODBUS: Final = "ModbusProtocol"


def listed(page: str) -> dict[tuple[str, str], str]:
    """(file, private name) with the test file of its row."""
    rows = re.findall(
        r"^\| [^|]+ \| ([^|]+) \| `(collector/[^`]+\.py)` \| [^|]+ \| `(tests/[^`]+\.py)` \|$", text(page), re.MULTILINE
    )
    return {(place, name): test for names, place, test in rows for name in re.findall(r"`([\w.]+)`", names)}


def text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


@functools.cache
def in_use() -> frozenset[tuple[str, str]]:
    """Names with an underscore that no file of ours defines for it, and methods of a library that we put ours over."""
    found = set()
    for path in sorted((ROOT / "collector").rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        place, tree = path.relative_to(ROOT).as_posix(), ast.parse(path.read_text("utf-8"))
        ours = DOCUMENTED.union(defined(tree), inherited(name))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and not node.module.startswith("collector"):
                found |= {(place, part) for part in node.module.split(".") if re.fullmatch(r"_[^_].*", part)}
            if not isinstance(node, ast.Attribute):
                continue
            if node.attr.startswith("_") and not node.attr.startswith("__") and node.attr not in ours:
                found.add((place, node.attr))
            if ast.unparse(node.value) == "ctypes.pythonapi":  # what it does to states is another library's own matter
                found.add((place, f"pythonapi.{node.attr}"))
        found |= {(place, private) for private in overridden(name)}
        if PYMODBUS in path.read_text("utf-8"):
            theirs = set(defined(ast.parse(inspect.getsource(ModbusProtocol))))
            used = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "self"}
            own = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
            found |= {(place, f"{PYMODBUS}.{n}") for n in used & theirs - own}
    return frozenset(found)


def defined(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__slots__":
            yield from ast.literal_eval(node.value)


def inherited(name: str) -> Iterator[str]:
    """Names that other files of ours define for a class of this file: a driver of a meter uses those of every meter."""
    if ".migrations" in name or name.endswith("__main__"):
        return
    for ours in vars(importlib.import_module(name)).values():
        if isinstance(ours, type) and ours.__module__ == name:
            for above in ours.__mro__[1:]:
                if above.__module__.startswith("collector"):
                    yield from defined_in(above.__module__)


@functools.cache
def defined_in(name: str) -> frozenset[str]:
    return frozenset(defined(ast.parse(inspect.getsource(importlib.import_module(name)))))


def overridden(name: str) -> Iterator[str]:
    """Private methods of a class of ours that a library's class above it has, too."""
    if ".migrations" in name or name.endswith("__main__"):
        return
    module = importlib.import_module(name)
    for ours in vars(module).values():
        if isinstance(ours, type) and ours.__module__ == name:
            theirs = {
                n for above in ours.__mro__[1:] if not above.__module__.startswith("collector") for n in vars(above)
            }
            private = {n for n in vars(ours).keys() & theirs if re.fullmatch(r"_[^_](.*[^_])?", n)}
            yield from private - DOCUMENTED - {"_abc_impl"}


@pytest.mark.parametrize("page", PAGES)
def test_the_page_names_every_private_part_in_use_and_no_other(page: str) -> None:
    assert in_use() == listed(page).keys()


@pytest.mark.parametrize("page", PAGES)
def test_each_has_a_test_that_guards_it(page: str) -> None:
    assert [test for test in listed(page).values() if not (ROOT / test).exists()] == []
    assert listed(page) == listed(PAGES[0])


def test_a_name_of_a_library_would_be_found() -> None:
    assert set(defined(ast.parse("class A:\n    def _own(self): return self._theirs\n"))) == {"A", "_own"}
    assert "_answer" in set(inherited("collector.agent.device.dlt645.driver"))
    assert "_write_rows" not in set(inherited("collector.report.sheets"))
    assert Path(listed(PAGES[0])["collector/report/sheets.py", "_write_rows"]).name == "test_text_rows.py"
