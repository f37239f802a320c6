# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 8, pricing: one unit's month as input of the services, and the running sum of a line with its explanation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from fractions import Fraction

from collector.model.dispatch import Rate, StartStopRow
from collector.model.interval import Month
from collector.settlement.measure.dispatch_side import DispatchSide
from collector.settlement.measure.results import BreakerRun, GroupEnergy, MonthTotals, Sums
from collector.settlement.rulebook.constant_days import Policy, Stretch
from collector.settlement.rulebook.in_force import RulesInForce
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.statement import LineStatus, RuleUse, Step


@dataclass(frozen=True)
class Case:
    """The data that pricing shares among all units of a month."""

    month: Month
    rulebook: Rulebook
    rules: RulesInForce
    policy: Policy
    totals: MonthTotals
    dispatch: DispatchSide
    stretches: Mapping[str, Sequence[Stretch]]
    columns_of: Mapping[str, frozenset[str]]
    rates: Sequence[Rate]
    start_stop_table: Sequence[StartStopRow]
    cited: dict[Hashable, tuple[RuleUse, ...]] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Draft:
    """A line before gates and rounding. `amount` None: it can't be computed; `status` and `reason` say why."""

    quantity: Fraction | None
    amount: Fraction | None
    status: LineStatus | None = None
    reason: str = ""
    provisional: str = ""
    steps: tuple[Step, ...] = ()
    rules: tuple[RuleUse, ...] = ()


class Bound(Enum):
    """How missing time is priced: left out, or so that the line is as low, or as high, as it could be."""

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
    _sums: dict[tuple[date, date], Sums] = field(default_factory=dict, repr=False, compare=False)

    @property
    def stretches(self) -> Sequence[Stretch]:
        """The unit's stretches, in order of time."""
        return self.case.stretches[self.unit]

    @property
    def groups(self) -> Sequence[GroupEnergy]:
        """Energy of the peak groups of which the unit was an on-grid member."""
        return self.case.totals.groups.get(self.unit, ())

    @property
    def runs(self) -> Sequence[BreakerRun]:
        """The unit's breaker runs in order of time."""
        return self.case.totals.runs.get(self.unit, ())

    def stretches_of(self, service: str) -> list[Stretch]:
        """The stretches in which a service applies to the unit and is in force (or its state is unknown)."""
        found = self._stretches_of.get(service)
        if found is None:
            kinds = self.case.rulebook.services[service].unit_kinds
            found = self._stretches_of[service] = [
                s
                for s in self.stretches
                if self.applies[service](s)
                and str(s.unit.kind) in kinds
                and self.case.rules.service(service, s.first_day, s.area.id) is not None
            ]
        return found

    def sum(self, column: str, stretch: Stretch) -> int:
        """The sum of a measured column over a stretch; zero where the column was not measured."""
        return self.sums(stretch)[column]

    def sums(self, stretch: Stretch) -> Sums:
        """The sums of all measured columns over a stretch."""
        return self._between(stretch.first_day, stretch.until_day)

    def sum_of_month(self, column: str) -> int:
        """The sum of a measured column over the month."""
        month = self.case.month
        return self._between(month.first_day, month.next().first_day)[column]

    def _between(self, first_day: date, until_day: date) -> Sums:
        sums = self._sums.get((first_day, until_day))
        if sums is None:
            first, until = first_day.toordinal(), until_day.toordinal()
            sums = self._sums[first_day, until_day] = self.case.totals.between(self.unit, first, until)
        return sums

    def measured(self, service: str, stretch: Stretch) -> int:
        """A determinant's value over a stretch; for a bound, with what missing time could add (or take away)."""
        sums = self.sums(stretch)
        value = sums[f"{service}.value"]
        if self.bound is Bound.HIGH:
            return value + sums[f"{service}.best"]
        return value - sums[f"{service}.worst"] if self.bound is Bound.LOW else value

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
        """Add price × `amount_of` (in `unit`) of a stretch; `quantity`: the quantity the line shows, if it is another.

        `label`: the subject of the step, where it is not the whole stretch.
        """
        self.quantity = _plus(self.quantity, amount_of if quantity is None else quantity)
        price = self.price(value_id, stretch, key=key)
        if price is None:
            if amount_of:
                self.unknown = value_id
            return
        factor = self.factor(stretch)
        if factor is None:
            self.unknown = self.service if amount_of else self.unknown
            return
        product = price * amount_of
        if factor != 1:
            product *= factor
        self.amount = _plus(self.amount, product)
        if self.account.bound is not Bound.MEASURED:
            return  # the steps of a bound are not shown
        times = f" × {plain(factor)}" if factor != 1 else ""
        priced_in = self.account.case.rulebook.values[value_id].unit
        about = label or f"{stretch.first_day}…{stretch.until_day}"
        self.steps.append(Step(f"{about}: {plain(amount_of)} {unit} × {plain(price)} {priced_in}{times}", product))

    def price(self, value_id: str, stretch: Stretch, *, key: str = "") -> Fraction | None:
        """A rulebook value on a stretch, recorded for the explanation; None: unknown or ended."""
        rule = self.account.case.rules.rule(value_id, stretch.first_day, stretch.area.id, key)
        if self.account.bound is Bound.MEASURED and rule.use not in self.rules:
            self.rules.append(rule.use)
        return rule.value

    def factor(self, stretch: Stretch) -> Fraction | None:
        """The settlement factor of the service; None: its state is unknown."""
        service = self.account.case.rules.service(self.service, stretch.first_day, stretch.area.id)
        return None if service is None else service.factor

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


def _plus(total: Fraction | None, term: Fraction) -> Fraction:
    """The sum of both. Most lines have one term, and adding a Fraction to zero would cost as much as pricing it."""
    return total + term if total else term


def plain(value: Fraction) -> str:
    """A number for a formula: exact if it ends within 9 decimals, else cut to 9 with an ellipsis."""
    scaled, rest = divmod(abs(value.numerator) * 10**9, value.denominator)
    text = f"{scaled // 10**9}.{scaled % 10**9:09d}".rstrip("0").rstrip(".")
    return ("-" if value < 0 else "") + text + ("…" if rest else "")
