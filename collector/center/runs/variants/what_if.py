# SPDX-License-Identifier: GPL-3.0-or-later
"""What-if runs: a run on a draft rulebook, or with other inputs, compared with an existing run.

The base run's pinned folder is used unchanged; the changes are imported over its rows, by the rules of an import, but
into the folder of the new run only. Nothing in force changes: the effect on every plant is known before a remedy is
granted, or a rule changed.
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from sqlalchemy import Connection

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.verified import copy_verified, read_verified
from collector.center.inputs.conflicts import (
    Bools,
    HeldRows,
    Laid,
    cells_of,
    csv_header,
    end_ms_of,
    lay_over,
    start_ms_of,
)
from collector.center.inputs.kinds import ALL_KINDS, KINDS, REGISTER
from collector.center.inputs.parse import as_toml, meant_by, read_rows, read_table
from collector.center.people.access import Actor, Permission
from collector.center.runs.asking.handed_over import Errand
from collector.center.runs.asking.run_queue import AskedRun, Asking, RunUnderWay, ask
from collector.center.runs.input_folder import REGISTER_FILE, PinnedFile, link_pinned, write_csv
from collector.center.runs.plan_file import PLAN, keep_plan
from collector.center.runs.run_list import WHAT_IF, RunRow
from collector.center.runs.settle_month import RULEBOOK, MadeRun, make_run, pinned_of, read_pinned_rulebook
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.model.interval import Month
from collector.settlement.rulebook.load import hash_of_files
from collector.sheets.files import Delivered, read_delivered
from collector.sheets.findings import LISTED_PER_KIND, Findings
from collector.tables.limits import InputRules
from collector.tables.register import RegisterFile, load_register


@dataclass(frozen=True, slots=True)
class TableChange:
    """A file of an import kind. `replace`: its rows replace those they conflict with."""

    kind: str
    delivered: Delivered
    replace: bool = True


def what_if(
    store: CenterStore,
    base_run_id: int,
    *,
    changes: Sequence[TableChange] = (),
    rulebook: Mapping[str, bytes] | None = None,
    actor: Actor,
    note: str = "",
    executor: str = "",
) -> RunRow:
    """Settle the inputs of a run with changes, or on another rulebook; returns the finished run, of kind what_if.

    Only days that a change can affect are measured.

    Raises:
        Denied: the actor may not settle.
        StoreError: there is no such run.
        Altered: a pinned input of the run was changed.
        ConfigError: a change is invalid, or conflicts with a row it may not replace; the run's row says so.
        RuleError: the rulebook has no answer for the month; the run's row says so.
    """
    return ask_what_if(
        store, base_run_id, changes=changes, rulebook=rulebook, actor=actor, note=note, executor=executor
    ).ended()


def ask_what_if(
    store: CenterStore,
    base_run_id: int,
    *,
    changes: Sequence[TableChange] = (),
    rulebook: Mapping[str, bytes] | None = None,
    actor: Actor,
    note: str = "",
    executor: str = "",
    then: Callable[[Connection, int], None] | None = None,
) -> AskedRun[MadeRun]:
    """Request a what-if run; nothing is begun yet. `rulebook`: its files; `then`: called with the number when listed.

    Raises:
        Denied: the actor may not settle.
        StoreError: there is no such run.
        ConfigError: there is no such kind of inputs.
    """
    actor.require(Permission.SETTLE)
    unknown = sorted({change.kind for change in changes} - set(ALL_KINDS))
    if unknown:
        raise ConfigError(
            [Problem(kind, 0, "", tr("expected one of {names}", names=", ".join(ALL_KINDS))) for kind in unknown]
        )
    base = open_run(store, base_run_id)
    asking = asking_of(base.month, base_run_id, changes, rulebook, actor=actor, note=note)
    work = trying(store, base, changes, rulebook, executor=executor, then=then)
    return ask(store, asking, work, Errand(WHAT_IF, _as_data(base_run_id, changes, rulebook)))


def asking_of(
    month: Month,
    base_run_id: int,
    changes: Sequence[TableChange],
    rulebook: Mapping[str, bytes] | None,
    *,
    actor: Actor,
    note: str,
) -> Asking:
    """The request of a what-if run; its job recognises an equal one."""
    made_of = [f"{each.kind} {each.replace} {hashlib.sha256(each.delivered.data).hexdigest()}" for each in changes]
    made_of.append("" if rulebook is None else hash_of_files(rulebook))
    return Asking(month, actor, made_of, kind=WHAT_IF, note=note, base_run_id=base_run_id)


def _as_data(base_run_id: int, changes: Sequence[TableChange], rulebook: Mapping[str, bytes] | None) -> dict[str, Any]:
    """The inputs of a what-if run as JSON values, for its errand."""
    listed = [[c.kind, c.delivered.name, b64encode(c.delivered.data).decode(), c.replace] for c in changes]
    book = None if rulebook is None else {name: b64encode(data).decode() for name, data in rulebook.items()}
    return {"base": base_run_id, "changes": listed, "rulebook": book}


def trying_of(
    store: CenterStore, said: Mapping[str, Any], then: Callable[[Connection, int], None] | None
) -> Callable[[RunUnderWay], MadeRun]:
    """The work of a what-if run that was handed over, from its errand."""
    changes = []
    for kind, name, packed, replace in said["changes"]:
        data = b64decode(packed)
        changes.append(TableChange(kind, Delivered(name, data, hashlib.sha256(data).hexdigest()), replace))
    book = said["rulebook"]
    rulebook = None if book is None else {name: b64decode(data) for name, data in book.items()}
    return trying(store, open_run(store, said["base"]), changes, rulebook, then=then)


def trying(
    store: CenterStore,
    base: OpenedRun,
    changes: Sequence[TableChange],
    rulebook: Mapping[str, bytes] | None,
    *,
    executor: str = "",
    then: Callable[[Connection, int], None] | None = None,
) -> Callable[[RunUnderWay], MadeRun]:
    """The work of a what-if run."""

    def work(run: RunUnderWay) -> MadeRun:
        pinned = pinned_of(store, base.facts)
        return make_run(
            store,
            run,
            lambda data: _lay_out(store, base, changes, pinned, data),
            pinned,
            read_pinned_rulebook(base.folder / RULEBOOK, base.facts.rulebook_hash) if rulebook is None else rulebook,
            executor=executor,
            then=None if then is None else lambda connection: then(connection, run.id),
        )

    return work


def _lay_out(
    store: CenterStore, base: OpenedRun, changes: Sequence[TableChange], pinned: Sequence[PinnedFile], data: Path
) -> Mapping[str, str]:
    """The base run's folder with the changes; returns the hashes of its register and tables."""
    data.mkdir(parents=True)
    inputs: Mapping[str, str] = base.manifest["inputs"]
    registers = [change for change in changes if change.kind == REGISTER]
    if registers:
        register = as_toml(registers[-1].delivered).data
    else:
        register = read_verified(base.data / REGISTER_FILE, inputs[REGISTER_FILE])
    (data / REGISTER_FILE).write_bytes(register)
    known = _known(register, InputRules.of(base.rulebook))
    hashes = {REGISTER_FILE: hashlib.sha256(register).hexdigest()}
    for kind in KINDS:
        mine = [change for change in changes if change.kind == kind]
        name = f"{kind}.csv"
        if not mine and name in inputs:
            copy_verified(base.data / name, data / name, inputs[name])
            hashes[name] = inputs[name]
        elif mine:
            held = read_verified(base.data / name, inputs[name]) if name in inputs else csv_header(KINDS[kind])
            rows = read_rows(kind, Delivered(name, held, ""))
            for change in mine:
                rows = _rows_after(kind, change, rows, known)
            hashes[name] = write_csv(data / name, kind, rows)
            if name == PLAN:
                keep_plan(store, hashes[name], rows)
    link_pinned(pinned, data)
    return hashes


