# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center import|imports|undo`: a month's inputs, on the center's store."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.base.text import join, said_by, tr
from collector.cli.center.screen import actor_of
from collector.cli.center.store import ConfigOption, JsonOption, StateOption, open_store, rulebook_of_center
from collector.cli.language import print_text, say

if TYPE_CHECKING:
    from collector.center.inputs.imports import Imported

WhoOption = Annotated[str, typer.Option("--who", metavar="NAME", help="Who does it; default: the login name.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("import")(import_files)
    app.command("imports")(show_imports)
    app.command("undo")(undo)


def import_files(
    kind: Annotated[
        str,
        typer.Argument(metavar="KIND", help="register, plan, orders, revenue, records …; `e`: all tables of E files."),
    ],
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE…", help="CSV, XLSX or E text; the register TOML or E text; records also Parquet."),
    ],
    config: ConfigOption = None,
    state: StateOption = "",
    replace: Annotated[bool, typer.Option("--replace", help="Conflicting rows take the place of stored ones.")] = False,
    who: WhoOption = "",
) -> None:
    """Take dispatch-side inputs into the store; every import is a version. 导入调度侧数据。"""
    from collector.center.inputs.conflicts import RowsInConflict
    from collector.center.inputs.imports import IMPORT_KINDS, KINDS
    from collector.center.inputs.parse import kinds_in
    from collector.center.inputs.service import deliver_tables
    from collector.center.runs.rulebooks import input_rules
    from collector.sheets.files import read_delivered, read_packed
    from collector.sheets.findings import Findings

    if kind not in (*IMPORT_KINDS, "e"):
        raise typer.BadParameter(
            say(tr("expected one of {kinds}, or e", kinds=", ".join(IMPORT_KINDS))), param_hint="KIND"
        )
    actor, rules = actor_of(who), input_rules(rulebook_of_center(config, state))
    with open_store(config, state, create=True) as store:
        for path in files:
            findings = Findings()
            delivered = (read_packed if kind in KINDS else read_delivered)(path, path.name, findings)
            findings.refuse_if_any()
            assert delivered is not None
            kinds = kinds_in(delivered) if kind == "e" else (kind,)
            if not kinds:
                findings.add(path.name, 0, "", tr("is no E file with tables of ours (*.e)"))
                findings.refuse_if_any()
            # All tables of a file together: all or none.
            try:
                results = deliver_tables(store, kinds, delivered, actor=actor, replace=replace, rules=rules)
            except RowsInConflict as error:
                print(say(said_by(error)), file=sys.stderr)
                print(say(tr("the option for a replacement is --replace")), file=sys.stderr)
                raise typer.Exit(1) from error
            for each, result in zip(kinds, results, strict=True):
                _say_imported(f"{path.name}: {each}" if kind == "e" else path.name, result)


def _say_imported(name: str, result: Imported) -> None:
    for note in result.notes:
        print(f"{name}: {say(note)}")
    if result.import_id is None:
        print_text("{name}: nothing new; {same} rows are there already", name=name, same=result.same)
    else:
        print_text(
            "{name}: import {number}: {added} rows added, {replaced} replaced, {same} there already",
            name=name, number=result.import_id, added=result.added, replaced=result.replaced, same=result.same,
        )  # fmt: skip


def show_imports(config: ConfigOption = None, state: StateOption = "", as_json: JsonOption = False) -> None:
    """Every import: who, when, what. 导入记录。"""
    from collector.center.inputs.imports import list_imports
    from collector.model.interval import format_time

    with open_store(config, state) as store:
        rows = store.read(list_imports)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        undone = ""
        if row["undone_ms"]:
            undone = tr(", undone {time} by {who}", time=format_time(row["undone_ms"]), who=row["undone_by"])
        counts = tr("{added} added, {replaced} replaced", added=row["added"], replaced=row["replaced"])
        what = f"{row['id']}  {format_time(row['at_ms'])}  {row['who']}  {row['kind']}  {row['name']}: "
        print(say(join("", (what, counts, undone))))


def undo(
    number: Annotated[int, typer.Argument(metavar="IMPORT", help="Its number, as `imports` shows it.")],
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; kept in the audit log.")] = "not said",
) -> None:
    """Take an import back; what it had replaced is in force again. 撤销导入。"""
    from collector.center.inputs.service import take_back
    from collector.center.runs.rulebooks import input_rules

    actor, rules = actor_of(who), input_rules(rulebook_of_center(config, state))
    with open_store(config, state) as store:
        take_back(store, number, actor=actor, reason=reason, rules=rules)
    print_text("import {number} is undone", number=number)
