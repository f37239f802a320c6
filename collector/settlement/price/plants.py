# SPDX-License-Identifier: GPL-3.0-or-later
"""Plants and areas of a statement: compensation, revenue, allocation, net, and the books (Art. 20-24)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Final, Protocol

from collector.model.dispatch import Revenue, RevenueKind
from collector.model.interval import Month
from collector.model.register import PlantState, Register, RevenueBasis
from collector.settlement.price.allocate import allocate, why_blocked
from collector.settlement.rulebook.constant_days import ConstantDays, by_id
from collector.settlement.services.pricing import place_of
from collector.settlement.statement import AreaRow, LedgerRow, Line, MonthStatus, PlantRow

_KINDS_OF: Final[Mapping[RevenueBasis, tuple[RevenueKind, ...]]] = {
    RevenueBasis.ON_GRID: (RevenueKind.ENERGY,),
    RevenueBasis.LEASE: (RevenueKind.LEASE,),
    RevenueBasis.TWO_PART: (RevenueKind.ENERGY, RevenueKind.CAPACITY),
}
POOL: Final = ""  # the plant of a posting that is the pool's of its area


@dataclass
class _Pool:
    """One settlement area: its plants, their compensation and revenue, and the plants that share the allocation."""

    compensation: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    revenue: dict[str, Decimal | None] = field(default_factory=dict)
    sharing: list[str] = field(default_factory=list)


def compute_plants(
    *,
    month: Month,
    register: Register,
    stretches: Mapping[str, Sequence[ConstantDays]],
    lines: Sequence[Line],
    revenue: Sequence[Revenue],
    provisional: Callable[[str], bool],
) -> tuple[list[PlantRow], list[AreaRow]]:
    """Rows of every plant and area. `stretches` of each unit; `provisional`: whether an area is."""
    pools = _pools(month, register, stretches, lines, revenue)
    names = {area.id: area.name for area in register.areas}
    plants: list[PlantRow] = []
    areas: list[AreaRow] = []
    for area_id in sorted(pools):
        pool = pools[area_id]
        blocked, because_of = why_blocked({plant: pool.revenue[plant] for plant in pool.sharing})
        total = sum(pool.compensation.values(), Decimal(0))
        shares: dict[str, Decimal] = {}
        if not blocked:
            shares = allocate(total, {p: f for p in pool.sharing if (f := pool.revenue[p]) is not None})
        status = MonthStatus.PROVISIONAL if provisional(area_id) else MonthStatus.FINAL
        status = MonthStatus.BLOCKED if blocked else status
        for plant in sorted(pool.compensation):
            earned, share = pool.compensation[plant], shares.get(plant, Decimal("0.00"))
            plants.append(
                PlantRow(
                    str(month),
                    area_id,
                    plant,
                    earned,
                    pool.revenue[plant],
                    None if blocked else share,
                    None if blocked else earned - share,
                    status,
                    blocked,
                )
            )
        known = [pool.revenue[p] for p in pool.sharing]
        sold = None if None in known else sum((f for f in known if f is not None), Decimal(0))
        name = names.get(area_id, area_id)
        areas.append(AreaRow(str(month), area_id, name, total, sold, status, blocked, because_of))
    return plants, areas


def _pools(
    month: Month,
    register: Register,
    stretches: Mapping[str, Sequence[ConstantDays]],
    lines: Sequence[Line],
    revenue: Sequence[Revenue],
) -> dict[str, _Pool]:
    """Every area with the plants whose own row, or a unit of theirs, lies there in the month (Art. 21, 22)."""
    units_in: dict[str, set[str]] = defaultdict(set)
    for parts in stretches.values():
        for area_id, plant_id in map(place_of, parts):
            units_in[plant_id].add(area_id)
    pools: dict[str, _Pool] = {}
    for plant_id, states in _plants_of(register, month).items():
        plant = states[-1]
        has_units = any(unit.plant == plant_id for unit in register.units)
        # Art. 3: no share while none of a plant's units is in commercial operation; a plant without units may share.
        shares = plant.shares and (plant_id in units_in or not has_units)
        places = sorted(units_in[plant_id] | {state.area for state in states})
        for place in places:
            pool = pools.setdefault(place, _Pool())
            pool.compensation[plant_id] = Decimal("0.00")
            pool.revenue[plant_id] = _revenue_of(revenue, plant, str(month), place, places)
            if shares:
                pool.sharing.append(plant_id)
    for line in lines:
        pools[line.area].compensation[line.plant] += line.amount_yuan or Decimal("0.00")
    return pools


def _plants_of(register: Register, month: Month) -> dict[str, list[PlantState]]:
    """Plants registered on any day of the month with their states of the month, in order of time."""
    first, until = month.first_day, month.next().first_day
    found: dict[str, list[PlantState]] = {}
    for plant_id, states in by_id(register.plants).items():
        touching = [s for s in states if (s.from_day or date.min) < until and (s.until_day or date.max) > first]
        if touching:
            found[plant_id] = sorted(touching, key=lambda s: s.from_day or date.min)
    return dict(sorted(found.items()))


def _revenue_of(
    rows: Sequence[Revenue], plant: PlantState, month: str, place: str, places: Sequence[str]
) -> Decimal | None:
    """F_i of a plant in an area, by its revenue basis (Art. 22); None: part of the revenue is missing.

    A row without area counts for the plant's only area or, where it lies in several, for the plant's own area.
    """
    unsaid = places[0] if len(places) == 1 else plant.area
    amounts = {
        row.kind: row.amount_yuan
        for row in rows
        if row.plant == plant.id and row.month == month and (row.area or unsaid) == place
    }
    parts = [amounts.get(kind) for kind in _KINDS_OF[plant.revenue_basis]]
    return None if None in parts else sum((part for part in parts if part is not None), Decimal(0))


class SharedRow(Protocol):
    """A plant in an area with its compensation and its share; the share is None where the area is blocked."""

    @property
    def area(self) -> str: ...
    @property
    def plant(self) -> str: ...
    @property
    def compensation_yuan(self) -> Decimal: ...
    @property
    def allocation_yuan(self) -> Decimal | None: ...


def compute_ledger(month: Month, plants: Iterable[SharedRow]) -> list[LedgerRow]:
    """Balanced postings, plant against the pool of its area (Art. 20); each pool sums to 0.

    The pool owes a plant its compensation (debit pool, credit plant); the plant owes its share (debit plant, credit
    pool).
    """
    zero = Decimal("0.00")
    sides: list[tuple[str, str, Decimal, Decimal]] = []
    for row in plants:
        if row.allocation_yuan is None:
            continue
        for debtor, creditor, amount in (
            (POOL, row.plant, row.compensation_yuan),
            (row.plant, POOL, row.allocation_yuan),
        ):
            if amount:
                sides += [(row.area, debtor, amount, zero), (row.area, creditor, zero, amount)]
    return [LedgerRow(entry, str(month), *side) for entry, side in enumerate(sides, 1)]
