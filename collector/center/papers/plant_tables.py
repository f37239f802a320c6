# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables of a run for one plant: its rows of the statement, of its evidence, and of the inputs.

A row is the plant's by its column `plant`, else by its unit. Measured values of a unit that changed hands within the
month belong to no plant; each plant has its lines of it. Rows of no plant (totals of areas, findings) are left out.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from collector.base.errors import Missing
from collector.base.text import tr
from collector.center.db.verified import read_verified
from collector.center.runs.stored_run import OpenedRun
from collector.report.evidence import TITLES
from collector.report.segments import SEGMENTS, TRACES, format_traces
from collector.report.words import Words
from collector.settlement.evidence import Traces

_OF_STATEMENT: Final[dict[str, Words]] = {
    "plants": ("结算汇总", "summary"),
    "lines": ("补偿明细", "lines"),
    "determinants": ("计量依据", "determinants"),
    "not_paid": ("未补偿原因", "time not paid"),
    "ledger": ("记账", "postings"),
    **{name: words for name, words in TITLES.items() if name != "findings"},
    SEGMENTS: ("时段", "segments"),
}
_OF_INPUTS: Final[dict[str, Words]] = {
    "orders": ("调度指令", "orders"),
    "reserve": ("备用安排", "reserves"),
    "reserve_calls": ("备用调用", "calls of reserves"),
    "exclusions": ("剔除", "exclusions"),
    "meter_changes": ("换表", "meter changes"),
    "rates": ("比率", "rates"),
    "revenue": ("上网电费等", "revenue"),
}
PLANT_TABLES: Final[dict[str, Words]] = {**_OF_STATEMENT, **_OF_INPUTS}


@dataclass(frozen=True, slots=True)
class PlantTable:
    """A plant's rows of a table, with the cells of the run's own file of that name."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables_of_plant(run: OpenedRun) -> list[str]:
    """The tables a run has, by name; a plant may have no rows in one."""
    files, inputs = run.manifest["files"], run.manifest["inputs"]
    return [
        *(name for name in _OF_STATEMENT if f"{name}.csv" in files),
        *(name for name in _OF_INPUTS if f"{name}.csv" in inputs),
    ]


def plant_table(run: OpenedRun, plant: str, name: str) -> PlantTable:
    """A plant's rows of a table.

    Raises:
        Missing: the run has no such table.
        Altered: the file is not the one the run's manifest names.
    """
    if name not in tables_of_plant(run):
        raise Missing(tr("no such file of the statement"), subject=name[:64])
    if name == SEGMENTS:
        return PlantTable(name, TRACES[name], list(_segments(run, plant)))
    file = f"{name}.csv"
    if name in _OF_STATEMENT:
        data = run.statement_file(file)
    else:
        data = read_verified(run.data / file, run.manifest["inputs"][file])
    # row by row: the file may be of a whole region
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline=""))
    columns = next(rows)
    return PlantTable(name, columns, list(_own(run, plant, columns, rows)))


def _own(run: OpenedRun, plant: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Sequence[str]]:
    if "plant" in columns:
        place = columns.index("plant")
        yield from (row for row in rows if row[place] == plant)
    else:
        place, units = columns.index("unit"), units_of(run, plant)
        yield from (row for row in rows if row[place] in units)


def units_of(run: OpenedRun, plant: str) -> frozenset[str]:
    """The units that belonged to this plant alone for the whole month."""
    return frozenset(unit for unit, owner in run.plant_of.items() if owner == plant)


def _segments(run: OpenedRun, plant: str) -> Iterator[Sequence[str]]:
    """Segments by unit, from the file for pages: the CSV of a region's month has millions of rows."""
    for unit in sorted(units_of(run, plant)):
        text = format_traces(Traces(run.segments(unit))).lines.get(SEGMENTS)
        if text is not None:
            yield from csv.reader(io.StringIO(bytes(text).decode(), newline=""))


def plant_csv(table: PlantTable) -> bytes:
    """A table in the format of the statement's and inputs' files: UTF-8 without BOM, line feeds."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows(table.rows)
    return text.getvalue().encode()