def _known(register: bytes, rules: InputRules) -> RegisterFile:
    findings = Findings()
    known = load_register(Delivered(REGISTER_FILE, register, ""), findings, rules)
    findings.refuse_if_any()
    return known


def _rows_after(kind: str, change: TableChange, held: pa.Table, known: RegisterFile) -> pa.Table:
    """The rows that importing a file over some rows would leave in force: kept rows, then its own.

    Nothing is stored.

    Raises:
        ConfigError: as an import.
    """
    delivered, rows = read_table(kind, change.delivered, known)
    assert rows is not None  # a register is no table of rows
    apart, starts, ends = KINDS[kind].apart, start_ms_of(held), end_ms_of(held)

    def touched(start_ms: int, end_ms: int) -> Bools:
        return (starts < end_ms) & (ends > start_ms) if apart else np.ones(len(held), np.bool_)

    def held_in(start_ms: int, end_ms: int) -> Iterator[HeldRows]:
        places = np.flatnonzero(touched(start_ms, end_ms))
        yield HeldRows(places, held.take(pa.array(places)))

    laid = lay_over(KINDS[kind], rows, held_in, meant_by(kind, known))
    if len(laid.claims) and not change.replace:
        raise ConfigError(_conflicts(kind, delivered.name, rows, held, laid))
    left = np.ones(len(held), np.bool_)
    left[laid.claimed] = False
    met = touched(int(start_ms_of(rows).min()), int(end_ms_of(rows).max())) if len(rows) else ~left
    order = np.concatenate([np.flatnonzero(left & ~met), np.flatnonzero(left & met)])
    return pa.concat_tables([held.take(pa.array(order)), rows.filter(pa.array(laid.new))]).unify_dictionaries()


def _conflicts(kind: str, file: str, rows: pa.Table, held: pa.Table, laid: Laid) -> list[Problem]:
    """The first rows in conflict, and the number of the others."""
    claims, claimed = (pa.array(places[:LISTED_PER_KIND]) for places in (laid.claims, laid.claimed))
    problems = [
        Problem(
            file,
            row,
            "",
            tr(
                "conflicts with a row in force ({stored}); replace it, or leave it out",
                stored=", ".join(filter(None, cells)),
            ),
        )
        for row, cells in zip(
            rows["row"].take(claims).to_pylist(), cells_of(KINDS[kind], held.take(claimed)), strict=True
        )
    ]
    if more := len(laid.claims) - len(claims):
        problems.append(Problem(file, 0, "", tr("… and {more} more rows that conflict with those in force", more=more)))
    return problems


def read_change(kind: str, path: Path, *, replace: bool = True) -> TableChange:
    """Read a change from a file.

    Raises:
        ConfigError: it can't be read.
    """
    findings = Findings()
    delivered = read_delivered(path, path.name, findings)
    findings.refuse_if_any()
    assert delivered is not None  # else it was refused
    return TableChange(kind, delivered, replace)
