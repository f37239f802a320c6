# SPDX-License-Identifier: GPL-3.0-or-later
"""rows.msgpack: a run's statement as typed rows, for pages: totals and lines at once, the rest unit by unit.

The statement folder is the published form; this file has the same content in a form that is read in milliseconds
without loss (quantities are exact fractions). It can be made again from the run's folder at any time.
"""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.base.text import as_data, from_data
from collector.model.interval import Month
from collector.model.register import LocalSpan
from collector.report.segments import UnpaidTime
from collector.settlement.inputs import Inputs
from collector.settlement.rulebook.constant_days import ConstantDays
from collector.settlement.statement import (
    AreaRow,
    DeterminantRow,
    Finding,
    FormulaStep,
    LedgerRow,
    LeftRow,
    Line,
    LineStatus,
    MonthStatus,
    PlantRow,
    PrimaryFrequencyRow,
    PrimaryFrequencyService,
    ReadingUse,
    RuleUse,
    Statement,
)

ROWS_VERSION: Final = 3
NAME: Final = "rows.msgpack"


class RegisteredState(msgspec.Struct, frozen=True, array_like=True):
    """The register state of a unit over [first_day, until_day), local dates; powers in MW, voltages in kV."""

    first_day: date
    until_day: date
    plant: str
    area: str
    dispatch_mode: str
    kind: str
    rated_mw: Decimal
    agc_lower_mw: Decimal | None
    agc_upper_mw: Decimal | None
    avc: bool
    nominal_kv: Decimal | None
    q_max_mvar: Decimal | None
    q_min_mvar: Decimal | None
    valley_hours: tuple[tuple[int, int], ...]  # minutes after 00:00 local; may cross midnight
    peak_hours: tuple[tuple[int, int], ...]


class UnitDispatch(msgspec.Struct, frozen=True, array_like=True):
    """Facts of dispatch and register about a unit around the month; times UTC ms. The plan is kept apart.

    `senders`: the plants whose gateways sent its records.
    """

    senders: tuple[str, ...] = ()
    states: tuple[RegisteredState, ...] = ()
    orders: tuple[tuple[str, str, int, int], ...] = ()  # id, kind, start, end
    reserves: tuple[tuple[str, int, int, int | None], ...] = ()  # kind, start, end, kW
    exclusions: tuple[tuple[str, int, int, str, str], ...] = ()  # service, start, end, reason, note
    bands: tuple[tuple[int, int, int | None, int | None], ...] = ()  # start, end, low V, high V


class _RowsFile(msgspec.Struct, frozen=True, array_like=True):
    """The content of the file. `units`: for each unit the bytes of a `_UnitEntry`."""

    version: int
    month: str
    status: str
    lines: list[tuple[str | bool | None, ...]]
    plants: list[tuple[str | None, ...]]
    areas: list[tuple[str | tuple[str, ...] | None, ...]]
    findings: list[tuple[str, str, Any, bool, tuple[str, ...], int | None, int | None, int]]
    readings: list[tuple[str, ...]]
    policy: dict[str, str]
    ledger: list[tuple[int, str, str, str, str]]  # entry, area, plant, debit, credit
    units: dict[str, bytes]


class _UnitEntry(msgspec.Struct, frozen=True, array_like=True):
    """The rows of one unit. `steps`, `rules`: of each of its lines, in their order."""

    steps: list[list[tuple[Any, str]]]
    rules: list[list[tuple[str, ...]]]
    determinants: list[tuple[Any, ...]]
    excursions: list[tuple[int, int, str | None, str | None, str | None]]
    in_service: tuple[int, int] | None
    registered: list[tuple[int, int]]
    unpaid: list[tuple[str, str, str, int]]
    left: list[tuple[str, str, str, str, int | None, str | None, Any]]
    dispatch: UnitDispatch


@dataclass(frozen=True, slots=True)
class UnitRows:
    """The rows of one unit in a statement, besides its lines. `steps`, `rules`: of each line, in their order."""

    steps: tuple[tuple[FormulaStep, ...], ...]
    rules: tuple[tuple[RuleUse, ...], ...]
    determinants: tuple[DeterminantRow, ...]
    excursions: tuple[PrimaryFrequencyRow, ...]
    in_service: PrimaryFrequencyService | None
    registered: tuple[tuple[int, int], ...]
    unpaid: tuple[UnpaidTime, ...]
    left: tuple[LeftRow, ...]
    dispatch: UnitDispatch


