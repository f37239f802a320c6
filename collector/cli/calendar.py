# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector calendar MONTH`: the duties of a settled month with their days (Art. 26-28)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.base.resources import config_path
from collector.base.text import said_by
from collector.cli.language import say
from collector.cli.rulebook import RULEBOOK

if TYPE_CHECKING:
    from collector.settlement.rulebook.calendar import Duties


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command("calendar")
    def calendar_command(
        month: Annotated[str, typer.Argument(help="The settled month, YYYY-MM.")],
        received: Annotated[
            list[str] | None, typer.Option(help="Day a question came in, YYYY-MM-DD; repeatable.")
        ] = None,
        tables: Annotated[Path | None, typer.Option(help="Working-day tables; default: those shipped.")] = None,
        rulebook: Annotated[Path | None, typer.Option(help="A rulebook directory; default: the one shipped.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    ) -> None:
        """Show the duties of a month: disclosure, reviews, answers, filing, publication. 披露、复核、报送日历。"""
        from collector.model.interval import Month, parse_day
        from collector.settlement.rulebook.calendar import DutyDays, compute_duties, load_working_days
        from collector.settlement.rulebook.load import load_rulebook

        try:
            wanted = Month.parse(month)
            questions = [parse_day(text) for text in received or ()]
        except ValueError as error:
            raise typer.BadParameter(say(said_by(error))) from error
        working = load_working_days(tables or config_path("calendar"))
        days = DutyDays(working, load_rulebook(rulebook or config_path(RULEBOOK)))
        duties = compute_duties(wanted, days, questions)
        print(_json(duties)) if as_json else _show(duties)


def _json(duties: Duties) -> str:
    rows = [
        {
            "id": d.id,
            "article": d.article,
            "due": d.due.isoformat(),
            "moved_from": d.moved_from and d.moved_from.isoformat(),
        }
        for d in duties.duties
    ]
    return json.dumps({"month": duties.month, "duties": rows, "clashes": duties.clashes}, ensure_ascii=False, indent=1)


def _show(duties: Duties) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{duties.month} 结算日历", title_justify="left")
    for name in ("条款", "期限", "事项", "duty", ""):
        table.add_column(name)
    for duty in duties.duties:
        moved = f"{duty.moved_from} 逢节假日顺延" if duty.moved_from else ""
        table.add_row(duty.article, duty.due.isoformat(), duty.text.into("zh"), duty.text, moved)
    console = Console()
    console.print(table)
    for clash in duties.clashes:
        console.print(f"! {say(clash)}", highlight=False, soft_wrap=True)
