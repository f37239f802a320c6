# SPDX-License-Identifier: GPL-3.0-or-later
"""The settlement of a month from a folder, slowly and exactly: settle_reference(), and a command line for people.

Run it with ``python -m tests.reference.settle 2026-06 --data DIR``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from .folder import read_folder
from .lines import Line, compute_lines
from .measured import Case, Determinant, Measured
from .meters import MeterDay, meter_days
from .model import FOREVER, Folder
from .plants import Area, PlantRow, compute_areas, compute_plants
from .plausible import without_implausible
from .register import Register, State
from .slices import cut_month, peak_mates
from .times import Span, month_span

EVERYWHERE = "*"


@dataclass(slots=True)
class Result:
    """A statement: rows keyed like lines.csv and plants.csv, and what stands behind them.

    Attributes:
        determinants: By unit and name; the main one of a service has the service's id.
        provisional: Why an area is provisional, by area; EVERYWHERE: a file, which keeps all open.
        areas: The pools; `blocked` is the reason of a blocked one.
        meter_days: The check of power by the meter.
        cases: By unit, what its lines were measured from.
        measured: By unit, service, area and plant, a line before its gates and rounding.
    """

    lines: list[Line] = field(default_factory=list)
    plants: list[PlantRow] = field(default_factory=list)
    determinants: dict[tuple[str, str], Determinant] = field(default_factory=dict)
    provisional: dict[str, list[str]] = field(default_factory=dict)
    areas: dict[str, Area] = field(default_factory=dict)
    meter_days: list[MeterDay] = field(default_factory=list)
    cases: dict[str, Case] = field(default_factory=dict)
    measured: dict[tuple[str, str, str, str], Measured] = field(default_factory=dict)


def settle_reference(folder: Path, month: str, *, revised: int = FOREVER) -> Result:
    """Settles one month "YYYY-MM" of a settlement folder. `revised`: from when the example revision holds."""
    data = replace(read_folder(folder), revised=revised)
    return settle_data(without_implausible(data, Register(data)), month)


def settle_running(data: Folder, month: str, cut: int) -> Result:
    """A month that is still running, settled up to a cut, 00:00 local of a day: the cut ends every scope.

    Source: rules.md, section 6; decision 0021: as if no unit were registered from the cut on.
    """
    span = month_span(month)
    share = Fraction(cut - span.start, span.end - span.start)
    return settle_data(replace(data, cut=cut), month, share)


def settle_data(data: Folder, month: str, elapsed: Fraction = Fraction(1)) -> Result:
    """Settles one month of what a folder holds, implausible cells already empty."""
    register = Register(data)
    span = month_span(month)
    result = Result()
    states: list[State] = []
    for unit_id in register.unit_ids():
        stretches = register.stretches(unit_id, span)
        if not stretches:
            continue
        states += [stretch.state for stretch in stretches]
        together = cut_month(data, register, peak_mates(register, unit_id), span)
        case = result.cases[unit_id] = Case(data, register, month, span, unit_id, together, elapsed=elapsed)
        for judged, measured in compute_lines(case, stretches):
            result.lines.append(judged.line)
            result.measured[unit_id, judged.line["service"], judged.line["area"], judged.line["plant"]] = measured
            for name, value in measured.determinants.items():
                result.determinants[unit_id, name] = value
            for cause in judged.provisional:
                _note(result, judged.line["area"], f"{unit_id} {judged.line['service']}: {cause}")
    result.lines.sort(key=lambda line: (line["area"], line["plant"], line["unit"]))  # stable: services stay in order
    _note_inputs(result, data, span)
    result.meter_days = list(meter_days(data, register, span))
    for day in result.meter_days:
        state = register.at(day.unit, day.start)
        if state is not None and (day.differs or day.verdict == "ran_back"):
            _note(result, state.area.id, f"{day.unit}: the meter {day.verdict}")
    result.areas = compute_areas(data, register, month, span, states, result.lines)
    for area_id in sorted(result.areas):
        open_here = bool({area_id, EVERYWHERE} & result.provisional.keys())
        result.plants += compute_plants(result.areas[area_id], month, provisional=open_here)
    return result


def _note(result: Result, area: str, cause: str) -> None:
    result.provisional.setdefault(area, []).append(cause)


def _note_inputs(result: Result, data: Folder, span: Span) -> None:
    """What makes areas provisional without any line: files not delivered, hours without a filing."""
    for name in data.absent:
        _note(result, EVERYWHERE, f"{name} not delivered")
    for area in data.areas:
        if area.hours_filing is None and area.start < span.end and area.end > span.start:
            _note(result, area.id, "hours_filing")


# ---- for people --------------------------------------------------------------------------------------------------

Cell = str | Fraction | Decimal | None


def show(rows: Sequence[Line] | Sequence[PlantRow]) -> str:
    """Rows as an aligned table, quantities to six decimals."""
    if not rows:
        return "(none)"
    header = list(rows[0])
    table = [header, *[[_text(value) for value in row.values()] for row in rows]]
    widths = [max(len(cells[column]) for cells in table) for column in range(len(header))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)) for cells in table)


def _text(value: object) -> str:
    if isinstance(value, Fraction):
        return f"{Decimal(value.numerator) / Decimal(value.denominator):.6f}"
    return "" if value is None else str(value)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the lines and plants of a month."""
    parser = argparse.ArgumentParser(description="Reference settlement of one month of a settlement folder.")
    parser.add_argument("month", help="YYYY-MM")
    parser.add_argument("--data", type=Path, required=True, help="settlement folder")
    options = parser.parse_args(arguments)
    result = settle_reference(options.data, options.month)
    print(show(result.lines), show(result.plants), sep="\n\n")
    for place, causes in sorted(result.provisional.items()):
        print(f"\nprovisional {place}:", *causes, sep="\n  ")
    for area in result.areas.values():
        if area.blocked:
            print(f"\nblocked {area.id}: {area.blocked}")


if __name__ == "__main__":
    main()
