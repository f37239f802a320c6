# SPDX-License-Identifier: GPL-3.0-or-later
"""The running month, rules.md section 6: what the last day changed, and the revenue that stands in for this month's.

A running month is settled up to a cut, the end of a day: nothing is registered after it, so future time is neither
missing nor due. Monthly sums (agc_basic, black_start) are taken by elapsed days. Nothing of it is posted or final.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from typing import Final

from collector.base.text import tr
from collector.model.dispatch import Revenue
from collector.model.interval import Month, format_time, local_midnight_ms
from collector.settlement.inputs import Inputs
from collector.settlement.services.pricing import Case
from collector.settlement.statement import Finding, Line, Running, YesterdayRow

# Lines whose amount depends on all days together: what a day changes is the estimate of the month.
ESTIMATES: Final = frozenset({"avc", "agc_basic"})
_ZERO: Final = Decimal("0.00")


def compute_running(
    case: Case, cut: date, inputs: Inputs, lines: Sequence[Line], before: Sequence[Line]
) -> tuple[Running, Sequence[Revenue] | None]:
    """The cut with what its last day changed, line by line, and the revenue to allocate by."""
    revenue, of = _revenue(str(case.month), inputs.revenue)
    elapsed = (cut - case.month.first_day).days
    return Running(local_midnight_ms(cut), elapsed, of, tuple(_yesterday(lines, before))), revenue


def _key(line: Line) -> tuple[str, str, str, str]:
    return line.area, line.plant, line.unit, line.service


def _yesterday(lines: Sequence[Line], before: Sequence[Line]) -> Iterator[YesterdayRow]:
    """A line that was not there a day earlier had 0; one without an amount, on either day, has no change."""
    earlier = {_key(line): line.amount_yuan for line in before}
    for line in lines:
        was, now = earlier.pop(_key(line), _ZERO), line.amount_yuan
        change = None if was is None or now is None else now - was
        yield YesterdayRow(*_key(line), was, now, change, line.service in ESTIMATES)
    for key, was in earlier.items():
        yield YesterdayRow(*key, was, _ZERO, None if was is None else -was, key[3] in ESTIMATES)


def _revenue(month: str, rows: Sequence[Revenue] | None) -> tuple[Sequence[Revenue] | None, str]:
    """The month's own revenue if there is any, else that of the last month before it, as an estimate."""
    if rows is None or any(row.month == month for row in rows):
        return rows, ""
    last = max((row.month for row in rows if row.month < month), default="")
    return [replace(row, month=month) for row in rows if row.month == last], last


def running_findings(month: Month, running: Running) -> Iterator[Finding]:
    """The findings that keep a running month from being final in every area."""
    told = tr("the month to {cut}: an estimate, never final; nothing is posted", cut=format_time(running.cut_ms))
    yield Finding("running", str(month), told)
    if running.revenue_month:
        told = tr("shares are estimated by the revenue of {month}", month=running.revenue_month)
        yield Finding("revenue_estimated", "revenue.csv", told)
