# SPDX-License-Identifier: GPL-3.0-or-later
"""The evidence files of a statement as tables: for their CSV files, for sheets of the workbook, for the page.

Rows are texts, exactly those of the CSV file. What was found while measuring is written as it passes (segments.py), and
its first rows are read back here; everything else is made from the statement. A person's copy shows at most
`SHEET_ROWS` or `PAGE_ROWS` rows of a table and says how many the file has.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache, partial
from pathlib import Path
from typing import Final

from collector.base.text import into, tr
from collector.report import words
from collector.report.numbers import format_amount, format_fraction, format_instant
from collector.report.segments import UnpaidTime, instant_texts
from collector.report.words import Lang, Words
from collector.settlement.evidence import EVIDENCE
from collector.settlement.outside_scope import OUTSIDE
from collector.settlement.statement import Finding, LeftRow, Line, Running, Statement

# A unit's month of quarter hours; the whole stands in the CSV file.
SHEET_ROWS: Final = 3_000
PAGE_ROWS: Final = 500
# Reasons of time outside a scope in which the unit was not asked for the service, or not in these hours.
_NOTHING_ASKED: Final = frozenset({"outside_order", "outside_reserve", "outside_valley"})
Row = Sequence[str]

# Every evidence file, in the order of its sheets: its title.
TITLES: Final[Mapping[str, Words]] = {
    "findings": ("须知", "findings"),
    "yesterday": ("昨日变化", "what the last day changed"),
    "left_on_table": ("未得补偿", "left on the table, each reason alone"),
    "left_totals": ("未得补偿合计", "left on the table by plant and area"),
    "deep_peak": ("深度调峰时段", "deep peak by interval"),
    "start_stops": ("启停调峰次数", "start-stops by order"),
    "avc_orders": ("AVC指令", "AVC orders"),
    "agc_quarter_hours": ("AGC刻钟电量", "AGC energy by quarter hour"),
    "agc_commands": ("AGC指令响应", "response to AGC commands (not paid)"),
    "meter_days": ("电能表核对", "telemetry against the meter, by day"),
    "reserve_statistics": ("备用统计", "reserve planned, and called (a statistic)"),
    "primary_frequency": ("一次调频", "primary frequency control (not paid)"),
}
LEFT_COLUMNS: Final = ("unit", "service", "reason", "minutes", "amount_yuan", "assumption_zh", "assumption_en")
TOTAL_COLUMNS: Final = ("area", "plant", "service", "reason", "minutes", "amount_yuan")
YESTERDAY_COLUMNS: Final = (
    *("month", "area", "plant", "unit", "service", "before_yuan", "now_yuan", "change_yuan", "note"),
)
METER_COLUMNS: Final = (*("unit", "day", "telemetry_mwh", "meter_mwh", "difference_ratio", "verdict", "reason"),)
START_STOP_COLUMNS: Final = (
    *("order", "unit", "service", "stopped_from", "stopped_to", "started_from", "started_to", "gap_h"),
    *("verdict", "reason"),
)
RESERVE_COLUMNS: Final = (
    *("area", "start", "end", "planned_mw", "minimum_mw", "below"),
    *("unit", "kind", "called", "called_mw", "arrived_s"),
)
FINDING_COLUMNS: Final = ("code", "subject", "first", "last", "count", "text_zh", "text_en")
PRIMARY_FREQUENCY_COLUMNS: Final = ("unit", "start", "end", "actual_mwh", "theoretical_mwh", "ratio")
# Columns whose cells are numbers; of all others the cells are texts.
NUMBERS: Final = frozenset(c.name for columns in EVIDENCE.values() for c in columns if c.form == "number") | {
    *("count", "actual_mwh", "theoretical_mwh", "ratio", "minutes", "amount_yuan"),
    *("telemetry_mwh", "meter_mwh", "difference_ratio", "gap_h", "before_yuan", "now_yuan", "change_yuan"),
    *("planned_mw", "minimum_mw", "called_mw", "arrived_s"),
}


@dataclass(frozen=True, slots=True)
class EvidenceTable:
    """A table as shown: the rows, or the first of them, and how many the file has."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Row]
    count: int

    @property
    def title(self) -> Words:
        """The title of the table, in Chinese and English."""
        return TITLES[self.name]


