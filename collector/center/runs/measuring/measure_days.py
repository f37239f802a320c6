# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps 7 to 10 from the store: compute the keys of a month's days, measure missing days, sum everything up.

The statement equals the one `collector settle` makes of the same folder, to the bit. Measuring may run in processes of
this machine (started with spawn) or on a Dask cluster that sees the same lake; the order in which results come back
does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property, partial
from pathlib import Path
from typing import Final

import msgspec
import pyarrow as pa

from collector.base.cycles import without_looking_for_cycles
from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.verified import ABSENT, UNLISTED, altered, check_hash
from collector.center.runs.input_folder import REGISTER_FILE, PinnedFile
from collector.center.runs.kept_files import find_kept_bytes, keep_file
from collector.center.runs.measuring.executors import as_they_come, open_executor
from collector.center.runs.measuring.file_facts import FileFacts, columns_of, read_facts
from collector.center.runs.measuring.measure_plant import Failed, PlantDays, PlantJob, find_cells, measure_apart
from collector.center.runs.measuring.plant_inputs import inputs_by_plant
from collector.center.runs.measuring.result_codec import (
    StoredResults,
    as_results,
    decode_results,
    join_days,
    join_traces,
)
from collector.center.runs.measuring.result_keys import BAND_VALUES, PLAN_VALUES, DaySlices, StepDigests, step_digests
from collector.center.runs.measuring.result_table import (
    add_facts,
    add_results,
    find_facts,
    find_results,
    note_use,
    read_segments,
)
from collector.center.runs.plan_file import NO_ROWS, PLAN, read_kept_plan
from collector.center.runs.run_rows import UnitDispatch, dispatch_of
from collector.model.dispatch import RUN_KINDS, Order
from collector.model.interval import Month
from collector.settlement.evidence import Traces
from collector.settlement.inputs import Inputs
from collector.settlement.measure.results import Results
from collector.settlement.measure_units import MeasuringContext, clusters
from collector.settlement.rulebook.load import Rulebook
from collector.settlement.settle import close, prepare
from collector.settlement.statement import Statement
from collector.sheets.files import Delivered
from collector.tables.folder import load_dispatch_side

SegmentParts = Callable[[frozenset[str] | None], Iterator[Callable[[], Traces]]]
_FACTS_AT_ONCE: Final = 64

# The steps of a run that its progress shows.
READING: Final = "reading"
MEASURING: Final = "measuring"
CLOSING: Final = "closing"


@dataclass(frozen=True, slots=True)
class MeasuredCells:
    """The work of a closing: all cells of the month, and those that were measured for it."""

    cells: tuple[PlantDays, ...]
    measured: tuple[PlantDays, ...]


