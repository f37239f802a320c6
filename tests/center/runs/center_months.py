# SPDX-License-Identifier: GPL-3.0-or-later
"""A settlement folder as what a center received and imported; and a run of it held against `collector settle`."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from collector import wire
from collector.base.clock_state import ClockState
from collector.base.resources import config_path
from collector.center.db.store import CenterStore
from collector.center.inputs.imports import KINDS, Imported, take_tables
from collector.center.people.access import Actor
from collector.center.receive.admission import Admission, EnrolledPlant
from collector.center.receive.journal import commit_group
from collector.center.runs.run_list import WHAT_IF
from collector.center.runs.settle_month import MadeRun, ask_to_settle
from collector.model.interval import Month, local_day
from collector.model.quantity import QUANTITIES
from collector.model.record import Quality, UnitLayout, UnitRecord
from collector.report.folder import write_statement
from collector.report.words import Paper
from collector.settlement.inputs import Inputs
from collector.settlement.rulebook.constant_days import state_on
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import settle
from collector.settlement.statement import Statement
from collector.sheets.files import Delivered
from collector.tables.folder import load_folder
from tests.center.center_batches import NOON, WIDE, FixedClock

RULES = config_path("rules/east-china-trial")
LI = Actor.at_command_line("li")
JUNE = Month(2026, 6)


def new_store(directory: Path) -> CenterStore:
    """A store whose clock stands still."""
    return CenterStore.open(directory, clock=FixedClock(NOON))


def take(store: CenterStore, kind: str, text: str, *, replace: bool = False) -> Imported:
    """Import a table, or the register, from its text."""
    data = text.encode()
    name = f"{kind}.{'toml' if kind == 'register' else 'csv'}"
    delivered = Delivered(name, data, hashlib.sha256(data).hexdigest())
    return take_tables(store, [kind], delivered, who="li", replace=replace, rules=None)[0]


class Gateway:
    """Sends records of a plant, each batch in a sequence of its own."""

    def __init__(self, store: CenterStore, plant: str, units: Iterable[str], *, sent: int = 0) -> None:
        self._store, self._plant, self._sequence = store, plant, sent
        self._admission = Admission(
            root="collector",
            plants={plant: EnrolledPlant(frozenset(units), {})},
            limits=WIDE.model_copy(update={"max_batch_bytes": 8_000_000}),
            clock=store.clock,
        )

    def send(self, layout: Sequence[UnitLayout], records: Sequence[UnitRecord]) -> None:
        """Deliver and commit one batch."""
        self._sequence += 1
        stream = wire.Stream(self._plant, "g1", 1)
        payload = wire.encode_batch(wire.Batch(stream, self._sequence, tuple(layout), tuple(records)), None)
        topic = wire.topic("collector", self._plant, "g1", "batch")
        arrivals = self._admission.admit_all([(topic, payload)])
        now_ms = self._store.clock.now_utc_ms()
        job = self._store.write(lambda c: commit_group(c, arrivals, now_ms=now_ms, quarantine_max_bytes=1_000_000))
        assert job.result().committed == 1


def records_of(inputs: Inputs, unit: str) -> tuple[UnitLayout, list[UnitRecord]]:
    """A unit's records as a gateway would send them: what has no value has a bad quality."""
    columns = inputs.unit_columns[unit]
    names = tuple(q.name for q in QUANTITIES if q.name in columns)
    table = inputs.records.to_pydict()
    records = []
    for row in range(len(table["time"])):
        if table["unit"][row] == unit:
            values = tuple(table[name][row] for name in names)
            qualities = tuple(Quality.SILENT if value is None else Quality.GOOD for value in values)
            time = table["time"][row]
            records.append(UnitRecord(unit, time, values, qualities, clock=ClockState.SYNCHRONISED))
    return UnitLayout(unit, names), sorted(records, key=lambda r: r.time_utc_ms)


def fill_store(store: CenterStore, folder: Path) -> dict[str, Gateway]:
    """Everything of a settlement folder, delivered and imported; the gateways by plant."""
    inputs = load_folder(folder)
    plants: dict[str, set[str]] = defaultdict(set)
    for state in inputs.register.units:
        plants[state.plant].add(state.id)
    gateways = {plant: Gateway(store, plant, units) for plant, units in plants.items()}
    for plant, units in plants.items():
        for unit in sorted(units & inputs.unit_columns.keys()):
            layout, records = records_of(inputs, unit)
            for day in sorted({local_day(r.time_utc_ms) for r in records}):
                states = [s for s in inputs.register.units if s.id == unit]
                now = state_on(states, day) or states[0]
                if now.plant != plant:
                    continue  # a unit that passed to another plant is sent by the one it is of
                gateways[plant].send([layout], [r for r in records if local_day(r.time_utc_ms) == day])
    take(store, "register", (folder / "register.toml").read_text("utf-8"))
    for kind in KINDS:
        path = folder / f"{kind}.csv"
        if path.exists():
            take(store, kind, path.read_text("utf-8"))
    return gateways


def settled(store: CenterStore, month: Month = JUNE, *, rules: Path = RULES) -> MadeRun:
    """A run."""
    return ask_to_settle(store, month, rulebook=rules, actor=LI).carry_out()


def settled_offline(store: CenterStore, run: MadeRun) -> Statement:
    """What settling a run's folder offline gives."""
    folder = store.directory / "runs" / run.row.folder
    return settle(Month.parse(run.row.month), load_folder(folder / "data"), load_rulebook(folder / "rulebook"))


def assert_as_offline(store: CenterStore, run: MadeRun, work: Path) -> None:
    """The run's statement is, file by file, what settling its folder offline gives; papers name the run."""
    folder, offline = store.directory / "runs" / run.row.folder, settled_offline(store, run)
    out = work / f"offline-{run.row.id}"
    write_statement(offline, out, paper=Paper(run.row.id, run.row.kind == WHAT_IF))
    assert run.row.result_hash == offline.result_hash()
    for path in sorted(out.iterdir()):
        assert (folder / "statement" / path.name).read_bytes() == path.read_bytes(), path.name
