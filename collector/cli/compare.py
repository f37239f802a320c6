# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector compare A B`, `collector quarter DIR…`: statements beside each other; `collector etext DIR`: as E text."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.base.text import join, tr
from collector.cli.language import heads, say

if TYPE_CHECKING:
    from collector.report.compare import RowDifference, RunComparison
    from collector.report.summary import Summary


def register(app: typer.Typer) -> None:
    """Add the verbs."""

    @app.command("compare")
    def compare_command(
        before: Annotated[Path, typer.Argument(help="A statement folder.")],
        after: Annotated[Path, typer.Argument(help="Another statement folder of the same month.")],
        as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    ) -> None:
        """Show the lines that differ between two statements, and why. Exit 1 where any does. 比对两份结算单。"""
        from collector.report.compare import compare
        from collector.report.saved_statement import load_saved

        found = compare(load_saved(before), load_saved(after))
        print(json.dumps(asdict(found), ensure_ascii=False, indent=1)) if as_json else show_comparison(found)
        if found.lines or found.plants:
            raise typer.Exit(1)

    @app.command("etext")
    def etext_command(
        statement: Annotated[Path, typer.Argument(help="A statement folder.")],
        out: Annotated[Path, typer.Option(help="The file to write, usually with the ending .e.")],
    ) -> None:
        """Write lines, plants and sums of a statement as E text, for a dispatch system. 导出E文本。"""
        from collector.report.saved_statement import load_saved
        from collector.sheets.efile_writer import efile_text, etable_of_csv

        saved = load_saved(statement)
        tables = [
            etable_of_csv(name, saved.month, (statement / f"{name}.csv").read_bytes())
            for name in ("lines", "plants", "summary")
        ]
        out.write_bytes(efile_text({"Data": saved.month, "Result": str(saved.manifest["result_hash"])}, tables))

    @app.command("quarter")
    def quarter_command(
        statements: Annotated[list[Path], typer.Argument(help="Statement folders, one per month.")],
        out: Annotated[Path | None, typer.Option(help="Also write the table as CSV to this file.")] = None,
        as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    ) -> None:
        """Sum months, quarters and years by service: compensation, share, allocation. 季度、年度汇总。"""
        from collector.report.saved_statement import load_saved
        from collector.report.summary import summarise, summary_as_json, summary_csv

        found = summarise([load_saved(folder) for folder in statements])
        if out is not None:
            out.write_bytes(summary_csv(found.rows))
        print(json.dumps(summary_as_json(found), ensure_ascii=False, indent=1)) if as_json else _show_summary(found)


def show_comparison(found: RunComparison) -> None:
    """The differences as tables on the screen."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print(
        say(tr("differs: {what}", what=join("; ", found.changed) or tr("nothing"))), highlight=False, soft_wrap=True
    )
    for title, differences in ((tr("lines"), found.lines), (tr("plants"), found.plants)):
        if not differences:
            continue
        table = Table(title=say(title), title_justify="left")
        for name in heads("unit / plant", "service", "before", "after", "possible causes"):
            table.add_column(say(name))
        for difference in differences:
            table.add_row(*_cells(difference))
        console.print(table)
    console.print(
        say(tr("{lines} lines and {plants} plants differ", lines=len(found.lines), plants=len(found.plants))),
        highlight=False,
    )


def _cells(difference: RowDifference) -> tuple[str, ...]:
    from rich.markup import escape

    def side(cells: dict[str, str]) -> str:
        return "\n".join(f"{name} {value or '–'}" for name, value in cells.items()) or say(tr("not there"))

    before, after = side(dict(difference.before)), side(dict(difference.after))
    texts = (difference.subject, difference.service, before, after, "\n".join(difference.causes))
    return tuple(escape(text) for text in texts)


def _show_summary(found: Summary) -> None:
    from rich.console import Console
    from rich.table import Table

    from collector.report import words
    from collector.report.numbers import format_amount, format_percent

    table = Table(title=" ".join(found.months), title_justify="left")
    for name in ("时段", "结算区域", "服务"):
        table.add_column(name)
    for name in ("补偿(元)", "占比", "分摊(元)", "机组数"):
        table.add_column(name, justify="right", no_wrap=True)
    for s in found.rows:
        names = (s.period, words.of(words.AREAS, s.area)[0], words.of(words.SERVICES, s.service)[0])
        amounts = (format_amount(s.compensation_yuan), format_percent(s.share), format_amount(s.allocation_yuan))
        table.add_row(*names, *amounts, str(s.units))
    console = Console()
    console.print(table)
    if found.open_months:
        console.print(say(tr("! not final: {open_months}", open_months=", ".join(found.open_months))), highlight=False)
