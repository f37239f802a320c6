# SPDX-License-Identifier: GPL-3.0-or-later
"""The explanation of a line: formula with numbers, rulebook rows, readings, determinants, segments, records.

Nothing is computed again here: a line carries its steps and the rulebook rows it was priced with, segments come from
the same measuring, and the records of a segment are looked up in the inputs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from collector.base.errors import RuleError
from collector.base.text import tr
from collector.model.interval import format_time
from collector.model.quantity import BY_NAME, from_scaled
from collector.settlement.inputs import Inputs
from collector.settlement.outside_scope import with_outside
from collector.settlement.statement import (
    SEGMENT_SCHEMA,
    SEGMENT_VALUE_DIVISOR,
    DeterminantRow,
    Finding,
    LeftRow,
    Line,
    ReadingUse,
    Statement,
)

# The readings that affect each service's money (rules.md section 3); I-13, I-14 and I-17 affect all services or none.
READINGS_OF: Final[Mapping[str, tuple[str, ...]]] = {
    "deep_peak": ("I-02", "I-03", "I-04", "I-05", "I-18", "I-19"),
    "coal_start_stop": ("I-01", "I-02", "I-06", "I-20", "I-22"),
    "gas_start_stop": ("I-02", "I-06", "I-20"),
    "hydro_spill": ("I-02", "I-16", "I-19"),
    "hydro_start_stop": ("I-02", "I-06", "I-16", "I-20"),
    "agc_basic": ("I-02", "I-07", "I-19", "I-24"),
    "agc_up": ("I-02", "I-08a", "I-08b", "I-08c", "I-08d", "I-19", "I-24"),
    "agc_down": ("I-02", "I-08a", "I-08b", "I-08c", "I-08d", "I-19", "I-24"),
    "reactive_lag": ("I-02", "I-09", "I-10", "I-19"),
    "reactive_lead": ("I-02", "I-09", "I-10", "I-19"),
    "condenser_start": ("I-02", "I-10", "I-19", "I-23"),
    "condenser_run": ("I-02", "I-10", "I-19"),
    "avc": ("I-02", "I-11", "I-19", "I-21"),
    "spinning_reserve": ("I-02", "I-12", "I-19"),
    "hot_reserve": ("I-02", "I-12", "I-19"),
    "black_start": ("I-02", "I-15", "I-16"),
}


@dataclass(frozen=True, slots=True)
class Explanation:
    """All data that lead to one line of a statement.

    `segments` covers the whole month without gap or overlap, inside and outside the scope. `not_paid_ms` is the time
    that was not paid, by class and reason. `beside` holds figures shown next to the determinant, such as on-grid hours,
    and AVC orders with the reason why they were not judged.

    `others` are the unit's lines of the same service in other areas or of other plants. If there are any, `segments`
    and `not_paid_ms` cover only this line's part of the month.
    """

    line: Line
    determinant: DeterminantRow | None
    readings: tuple[ReadingUse, ...]
    findings: tuple[Finding, ...]
    segments: pa.Table
    not_paid_ms: Mapping[tuple[str, str], int]
    beside: tuple[DeterminantRow, ...] = ()
    left: tuple[LeftRow, ...] = ()
    others: tuple[Line, ...] = ()


def explain_parts(statement: Statement, unit: str, service: str) -> list[Explanation]:
    """Explain the line of a unit and service in each area and of each plant. Raises as `explain`."""
    first = explain(statement, unit, service)
    return [first, *(explain(statement, unit, service, (other.area, other.plant)) for other in first.others)]


def explain(statement: Statement, unit: str, service: str, place: tuple[str, str] | None = None) -> Explanation:
    """Explain the line of a unit and service. `place`: its area and plant, where there are several; default the first.

    Raises:
        RuleError: the statement has no such line; the message names those the unit has.
    """
    lines = [line for line in statement.lines if line.unit == unit]
    mine = [line for line in lines if line.service == service]
    chosen = next((line for line in mine if place in (None, (line.area, line.plant))), None)
    if chosen is None:
        has = (
            ", ".join(dict.fromkeys(line.service for line in lines))
            if lines
            else tr("no lines at all; is it registered in this month?")
        )
        raise RuleError(
            tr("the statement of {month} has no such line; this unit has: {has}", month=statement.month, has=has),
            subject=f"{unit}/{service}",
        )
    wanted_row = (unit, service, chosen.area, chosen.plant)
    measured = tuple(d for d in statement.determinants if (d.unit, d.service, d.area, d.plant) == wanted_row)
    segments, part = _segments(statement, unit, service), None
    if len(mine) > 1:
        places = statement.places.get(unit, ())
        part = [(p.start_ms, p.end_ms) for p in places if (p.area, p.plant) == (chosen.area, chosen.plant)]
        segments = _of_part(segments, part, measured[0] if measured else None)
    segments = with_outside(statement, unit, service, segments, part)
    if not any((d.unit, d.service) == (unit, service) for d in statement.determinants):
        segments = SEGMENT_SCHEMA.empty_table()  # black start: nothing is measured
    wanted = READINGS_OF[statement.formula_of(service)]
    return Explanation(
        line=chosen,
        determinant=measured[0] if measured else None,
        readings=tuple(reading for reading in statement.readings if reading.id in wanted),
        findings=tuple(f for f in statement.findings if _concerns(f, chosen, {*READINGS_OF, *statement.formulas})),
        segments=segments,
        not_paid_ms=_not_paid(segments),
        beside=measured[1:],
        others=tuple(line for line in mine if line is not chosen),
        left=tuple(row for row in statement.left_on_table if _place(row) == _place(chosen)),
    )


def _place(row: Line | LeftRow) -> tuple[str, str, str, str]:
    return row.area, row.plant, row.unit, row.service


def _concerns(finding: Finding, line: Line, services: Collection[str]) -> bool:
    """True if a finding concerns a line: it names the line, its unit, its area, or a whole file."""
    subject, _, part = finding.subject.partition("/")
    if subject == line.unit:
        return part == line.service or part not in services
    return finding.subject == line.area or finding.code == "not_delivered"


def _segments(statement: Statement, unit: str, service: str) -> pa.Table:
    parts = []
    for table in statement.segments.tables(units=frozenset({unit})):
        names = table.column("service").cast(pa.string())
        parts.append(table.filter(pc.equal(names, service)))
    return pa.concat_tables(parts).unify_dictionaries() if parts else SEGMENT_SCHEMA.empty_table()


def _of_part(segments: pa.Table, spans: Sequence[tuple[int, int]], measured: DeterminantRow | None) -> pa.Table:
    """The segments inside some spans. One that crosses an end is cut there.

    Time of it is told exactly; of energy the pieces cut have what the part's determinant has beside the whole ones, by
    their time.
    """
    rows: list[dict[str, Any]] = []
    cut: list[dict[str, Any]] = []
    for row in segments.to_pylist():
        for start, end in spans:
            begin, until = max(row["start"], start), min(row["end"], end)
            if begin < until:
                piece = {**row, "start": begin, "end": until}
                rows.append(piece)
                if (begin, until) != (row["start"], row["end"]) and row["value"]:
                    cut.append(piece)
    if cut and measured is not None and measured.value is not None:
        whole = sum(row["value"] for row in rows if row not in cut)
        left = int(measured.value * SEGMENT_VALUE_DIVISOR[cut[0]["value_unit"]]) - whole
        time = sum(row["end"] - row["start"] for row in cut)
        for row in cut:
            own = row["end"] - row["start"]
            row["value"] = left * own // time
            left, time = left - row["value"], time - own
    return pa.Table.from_pylist(rows, SEGMENT_SCHEMA)


def _not_paid(segments: pa.Table) -> dict[tuple[str, str], int]:
    times: dict[tuple[str, str], int] = defaultdict(int)
    for row in segments.to_pylist():
        if row["class"] != "counted":
            times[row["class"], row["reason"]] += row["end"] - row["start"]
    return dict(sorted(times.items(), key=lambda item: (-item[1], item[0])))


def records_of(inputs: Inputs, unit: str, start_ms: int, end_ms: int) -> list[dict[str, Any]]:
    """The records used for [start_ms, end_ms): those inside, and the last one before it. Values are exact decimals."""
    names = inputs.records.column("unit").cast(pa.string())
    mine = inputs.records.filter(pc.equal(names, unit)).sort_by("time")
    times = mine.column("time").to_pylist()
    first = sum(1 for time in times if time < start_ms)
    last = sum(1 for time in times if time < end_ms)
    begin = max(first - 1, 0) if first == len(times) or times[first] > start_ms else first
    rows = []
    for row in mine.slice(begin, last - begin).to_pylist():
        cells = {
            name: None if row[name] is None else from_scaled(row[name], BY_NAME[name].scale)
            for name in row
            if name in BY_NAME and name in inputs.unit_columns.get(unit, frozenset())
        }
        rows.append({"time": format_time(row["time"]), **cells})
    return rows