@dataclass(frozen=True, slots=True)
class RunRows:
    """The decoded rows of a run. Lines have no steps and rules here: those are in the rows of their unit."""

    month: Month
    status: MonthStatus
    lines: tuple[Line, ...]
    plants: tuple[PlantRow, ...]
    areas: tuple[AreaRow, ...]
    findings: tuple[Finding, ...]
    readings: tuple[ReadingUse, ...]
    policy: Mapping[str, Decimal]
    ledger: tuple[LedgerRow, ...]
    _units: Mapping[str, bytes]

    @property
    def units(self) -> frozenset[str]:
        """Every unit of the statement."""
        return frozenset(self._units)

    def unit(self, unit: str) -> UnitRows:
        """The rows of one unit.

        Raises:
            KeyError: the statement has no such unit.
        """
        return _unit_of(str(self.month), unit, _unit_decoder.decode(self._units[unit]))


class _Version(msgspec.Struct, frozen=True, array_like=True):
    """The version field of the file; the rest is ignored."""

    version: int


_version_decoder: Final = msgspec.msgpack.Decoder(_Version)
_decoder: Final = msgspec.msgpack.Decoder(_RowsFile)
_unit_decoder: Final = msgspec.msgpack.Decoder(_UnitEntry)


def dispatch_of(
    inputs: Inputs, stretches: Mapping[str, Sequence[ConstantDays]], senders: Mapping[str, Iterable[str]]
) -> dict[str, UnitDispatch]:
    """The facts of register and dispatch side that are kept for each unit of a month."""
    found: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for unit, parts in stretches.items():
        found[unit]["states"] = [_state_of(stretch) for stretch in parts]
        found[unit]["senders"] = sorted(senders.get(unit, ()))
    for order in inputs.orders or ():
        found[order.unit]["orders"].append((order.id, str(order.kind), order.start_ms, order.end_ms))
    for reserve in inputs.reserves or ():
        row = (str(reserve.kind), reserve.start_ms, reserve.end_ms, reserve.power_kw)
        found[reserve.unit]["reserves"].append(row)
    for e in inputs.exclusions or ():
        found[e.unit]["exclusions"].append((e.service, e.start_ms, e.end_ms, str(e.reason), e.note))
    if inputs.voltage_band is not None:
        for row in inputs.voltage_band.to_pylist():
            found[row["unit"]]["bands"].append((row["start"], row["end"], row["low_v"], row["high_v"]))
    return {unit: UnitDispatch(**{name: tuple(rows) for name, rows in kinds.items()}) for unit, kinds in found.items()}


def _state_of(stretch: ConstantDays) -> RegisteredState:
    unit, area = stretch.unit, stretch.area

    def spans(hours: Sequence[LocalSpan]) -> tuple[tuple[int, int], ...]:
        return tuple((span.start_min, span.end_min) for span in hours)

    return RegisteredState(
        stretch.first_day, stretch.until_day, stretch.plant.id, area.id, str(area.dispatch_mode), str(unit.kind),
        unit.rated_mw, unit.agc_lower_mw, unit.agc_upper_mw, unit.avc, unit.nominal_kv, unit.q_max_mvar,
        unit.q_min_mvar, spans(area.valley_hours), spans(area.peak_hours),
    )  # fmt: skip