def made_tables(statement: Statement, unpaid: Iterable[UnpaidTime]) -> dict[str, EvidenceTable]:
    """The evidence tables that are made from the statement, whole."""
    left = ranked(statement, unpaid)
    made = {
        "findings": (FINDING_COLUMNS, _findings(statement)),
        "left_on_table": (LEFT_COLUMNS, map(_left_cells, left)),
        "left_totals": (TOTAL_COLUMNS, map(_total_cells, left_totals(left))),
        "start_stops": (START_STOP_COLUMNS, _start_stops(statement)),
        "meter_days": (METER_COLUMNS, _meter_days(statement)),
        "reserve_statistics": (RESERVE_COLUMNS, _reserves(statement)),
        "primary_frequency": (PRIMARY_FREQUENCY_COLUMNS, _excursions(statement)),
    }
    if statement.running is not None:
        made["yesterday"] = YESTERDAY_COLUMNS, _yesterday(statement, statement.running)
    tables = {name: (columns, list(rows)) for name, (columns, rows) in made.items()}
    return {name: EvidenceTable(name, columns, rows, len(rows)) for name, (columns, rows) in tables.items()}


def finding_texts(findings: Iterable[Finding], lines: Iterable[Line]) -> list[Words]:
    """The text of each finding, in Chinese and English.

    The text of a blocked or pending line also gives its reason.
    """
    reasons = {f"{line.unit}/{line.service}": line.reason for line in lines if line.amount_yuan is None}

    def said(finding: Finding, lang: Lang) -> str:
        text = str(into(finding.message, lang))
        if finding.code not in ("blocked", "pending") or not reasons.get(finding.subject):
            return text
        mark = "\uff1a" if lang is Lang.ZH else ": "
        return text + mark + words.all_of(words.REASONS, reasons[finding.subject], lang)

    return [(said(finding, Lang.ZH), said(finding, Lang.EN)) for finding in findings]


def subject_words(subject: str) -> Words:
    """The subject of a finding in words: unit and service for a line, else the name as it is.

    Example: `u1/agc` becomes the unit's id and the name of the service in Chinese and English.
    """
    unit, _, service = subject.partition("/")
    if service not in words.SERVICES:
        return subject, subject
    chinese, english = words.SERVICES[service]
    return f"{unit} {chinese}", f"{unit} {english}"


def _findings(statement: Statement) -> Iterable[Row]:
    for f, texts in zip(statement.findings, finding_texts(statement.findings, statement.lines), strict=True):
        first, last = ("" if ms is None else format_instant(ms) for ms in (f.first_ms, f.last_ms))
        yield f.code, f.subject, first, last, str(f.count), *texts


def ranked(statement: Statement, unpaid: Iterable[UnpaidTime]) -> list[LeftRow]:
    """Rank the rows of money left on the table: most yuan first, then rows with minutes only, longest first."""
    place = {(line.unit, line.service): (line.area, line.plant) for line in statement.lines}
    nothing = tr("minutes only: nothing was asked of the unit then")
    rows = [
        *statement.left_on_table,
        *(
            LeftRow(
                *place.get((u.unit, u.service), ("", "")), u.unit, u.service, u.reason, u.duration_ms, None, nothing
            )
            for u in unpaid
            if u.cause == OUTSIDE and u.reason in _NOTHING_ASKED
        ),
    ]
    return sorted(rows, key=_rank)


def left_totals(rows: Iterable[LeftRow]) -> list[LeftRow]:
    """Sum the rows by reason, for each plant and for each area (`plant` is empty), ranked; `unit` is empty.

    Unit-minutes and yuan are added up only within one service and reason, never across reasons. If one unit has no
    yuan, the sum has none.
    """
    found: dict[tuple[str, str, str, str], list[LeftRow]] = defaultdict(list)
    for row in rows:
        for plant in (row.plant, ""):
            found[row.area, plant, row.service, row.reason].append(row)
    totals = []
    for (area, plant, service, reason), some in found.items():
        times = [row.duration_ms for row in some if row.duration_ms is not None]
        amounts = [row.amount_yuan for row in some if row.amount_yuan is not None]
        yuan = sum(amounts, Decimal(0)) if len(amounts) == len(some) else None
        totals.append(LeftRow(area, plant, "", service, reason, sum(times) if times else None, yuan, ""))
    return sorted(totals, key=lambda row: (*_rank(row), row.area, row.plant))


