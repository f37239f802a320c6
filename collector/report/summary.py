# SPDX-License-Identifier: GPL-3.0-or-later
"""Compensation by settlement area and service over months, quarters and years: 补偿, 分摊, 占比 (Art. 10(6)).

分摊 of a service is the amount the plants paid for it: its compensation in the months that could be allocated (the
shares of an area sum to its compensation exactly, Art. 22). Months that are not final are named.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.report import words
from collector.report.numbers import format_amount, format_fraction
from collector.report.saved_statement import Saved
from collector.settlement.statement import MonthStatus, Statement

SUMMARY_COLUMNS: Final = (*("period", "area", "service", "compensation_yuan", "allocation_yuan", "units", "share"),)


@dataclass(frozen=True, slots=True)
class SummedLine:
    """The fields of a line that a summary needs.

    `amount_yuan` is None for a pending or blocked line. `allocated`: the cost of its area was shared.
    """

    month: str
    area: str
    service: str
    unit: str
    amount_yuan: Decimal | None
    allocated: bool


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """The sums of a service in an area over a period.

    `units` is the number of units paid. `share` is the part of the area's compensation; None where that is zero. An
    amount is None where none is known: every line of the period is pending or blocked, or its area was not shared.
    """

    period: str
    area: str
    service: str
    compensation_yuan: Decimal | None
    allocation_yuan: Decimal | None
    units: int
    share: Fraction | None


def periods_of(month: str) -> tuple[str, str, str]:
    """The month, its quarter and its year, e.g. 2026-05, 2026-Q2, 2026."""
    year, number = month.split("-")
    return month, f"{year}-Q{(int(number) + 2) // 3}", year


def sum_up(lines: Iterable[SummedLine], *, months_only: bool = False) -> list[SummaryRow]:
    """The rows of every month and, if asked for, of every quarter and year the months lie in; months first."""
    sums: dict[tuple[int, str, str, str], list[Decimal | None]] = defaultdict(lambda: [None, None])
    paid: dict[tuple[int, str, str, str], set[str]] = defaultdict(set)
    totals: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for line in lines:
        amount = line.amount_yuan  # None: a pending or blocked line, which makes its area not final
        for rank, period in enumerate(periods_of(line.month)[: 1 if months_only else 3]):
            key = (rank, period, line.area, line.service)
            found = sums[key]
            if amount is None:
                continue
            found[0] = amount + (found[0] or 0)
            if line.allocated:
                found[1] = amount + (found[1] or 0)
            totals[period, line.area] += amount
            if amount:
                paid[key].add(line.unit)
    order = {service: place for place, service in enumerate(words.SERVICES)}
    return [
        SummaryRow(
            *(period, area, service, whole, shared, len(paid[rank, period, area, service])),
            None if whole is None or not totals[period, area] else Fraction(whole) / Fraction(totals[period, area]),
        )
        for (rank, period, area, service), (whole, shared) in sorted(
            sums.items(), key=lambda item: (*item[0][:3], order.get(item[0][3], len(order)), item[0][3])
        )
    ]


def summary_csv(rows: Iterable[SummaryRow]) -> bytes:
    """summary.csv: UTF-8, line feeds."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SUMMARY_COLUMNS)
    writer.writerows(map(_cells, rows))
    return text.getvalue().encode()


def _cells(row: SummaryRow) -> tuple[str | int, ...]:
    amounts = (format_amount(row.compensation_yuan), format_amount(row.allocation_yuan))
    return (row.period, row.area, row.service, *amounts, row.units, format_fraction(row.share))


def lines_of_statement(statement: Statement) -> Iterator[SummedLine]:
    """Reduce the lines of a statement to the fields a summary needs."""
    blocked = {area.area for area in statement.areas if area.status is MonthStatus.BLOCKED}
    for line in statement.lines:
        row = (line.month, line.area, line.service, line.unit, line.amount_yuan)
        yield SummedLine(*row, line.area not in blocked)


@dataclass(frozen=True, slots=True)
class Summary:
    """The months summed, those of them that are not final, and the rows of every period."""

    months: tuple[str, ...]
    open_months: tuple[str, ...]
    rows: tuple[SummaryRow, ...]


def summarise(statements: Sequence[Saved]) -> Summary:
    """Add statement folders up by month, quarter and year.

    Raises:
        ConfigError: two statements are of the same month.
    """
    months = [saved.month for saved in statements]
    for index, saved in enumerate(statements):
        if saved.month in months[:index]:
            message = tr("{month} is there twice; give each month once", month=saved.month)
            raise ConfigError([Problem(str(saved.folder), 0, "", message)])
    rows = sum_up(line for saved in statements for line in _saved_lines(saved))
    unfinished = tuple(sorted(saved.month for saved in statements if saved.manifest["status"] != "final"))
    return Summary(tuple(sorted(months)), unfinished, tuple(rows))


def summary_as_json(found: Summary) -> dict[str, Any]:
    """The sums for programs: rows have the keys and the cells of summary.csv, the number of units as a number."""
    rows = [dict(zip(SUMMARY_COLUMNS, _cells(row), strict=True)) for row in found.rows]
    return {"months": found.months, "open_months": found.open_months, "rows": rows}


def _saved_lines(saved: Saved) -> Iterator[SummedLine]:
    allocated = {area["area"] for area in saved.manifest["areas"] if area["status"] != "blocked"}
    for line in saved.lines:
        amount = Decimal(line["amount_yuan"]) if line["amount_yuan"] else None
        yield SummedLine(saved.month, line["area"], line["service"], line["unit"], amount, line["area"] in allocated)
