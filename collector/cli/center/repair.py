# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center repair …`: a day sealed again from the journal or a backup, by two people."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from collector.cli.center.inputs import WhoOption
from collector.cli.center.screen import actor_of, decider_of
from collector.cli.center.store import ConfigOption, StateOption, open_store
from collector.cli.language import print_text
from collector.cli.verbs import VerbGroup

app = typer.Typer(cls=VerbGroup, no_args_is_help=True, help="A damaged day file put right, by two people. 修复日文件。")
NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="The proposal's number.")]


def register(root: typer.Typer) -> None:
    """Add the group to `collector center`."""
    root.add_typer(app, name="repair")


@app.command("propose")
def propose(
    plant: Annotated[str, typer.Argument(metavar="PLANT", help="Whose day file.")],
    day: Annotated[str, typer.Argument(metavar="DAY", help="Local date, YYYY-MM-DD.")],
    reason: Annotated[str, typer.Option("--reason", help="What happened.")],
    backup: Annotated[
        Path | None, typer.Option("--from", metavar="BACKUP", help="Out of a backup; default: from the journal.")
    ] = None,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Prepare a repair for another person to approve. 提出修复，待他人批准。"""
    from collector.center.operate.repair import JOURNAL, propose_repair

    actor, source = actor_of(who), str(backup.resolve()) if backup else JOURNAL
    with open_store(config, state) as store:
        number = propose_repair(store, plant, day, source=source, reason=reason, actor=actor)
    print_text(
        "proposal {number}: another person approves it with `collector center repair approve {number}`", number=number
    )


@app.command("approve")
def approve(number: NumberArgument, config: ConfigOption = None, state: StateOption = "", who: WhoOption = "") -> None:
    """Approve a repair that somebody else prepared, and carry it out. 批准并执行修复。"""
    from collector.center.operate.repair import approve_repair

    actor = decider_of(who, config, state)
    with open_store(config, state) as store:
        done = approve_repair(store, number, actor=actor)
    print_text(
        "{path}: repaired; expected SHA-256 {expected}, found {before}, now {after}",
        path=done.path,
        expected=done.expected,
        before=done.before,
        after=done.after,
    )
    if done.after != done.expected:
        print_text("its records gave another file: months settled from the old one stand, settle them anew to compare")


@app.command("refuse")
def refuse(
    number: NumberArgument,
    note: Annotated[str, typer.Option("--note", help="Why.")],
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Refuse a repair that somebody else prepared. 不批准修复。"""
    from collector.center.operate.repair import refuse_repair

    actor = decider_of(who, config, state)
    with open_store(config, state) as store:
        refuse_repair(store, number, actor=actor, note=note)
    print_text("proposal {number}: refused", number=number)
