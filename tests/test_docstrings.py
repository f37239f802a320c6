# SPDX-License-Identifier: GPL-3.0-or-later
"""The first line of a docstring names its subject: no "It", "What" or "Those" stands in its place.

Held in every room but those listed as not done; a room leaves the list once its lines are rewritten, and stays out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
NOT_DONE: Final = ("collector/center/web/routes.py",)
FROZEN: Final = "collector/center/db/migrations/versions/"
NO_SUBJECT: Final = re.compile(
    r"(It|Its|That|Those|These|This|Such|What|Whatever|Which|Who|Whoever|Nothing|Everything)\b(?!-)"
)
# A help text of the command line ends in its Chinese words; it is no docstring for readers of the code.
HELP: Final = re.compile(r"[\u4e00-\u9fff]。?\Z")
# The docstring of a REST handler is a text of the OpenAPI description, for the readers of that.
REST: Final = frozenset({"api_get", "api_post"})
DOCUMENTED: Final = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def lines_without_subject(source: str) -> Iterator[tuple[int, str]]:
    """Line number and first line of each docstring that names no subject."""
    for node in ast.walk(ast.parse(source)):
        text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
        first = (text or "").partition("\n")[0]
        if NO_SUBJECT.match(first) and not HELP.search(first) and not _is_rest(node):
            yield getattr(node, "lineno", 1), first


def _is_rest(node: ast.AST) -> bool:
    return any(
        isinstance(each, ast.Call) and isinstance(each.func, ast.Name) and each.func.id in REST
        for each in getattr(node, "decorator_list", ())
    )


def test_first_lines_of_docstrings_name_their_subject() -> None:
    names = {path: path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "collector").rglob("*.py"))}
    done = {path: name for path, name in names.items() if not name.startswith((*NOT_DONE, FROZEN))}
    assert len(done) > 200
    found = [
        f"{name}:{number}: {first}"
        for path, name in done.items()
        for number, first in lines_without_subject(path.read_text("utf-8"))
    ]
    assert found == []


def test_a_room_that_is_not_done_has_such_a_line() -> None:
    done = [
        room
        for room in NOT_DONE
        if not any(
            list(lines_without_subject(path.read_text("utf-8")))
            for path in ([ROOT / room] if room.endswith(".py") else (ROOT / room).rglob("*.py"))
        )
    ]
    assert done == [], "take these rooms off the list"


def test_a_pronoun_is_found_and_a_subject_is_not() -> None:
    source = '"""What a batch holds."""\ndef f():\n    """Whatever comes."""\ndef g():\n    """What-if runs."""\n'
    rest = '@api_get("/me", LOGGED_IN)\ndef me():\n    """Who I am."""\n'
    assert [number for number, _ in lines_without_subject(source + rest)] == [1, 2]
