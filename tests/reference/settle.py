# SPDX-License-Identifier: GPL-3.0-or-later
"""The settlement of a month from a folder, slowly and exactly: settle_reference(), and a command line for people.

Run it with ``python -m tests.reference.settle 2026-06 --data DIR``.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from .folder import read_folder
from .lines import Line, compute_lines
from .measured import Case, Determinant
from .model import Folder
from .plants import Area, PlantRow, compute_areas, compute_plants
from .register import Register, State
from .slices import cut_month, peak_mates
from .times import Span, month_span

EVERYWHERE = "*"


@dataclass(slots=True)
class Result:
    """A statement: rows keyed like lines.csv and plants.csv, and what stands behind them.

    Attributes:
        determinants: By unit and name; the main one of a service has the service's id.
        provisional: Why the month is provisional, by where it was seen; EVERYWHERE: no one area. Any keeps all open.
        areas: The pools; `blocked` is the reason of a blocked one.
    """

    lines: list[Line] = field(default_factory=list)
    plants: list[PlantRow] = field(default_factory=list)
    determinants: dict[tuple[str, str], Determinant] = field(default_factory=dict)
    provisional: dict[str, list[str]] = field(default_factory=dict)
    areas: dict[str, Area] = field(default_factory=dict)


def settle_reference(folder: Path, month: str) -> Result:
    """Settles one month "YYYY-MM" of a settlement folder."""
    data = read_folder(folder)
    register = Register(data)
    span = month_span(month)
    result = Result()
    homes: dict[str, State] = {}
    for unit_id in register.unit_ids():
        stretches = register.stretches(unit_id, span)
        if not stretches:
            continue
        homes[unit_id] = stretches[-1].state
        together = cut_month(data, register, peak_mates(register, unit_id), span)
        for judged, measured in compute_lines(Case(data, register, month, span, unit_id, together), stretches):
            result.lines.append(judged.line)
            for name, value in measured.determinants.items():
                result.determinants[unit_id, name] = value
            for cause in judged.provisional:
                _note(result, judged.line["area"], f"{unit_id} {judged.line['service']}: {cause}")
    result.lines.sort(key=lambda line: (line["area"], line["plant"], line["unit"]))  # stable: services stay in order
    _note_inputs(result, data, span)
    result.areas = compute_areas(data, register, month, span, homes, result.lines)
    for area_id in sorted(result.areas):
        result.plants += compute_plants(result.areas[area_id], month, provisional=bool(result.provisional))
    return result


def _note(result: Result, area: str, cause: str) -> None:
    result.provisional.setdefault(area, []).append(cause)


def _note_inputs(result: Result, data: Folder, span: Span) -> None:
    """What makes a month provisional without any line: files not delivered, hours without a filing."""
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