class MonthMeasuring:
    """A month of an input folder: its cells, the cells still to be measured, and the statement."""

    def __init__(
        self,
        store: CenterStore,
        month: Month,
        data: Path,
        rulebook: Rulebook,
        pinned: Sequence[PinnedFile],
        *,
        hashes: Mapping[str, str],
        tell: Callable[[str, int, int], None] = lambda *_: None,
        last_day: date | None = None,
    ) -> None:
        """Prepare a month. `data`: the folder; `pinned`: its day files.

        `hashes`: SHA-256 of register and tables by name. `tell`: receives the step, the parts of it done, and their
        number. `last_day`: of a running month.
        """
        self._tell, self._last_day = tell, last_day
        self._store, self.month, self._data, self._rulebook = store, month, data, rulebook
        self._pinned, self._hashes = tuple(pinned), hashes
        self._facts: dict[str, FileFacts] = {}
        self._results: dict[bytes, bytes] = {}  # by key, as stored
        self._unnoted: tuple[list[bytes], list[str]] = [], []  # keys and hashes whose use must be noted again

    def measure(self, *, executor: str = "") -> tuple[PlantDays, ...]:
        """Measure the missing cells and return them.

        Raises:
            ConfigError: everything wrong in the folder.
            RuleError: the rulebook has no answer for the month.
        """
        self._find_facts()
        self._facts.update(self._read_lacking_facts(executor))
        with without_looking_for_cycles():
            self._check_units()
            self._find_results(self.cells)
            lacking = tuple(cell for cell in self.cells if cell.key not in self._results)
        self._measure(lacking, executor)
        return lacking

    def statement(self, *, executor: str = "") -> tuple[Statement, MeasuredCells]:
        """Measure the missing cells and close the month. Raises as `measure`."""
        lacking = self.measure(executor=executor)
        self._tell(CLOSING, 0, 0)
        with without_looking_for_cycles():
            self._find_results(lacking)
            self._note_use()
            return self._close(), MeasuredCells(self.cells, lacking)

    def dispatch(self) -> dict[str, UnitDispatch]:
        """Facts of register and dispatch side about each unit, for the pages of a run."""
        return dispatch_of(self.inputs, self._context.stretches, self._senders)

    # -- inputs ------------------------------------------------------------------------------------------------------

    @cached_property
    def inputs(self) -> Inputs:
        """The folder without its records; also without its plan where the digests of the plan are kept."""
        plan = None
        if PLAN in self._hashes:
            plan = self._hashes[PLAN], self._plan if self._kept_digests is None else NO_ROWS
        inputs = load_verified_side(self._data, self._hashes, self._rulebook, plan=plan)
        records = {f"records/{file.record_name}": file.sha256 for file in self._pinned}
        return replace(inputs, sources=dict(sorted({**inputs.sources, **records}.items())))

    @cached_property
    def _whole_inputs(self) -> Inputs:
        """The inputs with the plan."""
        return replace(self.inputs, plan=self._plan) if PLAN in self._hashes else self.inputs

    @cached_property
    def _plan(self) -> pa.Table:
        return read_kept_plan(self._store, self._data, self._hashes[PLAN])

    @cached_property
    def _digests_name(self) -> str | None:
        """The name under which the digests of this plan, checked by this register and rulebook, are kept."""
        if PLAN not in self._hashes:
            return None
        return f"plan-{self._hashes[PLAN]}-{self._hashes[REGISTER_FILE]}-{self._rulebook.hash[:16]}.digests"

    @cached_property
    def _kept_digests(self) -> StepDigests | None:
        name = self._digests_name
        data = None if name is None else find_kept_bytes(self._store, name)
        return None if data is None else msgspec.msgpack.decode(data, type=dict[str, dict[int, bytes]])

    def _plan_digests(self) -> StepDigests:
        if self._kept_digests is not None:
            return self._kept_digests
        digests = step_digests(self.inputs.plan, PLAN_VALUES, edges=True)
        if self._digests_name is not None:
            packed = msgspec.msgpack.encode(digests)
            keep_file(self._store, self._digests_name, lambda path: path.write_bytes(packed))
        return digests

    def _find_facts(self) -> None:
        hashes, now_ms = [file.sha256 for file in self._pinned], self._store.clock.now_utc_ms()
        found = self._store.read(lambda c: find_facts(c, hashes, now_ms=now_ms))
        self._facts.update(found.rows)
        self._unnoted[1].extend(found.unnoted)

    def _read_lacking_facts(self, executor: str) -> dict[str, FileFacts]:
        lacking = [file for file in self._pinned if file.sha256 not in self._facts]
        groups = [lacking[at : at + _FACTS_AT_ONCE] for at in range(0, len(lacking), _FACTS_AT_ONCE)]
        found: dict[str, FileFacts] = {}
        if groups:
            self._tell(READING, 0, len(lacking))
            with open_executor(executor, jobs=len(groups)) as pool:
                for some in map(_read_some_facts, groups) if pool is None else pool.map(_read_some_facts, groups):
                    found |= some
                    self._tell(READING, len(found), len(lacking))
            now_ms = self._store.clock.now_utc_ms()
            self._store.write(lambda c: add_facts(c, found, now_ms=now_ms)).result()
        return found

    def _check_units(self) -> None:
        """Refuse records of a unit that is not in the register."""
        units = {state.id for state in self.inputs.register.units}
        problems = [
            Problem(f"records/{f.record_name}", 0, "unit", tr("unknown unit {unit!r}: not in register.toml", unit=unit))
            for f in self._pinned
            for unit in sorted(self._facts[f.sha256].keys() - units)
        ]
        if problems:
            raise ConfigError(problems)

    # -- cells -------------------------------------------------------------------------------------------------------

    @cached_property
    def _columns(self) -> dict[str, frozenset[str]]:
        return columns_of(self._facts[file.sha256] for file in self._pinned)

    @cached_property
    def _context(self) -> MeasuringContext:
        inputs = replace(self.inputs, unit_columns=self._columns)
        return prepare(self.month, inputs, self._rulebook, last_day=self._last_day)

    @cached_property
    def _slices(self) -> DaySlices:
        return DaySlices(
            inputs=self.inputs,
            rulebook=self._rulebook,
            policy=self._context.policy,
            stretches=self._context.stretches,
            around=self._context.around,
            with_avc=self._context.with_avc,
            plan=self._plan_digests(),
            band=step_digests(self.inputs.voltage_band, BAND_VALUES, edges=False),
        )

    @cached_property
    def _units_of(self) -> dict[str, tuple[str, ...]]:
        """The units measured together, by plant: units of the plant that are registered in the month.

        A unit is measured in one place. Plants between which a unit moved are measured together, under the first of
        them.
        """
        together: dict[str, str] = {}  # the plant under which a plant's units are measured
        registered = {unit: parts for unit, parts in self._context.stretches.items() if parts}
        for parts in registered.values():
            plants = {part.plant.id for part in parts}
            joined = plants | {together[plant] for plant in plants if plant in together}
            first = min(joined)
            together |= dict.fromkeys(plants, first)
            together |= {plant: first for plant, under in together.items() if under in joined}
        units_of: dict[str, list[str]] = {}
        for unit in sorted(registered):
            units_of.setdefault(together[registered[unit][0].plant.id], []).append(unit)
        return {plant: tuple(units) for plant, units in sorted(units_of.items())}

    @cached_property
    def _senders(self) -> dict[str, set[str]]:
        """The plants whose gateways sent each unit's records."""
        senders: dict[str, set[str]] = {}
        for file in self._pinned:
            for unit in self._facts[file.sha256]:
                senders.setdefault(unit, set()).add(file.plant)
        return senders

    @cached_property
    def cells(self) -> tuple[PlantDays, ...]:
        """Every cell of the month, by plant and day."""
        of_sender: dict[str, list[PinnedFile]] = {}
        for file in self._pinned:
            of_sender.setdefault(file.plant, []).append(file)
        orders: dict[str, list[Order]] = {}
        for order in self.inputs.orders or ():
            if order.kind in RUN_KINDS:
                orders.setdefault(order.unit, []).append(order)
        cells: list[PlantDays] = []
        for plant, units in self._units_of.items():
            sending = sorted({sender for unit in units for sender in self._senders.get(unit, ())})
            cells += find_cells(
                self.month,
                plant,
                units,
                files=[file for sender in sending for file in sorted(of_sender[sender])],
                facts=self._facts,
                context=self._context,
                slices=self._slices,
                orders=[order for unit in units for order in orders.get(unit, ())],
            )
        return tuple(cells)

    # -- measuring ---------------------------------------------------------------------------------------------------

    def _find_results(self, cells: Sequence[PlantDays]) -> None:
        keys, now_ms = [cell.key for cell in cells], self._store.clock.now_utc_ms()
        found = self._store.read(lambda c: find_results(c, keys, now_ms=now_ms))
        self._results.update(found.rows)
        self._unnoted[0].extend(found.unnoted)

    def _note_use(self) -> None:
        keys, hashes = self._unnoted
        if keys or hashes:  # a repeated closing on the same day writes nothing
            now_ms = self._store.clock.now_utc_ms()
            self._store.write(lambda c: note_use(c, keys, hashes, now_ms=now_ms)).result()

    def _measure(self, lacking: Sequence[PlantDays], executor: str) -> None:
        """Measure cells, plant by plant, and store results as they arrive."""
        if not lacking:
            return
        finished = 0
        self._tell(MEASURING, finished, len(lacking))
        jobs = list(self.jobs(lacking))
        with open_executor(executor, jobs=len(jobs)) as pool:
            done = map(measure_apart, jobs) if pool is None else as_they_come(pool, measure_apart, jobs)
            for measured in done:
                if isinstance(measured, Failed):
                    measured.raise_here()
                now_ms = self._store.clock.now_utc_ms()
                self._store.write(lambda c, m=measured, n=now_ms: add_results(c, m, now_ms=n)).result()  # type: ignore[misc]
                finished += len(measured)
                self._tell(MEASURING, finished, len(lacking))

    def jobs(self, lacking: Sequence[PlantDays]) -> Iterator[PlantJob]:
        """The jobs for missing cells, one plant after the other."""
        by_plant: dict[str, list[PlantDays]] = {}
        for cell in lacking:
            by_plant.setdefault(cell.plant, []).append(cell)
        parts = inputs_by_plant(self._whole_inputs, self._units_of, by_plant)
        for plant, cells in by_plant.items():
            units = set(self._units_of[plant])
            ordered = frozenset(item for item in self._slices.ordered if item[0] in units)
            columns = {unit: self._columns[unit] for unit in sorted(units & self._columns.keys())}
            inputs = replace(parts[plant], unit_columns=columns)
            yield PlantJob(self.month, inputs, self._rulebook, tuple(cells), ordered)

    # -- closing -----------------------------------------------------------------------------------------------------

    def _close(self) -> Statement:
        inputs, segments = replace(self.inputs, unit_columns=self._columns), self._segments(self.cells)
        return close(self.month, inputs, self._rulebook, self._decoded(), segments, context=self._context)

    def _decoded(self) -> Iterator[Results]:
        days: list[StoredResults] = []
        for cell in self.cells:
            found = decode_results(self._results[cell.key])
            if cell.days == 1 and not cell.runs_only:
                days.append(found)
            else:
                yield as_results(found)
        yield join_days(days, self.month.first_day.toordinal(), len(self.month.days))

    def _segments(self, cells: Sequence[PlantDays]) -> SegmentParts:
        """Segments in the order in which `settle` gives them, plant by plant as they are stored."""
        keys_of: dict[str, list[bytes]] = {}
        for cell in cells:
            if not cell.runs_only:
                keys_of.setdefault(cell.plant, []).append(cell.key)
        plant_of = {unit: plant for plant, units in self._units_of.items() for unit in units}
        registered = [unit for unit in self._context.stretches if unit in plant_of]
        ordered = [unit for members in clusters(self._context, registered) for unit in members]

        def joined(keys: Sequence[bytes], units: Sequence[str]) -> Traces:
            found = self._store.read(lambda c: read_segments(c, keys))
            if lost := set(keys) - found.keys():  # altered, while their results are intact
                self._measure([cell for cell in cells if cell.key in lost], "")
                found |= self._store.read(lambda c: read_segments(c, sorted(lost)))
            return join_traces([found[key] for key in keys], units)

        def parts(units: frozenset[str] | None) -> Iterator[Callable[[], Traces]]:
            for plant, members in _runs_of(ordered, plant_of):
                wanted = [unit for unit in members if units is None or unit in units]
                if wanted:
                    yield partial(joined, keys_of.get(plant, []), wanted)

        return parts


