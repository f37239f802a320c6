# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: the rows of a run. Quantities and amounts are exact decimals as text; null is not known, never 0."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import msgspec

from collector.base.text import Language, into
from collector.center.runs.run_list import RunRow
from collector.center.web.errors import ProblemOut
from collector.center.web.paging import as_row
from collector.report.numbers import format_fraction
from collector.settlement.statement import SEGMENT_VALUE_DIVISOR, DeterminantRow


class ProgressOut(msgspec.Struct, frozen=True):
    """The progress of a run. `doing`: the step; `done` of `of` parts of it, 0 of 0 if it has no parts."""

    doing: str
    done: int
    of: int
    share: str
    left_ms: int | None


class RunOut(msgspec.Struct, frozen=True):
    """A run: what it was made for, its status, and the hashes by which anybody can check it.

    `state`: queued, running, done, failed, interrupted where the process that made it ended, or expired; only a run
    that is done has rows; one that expired has status and hashes still. `at_ms`: when it was done, or else asked for.
    `progress`: while it is running. `disclosed`: a month stood on it. `error`, `problems`: why it failed; a list gives
    the first five problems, `problem_count` says how many there are.
    """

    id: int
    month: str
    at_ms: int
    who: str
    kind: str
    disclosed: bool
    base_run_id: int | None
    status: str
    result_hash: str
    rulebook_hash: str
    note: str
    state: str
    asked_ms: int
    began_ms: int | None
    ended_ms: int | None
    progress: ProgressOut | None
    error: str
    problem_count: int
    problems: list[ProblemOut]
    expired_ms: int | None


def run_out(row: RunRow, language: Language, *, now_ms: int, most_problems: int | None = None) -> RunOut:
    """A run, with its first problems or all of them; why it failed, in a language."""
    return as_row(
        RunOut,
        row,
        progress=None
        if row.progress is None
        else as_row(ProgressOut, row.progress, share=f"{float(row.progress.share):.3f}", left_ms=row.left_ms(now_ms)),
        error=into(row.error, language),
        problem_count=len(row.problems),
        problems=[ProblemOut(p.file, p.row, p.key, into(p.message, language)) for p in row.problems[:most_problems]],
    )


class LineOut(msgspec.Struct, frozen=True):
    """One unit × service × month. `low_yuan`, `high_yuan`: bounds where time is missing."""

    month: str
    area: str
    plant: str
    unit: str
    service: str
    article: str
    quantity: str | None
    quantity_unit: str
    coverage: str | None
    amount_yuan: str | None
    status: str
    reason: str
    low_yuan: str | None
    high_yuan: str | None


class PlantRowOut(msgspec.Struct, frozen=True):
    """A plant in one settlement area."""

    month: str
    area: str
    plant: str
    compensation_yuan: str
    revenue_yuan: str | None
    allocation_yuan: str | None
    net_yuan: str | None
    status: str
    reason: str


class AreaOut(msgspec.Struct, frozen=True):
    """A settlement area."""

    month: str
    area: str
    name: str
    compensation_yuan: str
    revenue_yuan: str | None
    status: str
    reason: str


class RunFindingOut(msgspec.Struct, frozen=True):
    """Something a reader must know. `provisional`: it keeps the month from being final."""

    code: str
    subject: str
    message: str
    provisional: bool


class ReadingOut(msgspec.Struct, frozen=True):
    """A reading of an open clause."""

    id: str
    clause: str
    adopted: str
    from_day: str
    text: str
    text_zh: str


class DeterminantOut(msgspec.Struct, frozen=True):
    """A measured quantity of a line; durations are in milliseconds."""

    unit: str
    service: str
    determinant: str
    value: str | None
    value_unit: str
    scope_duration_ms: int
    known_duration_ms: int
    counted_duration_ms: int
    excluded_duration_ms: int
    own_fault_duration_ms: int


class SegmentOut(msgspec.Struct, frozen=True):
    """A stretch of time of a unit and service: what it counts for, or why it does not."""

    service: str
    start_ms: int
    end_ms: int
    counts: str
    reason: str
    value: str | None
    value_unit: str


class QuantityOut(msgspec.Struct, frozen=True):
    """A quantity of a record in its own unit, with its quality."""

    quantity: str
    value: str | None
    quality: str


class RecordOut(msgspec.Struct, frozen=True):
    """A record as it was received."""

    time_ms: int
    device_time_ms: int | None
    era: int
    values: list[QuantityOut]


class StepOut(msgspec.Struct, frozen=True):
    """A step of the computation, and what it came to."""

    text: str
    result: str


class RuleOut(msgspec.Struct, frozen=True):
    """A dated value of the rulebook that priced the line."""

    id: str
    article: str
    value: str
    unit: str
    from_day: str
    key: str


class UnpaidOut(msgspec.Struct, frozen=True):
    """Time that did not count, by class and reason."""

    counts: str
    reason: str
    duration_ms: int


class ExplanationOut(msgspec.Struct, frozen=True):
    """All data behind one line. `beside`: figures shown next to the determinant."""

    line: LineOut
    steps: list[StepOut]
    rules: list[RuleOut]
    determinant: DeterminantOut | None
    beside: list[DeterminantOut]
    readings: list[ReadingOut]
    not_paid: list[UnpaidOut]


def determinant_out(row: DeterminantRow) -> DeterminantOut:
    """A determinant."""
    return DeterminantOut(
        unit=row.unit,
        service=row.service,
        determinant=row.determinant,
        value=None if row.value is None else format_fraction(row.value),
        value_unit=row.value_unit,
        scope_duration_ms=row.scope_ms,
        known_duration_ms=row.known_ms,
        counted_duration_ms=row.counted_ms,
        excluded_duration_ms=row.excluded_ms,
        own_fault_duration_ms=row.own_fault_ms,
    )


def segment_rows(table: Any) -> list[SegmentOut]:
    """Rows of a segment table, values in their own unit."""
    return [
        SegmentOut(
            service=row["service"],
            start_ms=row["start"],
            end_ms=row["end"],
            counts=row["class"],
            reason=row["reason"] or "",
            value=_value(row["value"], row["value_unit"]),
            value_unit=row["value_unit"] or "",
        )
        for row in table.to_pylist()
    ]


def _value(stored: int | None, unit: str | None) -> str | None:
    if stored is None or unit is None:
        return None
    return format_fraction(Fraction(stored, SEGMENT_VALUE_DIVISOR[unit]))
