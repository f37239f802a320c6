# SPDX-License-Identifier: GPL-3.0-or-later
"""Settles a folder part by part: files of some units are read, measured and released before the next.

So a process holds the records of one plant and not of all, and several work in parallel without passing records to each
other: they return integers and hashes, and write the segments at their place in segments.csv. In an unusual case (a
refused folder, files that share units) the result is None: then the folder is read as a whole, which reports the
problem. The statement has the same bytes either way: batches of units are independent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from collector.base.errors import CollectorError
from collector.cli.settle.trace_files import TraceFiles
from collector.report.segments import TraceTexts, WrittenSegments, format_traces
from collector.settlement.close_units import ClosedUnits, case_of, close_units
from collector.settlement.evidence import Traces, joined
from collector.settlement.measure.results import Results
from collector.settlement.measure_units import MeasuringContext, clusters
from collector.settlement.services.pricing import Case
from collector.settlement.settle import (
    Measuring,
    avc_orders,
    close_month,
    no_segments,
    prepare,
    registered,
    settle,
)
from collector.settlement.statement import Segments, Statement
from collector.sheets.findings import Findings
from collector.tables.folder import load_dispatch_side, load_folder
from collector.tables.record_parts import UnitRange, find_parts, unit_extent
from collector.tables.records import list_record_files, read_record_files

if TYPE_CHECKING:
    from collector.model.interval import Month
    from collector.settlement.inputs import Inputs
    from collector.settlement.rulebook.rules import Rulebook
    from collector.settlement.settle import Spread

_FEWEST_PARTS: Final = 4  # fewer parts would leave a core idle; then batches of units are spread instead
_MANY_FILES: Final = 100  # reading the ends of this many files takes longer than a fork


@dataclass(frozen=True)
class WrittenStatement:
    """A statement whose segments are written already, except those of start-stop orders."""

    statement: Statement
    written: WrittenSegments


@dataclass(frozen=True)
class _PartResults:
    """The results of one part."""

    unit_columns: Mapping[str, frozenset[str]]
    sources: Mapping[str, str]
    closed: ClosedUnits  # of its results only what is asked for after pricing
    texts: TraceTexts  # without the lines
    notes: tuple[tuple[str, str], ...]


def settle_parts(
    month: Month,
    data: Path,
    rulebook: Rulebook,
    aside: Path,
    *,
    spread: Spread = map,
    fewest: int = _FEWEST_PARTS,
    last_day: date | None = None,
) -> WrittenStatement | None:
    """Settle a folder part by part; segments go into files in `aside`, an empty folder on the disk of the statement.

    None where the folder must be read as a whole: a problem, or fewer parts than `fewest`.
    """
    try:
        paths = list_record_files(data / "records", findings := Findings()) or []
        extents = list((spread if len(paths) > _MANY_FILES else map)(unit_extent, paths))
        if findings or len(find_parts(paths, extents)) < fewest:
            return None
        inputs = load_dispatch_side(data, rulebook)
        context = prepare(month, inputs, rulebook, last_day=last_day)
        groups = [(units[0], units[-1]) for units in clusters(context, registered(context)) if len(units) > 1]
        parts = find_parts(paths, extents, groups)
        if len(parts) < fewest:
            return None
        register = inputs.register
        known, ignored = frozenset(unit.id for unit in register.units), frozenset(register.ignore_columns)
        files = TraceFiles(aside, len(parts))
        work = _Work(case_of(month, inputs, context), context, known, ignored, files)
        done = list(spread(work.measure, enumerate(parts)))
        if any(measured is None for measured in done):
            return None
        whole = [measured for measured in done if measured is not None]
        statement = _closed(month, inputs, context, whole)
        return WrittenStatement(statement, files.written(measured.texts for measured in whole))
    except CollectorError:
        return None


def whole_segments(month: Month, data: Path, rulebook: Rulebook, *, last_day: date | None = None) -> Segments:
    """The segments of a folder, measured again on request."""

    def parts(units: frozenset[str] | None) -> Iterator[Callable[[], Any]]:
        return iter(settle(month, load_folder(data, rulebook), rulebook, last_day=last_day).segments.parts(units=units))

    return Segments(parts)


@dataclass(frozen=True)
class _Work:
    case: Case  # its rules and citations are looked up once in each process
    context: MeasuringContext
    registered: frozenset[str]  # at any time
    ignored: frozenset[str]  # headings of record files
    files: TraceFiles

    def measure(self, numbered: tuple[int, UnitRange]) -> _PartResults | None:
        """Read a part, measure its units and price them. None where there is any problem."""
        number, part = numbered
        findings = Findings()
        records = read_record_files(part.paths, self.registered, findings, cores=1, ignored=self.ignored)
        if findings or not all(part.holds(unit) for unit in records.unit_columns):
            return None
        units = [unit for unit in registered(self.context) if part.holds(unit)]
        context = replace(self.context, columns_of=records.unit_columns)
        results: list[Results] = []
        found: list[Traces] = []
        for measured, traces in Measuring(self.case.month, context, records.table, units).batches():
            results.append(measured)
            if traces is not None:
                found.append(traces)
        stretches = {unit: self.case.stretches[unit] for unit in units}
        case = replace(self.case, stretches=stretches, columns_of=records.unit_columns)
        closed = close_units(case, context, results)
        if found:
            found.append(avc_orders({o.unit: o.rows for result in closed.results for o in result.avc_orders}))
        texts = format_traces(_as_one(found)) if found else TraceTexts({}, {}, Counter())
        self.files.put(number, texts.lines)
        notes = tuple((note.file, note.message) for note in findings.notes)
        texts = replace(texts, lines={})
        slim = [replace(result, targets=[], avc_orders=[]) for result in closed.results]
        if self.context.cut is None:  # only a running month is priced again, as of the day before
            slim = [replace(result, columns={}, excursions=[]) for result in slim]
        closed = replace(closed, results=slim)
        return _PartResults(records.unit_columns, records.sources, closed, texts, notes)


def _as_one(found: list[Traces]) -> Traces:
    """The traces of the batches of a part joined in order: formatting has a fixed cost per call."""
    names = dict.fromkeys(name for traces in found for name in traces.evidence)
    evidence = {name: joined(name, (t.evidence[name] for t in found if name in t.evidence)) for name in names}
    return Traces(pa.concat_tables([traces.segments for traces in found]).unify_dictionaries(), evidence)


def _closed(month: Month, inputs: Inputs, context: MeasuringContext, done: list[_PartResults]) -> Statement:
    columns = {unit: names for measured in done for unit, names in measured.unit_columns.items()}
    sources = {name: sha256 for measured in done for name, sha256 in measured.sources.items()}
    inputs = replace(
        inputs,
        unit_columns=dict(sorted(columns.items())),
        sources=dict(sorted({**inputs.sources, **sources}.items())),
        notes=tuple(sorted({*inputs.notes, *(note for measured in done for note in measured.notes)})),
    )
    context = replace(context, columns_of=inputs.unit_columns)
    return close_month(month, inputs, context, [measured.closed for measured in done], no_segments)
