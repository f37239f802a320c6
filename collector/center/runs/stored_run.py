# SPDX-License-Identifier: GPL-3.0-or-later
"""A run opened for reading by pages and the API: each question is answered from the part that holds the answer.

A run never changes, so its files are cached. Every answer takes well under a fifth of a second for a month of a
thousand units: lines and totals are typed rows, segments are stored by unit, records are read from the pinned day
files.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import select

from collector.base.durable import lock_folder
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.storage.lake_place import LakePath
from collector.center.db.store import CenterStore
from collector.center.db.tables_receive import lake_file
from collector.center.db.verified import UNLISTED, Altered, read_verified
from collector.center.lake.read_records import RecordShown, read_record_table, shown
from collector.center.lake.seal import others_folder
from collector.center.runs.measuring.measure_days import load_verified_side
from collector.center.runs.plan_file import NO_ROWS, PLAN, read_plan_of
from collector.center.runs.row_groups import keep_groups, known_groups
from collector.center.runs.run_list import (
    RunRow,
    manifest_text,
    page_hashes,
    pinned_files,
    record_name,
    record_place,
    run_by_id,
    runs_folder,
)
from collector.center.runs.run_rows import NAME as ROWS
from collector.center.runs.run_rows import (
    RegisteredState,
    RunRows,
    UnitDispatch,
    UnitRows,
    decode_run_rows,
    is_of_this_version,
)
from collector.center.runs.segment_file import read_segments_of
from collector.center.runs.settle_month import (
    DATA,
    RULEBOOK,
    SEGMENTS,
    STATEMENT,
    make_pages_again,
    pinned_tables,
    read_pinned_rulebook,
)
from collector.model.interval import DAY_MS, Month, local_day, local_midnight_ms
from collector.model.record import USABLE_BELOW
from collector.report.segments import UnpaidTime
from collector.settlement.evidence import Traces
from collector.settlement.explain import Explanation, explain
from collector.settlement.inputs import Inputs
from collector.settlement.rulebook.load import Rulebook, rulebook_of
from collector.settlement.statement import (
    AreaRow,
    DeterminantRow,
    Finding,
    LedgerRow,
    Line,
    PlaceSpan,
    PlantRow,
    PrimaryFrequencyRow,
    PrimaryFrequencyService,
    ReadingUse,
    Segments,
    Statement,
)

_KEPT_RUNS: Final = 8
logger: Final = logging.getLogger("collector.center.runs.run_list")


@dataclass(frozen=True, slots=True)
class PlanStep:
    """A plan row that touches a day: [start, end) UTC ms, kW; None: the cell was empty."""

    start_ms: int
    end_ms: int
    power_kw: int | None
    issued_ms: int | None


@dataclass(frozen=True, slots=True)
class UnitDayFacts:
    """Facts of dispatch and register about a unit on a local day. `state` None: it is not registered then."""

    day: date
    state: RegisteredState | None
    plan: tuple[PlanStep, ...]
    dispatch: UnitDispatch


class OpenedRun:
    """A run of the store. `facts`: its row; `folder`: its folder."""

    def __init__(self, store: CenterStore, facts: RunRow) -> None:
        self.facts = facts
        self.month = Month.parse(facts.month)
        self.folder = runs_folder(store.directory) / facts.folder
        self._store = store
        self._lock = threading.Lock()
        self._units: dict[str, UnitRows] = {}
        # The run does not expire while this object exists: the lock is released with it.
        if (lock := lock_folder(self.folder)) is not None:
            weakref.finalize(self, os.close, lock)

    # -- the statement -----------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> RunRows:
        """All typed rows.

        Raises:
            StoreError: they were changed, and can't be made again.
        """
        return decode_run_rows(self._page_file(ROWS))

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line, without steps and rules (`explanation` has them)."""
        return self.rows.lines

    @property
    def plants(self) -> tuple[PlantRow, ...]:
        """Plants by area."""
        return self.rows.plants

    @property
    def areas(self) -> tuple[AreaRow, ...]:
        """Settlement areas."""
        return self.rows.areas

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings for the reader."""
        return self.rows.findings

    @property
    def readings(self) -> tuple[ReadingUse, ...]:
        """The readings adopted."""
        return self.rows.readings

    @property
    def policy(self) -> Mapping[str, Decimal]:
        """The data policy, in the units of its names."""
        return self.rows.policy

    @property
    def ledger(self) -> tuple[LedgerRow, ...]:
        """The postings."""
        return self.rows.ledger

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """The manifest of the run's statement."""
        found: Mapping[str, Any] = json.loads(self.manifest_text)
        return found

    @cached_property
    def manifest_text(self) -> str:
        """The manifest as JSON text, as stored."""
        return self._store.read(lambda c: manifest_text(c, self.facts.id))

    @cached_property
    def plant_of(self) -> Mapping[str, str]:
        """The plant of each unit that has a line; for a unit that changed its plant both, which is no plant's own name.

        Measured values of such a unit are for the center to show; each plant sees its own lines.
        """
        plants: dict[str, set[str]] = {}
        for line in self.lines:
            plants.setdefault(line.unit, set()).add(line.plant)
        return {unit: ", ".join(sorted(names)) for unit, names in plants.items()}

    @cached_property
    def _lines_of(self) -> Mapping[str, tuple[Line, ...]]:
        found: dict[str, list[Line]] = {}
        for line in self.lines:
            found.setdefault(line.unit, []).append(line)
        return {unit: tuple(lines) for unit, lines in found.items()}

    def lines_of(self, unit: str) -> tuple[Line, ...]:
        """The lines of a unit, with their steps and rules."""
        rows = self._rows_of(unit)
        return tuple(
            replace(line, steps=steps, rules=rules)
            for line, steps, rules in zip(self._lines_of.get(unit, ()), rows.steps, rows.rules, strict=True)
        )

    def determinants(self, unit: str, service: str | None = None) -> tuple[DeterminantRow, ...]:
        """The measured values of a unit; for one service where given."""
        return tuple(d for d in self._rows_of(unit).determinants if service in (None, d.service))

    def unpaid(self, unit: str, service: str | None = None) -> tuple[UnpaidTime, ...]:
        """Unpaid time with its reasons; also outside each scope."""
        return tuple(u for u in self._rows_of(unit).unpaid if service in (None, u.service))

    def primary_frequency(self, unit: str) -> tuple[tuple[PrimaryFrequencyRow, ...], PrimaryFrequencyService | None]:
        """Excursions of a unit, and its hours in service."""
        rows = self._rows_of(unit)
        return rows.excursions, rows.in_service

    def segments(self, unit: str, service: str | None = None, day: date | None = None) -> pa.Table:
        """Segments (statement.SEGMENT_SCHEMA) of a unit; of one service, or touching one local day, where given."""
        table = self._segments_of(unit)
        if service is not None:
            table = table.filter(pc.equal(table["service"].cast(pa.string()), service))
        if day is not None:
            begin = local_midnight_ms(day)
            table = table.filter(pc.and_(pc.less(table["start"], begin + DAY_MS), pc.greater(table["end"], begin)))
        return table

    def explanation(self, unit: str, service: str, place: tuple[str, str] | None = None) -> Explanation:
        """The explanation of a line. `place`: its area and plant, where the unit has several; default the first.

        Raises:
            RuleError: the statement has no such line; the message names the unit's lines.
        """
        return explain(self.statement_of(unit), unit, service, place)

    def statement_of(self, unit: str) -> Statement:
        """The part of the statement for one unit: lines, determinants and segments; findings and readings of all."""
        try:
            rows = self._rows_of(unit)
        except StoreError:
            rows = None
        return Statement(
            month=self.facts.month,
            status=self.rows.status,
            lines=self.lines_of(unit) if rows else (),
            plants=self.plants,
            areas=self.areas,
            determinants=rows.determinants if rows else (),
            segments=Segments(lambda _: iter([lambda: Traces(self._segments_of(unit))])),
            primary_frequency=rows.excursions if rows else (),
            primary_frequency_service=(),
            ledger=self.ledger,
            left_on_table=rows.left if rows else (),
            findings=self.findings,
            readings=self.readings,
            policy=self.policy,
            rulebook_hash=self.facts.rulebook_hash,
            kernel_version=str(self.manifest["versions"]["kernel"]),
            registered={unit: rows.registered} if rows else {},
            formulas=self.rulebook.formulas,
            places={unit: tuple(_place_span(state) for state in rows.dispatch.states)} if rows else {},
        )

    # -- what it was made from ---------------------------------------------------------------------------------------

    @property
    def data(self) -> Path:
        """The settlement folder that the run was computed from."""
        return self.folder / DATA

    @property
    def statement_folder(self) -> Path:
        """The statement folder."""
        return self.folder / STATEMENT

    @cached_property
    def rulebook(self) -> Rulebook:
        """The rulebook of the run's prices."""
        return rulebook_of(self.rulebook_files, str(self.folder / RULEBOOK))

    @property
    def rulebook_files(self) -> dict[str, bytes]:
        """The files of that rulebook by name.

        Raises:
            Altered: they are not the run's.
        """
        return read_pinned_rulebook(self.folder / RULEBOOK, self.facts.rulebook_hash)

    def statement_file(self, name: str) -> bytes:
        """A file of the statement folder, by its name in the manifest.

        Raises:
            Altered: it is not the one the manifest names.
        """
        return read_verified(self.statement_folder / name, self.manifest["files"].get(name, UNLISTED))

    def states(self, unit: str) -> tuple[RegisteredState, ...]:
        """The register states of a unit over the month, by days."""
        return self._rows_of(unit).dispatch.states

    def unit_day(self, unit: str, day: date) -> UnitDayFacts:
        """Plan, voltage band, orders, reserves, exclusions and register state of a unit on a local day."""
        begin = local_midnight_ms(day)
        end, said = begin + DAY_MS, self._rows_of(unit).dispatch
        state = next((s for s in said.states if s.first_day <= day < s.until_day), None)
        return UnitDayFacts(
            day=day,
            state=state,
            plan=self.plan(unit, begin, end),
            dispatch=UnitDispatch(
                senders=said.senders,
                states=() if state is None else (state,),
                orders=tuple(row for row in said.orders if row[2] < end and row[3] > begin),
                reserves=tuple(row for row in said.reserves if row[1] < end and row[2] > begin),
                exclusions=tuple(row for row in said.exclusions if row[1] < end and row[2] > begin),
                bands=tuple(row for row in said.bands if row[0] < end and row[1] > begin),
            ),
        )

    def plan(self, unit: str, from_ms: int, to_ms: int) -> tuple[PlanStep, ...]:
        """The plan rows of a unit that touch [from_ms, to_ms), as delivered; of several the first issued counts."""
        sha256 = self.manifest["inputs"].get(PLAN)
        if sha256 is None:
            return ()
        rows = read_plan_of(self._store, self.data, sha256, unit, from_ms, to_ms)
        return tuple(PlanStep(*row) for row in rows)

    def record_table(self, unit: str, from_ms: int, to_ms: int, *, quantities: Sequence[str] | None = None) -> pa.Table:
        """Records of a unit in [from_ms, to_ms), by time, from the pinned day files: for curves.

        `time` (UTC ms), and per quantity of the unit its stored integer and `<quantity>_quality`; cause, era, clock.
        `quantities`: only these; None: all.
        """
        return read_record_table(self._files_of(unit, from_ms, to_ms), unit, from_ms, to_ms, quantities=quantities)

    def original_table(self, unit: str, from_ms: int, to_ms: int) -> pa.Table:
        """Records as delivered: without substitutions, and with the records that lost their instant to another.

        Several rows may have one time; a list of lost records that was removed is left out.
        """
        files = self._files_of(unit, from_ms, to_ms)
        lost = [(path, "") for path in self._others_of(unit, from_ms, to_ms) if path.exists()]
        kept = read_record_table(files, unit, from_ms, to_ms, as_delivered=True)
        others = read_record_table(lost, unit, from_ms, to_ms)
        return pa.concat_tables([kept, others], promote_options="default").combine_chunks().sort_by("time")

    def records(self, unit: str, from_ms: int, to_ms: int, *, limit: int = 2000) -> list[RecordShown]:
        """Records row by row, in the quantities' units, at most `limit` of them."""
        return shown(self.record_table(unit, from_ms, to_ms).slice(0, limit))

    def inputs_of(self, unit: str) -> Inputs:
        """The settlement's inputs for one unit, its records read from the pinned files: for drawings."""
        interval = self.month.interval
        side = self._dispatch_side
        files = self._files_of(unit, interval.start_ms, interval.end_ms)
        table = read_record_table(files, unit, interval.start_ms, interval.end_ms, head=True)
        names = [name for name in table.column_names if f"{name}_quality" in table.column_names]
        usable = {name: _usable(table, name) for name in names}
        unit_column = pa.array([unit] * len(table), pa.string()).dictionary_encode()
        records = pa.table({"unit": unit_column, "time": table["time"], **usable})
        plan = self._plan_table(unit)
        return replace(side, records=records, unit_columns={unit: frozenset(names)}, plan=plan)

    # -- inside ------------------------------------------------------------------------------------------------------

    def record_place(self, plant: str, name: str) -> LakePath:
        """Where a day file that the run pinned is read."""
        return record_place(self._store, self.facts.folder, plant, name)

    def record_places(self) -> dict[str, LakePath]:
        """The same of each, by its name among the inputs."""
        files = ((plant, name) for plant, named in self._files.items() for _, name in named)
        return {f"records/{record_name(plant, name)}": self.record_place(plant, name) for plant, name in files}

    def _rows_of(self, unit: str) -> UnitRows:
        found = self._units.get(unit)
        if found is None:
            try:
                found = self.rows.unit(unit)
            except KeyError:
                raise StoreError(tr("this run does not speak of it"), subject=tr("unit {unit}", unit=unit)) from None
            self._units[unit] = found
        return found

    def _segments_of(self, unit: str) -> pa.Table:
        path, sha256 = self.folder / SEGMENTS, self._page_hashes().get(SEGMENTS, "")
        known = known_groups(path, sha256)
        if known is not None:
            with contextlib.suppress(Altered):  # read whole, it is found as well, and made again
                return read_segments_of(known, path, unit)
        data = self._page_file(SEGMENTS)
        return read_segments_of(keep_groups(path, self._page_hashes()[SEGMENTS], data), path, unit)

    def _page_hashes(self) -> Mapping[str, str]:
        return self._store.read_anew(lambda c: page_hashes(c, self.facts.id))

    def _page_file(self, name: str) -> bytes:
        """The bytes of a file for pages; where it was altered, both such files are made again."""
        data, _ = self._as_written(name)
        if data is None:
            with self._lock:  # a second thread waits here, and then finds it made
                data, why = self._as_written(name)
                if data is None:
                    logger.warning("%s; made again from what the run pinned", why)
                    make_pages_again(self._store, self.facts)
                    data = read_verified(self.folder / name, self._page_hashes()[name])
        return data

    def _as_written(self, name: str) -> tuple[bytes | None, str]:
        """The bytes of a file that pages read, or why they don't count."""
        path, hashes = self.folder / name, self._page_hashes()
        if name not in hashes:
            return None, f"{path}: an older program kept no hash of it"
        try:
            data = read_verified(path, hashes[name])
        except Altered as error:
            return None, error.difference
        if name == ROWS and not is_of_this_version(data):
            return None, f"{path}: is of another version"
        return data, ""

    @cached_property
    def _files(self) -> Mapping[str, Sequence[tuple[str, str]]]:
        """Day and name of each pinned file, by plant."""
        found: dict[str, list[tuple[str, str]]] = {}
        for plant, name in self._store.read(lambda c: pinned_files(c, self.facts.id)):
            found.setdefault(plant, []).append((name[:10], name))
        return found

    def _files_of(self, unit: str, from_ms: int, to_ms: int) -> list[tuple[LakePath, str]]:
        """The pinned files of the local days that an interval touches, in the run's folder, and their hashes."""
        first, last = local_day(from_ms).isoformat(), local_day(max(to_ms - 1, from_ms)).isoformat()
        inputs = self.manifest["inputs"]
        return [
            (self.record_place(plant, name), inputs[f"records/{record_name(plant, name)}"])
            for plant in self._rows_of(unit).dispatch.senders
            for day, name in self._files.get(plant, ())
            if first <= day <= last
        ]

    def _others_of(self, unit: str, from_ms: int, to_ms: int) -> list[LakePath]:
        """The lists of records that lost their instant to those of the pinned files."""
        first, last = local_day(from_ms).isoformat(), local_day(max(to_ms - 1, from_ms)).isoformat()
        pinned = {
            (plant, name) for plant in self._rows_of(unit).dispatch.senders for _, name in self._files.get(plant, ())
        }
        inside = lake_file.c.day.between(first, last) & (lake_file.c.others != "")
        query = select(lake_file.c.plant, lake_file.c.name, lake_file.c.others).where(inside).distinct()
        found = self._store.read(lambda c: c.execute(query).all())
        return [others_folder(self._store, r.plant) / r.others for r in found if (r.plant, r.name) in pinned]

    def _plan_table(self, unit: str) -> pa.Table | None:
        if PLAN not in self.manifest["inputs"]:
            return None
        interval = self.month.interval
        rows = self.plan(unit, interval.start_ms - DAY_MS, interval.end_ms + DAY_MS)
        columns = {"start": [r.start_ms for r in rows], "end": [r.end_ms for r in rows]}
        values = {"power_kw": [r.power_kw for r in rows], "issued": [r.issued_ms for r in rows]}
        arrays = {name: pa.array(cells, pa.int64()) for name, cells in (columns | values).items()}
        return pa.table({"unit": pa.array([unit] * len(rows), pa.string()).dictionary_encode(), **arrays})

    @cached_property
    def _dispatch_side(self) -> Inputs:
        hashes = pinned_tables(self.manifest)
        plan = (hashes[PLAN], NO_ROWS) if PLAN in hashes else None
        return load_verified_side(self.data, hashes, self.rulebook, plan=plan)


