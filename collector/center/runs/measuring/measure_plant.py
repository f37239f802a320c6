# SPDX-License-Identifier: GPL-3.0-or-later
"""The measuring of one plant's month, day by day: the work of a process of the pool or of a cluster. No database.

A job carries everything but the day files, which it reads by path. Cells measured before are named by their keys and
left out. Results do not depend on the grouping of days, the place, or the order.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final, NoReturn

import pyarrow as pa

from collector.base.errors import ConfigError, Problem, RuleError
from collector.base.text import said_by, tr
from collector.center.db.storage.lake_place import on_disk
from collector.center.db.verified import check_hash
from collector.center.receive.day_index import EDGE_MS
from collector.center.runs.input_folder import PinnedFile
from collector.center.runs.measuring.file_facts import FileFacts, edges_agree
from collector.center.runs.measuring.result_codec import encode_results, encode_traces
from collector.center.runs.measuring.result_keys import DaySlices, digest_of
from collector.model.dispatch import Order, OrderKind, days_after, days_before
from collector.model.interval import DAY_MS, Month, local_day, local_midnight_ms
from collector.settlement.evidence import Traces
from collector.settlement.inputs import Inputs
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure.results import Results, StatusRun
from collector.settlement.measure.timeline import Axis, Lane
from collector.settlement.measure_units import KERNEL_VERSION, LaneBatch, MeasuringContext, clusters, measure
from collector.settlement.rulebook.constant_days import Policy
from collector.settlement.rulebook.load import Rulebook
from collector.settlement.settle import prepare
from collector.sheets.findings import Findings
from collector.tables.records import read_record_files

_LANES: Final = 160  # unit-days measured in one pass: a plant of five units over a month


@dataclass(frozen=True)
class PlantDays:
    """Units of a plant over some days, measured together under one key.

    `files`: the day files they are measured from. `runs_only`: a day outside the month, measured for breaker edges
    only.
    """

    key: bytes
    plant: str
    first_day: date
    days: int
    units: tuple[str, ...]
    files: tuple[PinnedFile, ...]
    runs_only: bool = False


@dataclass(frozen=True)
class PlantJob:
    """Cells of one plant to measure, with all inputs but the day files themselves.

    `inputs`: of the plant's units only, without records. `ordered`: units and days whose runs an order may need.
    `kernel`: the requested version; results are stored under keys that include it.
    """

    month: Month
    inputs: Inputs
    rulebook: Rulebook
    cells: tuple[PlantDays, ...]
    ordered: frozenset[tuple[str, int, OrderKind]]
    kernel: str = KERNEL_VERSION


@dataclass(frozen=True)
class StoredResult:
    """The stored forms of one cell's results."""

    key: bytes
    plant: str
    day: str
    results: bytes
    segments: bytes | None


# ---- cells and their keys ------------------------------------------------------------------------------------------


def find_cells(
    month: Month,
    plant: str,
    units: tuple[str, ...],
    *,
    files: Sequence[PinnedFile],
    facts: Mapping[str, FileFacts],
    context: MeasuringContext,
    slices: DaySlices,
    orders: Sequence[Order],
) -> tuple[PlantDays, ...]:
    """The cells of a plant: one a day, from its own file; or, where files contradict, the whole month from all.

    `files`: files with any of the units, by plant and day. `orders`: orders of these units that are matched with runs.
    """
    sent: dict[str, dict[str, PinnedFile]] = {}
    for file in files:
        sent.setdefault(file.plant, {})[file.day] = file
    around = _around(month, context, orders)
    in_one_piece = not all(
        edges_agree([(day, facts[file.sha256]) for day, file in by_day.items()], units) for by_day in sent.values()
    ) or (len(sent) > 1 and _in_several(files, facts, units))
    columns = {unit: sorted(context.columns_of.get(unit, ())) for unit in units}

    def cell(day: date, days: int, members: tuple[str, ...], *, runs_only: bool = False) -> PlantDays:
        sources = tuple(files) if in_one_piece else _files_of(sent, day, context.policy)
        key = _key(columns, slices, sources, day, days, members, runs_only=runs_only)
        return PlantDays(key, plant, day, days, members, sources, runs_only)

    if in_one_piece:
        cells = [cell(month.first_day, len(month.days), units)]
    else:
        cells = [cell(day, 1, units) for day in month.days]
    return (*cells, *(cell(day, 1, members, runs_only=True) for day, members in around.items()))


