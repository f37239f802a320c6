# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center settle|runs|explain|compare|package`: a month's runs on the center's store."""

from __future__ import annotations

import getpass
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.cli.center_store import ConfigOption, JsonOption, StateOption, open_store, rulebook_of_center

if TYPE_CHECKING:
    pass

WhoOption = Annotated[str, typer.Option("--who", metavar="NAME", help="Who does it; default: the login name.")]
ExecutorOption = Annotated[
    str, typer.Option("--executor", metavar="dask://HOST:PORT", help="Measure on a Dask cluster that sees the lake.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("settle")(settle_month)
    app.command("runs")(show_runs)


def settle_month(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM")],
    config: ConfigOption = None,
    state: StateOption = "",
    rulebook: Annotated[
        Path | None, typer.Option(help="A rulebook directory; default: center.rulebook_dir, or the one shipped.")
    ] = None,
    who: WhoOption = "",
    note: Annotated[str, typer.Option("--note", help="A remark kept with the run.")] = "",
    executor: ExecutorOption = "",
) -> None:
    """Settle a month from what the store has now; the run pins its inputs. 结算一个月。

    Exit 0 when a statement was written, also provisional or blocked; 1 when the inputs were refused.
    """
    from collector.center.access import Actor
    from collector.center.month.settling import settle_run
    from collector.cli.settle import show

    wanted = _month(month)
    actor = Actor.at_command_line(who or getpass.getuser())
    with open_store(config, state) as store:
        book = rulebook or rulebook_of_center(config, state)
        settled = settle_run(store, wanted, rulebook=book, actor=actor, note=note, executor=executor)
        folder = store.directory / "runs" / settled.row.folder
    show(settled.statement, folder / "statement")
    cells, measured = len(settled.progress.cells), len(settled.progress.measured)
    print(f"{measured} of {cells} plant-days measured, the others were measured before")
    repeat = f"collector settle {wanted} --data {folder}/data --rulebook {folder}/rulebook --out DIR"
    print(f"run {settled.row.id}: its inputs are pinned; repeat it with: {repeat}")


def show_runs(
    month: Annotated[str, typer.Argument(metavar="[MONTH]", help="YYYY-MM; default: all.")] = "",
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
) -> None:
    """Settlement runs: when, who, kind, status, result hash. 结算运行。"""
    from collector.center.runs import list_runs
    from collector.model.interval import format_time

    wanted = _month(month) if month else None
    with open_store(config, state) as store:
        rows = store.read(lambda c: list_runs(c, wanted))
    if as_json:
        print(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=2))
        return
    for row in rows:
        kind = row.kind if row.base_run_id is None else f"{row.kind} of {row.base_run_id}"
        result = f"{row.status}  {row.result_hash[:16]}  runs/{row.folder}"
        note = f"  {row.note}" if row.note else ""
        print(f"{row.id}  {row.month}  {format_time(row.at_ms)}  {row.who}  {kind}  {result}{note}")


def _month(text: str) -> Any:
    from collector.model.interval import Month

    try:
        return Month.parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="MONTH") from error
