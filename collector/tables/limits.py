# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of plausible inputs: beyond one, a value is e.g. kW delivered for MW, or 万元 for 元 (formats.md).

A power is judged by its absolute value against the smallest P_N in force over its row; exactly at a limit is allowed.
The limits are dated values of the rulebook's data policy, and keys of a register's [policy].
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pyarrow as pa

from collector.base.text import Text, tr
from collector.model.interval import local_midnight_ms
from collector.model.register import RegisteredUnit
from collector.settlement.rulebook.constant_days import scaled
from collector.settlement.rulebook.rules import Rulebook

PLAN: Final = "plan_limit_ratio"
RESERVE: Final = "reserve_limit_ratio"
AGC: Final = "agc_limit_ratio"
TARIFF: Final = "tariff_limit_yuan_per_mwh"
# Key of [policy] -> value of the rulebook.
LIMITS: Final[Mapping[str, str]] = {
    PLAN: "policy.plan_limit_ratio",
    RESERVE: "policy.reserve_limit_ratio",
    AGC: "policy.agc_limit_ratio",
    TARIFF: "policy.tariff_limit",
}
_EVER: Final = (-(2**62), 2**62)
Span = tuple[int, int, int]  # start and end, UTC ms; limit, kW


@dataclass(frozen=True)
class InputRules:
    """The rules of a rulebook for inputs: its services and areas, and the limits by their first days."""

    services: frozenset[str]
    areas: frozenset[str]
    _limits: Mapping[str, tuple[tuple[date, Fraction | None], ...]]

    @classmethod
    def of(cls, rulebook: Rulebook) -> InputRules:
        """Take the rules from a rulebook."""
        limits: dict[str, tuple[tuple[date, Fraction | None], ...]] = {}
        for key, ident in LIMITS.items():
            edges = {day for row in rulebook.values[ident].rows for day in (row.from_day, row.until_day) if day}
            first = min(edges)
            limits[key] = tuple((day, rulebook.value(ident, day)) for day in sorted(edges) if day >= first)
        return cls(frozenset(rulebook.services), frozenset(rulebook.areas), limits)

    def limit(self, key: str, policy: Mapping[str, Decimal], day: date) -> Fraction | None:
        """The limit on a day, the register's own where it has one; None where there is none."""
        if key in policy:
            return Fraction(policy[key])
        rows = self._limits[key]
        place = bisect_right(rows, day, key=lambda row: row[0])
        return rows[place - 1][1] if place else None

    def smallest(
        self, key: str, policy: Mapping[str, Decimal], first: date | None, until: date | None
    ) -> Fraction | None:
        """The smallest limit in force over the days [first, until); None where there is none."""
        inside = [d for d in self.change_days(key, policy) if (not first or d > first) and (not until or d < until)]
        found = [self.limit(key, policy, day) for day in (first or date.min, *inside)]
        return min((limit for limit in found if limit is not None), default=None)

    def change_days(self, key: str, policy: Mapping[str, Decimal]) -> list[date]:
        """The days on which a limit changes."""
        return [] if key in policy else [day for day, _ in self._limits[key]]


@dataclass(frozen=True)
class PowerLimits:
    """The limits of each unit over time, for one kind of row. `key`: the key of the data policy that sets them."""

    key: str
    spans: Mapping[str, Sequence[Span]]

    @classmethod
    def of(
        cls, key: str, units: Iterable[RegisteredUnit], rules: InputRules, policy: Mapping[str, Decimal]
    ) -> PowerLimits:
        """The limits of registered units; while a unit is not registered it has no limit."""
        spans: dict[str, list[Span]] = {}
        for unit in units:
            first, until = unit.from_day or date.min, unit.until_day or date.max
            inside = [day for day in rules.change_days(key, policy) if first < day < until]
            for start, end in pairwise([first, *inside, until]):
                ratio = rules.limit(key, policy, start)
                if ratio is not None:
                    limit_kw = scaled(ratio * Fraction(unit.rated_mw) * 1000)
                    spans.setdefault(unit.id, []).append((_start_ms(start), _end_ms(end), limit_kw))
        return cls(key, spans)

    def smallest_kw(self, unit: str, start_ms: int, end_ms: int) -> int | None:
        """The smallest limit in force over [start, end); None where the unit is never registered in it."""
        found = [kw for a, b, kw in self.spans.get(unit, ()) if a < end_ms and start_ms < b]
        return min(found, default=None)

    def problem(self, unit: str, start_ms: int, end_ms: int, power_kw: int) -> Text | None:
        """The problem of a power over [start, end); None where it is plausible."""
        limit = self.smallest_kw(unit, start_ms, end_ms)
        if limit is None or abs(power_kw) <= limit:
            return None
        return tr(
            "{power} MW can't be: {unit} has at most {limit} MW here ({key} × P_N); are these kW?",
            power=Decimal(power_kw) / 1000,
            unit=unit,
            limit=Decimal(limit) / 1000,
            key=self.key,
        )

    def beyond(self, table: pa.Table) -> list[int]:
        """The indices of the rows of a table (unit, start, end, power_kw) that are beyond a limit."""
        most = max((len(spans) for spans in self.spans.values()), default=0)
        found: list[int] = []
        offset = 0
        for batch in table.select(["unit", "start", "end", "power_kw"]).to_batches():
            names = batch["unit"].dictionary.to_pylist()
            limits = np.full((len(names) + 1, most, 3), 2**62, np.int64)  # unused span: begins at the end of time
            for code, name in enumerate(names):
                for place, span in enumerate(self.spans.get(name, ())):
                    limits[code, place] = span
            found += (offset + _beyond(batch, limits)).tolist()
            offset += len(batch)
        return found


def _beyond(batch: Any, limits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    unit = batch["unit"].indices.to_numpy()
    start, end = batch["start"].to_numpy(), batch["end"].to_numpy()
    power = np.abs(batch["power_kw"].fill_null(0).to_numpy())
    bad = np.zeros(len(batch), np.bool_)
    for place in range(limits.shape[1]):
        a, b, limit_kw = (limits[unit, place, n] for n in range(3))
        bad |= (a < end) & (start < b) & (power > limit_kw)
    return np.flatnonzero(bad)


def decimal_of(value: Fraction) -> Decimal:
    """A limit as the decimal shown to people."""
    return Decimal(value.numerator) / Decimal(value.denominator)


def _start_ms(day: date) -> int:
    return _EVER[0] if day == date.min else local_midnight_ms(day)


def _end_ms(day: date) -> int:
    return _EVER[1] if day == date.max else local_midnight_ms(day)
