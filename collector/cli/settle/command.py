# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector settle`: a folder in, a statement out; plants use it to check their bill."""

from __future__ import annotations

import gc
import os
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.base.cycles import without_looking_for_cycles
from collector.base.resources import config_path
from collector.base.text import said_by, tr
from collector.cli.language import say
from collector.cli.settle.forked_map import spread

if TYPE_CHECKING:
    from collector.settlement.statement import Statement

RULEBOOK = "rules/east-china-trial"


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command("settle")
    def settle_command(
        month: Annotated[str, typer.Argument(help="The month, YYYY-MM.")],
        data: Annotated[Path, typer.Option(help="The settlement folder: register.toml, records/, plan.csv …")],
        out: Annotated[Path, typer.Option(help="The statement folder; an earlier statement there is replaced.")],
        rulebook: Annotated[Path | None, typer.Option(help="A rulebook directory; default: the one shipped.")] = None,
        until: Annotated[
            str | None,
            typer.Option(help="A running month: settle to the end of this day, YYYY-MM-DD. Never final."),
        ] = None,
        strict: Annotated[bool, typer.Option(help="Exit 1 also where an area is not final.")] = False,
        pdf: Annotated[Path | None, typer.Option(help="Also a PDF here, where typst and a Chinese font are.")] = None,
    ) -> None:
        """Settle a month from a folder and write the statement. 离线结算一个月。

        Exit 0 when a statement was written, also provisional or blocked; 1 when the folder was refused, or with
        --strict when an area is not final.
        """
        from collector.model.interval import Month

        try:
            wanted = Month.parse(month)
        except ValueError as error:
            raise typer.BadParameter(say(said_by(error)), param_hint="MONTH") from error
        last_day = None if until is None else _last_day(wanted, until)
        with without_looking_for_cycles():
            statement = settle_folder(wanted, data, out, rulebook or config_path(RULEBOOK), last_day=last_day)
            show(statement, out)
            if pdf is not None:
                _add_pdf(statement, pdf)
            gc.freeze()  # the process ends soon; this spares a scan of all objects, now and as it ends
        if strict and statement.status.value != "final":
            raise typer.Exit(1)


def _last_day(month: Any, text: str) -> date:
    """The last day of a running month: the month is cut at its end."""
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            say(tr("{text!r} is no day; expected YYYY-MM-DD", text=text)), param_hint="--until"
        ) from error
    if day not in month.days:
        raise typer.BadParameter(say(tr("{text} is no day of {month}", text=text, month=month)), param_hint="--until")
    return day


def _add_pdf(statement: Statement, path: Path) -> None:
    from collector.report.pdf import write_pdf

    if reason := write_pdf(statement, path):
        print(say(tr("no PDF: {reason}; statement.html prints the same", reason=reason)), file=sys.stderr)


def settle_folder(month: Any, data: Path, out: Path, rulebook: Path, *, last_day: date | None = None) -> Statement:
    """Load, settle, write. Nothing is written where anything is refused.

    `last_day`: of a running month, which is cut at the end of this day.

    Raises:
        ConfigError: everything wrong in the folder, or `out` is not free.
        RuleError: the rulebook has no answer for the month.
    """
    # The arrays live for milliseconds; the kernel takes longer to find huge pages for them (docs/decisions/0014).
    os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
    # Arrow's own allocator gives memory back after each part and has the kernel clear it anew for the next.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    with without_looking_for_cycles():
        return _settle_folder(month, data, out, rulebook, last_day)


def _settle_folder(month: Any, data: Path, out: Path, rulebook: Path, last_day: date | None) -> Statement:
    from collector.cli.settle.by_units import settle_parts, whole_segments
    from collector.report.folder import check_out, write_statement
    from collector.settlement.rulebook.load import load_rulebook
    from collector.settlement.settle import settle
    from collector.tables.folder import load_folder

    check_out(out)
    book = load_rulebook(rulebook)
    out = out.absolute()
    there = next(folder for folder in out.parents if folder.is_dir())
    with TemporaryDirectory(prefix=f".{out.name}-parts-", dir=there) as aside:
        settled = settle_parts(month, data, book, Path(aside), spread=spread, last_day=last_day)
        if settled is None:
            statement = settle(month, load_folder(data, book), book, spread=spread, last_day=last_day)
            write_statement(statement, out, spread=spread)
            return statement
        write_statement(settled.statement, out, spread=spread, written=settled.written)
        return replace(settled.statement, segments=whole_segments(month, data, book, last_day=last_day))


def show(statement: Statement, out: Path) -> None:
    """A short table on the screen: plants, open problems, places of the files."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from collector.report import words
    from collector.report.numbers import format_amount, format_instant
    from collector.report.page import month_status

    chinese, english = month_status(statement.status.value)
    table = Table(title=f"{statement.month}  {chinese} {english}", title_justify="left")
    table.add_column("结算区域\narea", no_wrap=True)
    table.add_column("电厂\nplant")
    for name in ("补偿费用\ncompensation", "分摊费用\nallocation", "结算费用\nnet"):
        table.add_column(name, justify="right", no_wrap=True, min_width=12)
    table.add_column("状态\nstatus")
    for row in statement.plants:
        amounts = [format_amount(a) for a in (row.compensation_yuan, row.allocation_yuan, row.net_yuan)]
        status = month_status(row.status.value)[0] + (f" {words.both(words.REASONS, row.reason)}" if row.reason else "")
        table.add_row(words.of(words.AREAS, row.area)[0], escape(row.plant), *amounts, escape(status))
        for column, amount in zip(table.columns[2:5], amounts, strict=True):
            column.min_width = max(column.min_width or 0, len(amount))  # money is never cut, however narrow the screen
    console = Console()
    console.print(table)
    open_lines = sum(line.amount_yuan is None for line in statement.lines)
    console.print(
        say(
            tr(
                "{count} lines, {open_lines} without an amount (pending or blocked)",
                count=len(statement.lines),
                open_lines=open_lines,
            )
        ),
        highlight=False,
    )
    for finding in statement.findings[:20]:
        console.print(f"! {escape(finding.subject)}: {escape(finding.message)}", highlight=False, soft_wrap=True)
    if len(statement.findings) > 20:
        console.print(
            say(tr("! … {count} more in statement.html", count=len(statement.findings) - 20)), highlight=False
        )
    console.print(f"{out.absolute()}/statement.html", highlight=False, soft_wrap=True)
    if statement.running is not None:
        cut = format_instant(statement.running.cut_ms)
        console.print(say(tr("running: to {cut} only, never final", cut=cut)), highlight=False)
    console.print(f"{statement.month}  {chinese} {english}", highlight=False)
