# SPDX-License-Identifier: GPL-3.0-or-later
"""No number of the rulebook without a test that knows it: change any by one unit, and some worked month is wrong.

One unit is 1 in the last digit as written (0.40 → 0.41, 24 → 25); a value that is unknown becomes 0.01; a settlement
factor goes from 1 to 2. The months are those of worked_months.py, whose expected figures are worked by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal

import pytest

from collector.base.errors import CollectorError
from collector.model.interval import Month
from collector.settlement.rulebook.calendar import DutyDays, WorkingDays, compute_duties
from collector.settlement.rulebook.catalogue import CALENDAR_VALUES
from collector.settlement.rulebook.rules import Rulebook, RuleRow, RuleState
from tests.settlement.small_month import shipped_rulebook
from tests.settlement.worked_months import WORKED, Worked, facts_of

MOVES_NO_MONEY = {"primary_frequency"}  # reported, never paid: its factor multiplies nothing
# What can't be is refused: these limits move no amount (tests/tables holds them).
MOVES_NO_MONEY |= {
    f"policy.{name}" for name in ("plan_limit_ratio", "reserve_limit_ratio", "agc_limit_ratio", "tariff_limit")
}


# Worked by hand: July 2026 has no holiday; the 10th is a Friday, the 15th a Wednesday, so an answer is due on Monday
# the 20th (16, 17, 20).
JUNE_2026 = {"disclosure": 10, "review": 15, "answer": 20, "filing": 20, "publication": 25}


def settled(case: Worked, book: Rulebook) -> dict[str, str]:
    """What a case comes to under a rulebook, as far as anything is expected of it."""
    facts = facts_of(case.build().settle(book))
    return {name: facts.get(name, "absent") for name in case.expected}


@pytest.mark.parametrize("name", WORKED)
def test_a_worked_month_comes_to_what_was_worked_out(name: str) -> None:
    assert settled(WORKED[name], shipped_rulebook()) == WORKED[name].expected


def one_unit_more(row: RuleRow) -> RuleRow:
    """The row, one more in its last digit."""
    if row.value is None:
        return replace(row, value=Decimal("0.01"), state=RuleState.IN_FORCE)
    exponent = row.value.as_tuple().exponent
    assert isinstance(exponent, int)
    return replace(row, value=row.value + Decimal(1).scaleb(exponent))


def mutants() -> Iterator[tuple[str, str, Rulebook]]:
    """(what was changed, the service or value it is about, the rulebook) for every row of the shipped rulebook."""
    book = shipped_rulebook()
    for value in book.values.values():
        for index, row in enumerate(value.rows):
            rows = (*value.rows[:index], one_unit_more(row), *value.rows[index + 1 :])
            values = {**book.values, value.id: replace(value, rows=rows)}
            yield f"{value.id} {row.key} {row.area}".strip(), value.id, replace(book, values=values)
    for service in book.services.values():
        for index, state in enumerate(service.rows):
            doubled = replace(state, factor=state.factor + 1)
            rows_of = (*service.rows[:index], doubled, *service.rows[index + 1 :])
            services = {**book.services, service.id: replace(service, rows=rows_of)}
            yield f"{service.id} factor", service.id, replace(book, services=services)


def due_in_july(book: Rulebook) -> dict[str, int]:
    """The days of July 2026 on which the duties of June are due."""
    days = DutyDays(WorkingDays(frozenset({2026})), book)
    return {duty.id: duty.due.day for duty in compute_duties(Month(2026, 6), days).duties}


def test_the_duties_of_a_worked_month_are_due_as_worked_out() -> None:
    assert due_in_july(shipped_rulebook()) == JUNE_2026


def noticed(book: Rulebook, about: str) -> bool:
    """Whether some worked month does not come out any more; those that name the service are tried first."""
    if about in CALENDAR_VALUES:
        return due_in_july(book) != JUNE_2026
    service = about.partition(".")[0]
    for case in sorted(WORKED.values(), key=lambda case: not any(service in name for name in case.expected)):
        try:
            if settled(case, book) != case.expected:
                return True
        except CollectorError:
            return True
    return False


def test_one_unit_of_any_value_or_factor_makes_a_worked_month_wrong() -> None:
    changed = list(mutants())
    unnoticed = [
        name
        for name, about, book in changed
        if not (about in MOVES_NO_MONEY or about.startswith("agc_command.")) and not noticed(book, about)
    ]
    assert unnoticed == []
    assert len(changed) > 60
