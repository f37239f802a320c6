# SPDX-License-Identifier: GPL-3.0-or-later
"""A month of a unit, cut at every instant at which anything that matters changes.

Within one slice nothing changes: the record that holds (or that none does), the register state, the orders, plan,
reserve, voltage band, exclusions, the local day and quarter hour, valley and peak. So every determinant is one value of
three-valued truth per slice, and one product value x length.

Units of one peak group are cut alike, so that their slices have the same index.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol, TypeVar

from .exact_numbers import Truth, any_of, round_half_away
from .model import OUTSIDE_REASONS, BandRow, Exclusion, Folder, Order, PowerRow, Record, UnitState
from .register import Register, Registered, State
from .regulation import ON_GRID_RATIO
from .times import MINUTE_MS, QUARTER_MS, Span, days_of, local_midnight, local_minute

OUTSIDE = "outside"  # excluded for test, dispatch or grid: leaves the scope
FAULT = "own_fault"  # known and unpaid (I-19)
COUNTED = ""

NOTHING = Record(time=0)


class HasSpan(Protocol):
    """Anything with a half-open span."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


Spanned = TypeVar("Spanned", bound=HasSpan)


@dataclass(frozen=True, slots=True)
class Held:
    """A record over the time it holds."""

    start: int
    end: int
    record: Record


@dataclass(frozen=True, slots=True)
class Slice:
    """One elementary stretch of a unit's month. `record` is NOTHING (all missing) where no record holds."""

    start: int
    end: int
    state: State | None
    record: Record
    columns: frozenset[str]
    plan: tuple[PowerRow, ...]
    orders: tuple[Order, ...]
    reserve: tuple[PowerRow, ...]
    bands: tuple[BandRow, ...]
    exclusions: tuple[Exclusion, ...]
    valley: bool
    peak: bool

    @property
    def length(self) -> int:
        """Milliseconds."""
        return self.end - self.start

    @property
    def on(self) -> Truth:
        """On the grid, by the register state of this slice."""
        return on_grid(self.record, self.columns, None if self.state is None else self.state.unit)

    @property
    def condenser(self) -> Truth:
        """Running as a synchronous condenser."""
        return condenser(self.record, self.columns)

    def inside(self, order_kind: str) -> bool:
        """Inside an order of the unit of this kind."""
        return any(order.kind == order_kind for order in self.orders)

    def planned_kw(self) -> int | None:
        """The plan in force: of the rows for this time the one issued first, an empty cell being first of all."""
        if not self.plan:
            return None
        first = min(self.plan, key=lambda row: (row.issued is not None, row.issued or 0))
        return first.power_kw

    def exclusion(self, service: str) -> str:
        """OUTSIDE, FAULT or COUNTED for a service; where reasons overlap, OUTSIDE prevails."""
        return exclusion_of(self.exclusions, service)


def on_grid(record: Record, columns: frozenset[str], unit: UnitState | None) -> Truth:
    """Breaker status; without that column abs(P) > 0.5 % of P_N, or condenser status 1 (rules.md, section 2)."""
    if "on_grid" in columns:
        return record.on_grid
    loaded: Truth = None
    if unit is not None and record.active_kw is not None:
        loaded = abs(record.active_kw) > round_half_away(ON_GRID_RATIO * unit.rated_mw * 1000)
    return any_of(loaded, condenser(record, columns))


def condenser(record: Record, columns: frozenset[str]) -> Truth:
    """Condenser status; a unit without that column is never a condenser."""
    return record.condenser if "condenser" in columns else False


def exclusion_of(exclusions: Iterable[Exclusion], service: str) -> str:
    """What these exclusions, all at one instant, mean for a service."""
    reasons = {row.reason for row in exclusions if row.service in (service, "*")}
    if reasons & OUTSIDE_REASONS:
        return OUTSIDE
    return FAULT if reasons else COUNTED


