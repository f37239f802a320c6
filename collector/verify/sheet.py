# SPDX-License-Identifier: GPL-3.0-or-later
"""The session compared with today's point tables: every step of every point with its state.

The last verdict of a step counts. It no longer counts where the point is read differently than then or has another
meaning (`points diff` lists the columns), or where another value or tolerance is expected. A point that only changed
its name keeps its verdicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from collector.verify.items import Item, PointStep, changes
from collector.verify.judge import meets
from collector.verify.session import CenterValue, Session, Verdict

Key = tuple[str, str]


class StepState(StrEnum):
    """The state of a step."""

    OPEN = "open"
    PASSED = "passed"
    FAILED = "failed"
    AGAIN = "again"
    CENTER_DIFFERS = "center_differs"


EXPECTATION: Final = "expectation"


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step of a point. `number`: number of its verdict in the session; `attempts`: how often it was judged.

    `reasons`: why it must be repeated: address, meaning, expectation.
    """

    item: Item
    step: PointStep
    state: StepState
    verdict: Verdict | None = None
    number: int = 0
    attempts: int = 0
    reasons: tuple[str, ...] = ()
    stored: CenterValue | None = None


def make_sheet(items: Sequence[Item], session: Session) -> list[StepRow]:
    """Make the rows of all steps, in the order of the points."""
    given = _verdicts_of(items, session)
    expected = _expected_of(session)
    rows = []
    for item in items:
        found = given.get(item.key, {})
        steps = expected.get(item.key)
        rows += [_row(item, step, found.get(step.name, []), session) for step in _steps(item, steps, found)]
    return rows


def count_states(rows: Iterable[StepRow]) -> Counter[StepState]:
    """The number of steps in each state."""
    return Counter(row.state for row in rows)


def is_done(rows: Iterable[StepRow]) -> bool:
    """True if every step passed."""
    return all(row.state is StepState.PASSED for row in rows)


def _expected_of(session: Session) -> dict[Key, list[PointStep]]:
    found: dict[Key, list[PointStep]] = {}
    for row in session.expectations.rows if session.expectations else ():
        found.setdefault((row.device, row.point), []).append(PointStep(row.step, row.expected, row.tolerance))
    return found


def _steps(item: Item, wanted: list[PointStep] | None, given: Mapping[str, object]) -> list[PointStep]:
    """The sheet's steps, else the default steps; for a measured point without a sheet, the steps judged so far."""
    if wanted is not None:
        return wanted
    steps = list(item.default_steps())
    others = [PointStep(name) for name in given if name not in {step.name for step in steps}]
    if others and not item.is_status and steps[0].name not in given:
        return others
    return steps + others


def _verdicts_of(items: Sequence[Item], session: Session) -> dict[Key, dict[str, list[int]]]:
    """Numbers of the verdicts by point and step; those of a renamed point go to the point that reads the same value."""
    found: dict[Key, dict[str, list[int]]] = {}
    for number, verdict in enumerate(session.verdicts, 1):
        found.setdefault((verdict.device, verdict.point), {}).setdefault(verdict.step, []).append(number)
    known = {item.key for item in items}
    gone = {
        key: session.verdicts[max(map(max, steps.values())) - 1] for key, steps in found.items() if key not in known
    }
    for item in items:
        alike = [key for key, last in gone.items() if key[0] == item.device and not changes(last.cells, item.cells)]
        if item.key not in found and len(alike) == 1:
            found[item.key] = found[alike[0]]
    return found


def _row(item: Item, step: PointStep, numbers: Sequence[int], session: Session) -> StepRow:
    if not numbers:
        return StepRow(item, step, StepState.OPEN)
    number = numbers[-1]
    verdict = session.verdicts[number - 1]
    row = StepRow(item, step, StepState.PASSED, verdict, number, len(numbers), stored=session.stored.get(number))
    reasons = changes(verdict.cells, item.cells)
    wanted, had = (step.expected, step.tolerance), (verdict.expected, verdict.tolerance)
    if any(now and now != then for now, then in zip(wanted, had, strict=True)):
        reasons = (*reasons, EXPECTATION)
    if reasons:
        return replace(row, state=StepState.AGAIN, reasons=reasons)
    if verdict.verdict == "fail":
        return replace(row, state=StepState.FAILED)
    if row.stored is not None and not center_agrees(row.stored, verdict):
        return replace(row, state=StepState.CENTER_DIFFERS)
    return row


def center_agrees(stored: CenterValue, verdict: Verdict) -> bool:
    """True if the center stored the expected value; False for a value of unusable quality."""
    return meets(stored.value, verdict.expected, verdict.tolerance)


def default_step(item: Item, rows: Sequence[StepRow], expected: str) -> PointStep | None:
    """The step meant where none is named: the only one, or the only one that expects this value; None: ambiguous."""
    steps = [row.step for row in rows if row.item.key == item.key]
    if len(steps) == 1:
        return steps[0]
    alike = [step for step in steps if step.expected and step.expected == expected]
    return alike[0] if len(alike) == 1 else None
