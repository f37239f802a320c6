# SPDX-License-Identifier: GPL-3.0-or-later
"""No test says by a number of its own how long something may take; and what guards against a hang does so."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.patience import HANG_S, HangGuard, run_watched, wait_until

TESTS = Path(__file__).parent
# Calls whose only, or second, positional argument is a limit in seconds.
FIRST = frozenset({"timeout", "wait", "join", "result", "settimeout"})
SECOND = frozenset({"wait_for", "create_connection"})


def found_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and fault of each place that depends on the machine's speed."""
    inner = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = called(node)
            limits = [keyword.value for keyword in node.keywords if keyword.arg == "timeout"]
            limits += node.args[:1] if name in FIRST else node.args[1:2] if name in SECOND else []
            if any(isinstance(limit, ast.Constant) and isinstance(limit.value, int | float) for limit in limits):
                yield node.lineno, f"{name}(): a limit in figures; HANG_S is the one for all"
            if name in ("monotonic", "perf_counter") and not is_noted_or_printed(node, inner):
                yield node.lineno, f"{name}(): a duration that is judged; wait for an event, or count"
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Call) and called(node.iter) == "range":
            body = [each for statement in node.body for each in ast.walk(statement)]
            sleeps = any(isinstance(each, ast.Call) and called(each) == "sleep" for each in body)
            if sleeps and any(isinstance(each, ast.Return | ast.Break) for each in body):
                yield node.lineno, "a wait of so many turns; wait_until has no number"


def called(call: ast.Call) -> str:
    """The last name of what is called."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def is_noted_or_printed(node: ast.AST, inner: dict[int, ast.AST]) -> bool:
    """Whether a moment is kept in a variable, or shown."""
    while not isinstance(node, ast.stmt):
        node = inner[id(node)]
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Call) and called(node.value) == "print"
    return isinstance(node, ast.Assign)


def test_no_test_sets_a_limit_of_its_own() -> None:
    faults = [
        f"{path.relative_to(TESTS)}:{line}: {fault}"
        for path in sorted(TESTS.rglob("*.py"))
        if path.name != "patience.py"
        for line, fault in found_in(ast.parse(path.read_text("utf-8")))
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "text",
    [
        "subprocess.run(command, timeout=60)",
        "process.wait(20)",
        "asyncio.wait_for(scenario(), 120)",
        "socket.create_connection(place, 5)",
        "while time.monotonic() < deadline: pass",
        "assert time.perf_counter() - begun_s < 1",
        "for _ in range(200):\n    if ready(): break\n    time.sleep(0.05)",
    ],
)
def test_each_kind_is_found(text: str) -> None:
    assert [line for line, _ in found_in(ast.parse(text))] == [1]


def test_a_guard_begins_anew_at_each_progress_and_ends_a_hang() -> None:
    now_s, steps = 0.0, 0
    guard = HangGuard("the tenth step", lambda: steps, lambda: now_s)
    for _ in range(10):  # ten times as long as one limit
        now_s += HANG_S
        steps += 1
        guard.check()
    now_s += HANG_S
    guard.check()
    now_s += 1
    with pytest.raises(TimeoutError, match="the tenth step"):
        guard.check()


def test_what_has_come_about_is_not_waited_for() -> None:
    wait_until(lambda: True, "nothing")


def test_a_watched_command_gives_what_it_printed(tmp_path: Path) -> None:
    come_and_go = "import os, sys\nfor n in range(3000):\n    os.makedirs('a/b'); os.removedirs('a/b')\n"
    script = come_and_go + "print('一'); print('two', file=sys.stderr); sys.exit(3)"
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "kept").touch()
    done = run_watched([sys.executable, "-X", "utf8", "-c", script], tmp_path / "here")
    assert (done.returncode, done.stdout, done.stderr) == (3, "一\n", "two\n")