def load_verified_side(
    data: Path, hashes: Mapping[str, str], rulebook: Rulebook, *, plan: tuple[str, pa.Table] | None = None
) -> Inputs:
    """The dispatch side of an input folder; every file must have its listed hash, and no other file may be there.

    Raises:
        Altered: a file is another one, is missing, or is there and not listed.
        ConfigError: everything wrong in the folder.
    """

    def verify(delivered: Delivered) -> None:
        check_hash(data / delivered.name, hashes.get(delivered.name, UNLISTED), delivered.sha256)

    for name, sha256 in hashes.items():
        if not (data / name).exists():  # a missing file would pass for one that was not delivered
            raise altered(data / name, sha256, ABSENT)
    return load_dispatch_side(data, rulebook, plan=plan, verify=verify)


def _runs_of(units: Sequence[str], plant_of: Mapping[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Consecutive units of one plant."""
    run: list[str] = []
    for unit in units:
        if run and plant_of[run[0]] != plant_of[unit]:
            yield plant_of[run[0]], run
            run = []
        run.append(unit)
    if run:
        yield plant_of[run[0]], run


def _read_some_facts(files: Sequence[PinnedFile]) -> dict[str, FileFacts]:
    return {file.sha256: read_facts(file.path, file.sha256, file.day) for file in files}
