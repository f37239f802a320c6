# SPDX-License-Identifier: GPL-3.0-or-later
"""A correction as deltas: the changes by a later run of a month against the run in effect, by line and plant.

A published statement is never changed. An error is settled anew by another run, of another edition; only the difference
is carried to a bill (`bills`). Source: Art. 20 (books balanced), Art. 24; reading I-13.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlalchemy import Connection

from collector.base.errors import Denied, InvariantBroken, StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.people.access import Actor
from collector.center.runs.month_state import may_see_run, month_state, run_in_effect
from collector.center.runs.run_statement import RunStatement, load_run_statement
from collector.model.interval import Month
from collector.report.numbers import format_amount
from collector.report.sheets import plain_text

_ZERO: Final = Decimal("0.00")
# A line's delta is in the compensation column, whose plant's value is the sum of its lines.
CORRECTION_COLUMNS: Final = (
    *("month", "area", "plant", "unit", "service", "before_yuan", "after_yuan"),
    *("compensation_delta_yuan", "allocation_delta_yuan", "net_delta_yuan"),
)


@dataclass(frozen=True, slots=True)
class LineDelta:
    """A line that changed. Amounts are None where the run has no such line, or a line without amount.

    `delta_yuan` counts such a line as 0, as the totals do (rules: sums are of lines that carry an amount).
    """

    area: str
    plant: str
    unit: str
    service: str
    before_yuan: Decimal | None
    after_yuan: Decimal | None
    delta_yuan: Decimal
    before_status: str
    after_status: str


@dataclass(frozen=True, slots=True)
class PlantDelta:
    """A plant's change in a settlement area. The net is None where the area is blocked in either run."""

    area: str
    plant: str
    compensation_yuan: Decimal
    allocation_yuan: Decimal | None
    net_yuan: Decimal | None


@dataclass(frozen=True, slots=True)
class Correction:
    """All changes of `after_run` against `before_run`; equal lines and plants are not listed."""

    month: Month
    before_run: int
    after_run: int
    lines: tuple[LineDelta, ...]
    plants: tuple[PlantDelta, ...]


def compute_correction(before: RunStatement, after: RunStatement) -> Correction:
    """The deltas between two runs of a month.

    Raises:
        StoreError: the runs are of different months.
        InvariantBroken: a plant's change is not the sum of its lines', or an area's net changes do not sum to zero.
    """
    if before.month != after.month:
        raise StoreError(
            tr(
                "is of {month}, run {run_id} of {month_2}",
                month=after.month,
                run_id=before.run_id,
                month_2=before.month,
            ),
            subject=tr("run {number}", number=after.run_id),
        )
    lines = tuple(_lines(before, after))
    plants = tuple(_plants(before, after))
    _check(lines, plants)
    return Correction(before.month, before.run_id, after.run_id, lines, plants)


def correction_of(store: CenterStore, month: Month, *, actor: Actor, run_id: int | None = None) -> Correction:
    """The changes of a run (default: the month's present one) against the run in effect, as far as the actor may see.

    Raises:
        StoreError: no run of the month is in effect yet.
        Denied: the run is not disclosed to the actor.
    """

    def look(connection: Connection) -> tuple[int | None, int | None, bool]:
        chosen = run_id if run_id is not None else month_state(connection, month).run_id
        allowed = chosen is not None and may_see_run(connection, chosen, actor)
        return run_in_effect(connection, month), chosen, allowed

    base, after, allowed = store.read(look)
    if base is None or after is None:
        raise StoreError(tr("nothing is in effect yet, so there is nothing to correct"), subject=str(month))
    if not allowed:
        raise Denied(tr("run {after} is not disclosed", after=after), subject=actor.name)
    whole = compute_correction(load_run_statement(store, base), load_run_statement(store, after))
    lines = tuple(line for line in whole.lines if actor.may_see(line.plant))
    plants = tuple(plant for plant in whole.plants if actor.may_see(plant.plant))
    return Correction(whole.month, whole.before_run, whole.after_run, lines, plants)


def correction_csv(found: Correction) -> bytes:
    """Every delta as CSV, UTF-8 with BOM: lines first, then plants, whose unit and service are empty."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CORRECTION_COLUMNS)
    for line in found.lines:
        names = (line.area, line.plant, line.unit, line.service)
        amounts = (line.before_yuan, line.after_yuan, line.delta_yuan)
        writer.writerow([str(found.month), *map(plain_text, names), *map(format_amount, amounts), "", ""])
    for plant in found.plants:
        names = (plant.area, plant.plant, "", "")
        deltas = (plant.compensation_yuan, plant.allocation_yuan, plant.net_yuan)
        writer.writerow([str(found.month), *map(plain_text, names), "", "", *map(format_amount, deltas)])
    return text.getvalue().encode("utf-8-sig")


def _lines(before: RunStatement, after: RunStatement) -> Iterator[LineDelta]:
    old = {line.key: line for line in before.lines}
    new = {line.key: line for line in after.lines}
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        before_yuan, after_yuan = (None if line is None else line.amount_yuan for line in (a, b))
        statuses = ("" if a is None else a.status, "" if b is None else b.status)
        if (before_yuan, statuses[0]) == (after_yuan, statuses[1]):
            continue
        delta = (after_yuan or _ZERO) - (before_yuan or _ZERO)
        yield LineDelta(*key, before_yuan, after_yuan, delta, *statuses)


def _plants(before: RunStatement, after: RunStatement) -> Iterator[PlantDelta]:
    old = {(row.area, row.plant): row for row in before.plants}
    new = {(row.area, row.plant): row for row in after.plants}
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        sides = [
            (_ZERO, _ZERO, _ZERO) if row is None else (row.compensation_yuan, row.allocation_yuan, row.net_yuan)
            for row in (a, b)
        ]
        compensation = (sides[1][0] or _ZERO) - (sides[0][0] or _ZERO)
        delta = PlantDelta(*key, compensation, _minus(sides[1][1], sides[0][1]), _minus(sides[1][2], sides[0][2]))
        if delta.compensation_yuan or delta.allocation_yuan != 0 or delta.net_yuan != 0:
            yield delta


def _minus(after: Decimal | None, before: Decimal | None) -> Decimal | None:
    return None if after is None or before is None else after - before


def _check(lines: tuple[LineDelta, ...], plants: tuple[PlantDelta, ...]) -> None:
    of_plant: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        of_plant[line.area, line.plant] += line.delta_yuan
    net: dict[str, Decimal] = defaultdict(Decimal)
    blocked = {plant.area for plant in plants if plant.net_yuan is None}
    for plant in plants:
        if plant.compensation_yuan != of_plant.pop((plant.area, plant.plant), _ZERO):
            raise InvariantBroken(tr("its change is not the sum of its lines'"), subject=f"{plant.area}/{plant.plant}")
        net[plant.area] += plant.net_yuan or _ZERO
    if any(of_plant.values()):
        raise InvariantBroken(
            tr("lines of plants that did not change: {plants}", plants=sorted(of_plant)), subject="correction"
        )
    if wrong := sorted(area for area, total in net.items() if total and area not in blocked):
        raise InvariantBroken(
            tr("the net changes of {wrong} do not sum to zero", wrong=", ".join(wrong)), subject="correction"
        )