def write_run_rows(statement: Statement, dispatch: Mapping[str, UnitDispatch], folder: Path) -> str:
    """Write the rows beside the statement folder of a run; returns the file's SHA-256.

    Raises:
        OSError: the disk refuses.
    """
    unpaid = _read_unpaid(folder / "statement" / "not_paid.csv")
    stored = _RowsFile(
        version=ROWS_VERSION,
        month=statement.month,
        status=statement.status.value,
        lines=[_line_row(line) for line in statement.lines],
        plants=[
            (p.area, p.plant, str(p.compensation_yuan), *map(_text, (p.revenue_yuan, p.allocation_yuan, p.net_yuan)),
             p.status.value, p.reason)
            for p in statement.plants
        ],
        areas=[
            (a.area, a.name, str(a.compensation_yuan), _text(a.revenue_yuan), a.status.value, a.reason, a.plants)
            for a in statement.areas
        ],
        findings=[
            (f.code, f.subject, as_data(f.message), f.provisional, f.areas, f.first_ms, f.last_ms, f.count)
            for f in statement.findings
        ],
        readings=[
            (r.id, r.clause, r.adopted, r.from_day, r.text, r.text_zh, r.question, r.question_zh)
            for r in statement.readings
        ],
        policy={name: str(value) for name, value in sorted(statement.policy.items())},
        ledger=[(r.entry, r.area, r.plant, str(r.debit_yuan), str(r.credit_yuan)) for r in statement.ledger],
        units=_unit_bytes(statement, unpaid, dispatch),
    )  # fmt: skip
    data = msgspec.msgpack.encode(stored)
    (folder / NAME).write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def is_of_this_version(data: bytes) -> bool:
    """True if rows are in the format of this program."""
    return _version_decoder.decode(data).version == ROWS_VERSION


def decode_run_rows(data: bytes) -> RunRows:
    """Decode the rows of a run.

    Raises:
        msgspec.ValidationError: these bytes are something else.
    """
    stored = _decoder.decode(data)
    month = stored.month
    return RunRows(
        month=Month.parse(month),
        status=MonthStatus(stored.status),
        lines=tuple(_line_of(month, row) for row in stored.lines),
        plants=tuple(_plant_of(month, row) for row in stored.plants),
        areas=tuple(_area_of(month, row) for row in stored.areas),
        findings=tuple(
            Finding(code, subject, from_data(text), provisional, areas, first, last, count)
            for code, subject, text, provisional, areas, first, last, count in stored.findings
        ),
        readings=tuple(ReadingUse(*row) for row in stored.readings),
        policy={name: Decimal(value) for name, value in stored.policy.items()},
        ledger=tuple(
            LedgerRow(entry, month, area, plant, Decimal(debit), Decimal(credit))
            for entry, area, plant, debit, credit in stored.ledger
        ),
        _units=stored.units,
    )


# ---- one way -------------------------------------------------------------------------------------------------------


def _text(value: Decimal | Fraction | None) -> str | None:
    return None if value is None else str(value)


def _line_row(line: Line) -> tuple[str | bool | None, ...]:
    return (
        *(line.area, line.plant, line.unit, line.service, line.article),
        *(_text(line.quantity), line.quantity_unit, _text(line.coverage)),
        *(_text(line.amount_yuan), line.status.value, line.reason, _text(line.low_yuan), _text(line.high_yuan)),
        line.provisional,
    )


def _unit_bytes(
    statement: Statement,
    unpaid: Mapping[str, list[tuple[str, str, str, int]]],
    dispatch: Mapping[str, UnitDispatch],
) -> dict[str, bytes]:
    steps: dict[str, list[list[tuple[Any, str]]]] = defaultdict(list)
    rules: dict[str, list[list[tuple[str, ...]]]] = defaultdict(list)
    for line in statement.lines:
        steps[line.unit].append([(as_data(step.text), str(step.result)) for step in line.steps])
        rules[line.unit].append(
            [(use.id, use.article, use.value, use.unit, use.from_day, use.key) for use in line.rules]
        )
    determinants: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for d in statement.determinants:
        times = (d.scope_ms, d.known_ms, d.counted_ms, d.excluded_ms, d.own_fault_ms)
        row = (d.area, d.plant, d.service, d.determinant, _text(d.value), d.value_unit, *times)
        determinants[d.unit].append(row)
    excursions: dict[str, list[tuple[int, int, str | None, str | None, str | None]]] = defaultdict(list)
    for e in statement.primary_frequency:
        values = (_text(e.actual_mwh), _text(e.theoretical_mwh), _text(e.ratio))
        excursions[e.unit].append((e.start_ms, e.end_ms, *values))
    service = {s.unit: (s.in_service_ms, s.known_on_grid_ms) for s in statement.primary_frequency_service}
    left: dict[str, list[tuple[str, str, str, str, int | None, str | None, Any]]] = defaultdict(list)
    for r in statement.left_on_table:
        told = (_text(r.amount_yuan), as_data(r.assumption))
        left[r.unit].append((r.area, r.plant, r.service, r.reason, r.duration_ms, *told))
    units = sorted({*statement.registered, *steps, *determinants})
    return {
        unit: msgspec.msgpack.encode(
            _UnitEntry(
                steps=steps.get(unit, []),
                rules=rules.get(unit, []),
                determinants=determinants.get(unit, []),
                excursions=excursions.get(unit, []),
                in_service=service.get(unit),
                registered=list(statement.registered.get(unit, ())),
                unpaid=unpaid.get(unit, []),
                left=left.get(unit, []),
                dispatch=dispatch.get(unit, UnitDispatch()),
            )
        )
        for unit in units
    }


