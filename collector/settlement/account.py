# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 8, pricing: one unit's month as the services price it, and the running sum of a line with its explanation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from fractions import Fraction

from collector.model.dispatch import Rate, StartStopRow
from collector.model.interval import Month, local_day
from collector.settlement.dispatch_side import DispatchSide
from collector.settlement.results import BreakerRun, GroupEnergy, MonthTotals
from collector.settlement.rules import Rulebook, RuleRow, RuleState, RuleValue
from collector.settlement.statement import LineStatus, RuleUse, Step
from collector.settlement.stretches import Policy, Stretch


@dataclass(frozen=True)
class Case:
    """What all units of a month share when they are priced."""

    month: Month
    rulebook: Rulebook
    policy: Policy
    totals: MonthTotals
    dispatch: DispatchSide
    stretches: Mapping[str, Sequence[Stretch]]
    columns_of: Mapping[str, frozenset[str]]
    rates: Sequence[Rate]
    start_stop_table: Sequence[StartStopRow]


@dataclass(frozen=True, slots=True)
class Draft:
    """A line before its gates and its rounding. `amount` None: it can't be said; `status` and `reason` say why."""

    quantity: Fraction | None
    amount: Fraction | None
    status: LineStatus | None = None
    reason: str = ""
    provisional: str = ""
    steps: tuple[Step, ...] = ()
    rules: tuple[RuleUse, ...] = ()


class Bound(Enum):
    """As which the missing time is priced: left out, or as what leaves the line the least, or the most, it could be."""

    MEASURED = "measured"
    LOW = "low"
    HIGH = "high"


@dataclass(frozen=True)
class Account:
    """One unit in one month."""

    case: Case
    unit: str
    applies: Mapping[str, Callable[[Stretch], bool]]
    bound: Bound = Bound.MEASURED
    _stretches_of: dict[str, list[Stretch]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def stretches(self) -> Sequence[Stretch]:
        """Its stretches, in order."""
        return self.case.stretches[self.unit]

    @property
    def groups(self) -> Sequence[GroupEnergy]:
        """Energy of the peak groups it was an on-grid member of."""
        return self.case.totals.groups.get(self.unit, ())

    @property
    def runs(self) -> Sequence[BreakerRun]:
        """Its breaker states in order of time."""
        return self.case.totals.runs.get(self.unit, ())

    def stretches_of(self, service: str) -> list[Stretch]:
        """Where a service applies to the unit and is in force (or its state unknown)."""
        found = self._stretches_of.get(service)
        if found is None:
            book = self.case.rulebook
            found = self._stretches_of[service] = [
                s
                for s in self.stretches
                if self.applies[service](s)
                and str(s.unit.kind) in book.services[service].unit_kinds
                and book.service_row(service, s.first_day, s.area.id) is not None
            ]
        return found

    def stretch_at(self, time_utc_ms: int) -> Stretch | None:
        """What is registered at an instant of the month."""
        day = local_day(time_utc_ms)
        return next((s for s in self.stretches if s.first_day <= day < s.until_day), None)

    def sum(self, column: str, stretch: Stretch) -> int:
        """A measured column over a stretch."""
        first, until = stretch.first_day.toordinal(), stretch.until_day.toordinal()
        return self.case.totals.sum(self.unit, column, first, until)

    def measured(self, service: str, stretch: Stretch) -> int:
        """A determinant's value over a stretch; for a bound, what missing time could add (or take away) beside it."""
        value = self.sum(f"{service}.value", stretch)
        if self.bound is Bound.HIGH:
            return value + self.sum(f"{service}.best", stretch)
        return value - self.sum(f"{service}.worst", stretch) if self.bound is Bound.LOW else value

    def rated_mw(self, unit: str, day_ordinal: int) -> Fraction:
        """P_N of a unit on a day."""
        for stretch in self.case.stretches[unit]:
            if stretch.first_day.toordinal() <= day_ordinal < stretch.until_day.toordinal():
                return Fraction(stretch.unit.rated_mw)
        raise LookupError(f"{unit} is not registered on day {day_ordinal}")


@dataclass
class Priced:
    """A line being summed: quantity and amount exactly, and every step and rulebook row that made them."""

    account: Account
    service: str
    quantity: Fraction = Fraction(0)
    amount: Fraction | None = Fraction(0)
    unknown: str = ""
    steps: list[Step] = field(default_factory=list)
    rules: list[RuleUse] = field(default_factory=list)

    def add(
        self,
        value_id: str,
        stretch: Stretch,
        amount_of: Fraction,
        *,
        unit: str,
        quantity: Fraction | None = None,
        key: str = "",
        label: str = "",
    ) -> None:
        """Add price × `amount_of` (whose unit is `unit`) of a stretch; `quantity` is what the line shows, if else.

        `label`: what the step is about, where it is not the whole stretch.
        """
        self.quantity += amount_of if quantity is None else quantity
        price = self.price(value_id, stretch, key=key)
        if price is None:
            if amount_of:
                self.unknown = value_id
            return
        factor = self.factor(stretch)
        if factor is None:
            self.unknown = self.service if amount_of else self.unknown
            return
        product = price * amount_of * factor
        self.amount = (self.amount or Fraction(0)) + product
        if self.account.bound is not Bound.MEASURED:
            return  # nobody reads the steps of a bound
        times = f" × {plain(factor)}" if factor != 1 else ""
        priced_in = self.account.case.rulebook.values[value_id].unit
        about = label or f"{stretch.first_day}…{stretch.until_day}"
        self.steps.append(Step(f"{about}: {plain(amount_of)} {unit} × {plain(price)} {priced_in}{times}", product))

    def price(self, value_id: str, stretch: Stretch, *, key: str = "") -> Fraction | None:
        """A rulebook value on a stretch, noted for the explanation; None: unknown or ended."""
        book = self.account.case.rulebook
        row = book.row(value_id, stretch.first_day, area=stretch.area.id, key=key)
        if self.account.bound is Bound.MEASURED:
            use = rule_use(book.values[value_id], row, key)
            if use not in self.rules:
                self.rules.append(use)
        return None if row.value is None else Fraction(row.value)

    def factor(self, stretch: Stretch) -> Fraction | None:
        """The settlement factor of the service; None: its state is unknown."""
        row = self.account.case.rulebook.service_row(self.service, stretch.first_day, stretch.area.id)
        if row is None or row.state is RuleState.UNKNOWN:
            return None
        return Fraction(row.factor)

    def draft(self) -> Draft:
        """The line so far; an unknown value leaves it pending."""
        if self.unknown:
            return Draft(
                self.quantity,
                None,
                LineStatus.PENDING,
                "unknown_value",
                steps=tuple(self.steps),
                rules=tuple(self.rules),
            )
        return Draft(self.quantity, self.amount, steps=tuple(self.steps), rules=tuple(self.rules))


def rule_use(value: RuleValue, row: RuleRow, key: str) -> RuleUse:
    """A row as a line cites it."""
    text = "" if row.value is None else str(row.value)
    return RuleUse(value.id, value.article, text, value.unit, row.from_day.isoformat(), key or row.area)


def plain(value: Fraction) -> str:
    """A number for a formula: exact if it ends within 9 decimals, else cut to 9 with an ellipsis."""
    scaled, rest = divmod(abs(value.numerator) * 10**9, value.denominator)
    text = f"{scaled // 10**9}.{scaled % 10**9:09d}".rstrip("0").rstrip(".")
    return ("-" if value < 0 else "") + text + ("…" if rest else "")