def _rank(row: LeftRow) -> tuple[bool, Decimal, int, str, str, str]:
    amount = row.amount_yuan
    return amount is None, -(amount or Decimal(0)), -(row.duration_ms or 0), row.unit, row.service, row.reason


def _total_cells(row: LeftRow) -> Row:
    return row.area, row.plant, row.service, row.reason, _minutes(row), format_amount(row.amount_yuan)


def _minutes(row: LeftRow) -> str:
    return "" if row.duration_ms is None else format_fraction(Fraction(row.duration_ms, 60_000))


def _left_cells(row: LeftRow) -> Row:
    texts = (str(into(row.assumption, "zh")), str(into(row.assumption, "en")))
    return row.unit, row.service, row.reason, _minutes(row), format_amount(row.amount_yuan), *texts


def _yesterday(statement: Statement, running: Running) -> Iterable[Row]:
    for row in running.yesterday:
        amounts = (format_amount(each) for each in (row.before_yuan, row.now_yuan, row.change_yuan))
        place = (statement.month, row.area, row.plant, row.unit, row.service)
        yield *place, *amounts, "estimate" if row.estimate else ""


def _start_stops(statement: Statement) -> Iterable[Row]:
    for row in statement.start_stops:
        times = (row.stopped_from_ms, row.stopped_to_ms, row.started_from_ms, row.started_to_ms)
        gap = None if row.gap_ms is None else Fraction(row.gap_ms, 3_600_000)
        cells = ("" if ms is None else format_instant(ms) for ms in times)
        yield row.order, row.unit, row.service, *cells, format_fraction(gap), row.verdict, row.reason


def _meter_days(statement: Statement) -> Iterable[Row]:
    for row in statement.meter_days:
        numbers = (format_fraction(value) for value in (row.telemetry_mwh, row.meter_mwh, row.difference_ratio))
        yield row.unit, row.day.isoformat(), *numbers, row.verdict.value, row.reason


def _reserves(statement: Statement) -> Iterable[Row]:
    for row in statement.reserve_statistics:
        start = format_instant(row.start_ms)
        power = _mw(row.power_kw)
        if row.unit:
            arrived = None if row.arrived_ms is None else Fraction(row.arrived_ms - row.start_ms, 1000)
            yield row.area, *("",) * 5, row.unit, row.kind, start, power, format_fraction(arrived)
            continue
        below = "" if row.below is None else str(int(row.below))
        end = "" if row.end_ms is None else format_instant(row.end_ms)
        yield row.area, start, end, _mw(row.planned_kw), _mw(row.minimum_kw), below, *("",) * 5


def _mw(power_kw: int | None) -> str:
    return format_fraction(None if power_kw is None else Fraction(power_kw, 1000))


def _excursions(statement: Statement) -> Iterable[Row]:
    rows = statement.primary_frequency
    starts, ends = instant_texts([row.start_ms for row in rows]), instant_texts([row.end_ms for row in rows])
    for row, start, end in zip(rows, starts, ends, strict=True):
        energies = (format_fraction(value) for value in (row.actual_mwh, row.theoretical_mwh, row.ratio))
        yield row.unit, start, end, *energies


def measured_tables(folder: Path, counts: Mapping[str, int]) -> dict[str, EvidenceTable]:
    """The tables written while measuring, with their first rows; `counts`: how many rows each file has."""
    found = {}
    for name in EVIDENCE:
        path = folder / f"{name}.csv"
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.reader(file)
            columns, seen = next(reader), dict[str, str]()  # texts come again and again: one object for all
            rows = [[seen.setdefault(cell, cell) for cell in row] for row in itertools.islice(reader, SHEET_ROWS)]
        found[name] = EvidenceTable(name, columns, rows, counts[name])
    return found


def table_csv(table: EvidenceTable) -> bytes:
    """A whole table as its CSV file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue().encode("utf-8")


def shown_rows(columns: Sequence[str], rows: Sequence[Row]) -> Sequence[Row]:
    """Rows for people, as `shown_cell` has each cell."""
    coded = {place: cache(partial(shown_cell, name)) for place, name in enumerate(columns) if name in words.CODED}
    if not coded:
        return rows
    return [[coded[place](text) if place in coded else text for place, text in enumerate(row)] for row in rows]


def shown_cell(column: str, text: str, lang: Lang = Lang.BOTH) -> str:
    """A cell for people: codes in words, everything else as it is."""
    table = words.CODED.get(column)
    return text if table is None else words.all_of(table, text, lang)