def _read_unpaid(path: Path) -> dict[str, list[tuple[str, str, str, int]]]:
    """not_paid.csv by unit; durations in ms."""
    found: dict[str, list[tuple[str, str, str, int]]] = defaultdict(list)
    with path.open(encoding="utf-8", newline="") as file:
        rows: Iterable[list[str]] = csv.reader(file)
        next(iter(rows))
        for unit, service, cause, reason, duration_s in rows:
            whole, _, part = duration_s.partition(".")
            found[unit].append((service, cause, reason, int(whole) * 1000 + int(part)))
    return found


# ---- the other way -------------------------------------------------------------------------------------------------


def _fraction(text: str | None) -> Fraction | None:
    if text is None:
        return None
    numerator, _, denominator = text.partition("/")
    return Fraction(int(numerator), int(denominator or 1))


def _decimal(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _line_of(month: str, row: tuple[Any, ...]) -> Line:
    area, plant, unit, service, article, quantity, quantity_unit, coverage, amount, status, reason, *bounds = row
    low, high, provisional = bounds
    return Line(
        month, area, plant, unit, service, article, _fraction(quantity), quantity_unit, _fraction(coverage),
        _decimal(amount), LineStatus(status), reason, _decimal(low), _decimal(high), provisional,
    )  # fmt: skip


def _plant_of(month: str, row: tuple[Any, ...]) -> PlantRow:
    area, plant, compensation, revenue, allocation, net, status, reason = row
    amounts = (_decimal(revenue), _decimal(allocation), _decimal(net))
    return PlantRow(month, area, plant, Decimal(compensation), *amounts, MonthStatus(status), reason)


def _area_of(month: str, row: tuple[Any, ...]) -> AreaRow:
    area, name, compensation, revenue, status, reason, plants = row
    amounts = (Decimal(compensation), _decimal(revenue))
    return AreaRow(month, area, name, *amounts, MonthStatus(status), reason, tuple(plants))


def _unit_of(month: str, unit: str, stored: _UnitEntry) -> UnitRows:
    def determinant(row: tuple[Any, ...]) -> DeterminantRow:
        area, plant, service, name, value, value_unit, *times = row
        return DeterminantRow(month, area, plant, unit, service, name, _fraction(value), value_unit, *times)

    return UnitRows(
        steps=tuple(
            tuple(FormulaStep(from_data(t), _fraction(r) or Fraction(0)) for t, r in rows) for rows in stored.steps
        ),
        rules=tuple(tuple(RuleUse(*row) for row in rows) for rows in stored.rules),
        determinants=tuple(determinant(row) for row in stored.determinants),
        excursions=tuple(
            PrimaryFrequencyRow(unit, start, end, *map(_fraction, values)) for start, end, *values in stored.excursions
        ),
        in_service=None if stored.in_service is None else PrimaryFrequencyService(unit, *stored.in_service),
        registered=tuple(stored.registered),
        unpaid=tuple(UnpaidTime(unit, *row) for row in stored.unpaid),
        left=tuple(
            LeftRow(area, plant, unit, service, reason, ms, _decimal(amount), from_data(assumption))
            for area, plant, service, reason, ms, amount, assumption in stored.left
        ),
        dispatch=stored.dispatch,
    )
