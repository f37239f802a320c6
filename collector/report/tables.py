# SPDX-License-Identifier: GPL-3.0-or-later
"""The CSV files of a statement, columns as formats.md names them: UTF-8 without BOM, line feeds, one header row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from collector.report.numbers import format_amount, format_fraction, format_seconds
from collector.report.segments import UnpaidTime
from collector.settlement.statement import Statement

LINE_COLUMNS: Final = (
    *("month", "area", "plant", "unit", "service", "article", "quantity", "quantity_unit"),
    *("coverage", "amount_yuan", "status", "reason", "low_yuan", "high_yuan", "provisional"),
)
PLANT_COLUMNS: Final = (
    *("month", "area", "plant", "compensation_yuan", "revenue_yuan", "allocation_yuan", "net_yuan", "status"),
)
DETERMINANT_COLUMNS: Final = (
    *("month", "area", "plant", "unit", "service", "determinant", "value", "value_unit"),
    *("scope_s", "known_s", "counted_s", "excluded_s", "own_fault_s"),
)
NOT_PAID_COLUMNS: Final = ("unit", "service", "class", "reason", "duration_s")
LEDGER_COLUMNS: Final = (
    *("entry", "reverses", "month", "edition", "run", "area", "plant", "debit_yuan", "credit_yuan", "posted"),
)


def lines_csv(statement: Statement) -> bytes:
    """lines.csv: one row per unit, service, area and plant."""
    return _csv(
        LINE_COLUMNS,
        (
            (
                *(line.month, line.area, line.plant, line.unit, line.service, line.article),
                *(format_fraction(line.quantity), line.quantity_unit, format_fraction(line.coverage)),
                *(format_amount(line.amount_yuan), line.status.value, line.reason),
                *(format_amount(line.low_yuan), format_amount(line.high_yuan), str(int(line.provisional))),
            )
            for line in statement.lines
        ),
    )


def plants_csv(statement: Statement) -> bytes:
    """plants.csv: one row per plant and settlement area."""
    return _csv(
        PLANT_COLUMNS,
        (
            (
                *(row.month, row.area, row.plant, format_amount(row.compensation_yuan)),
                *(format_amount(row.revenue_yuan), format_amount(row.allocation_yuan)),
                *(format_amount(row.net_yuan), row.status.value),
            )
            for row in statement.plants
        ),
    )


def determinants_csv(statement: Statement) -> bytes:
    """determinants.csv: one row per determinant; durations in seconds, exact to the millisecond."""
    return _csv(
        DETERMINANT_COLUMNS,
        (
            (
                *(row.month, row.area, row.plant, row.unit, row.service, row.determinant),
                *(format_fraction(row.value), row.value_unit, format_seconds(row.scope_ms)),
                *(format_seconds(row.known_ms), format_seconds(row.counted_ms)),
                *(format_seconds(row.excluded_ms), format_seconds(row.own_fault_ms)),
            )
            for row in statement.determinants
        ),
    )


def ledger_csv(statement: Statement, run: str) -> bytes:
    """ledger.csv: the balanced posting of this result (Art. 20); `plant` is empty on the pool's side.

    `reverses`, `edition` and `posted` are empty: the account is posted at the center when a result takes effect.
    """
    return _csv(
        LEDGER_COLUMNS,
        (
            (
                *(str(row.entry), "", row.month, "", run, row.area, row.plant),
                *(format_amount(row.debit_yuan), format_amount(row.credit_yuan), ""),
            )
            for row in statement.ledger
        ),
    )


def not_paid_csv(unpaid: Sequence[UnpaidTime]) -> bytes:
    """not_paid.csv: unpaid seconds by unit, service, class and reason."""
    rows = ((u.unit, u.service, u.cause, u.reason, format_seconds(u.duration_ms)) for u in unpaid)
    return _csv(NOT_PAID_COLUMNS, rows)


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")
