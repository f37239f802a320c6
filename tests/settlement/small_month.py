# SPDX-License-Identifier: GPL-3.0-or-later
"""Small months for the settlement tests, in memory: June 2026 (30 days, 720 h), one area, one plant, units as asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from collector.model.dispatch import (
    Exclusion,
    ExclusionReason,
    MeterChange,
    Order,
    OrderKind,
    Rate,
    Reserve,
    ReserveCall,
    ReserveKind,
    ReserveMinimum,
    Revenue,
    RevenueKind,
    StartStopRow,
)
from collector.model.interval import Month, local_midnight_ms
from collector.model.quantity import BY_NAME, parse_scaled
from collector.model.register import (
    AreaState,
    DispatchMode,
    LocalSpan,
    PlantState,
    Register,
    RegisteredUnit,
    RevenueBasis,
    UnitKind,
)
from collector.settlement.inputs import Inputs
from collector.settlement.rulebook.load import Rulebook, load_rulebook
from collector.settlement.settle import settle
from collector.settlement.statement import Line, Statement

RULES = Path(__file__).resolve().parents[2] / "config" / "rules" / "east-china-trial"
JUNE = Month(2026, 6)
HOUR = 3_600_000
FOREVER = Decimal(40 * 86_400)  # a hold limit with which one record describes a month


@cache
def shipped_rulebook() -> Rulebook:
    """The rulebook in config/rules/east-china-trial."""
    return load_rulebook(RULES)


def at(day: int, hour: float = 0, *, month: int = 6) -> int:
    """A local time of 2026 as UTC ms."""
    return local_midnight_ms(date(2026, month, day)) + round(hour * HOUR)


def area(mode: str = "annual_plan", ident: str = "jiangsu", **keys: Any) -> AreaState:
    """An area whose valley is 00:00-08:00 and whose peak is 08:00-11:00 and 17:00-19:00."""
    usual: dict[str, Any] = {
        "valley_hours": (LocalSpan(0, 480),),
        "peak_hours": (LocalSpan(480, 660), LocalSpan(1020, 1140)),
        "hours_filing": "filed",
    }
    return AreaState(ident, ident, DispatchMode(mode), **(usual | keys))


def plant(ident: str = "P1", of: str = "jiangsu", **keys: Any) -> PlantState:
    """A plant paid for its energy, sharing."""
    usual: dict[str, Any] = {"revenue_basis": RevenueBasis.ON_GRID, "shares": True, "settles_with": "grid"}
    return PlantState(ident, ident, of, **(usual | keys))


def unit(ident: str = "U1", kind: str = "coal", rated: str = "600", of: str = "P1", **keys: Any) -> RegisteredUnit:
    """A unit; numbers of further keys as text."""
    numbers = {"agc_lower_mw", "agc_upper_mw", "nominal_kv", "q_max_mvar", "q_min_mvar", "droop_ratio"}
    numbers |= {"tariff_yuan_per_mwh"}
    given: dict[str, Any] = {
        key: Decimal(value) if key in numbers and value is not None else value for key, value in keys.items()
    }
    return RegisteredUnit(ident, of, UnitKind(kind), Decimal(rated), **given)


@dataclass
class Case:
    """A month in the making; `settle()` computes it."""

    units: Sequence[RegisteredUnit] = ()
    areas: Sequence[AreaState] = field(default_factory=lambda: (area(),))
    plants: Sequence[PlantState] = field(default_factory=lambda: (plant(),))
    records: list[tuple[str, int, Mapping[str, str]]] = field(default_factory=list)
    plan: list[tuple[str, int, int, int | None, int | None]] = field(default_factory=list)
    band: list[tuple[str, int, int, int | None, int | None]] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    reserves: list[Reserve] = field(default_factory=list)
    exclusions: list[Exclusion] = field(default_factory=list)
    revenue: list[Revenue] | None = None
    rates: list[Rate] = field(default_factory=list)
    table: list[StartStopRow] = field(default_factory=list)
    meter_changes: list[MeterChange] = field(default_factory=list)
    calls: list[ReserveCall] = field(default_factory=list)
    least: list[ReserveMinimum] = field(default_factory=list)
    policy: dict[str, Decimal] = field(default_factory=lambda: {"hold_limit_s": FOREVER})

    def record(self, time: int, ident: str = "U1", **cells: str) -> Case:
        """A record; values as text, an empty text is a missing value."""
        self.records.append((ident, time, cells))
        return self

    def order(self, kind: str, start: int, end: int, ident: str = "U1") -> Case:
        """An order."""
        self.orders.append(Order(f"O{len(self.orders)}", ident, OrderKind(kind), start, end))
        return self

    def reserve(self, kind: str, start: int, end: int, power_kw: int | None, ident: str = "U1") -> Case:
        """A reserve row."""
        self.reserves.append(Reserve(ident, ReserveKind(kind), start, end, power_kw))
        return self

    def exclude(self, reason: str, start: int, end: int, service: str = "*", ident: str = "U1") -> Case:
        """An exclusion."""
        self.exclusions.append(Exclusion(ident, service, start, end, ExclusionReason(reason)))
        return self

    def inputs(self) -> Inputs:
        """What the settlement gets."""
        revenue = self.revenue
        if revenue is None:
            revenue = [Revenue(p.id, str(JUNE), RevenueKind.ENERGY, Decimal(1_000_000)) for p in self.plants]
        return Inputs(
            register=Register(self.policy, tuple(self.areas), tuple(self.plants), tuple(self.units)),
            records=record_table(self.records),
            unit_columns=_columns_of(self.records),
            plan=_steps(self.plan, "power_kw", "issued"),
            orders=tuple(self.orders),
            reserves=tuple(self.reserves),
            voltage_band=_steps(self.band, "low_v", "high_v"),
            exclusions=tuple(self.exclusions),
            revenue=tuple(revenue),
            rates=tuple(self.rates),
            start_stop_table=tuple(self.table),
            meter_changes=tuple(self.meter_changes),
            reserve_calls=tuple(self.calls),
            reserve_minimum=tuple(self.least),
        )

    def settle(self, rulebook: Rulebook | None = None, month: Month = JUNE) -> Statement:
        """The statement."""
        return settle(month, self.inputs(), rulebook or shipped_rulebook())


def record_table(records: Sequence[tuple[str, int, Mapping[str, str]]]) -> pa.Table:
    """Records as the settlement takes them: stored integers, null where a cell is empty or absent."""
    names = [name for name in BY_NAME if any(name in cells for _, _, cells in records)]
    columns: dict[str, Any] = {
        "unit": pa.array([u for u, _, _ in records], pa.string()).dictionary_encode(),
        "time": pa.array([t for _, t, _ in records], pa.int64()),
    }
    for name in names:
        scale = BY_NAME[name].scale
        values = [parse_scaled(c[name], scale) if c.get(name) else None for _, _, c in records]
        columns[name] = pa.array(values, pa.int64())
    return pa.table(columns)


def _columns_of(records: Sequence[tuple[str, int, Mapping[str, str]]]) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for ident, _, cells in records:
        found.setdefault(ident, set()).update(cells)
    return {ident: frozenset(names) for ident, names in found.items()}


def _steps(rows: Sequence[tuple[str, int, int, int | None, int | None]], first: str, second: str) -> pa.Table:
    return pa.table(
        {
            "unit": pa.array([r[0] for r in rows], pa.string()).dictionary_encode(),
            "start": pa.array([r[1] for r in rows], pa.int64()),
            "end": pa.array([r[2] for r in rows], pa.int64()),
            first: pa.array([r[3] for r in rows], pa.int64()),
            second: pa.array([r[4] for r in rows], pa.int64()),
        }
    )


def line_of(statement: Statement, service: str, ident: str = "U1") -> Line:
    """The line of a unit and service."""
    (found,) = [line for line in statement.lines if (line.unit, line.service) == (ident, service)]
    return found


def amount(statement: Statement, service: str, ident: str = "U1") -> str:
    """A line's amount as text; its status and reason where it has none."""
    line = line_of(statement, service, ident)
    return f"{line.status}:{line.reason}" if line.amount_yuan is None else str(line.amount_yuan)