def _key(
    columns: Mapping[str, Sequence[str]],
    slices: DaySlices,
    files: Sequence[PinnedFile],
    day: date,
    days: int,
    units: Sequence[str],
    *,
    runs_only: bool,
) -> bytes:
    """The hash of all inputs of a result."""
    ordinals = range(day.toordinal(), day.toordinal() + days)
    of_units = [(unit, columns[unit], *(slices.of(unit, ordinal) for ordinal in ordinals)) for unit in units]
    sources = [file.sha256 for file in files]
    return digest_of(slices.common, runs_only, ordinals.start, days, sources, of_units)


def _in_several(files: Sequence[PinnedFile], facts: Mapping[str, FileFacts], units: Sequence[str]) -> bool:
    """True if a unit's records came through gateways of several plants: then no single file has its whole day."""
    feeders: dict[str, str] = {}
    return any(
        feeders.setdefault(unit, file.plant) != file.plant
        for file in files
        for unit in units
        if unit in facts[file.sha256]
    )


def _files_of(sent: Mapping[str, Mapping[str, PinnedFile]], day: date, policy: Policy) -> tuple[PinnedFile, ...]:
    """The files a day is measured from: its own; later ones too, where its tail is too short for the policy.

    `sent`: by sender and day, both in order.

    A day without a file has no records. A record may hold into it from the end of the last file before, if within
    reach; without such a file, from the head of the next one.
    """
    begin, tail_ms = local_midnight_ms(day), tail_of(policy.settle_ms, policy.hold_ms)
    until = local_day(begin + DAY_MS + tail_ms).isoformat()
    chosen: list[PinnedFile] = []
    for by_day in sent.values():
        own = by_day.get(day.isoformat())
        if own is not None and tail_ms < EDGE_MS:
            chosen.append(own)
            continue
        earlier = [d for d in by_day if d < day.isoformat()]
        later = [d for d in by_day if d > day.isoformat()]
        if own is not None:
            chosen += [own, *(by_day[d] for d in later if d <= until)]
        elif earlier:
            end = local_midnight_ms(date.fromisoformat(earlier[-1])) + DAY_MS + EDGE_MS
            chosen += [by_day[earlier[-1]]] if end + policy.hold_ms > begin else []
        else:
            chosen += [by_day[d] for d in later[:1]]
    return tuple(chosen)


def _around(month: Month, context: MeasuringContext, orders: Sequence[Order]) -> dict[date, tuple[str, ...]]:
    """Days outside the month whose breaker and condenser runs count, as in `settle`."""
    by_stop = context.policy.adopts("I-06", "month_of_stop")
    members: dict[date, set[str]] = {}
    for order in orders:
        days = days_before(month, order.kind, order.start_ms, order.end_ms, context.policy.min_stop_ms)
        days += days_after(month, order.kind, order.start_ms, order.end_ms) if by_stop else []
        for day in days:
            members.setdefault(day, set()).add(order.unit)
    return {day: tuple(sorted(of_day)) for day, of_day in sorted(members.items())}


# ---- measuring -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failed:
    """The failure of a job, in a form that travels between processes."""

    problems: tuple[Problem, ...]
    message: str

    def raise_here(self) -> NoReturn:
        """Raise the job's error."""
        if self.problems:
            raise ConfigError(self.problems)
        raise RuleError(self.message)


def measure_apart(job: PlantJob) -> list[StoredResult] | Failed:
    """`measure_plant` in a process of a pool: an error is returned as a value."""
    pa.set_cpu_count(1)
    here = f"{os.uname().nodename}:{os.getpid()}"
    if job.kernel != KERNEL_VERSION:  # the results would be stored under a wrong version
        message = tr(
            "the worker {here} measures by kernel {own}, asked for was {kernel}: give it this version",
            here=here, own=KERNEL_VERSION, kernel=job.kernel,
        )  # fmt: skip
        return Failed((), message)
    try:
        return measure_plant(job)
    except ConfigError as error:
        return Failed(error.problems, said_by(error))
    except RuleError as error:
        return Failed((), said_by(error))
    except OSError as error:
        message = tr(
            "{path}: {reason}; does {here} see the lake?", path=error.filename, reason=error.strerror, here=here
        )
        return Failed((), message)