def held_records(records: Sequence[Record], hold_ms: int) -> list[Held]:
    """Each record over [its time, next record), at most the hold limit."""
    ends = [record.time for record in records[1:]]
    limits = [record.time + hold_ms for record in records]
    if not records:
        return []
    return [
        Held(record.time, min(limit, following), record)
        for record, limit, following in zip(records, limits, [*ends, limits[-1]], strict=True)
    ]


def peak_mates(register: Register, unit_id: str) -> list[str]:
    """The units cut together with this one: those that ever share a peak group of the plant with it, and itself."""
    together = {unit_id}
    while True:
        labels = {(row.plant, row.peak_group) for row in register.units if row.id in together and row.peak_group}
        wider = together | {row.id for row in register.units if (row.plant, row.peak_group) in labels}
        if wider == together:
            return sorted(together)
        together = wider


def cut_month(folder: Folder, register: Register, unit_ids: Sequence[str], span: Span) -> dict[str, list[Slice]]:
    """The slices of some units over a month, cut alike."""
    cuts = _cuts(folder, register, unit_ids, span)
    return {unit_id: _slices(folder, register, unit_id, cuts) for unit_id in unit_ids}


def _cuts(folder: Folder, register: Register, unit_ids: Sequence[str], span: Span) -> list[int]:
    times = {span.start, span.end} | register.changes(span) | set(range(span.start, span.end, QUARTER_MS))
    daily = [hours for area in folder.areas for hours in (*area.valley, *area.peak)]
    edges = {minute for hours in daily for minute in (hours.from_minute, hours.to_minute)}
    for day in days_of(span):
        times |= {local_midnight(day) + minute * MINUTE_MS for minute in edges}
    rows: list[HasSpan] = []
    for unit_id in unit_ids:
        rows += held_records(folder.records_of(unit_id).records, folder.policy.hold_ms)
    for table in (folder.plan, folder.orders, folder.reserve, folder.bands, folder.exclusions):
        rows += [row for row in table if row.unit in unit_ids]
    times |= {time for row in rows for time in (row.start, row.end)}
    return sorted(time for time in times if span.start <= time <= span.end)


def _covering(cuts: list[int], rows: Iterable[Spanned]) -> list[tuple[Spanned, ...]]:
    """For each elementary stretch the rows that cover it. Every end of a row inside the month must be a cut."""
    found: list[tuple[Spanned, ...]] = [()] * (len(cuts) - 1)
    for row in rows:
        for index in range(bisect_left(cuts, row.start), min(bisect_left(cuts, row.end), len(found))):
            found[index] = (*found[index], row)
    return found


def _slices(folder: Folder, register: Register, unit_id: str, cuts: list[int]) -> list[Slice]:
    mine = folder.records_of(unit_id)

    def of_unit(table: Iterable[Spanned]) -> list[tuple[Spanned, ...]]:
        return _covering(cuts, (row for row in table if getattr(row, "unit", None) == unit_id))

    held = _covering(cuts, held_records(mine.records, folder.policy.hold_ms))
    states = _covering(cuts, register.stretches(unit_id, Span(cuts[0], cuts[-1])))
    plan, orders, reserve = of_unit(folder.plan), of_unit(folder.orders), of_unit(folder.reserve)
    bands, exclusions = of_unit(folder.bands), of_unit(folder.exclusions)
    slices = []
    for index, (start, end) in enumerate(pairwise(cuts)):
        state = _only(states[index])
        minute = local_minute(start)
        slices.append(
            Slice(
                start=start,
                end=end,
                state=state,
                record=held[index][0].record if held[index] else NOTHING,
                columns=mine.columns,
                plan=plan[index],
                orders=orders[index],
                reserve=reserve[index],
                bands=bands[index],
                exclusions=exclusions[index],
                valley=state is not None and any(hours.holds(minute) for hours in state.area.valley),
                peak=state is not None and any(hours.holds(minute) for hours in state.area.peak),
            )
        )
    return slices


def _only(stretches: tuple[Registered, ...]) -> State | None:
    return stretches[0].state if stretches else None
