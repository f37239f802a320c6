# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 8, pricing: one unit's month as input of the services, and the running sum of a line with its explanation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import Enum
from fractions import Fraction
from typing import Final

from collector.base.text import tr
from collector.model.dispatch import OrderKind, Rate, StartStopRow
from collector.model.interval import Month
from collector.settlement.measure.dispatch_side import DispatchSide
from collector.settlement.measure.results import GroupEnergy, MonthTotals, StatusRun, Sums
from collector.settlement.rulebook.constant_days import ConstantDays, Policy
from collector.settlement.rulebook.in_force import RulesInForce
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.statement import FormulaStep, LineStatus, RuleUse
from collector.settlement.units import unit_text


@dataclass(frozen=True)
class Case:
    """The data that pricing shares among all units of a month."""

    month: Month
    rulebook: Rulebook
    rules: RulesInForce
    policy: Policy
    totals: MonthTotals
    dispatch: DispatchSide
    stretches: Mapping[str, Sequence[ConstantDays]]
    columns_of: Mapping[str, frozenset[str]]
    rates: Sequence[Rate]
    start_stop_table: Sequence[StartStopRow]
    elapsed: Fraction = Fraction(1)  # of the month's days, where it is still running
    cited: dict[Hashable, tuple[RuleUse, ...]] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Draft:
    """A line before gates and rounding. `amount` None: it can't be computed; `status` and `reason` say why."""

    quantity: Fraction | None
    amount: Fraction | None
    status: LineStatus | None = None
    reason: str = ""
    provisional: str = ""
    steps: tuple[FormulaStep, ...] = ()
    rules: tuple[RuleUse, ...] = ()


UNCERTAIN: Final = "uncertain_edge"  # why a line is provisional or blocked whose edges holes may hide


class Bound(Enum):
    """How missing time is priced.

    MEASURED leaves it out. LOW and HIGH price it so that the line becomes as low, or as high, as it could be.
    """

    MEASURED = "measured"
    LOW = "low"
    HIGH = "high"


def place_of(stretch: ConstantDays) -> tuple[str, str]:
    """The area whose pool pays for a stretch, and the plant it pays (Art. 21)."""
    return stretch.area.id, stretch.plant.id


@dataclass(frozen=True)
class Account:
    """One unit in one month, or the part of the month that lies in one area with one plant.

    Amounts and quantities are those of the part. The on-grid time of the scope, λ and coverage are the unit's over the
    whole month, so that the parts add up to the whole.
    """

    case: Case
    unit: str
    applies: Mapping[str, Callable[[ConstantDays], bool]]
    bound: Bound = Bound.MEASURED
    part: tuple[str, str] | None = None  # area and plant of the line that is priced; None: all of the unit's month
    change: Callable[[Sums], Mapping[str, int]] | None = None  # what would have been measured instead, by column
    _stretches_of: dict[str, list[ConstantDays]] = field(default_factory=dict, repr=False, compare=False)
    _sums: dict[tuple[date, date], Sums] = field(default_factory=dict, repr=False, compare=False)

    @property
    def stretches(self) -> Sequence[ConstantDays]:
        """The unit's stretches, in order of time."""
        return self.case.stretches[self.unit]

    @property
    def groups(self) -> Sequence[GroupEnergy]:
        """Energy of the peak groups of which the unit was an on-grid member."""
        return self.case.totals.groups.get(self.unit, ())

    def runs_of(self, kind: OrderKind) -> Sequence[StatusRun]:
        """The unit's runs of the status that orders of a kind look at, in order of time."""
        return self.case.totals.runs.get((kind, self.unit), ())

    def stretches_of(self, service: str) -> list[ConstantDays]:
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

    def part_of(self, service: str) -> list[ConstantDays]:
        """The stretches of `stretches_of` that lie in the part."""
        found = self.stretches_of(service)
        return found if self.part is None else [s for s in found if place_of(s) == self.part]

    def sum(self, column: str, stretch: ConstantDays) -> int:
        """The sum of a measured column over a stretch; zero where the column was not measured."""
        return self.sums(stretch)[column]

    def sums(self, stretch: ConstantDays) -> Sums:
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
            sums = self.case.totals.between(self.unit, first, until)
            if self.change is not None:
                sums = Sums({**sums, **self.change(sums)})
            self._sums[first_day, until_day] = sums
        return sums

    def measured(self, service: str, stretch: ConstantDays) -> int:
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
    by_days: Fraction = Fraction(1)  # the share of a monthly sum that a running month has come to
    steps: list[FormulaStep] = field(default_factory=list)
    rules: list[RuleUse] = field(default_factory=list)

    def add(
        self,
        value_id: str,
        stretch: ConstantDays,
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
        if self.by_days != 1:
            product *= self.by_days
        self.amount = _plus(self.amount, product)
        if self.account.bound is not Bound.MEASURED or self.account.change is not None:
            return  # only the steps of the line itself are shown
        times = f" × {plain(factor)}" if factor != 1 else ""
        times += f" × {self.by_days}" if self.by_days != 1 else ""
        priced_in = self.account.case.rulebook.values[value_id].unit
        about = label or f"{stretch.first_day}…{stretch.until_day}"
        self.steps.append(
            FormulaStep(
                tr(
                    "{about}: {amount} {unit} × {price} {priced_in}{times}",
                    about=about,
                    amount=plain(amount_of),
                    unit=unit_text(unit),
                    price=plain(price),
                    priced_in=unit_text(priced_in),
                    times=times,
                ),
                product,
            )
        )

    def price(self, value_id: str, stretch: ConstantDays, *, key: str = "") -> Fraction | None:
        """A rulebook value on a stretch, recorded for the explanation; None: unknown or ended."""
        rule = self.account.case.rules.rule(value_id, stretch.first_day, stretch.area.id, key)
        if self.account.bound is Bound.MEASURED and rule.use not in self.rules:
            self.rules.append(rule.use)
        return rule.value

    def factor(self, stretch: ConstantDays) -> Fraction | None:
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
        reason = "by_days" if self.amount and self.by_days != 1 else ""
        return Draft(self.quantity, self.amount, reason=reason, steps=tuple(self.steps), rules=tuple(self.rules))


def _plus(total: Fraction | None, term: Fraction) -> Fraction:
    """The sum of both. Most lines have one term, and adding a Fraction to zero would cost as much as pricing it."""
    return total + term if total else term


def plain(value: Fraction) -> str:
    """A number for a formula: exact if it ends within 9 decimals, else cut to 9 with an ellipsis."""
    scaled, rest = divmod(abs(value.numerator) * 10**9, value.denominator)
    text = f"{scaled // 10**9}.{scaled % 10**9:09d}".rstrip("0").rstrip(".")
    return ("-" if value < 0 else "") + text + ("…" if rest else "")