def measure_plant(job: PlantJob) -> list[StoredResult]:
    """Measure the cells of a job.

    Raises:
        RuleError: the rulebook lacks a value that measuring needs.
        ConfigError: day files contradict each other.
        Altered: a day file is not the one that was pinned.
    """
    context = prepare(job.month, job.inputs, job.rulebook)
    policy = context.policy
    done: list[StoredResult] = []
    for group in _groups(job.cells):
        findings = Findings()
        files = sorted({file for cell in group for file in cell.files})
        with on_disk([file.path for file in files]) as paths:
            records = read_record_files(paths, None, findings)
        for file in files:
            check_hash(file.path, file.sha256, records.sources[f"records/{file.path.name}"])
        findings.refuse_if_any()
        book = RecordBook(
            records.table,
            tail_ms=tail_of(policy.settle_ms, policy.hold_ms),
            unsynchronised_is_missing=policy.adopts("I-17", "missing"),
        )
        done += _measure_group(context, job.ordered, group, book)
    return done


def _groups(cells: Sequence[PlantDays]) -> Iterable[list[PlantDays]]:
    """Cells measured in one pass: single days of the same kind, up to a good size."""
    group: list[PlantDays] = []
    for cell in cells:
        lanes = sum(len(one.units) for one in group)
        if group and (cell.days != 1 or group[0].days != 1 or cell.runs_only != group[0].runs_only or lanes >= _LANES):
            yield group
            group = []
        group.append(cell)
    if group:
        yield group


def _measure_group(
    context: MeasuringContext,
    ordered: frozenset[tuple[str, int, OrderKind]],
    group: Sequence[PlantDays],
    book: RecordBook,
) -> Iterable[StoredResult]:
    """Measure the units and days of a group in one pass, and split the results by cell."""
    lanes: list[Lane] = []
    together: list[tuple[int, ...]] = []
    for cell in group:
        place = {unit: len(lanes) + n for n, unit in enumerate(cell.units)}
        lanes += [Lane(unit, cell.first_day) for unit in cell.units]
        joined = clusters(context, cell.units)
        together += [tuple(place[unit] for unit in members) for members in joined if len(members) > 1]
    days, runs_only = group[0].days, group[0].runs_only
    rows = book.rows(Axis(tuple(lanes), days))
    batch = LaneBatch(tuple(lanes), days, rows, tuple(together), runs_only=runs_only, segments=not runs_only)
    results, traces = measure(context, batch)
    at = 0
    for cell in group:
        mine = _part(results, cell, range(at, at + len(cell.units)), ordered)
        at += len(cell.units)
        stored = None if traces is None else encode_traces(_on_days(traces, cell))
        yield StoredResult(cell.key, cell.plant, cell.first_day.isoformat(), encode_results(mine), stored)


def _part(results: Results, cell: PlantDays, lanes: range, ordered: frozenset[tuple[str, int, OrderKind]]) -> Results:
    """The part of the results that belongs to a cell. Of runs, only those on days that an order needs are kept."""
    begin = cell.first_day.toordinal()
    days, mine = range(begin, begin + cell.days), set(cell.units)

    def wanted(run: StatusRun) -> bool:
        if run.after:
            first = local_day(run.start_ms).toordinal()
            return run.unit in mine and first == days.stop and (run.unit, first - 1, run.kind) in ordered
        first, last = (local_day(ms).toordinal() for ms in (run.start_ms, run.end_ms - 1))
        return (
            run.unit in mine
            and first in days
            and any((run.unit, day, run.kind) in ordered for day in range(first, last + 1))
        )

    found = Results(cell.units, tuple(begin for _ in cell.units), cell.days)
    found.columns = {name: values[lanes.start : lanes.stop] for name, values in results.columns.items()}
    found.runs = [run for run in results.runs if wanted(run)]
    found.groups = [g for g in results.groups if g.day_ordinal in days and mine.issuperset(g.on_units)]
    found.excursions = [e for e in results.excursions if e.unit in mine and local_day(e.start_ms).toordinal() in days]
    found.implausible = [e for e in results.implausible if e.unit in mine and local_day(e.first_ms).toordinal() in days]
    found.called = [e for e in results.called if e.unit in mine and e.day_ordinal in days]
    found.targets = [t for t in results.targets if t.unit in mine and t.day_ordinal in days]
    return found


def _on_days(traces: Traces, cell: PlantDays) -> Traces:
    """Segments and evidence of a batch on the days of a cell; all its units are there on each of them."""
    begin = local_midnight_ms(cell.first_day)

    def of(table: pa.Table, instant: str) -> pa.Table:
        start = table[instant].to_numpy()
        return table.filter(pa.array((start >= begin) & (start < begin + cell.days * DAY_MS)))

    evidence = {name: of(table, table.column_names[1]) for name, table in traces.evidence.items()}
    return Traces(of(traces.segments, "start"), evidence)
