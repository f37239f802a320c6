# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector compare A B` and `collector quarter DIR…`: statements beside each other."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collector.report.compare import Comparison, Difference
    from collector.report.quarter import Quarter


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

    @app.command("quarter")
    def quarter_command(
        statements: Annotated[list[Path], typer.Argument(help="Statement folders, one per month.")],
        out: Annotated[Path | None, typer.Option(help="Also write the table as CSV to this file.")] = None,
    ) -> None:
        """Sum months by service: compensation, share, allocation. 季度汇总:补偿、占比、分摊。"""
        from collector.report.quarter import quarter_csv, summarise
        from collector.report.saved_statement import load_saved

        quarter = summarise([load_saved(folder) for folder in statements])
        if out is not None:
            out.write_bytes(quarter_csv(quarter))
        _show_quarter(quarter)


def show_comparison(found: Comparison) -> None:
    """The differences as tables on the screen."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    console.print("differs: " + ("; ".join(found.changed) or "nothing"), highlight=False, soft_wrap=True)
    for title, differences in (("补偿明细 lines", found.lines), ("结算汇总 plants", found.plants)):
        if not differences:
            continue
        table = Table(title=title, title_justify="left")
        for name in ("unit / plant", "service", "before", "after", "possible causes"):
            table.add_column(name)
        for difference in differences:
            table.add_row(*_cells(difference))
        console.print(table)
    console.print(f"{len(found.lines)} lines and {len(found.plants)} plants differ", highlight=False)


def _cells(difference: Difference) -> tuple[str, ...]:
    from rich.markup import escape

    def side(cells: dict[str, str]) -> str:
        return "\n".join(f"{name} {value or '–'}" for name, value in cells.items()) or "not there"

    before, after = side(dict(difference.before)), side(dict(difference.after))
    texts = (difference.subject, difference.service, before, after, "\n".join(difference.causes))
    return tuple(escape(text) for text in texts)


def _show_quarter(quarter: Quarter) -> None:
    from rich.console import Console
    from rich.table import Table

    from collector.report import words
    from collector.report.numbers import format_amount, format_percent

    table = Table(title=" ".join(quarter.months), title_justify="left")
    for name in ("结算区域", "服务"):
        table.add_column(name)
    for name in ("补偿(元)", "占比", "分摊(元)"):
        table.add_column(name, justify="right", no_wrap=True)
    for s in quarter.services:
        names = (words.of(words.AREAS, s.area)[0], words.of(words.SERVICES, s.service)[0])
        table.add_row(
            *names, format_amount(s.compensation_yuan), format_percent(s.share), format_amount(s.allocation_yuan)
        )
    console = Console()
    console.print(table)
    if quarter.open_months:
        console.print(f"! not final: {', '.join(quarter.open_months)}", highlight=False)