def _usable(table: pa.Table, name: str) -> Any:
    usable = pc.fill_null(pc.less(table[f"{name}_quality"], USABLE_BELOW), False)
    return pc.if_else(usable, table[name], pa.scalar(None, pa.int64()))


_opened: OrderedDict[tuple[str, str, int], OpenedRun] = OrderedDict()
_opening = threading.Lock()


def _place_span(state: RegisteredState) -> PlaceSpan:
    return PlaceSpan(local_midnight_ms(state.first_day), local_midnight_ms(state.until_day), state.area, state.plant)


def open_run(store: CenterStore, run_id: int) -> OpenedRun:
    """Open a run, from the cache where it is there; its row is read anew, as a month may be based on it by now.

    Raises:
        StoreError: there is no such run.
    """
    key = (str(store.directory), store.store_id, run_id)
    facts = store.read(lambda connection: run_by_id(connection, run_id))
    with _opening:
        found = _opened.get(key)
        if found is not None and found._store is store:
            _opened.move_to_end(key)
            found.facts = facts
            return found
    run = OpenedRun(store, facts)
    store.read_anew(lambda connection: run_by_id(connection, run_id))  # it may have expired before it was locked
    with _opening:
        _opened[key] = run
        while len(_opened) > _KEPT_RUNS:
            _opened.popitem(last=False)
    return run


def forget_run(store: CenterStore, run_id: int) -> None:
    """Remove a run from the cache of opened runs."""
    with _opening:
        _opened.pop((str(store.directory), store.store_id, run_id), None)
