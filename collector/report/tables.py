# SPDX-License-Identifier: GPL-3.0-or-later
"""The CSV files of a statement, columns as formats.md names them: UTF-8 without BOM, line feeds, one header row."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

from collector.report.numbers import format_amount, format_fraction, format_instant, format_seconds
from collector.settlement.statement import Statement

LINE_COLUMNS: Final = (
    *("month", "area", "plant", "unit", "service", "article", "quantity", "quantity_unit"),
    *("coverage", "amount_yuan", "status", "reason"),
)
PLANT_COLUMNS: Final = (
    *("month", "area", "plant", "compensation_yuan", "revenue_yuan", "allocation_yuan", "net_yuan", "status"),
)
DETERMINANT_COLUMNS: Final = (
    *("month", "area", "plant", "unit", "service", "determinant", "value", "value_unit"),
    *("scope_s", "known_s", "counted_s", "excluded_s", "own_fault_s"),
)
PRIMARY_FREQUENCY_COLUMNS: Final = ("unit", "start", "end", "actual_mwh", "theoretical_mwh", "ratio")
LEDGER_COLUMNS: Final = ("month", "run", "plant", "debit_yuan", "credit_yuan")


def lines_csv(statement: Statement) -> bytes:
    """lines.csv: one row per unit and service."""
    return _csv(
        LINE_COLUMNS,
        (
            (
                *(line.month, line.area, line.plant, line.unit, line.service, line.article),
                *(format_fraction(line.quantity), line.quantity_unit, format_fraction(line.coverage)),
                *(format_amount(line.amount_yuan), line.status.value, line.reason),
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


def primary_frequency_csv(statement: Statement) -> bytes:
    """primary_frequency.csv: every excursion beyond the dead band."""
    return _csv(
        PRIMARY_FREQUENCY_COLUMNS,
        (
            (
                *(row.unit, format_instant(row.start_ms), format_instant(row.end_ms)),
                *(format_fraction(row.actual_mwh), format_fraction(row.theoretical_mwh), format_fraction(row.ratio)),
            )
            for row in statement.primary_frequency
        ),
    )


def ledger_csv(statement: Statement, run: str) -> bytes:
    """ledger.csv: the postings of this run (Art. 20)."""
    return _csv(
        LEDGER_COLUMNS,
        (
            (row.month, row.run or run, row.plant, format_amount(row.debit_yuan), format_amount(row.credit_yuan))
            for row in statement.ledger
        ),
    )


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode("utf-8")
