# SPDX-License-Identifier: GPL-3.0-or-later
"""Per settlement area: compensation, allocation and net of every plant.

Source: Art. 20-24; rules.md, sections 1 (allocation, net) and 4.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from typing import TypedDict

from .exact_numbers import yuan
from .lines import Line
from .model import Folder, PlantState, RevenueRow
from .register import Register, State
from .times import Span

REVENUE_KINDS = {"on_grid": ("energy",), "lease": ("lease",), "two_part": ("energy", "capacity")}  # Art. 22


class PlantRow(TypedDict):
    """A row of plants.csv; None where the cell is empty."""

    month: str
    area: str
    plant: str
    compensation_yuan: Decimal
    revenue_yuan: Decimal | None
    allocation_yuan: Decimal | None
    net_yuan: Decimal | None
    status: str


@dataclass(slots=True)
class Area:
    """A settlement area's pool: who is in it, who shares, what they sold."""

    id: str
    total_fen: int = 0
    compensation_fen: dict[str, int] = field(default_factory=dict)
    revenue_yuan: dict[str, Fraction | None] = field(default_factory=dict)
    sharing: list[str] = field(default_factory=list)
    blocked: str = ""


def compute_areas(
    folder: Folder, register: Register, month: str, span: Span, states: list[State], lines: list[Line]
) -> dict[str, Area]:
    """Every area with its plants, compensation and revenue: those whose row, or a unit of theirs, lies there.

    Args:
        states: Every state of every unit registered in the month.
    """
    areas: dict[str, Area] = {}
    for plant_id, rows in _plants_of(register, span).items():
        plant = rows[-1]
        own_units = {row.id for row in register.units if row.plant == plant_id}
        dispatched = {state.area.id for state in states if state.plant.id == plant_id}
        # A plant whose units are not (yet) commercial has no share (Art. 3); one without units may have.
        shares = plant.shares and (bool(dispatched) or not own_units)
        places = sorted(dispatched | {row.area for row in rows})
        for place in places:
            area = areas.setdefault(place, Area(place))
            area.compensation_fen[plant_id] = 0
            area.revenue_yuan[plant_id] = revenue_of(folder.revenue, plant, month, place, places)
            if shares:
                area.sharing.append(plant_id)
    for line in lines:
        if line["amount_yuan"] is not None:
            paid = int(line["amount_yuan"].scaleb(2))
            areas[line["area"]].compensation_fen[line["plant"]] += paid
            areas[line["area"]].total_fen += paid
    for area in areas.values():
        area.blocked = why_blocked(area)
    return areas


def _plants_of(register: Register, span: Span) -> dict[str, list[PlantState]]:
    """Plants registered at any instant of the month, each with its states in order of time."""
    found: dict[str, list[PlantState]] = {}
    for row in sorted(register.plants, key=lambda row: row.start):
        if row.start < span.end and row.end > span.start:
            found.setdefault(row.id, []).append(row)
    return found


def revenue_of(
    rows: tuple[RevenueRow, ...], plant: PlantState, month: str, place: str, places: list[str]
) -> Fraction | None:
    """F_i of a plant in an area: all kinds of its basis, or None. A row without area means the plant's only or own."""
    unsaid = places[0] if len(places) == 1 else plant.area
    amounts: dict[str, Fraction] = {}
    for row in rows:
        here = (row.area or unsaid) == place
        if row.plant == plant.id and row.month == month and here and row.amount_yuan is not None:
            amounts[row.kind] = row.amount_yuan
    needed = REVENUE_KINDS[plant.revenue_basis]
    if any(kind not in amounts for kind in needed):
        return None
    return sum((amounts[kind] for kind in needed), Fraction(0))


def why_blocked(area: Area) -> str:
    """The reason that an area can't be allocated, or ""."""
    shares = [area.revenue_yuan[plant] for plant in area.sharing]
    if any(share is None for share in shares):
        return "no_revenue"
    known = [share for share in shares if share is not None]
    if any(share < 0 for share in known):
        return "negative_revenue"
    return "" if sum(known) else "zero_revenue"


def allocate(total_fen: int, shares: dict[str, Fraction]) -> dict[str, int]:
    """R · F_i / ΣF in whole fen: floors, then the leftover fen to the largest remainders, ties by plant id.

    Source: Art. 22.
    """
    whole = sum(shares.values(), Fraction(0))
    exact = {plant: total_fen * share / whole for plant, share in shares.items()}
    floors = {plant: value.numerator // value.denominator for plant, value in exact.items()}
    leftover = total_fen - sum(floors.values())
    by_remainder = sorted(exact, key=lambda plant: (-(exact[plant] - floors[plant]), plant))
    for plant in by_remainder[:leftover]:
        floors[plant] += 1
    return floors


def compute_plants(area: Area, month: str, *, provisional: bool) -> list[PlantRow]:
    """The rows of one area. A plant that does not share has no allocation to pay. Source: Art. 22, 23."""
    allocation: dict[str, int] = defaultdict(int)
    if not area.blocked:
        shares = {plant: area.revenue_yuan[plant] or Fraction(0) for plant in area.sharing}
        allocation.update(allocate(area.total_fen, shares))
        assert sum(allocation.values()) == area.total_fen
    status = "blocked" if area.blocked else "provisional" if provisional else "final"
    rows = []
    for plant in sorted(area.compensation_fen):
        earned = area.compensation_fen[plant]
        revenue = area.revenue_yuan[plant]
        rows.append(
            PlantRow(
                month=month,
                area=area.id,
                plant=plant,
                compensation_yuan=yuan(earned),
                revenue_yuan=None if revenue is None else Decimal(revenue.numerator) / Decimal(revenue.denominator),
                allocation_yuan=None if area.blocked else yuan(allocation[plant]),
                net_yuan=None if area.blocked else yuan(earned - allocation[plant]),
                status=status,
            )
        )
    return rows
