# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector accept`: an acceptance run by its plan, with progress on the terminal and a report to sign."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.base.text import tr
from collector.cli.language import say

if TYPE_CHECKING:
    from collector.accept.outcome import CheckOutcome
    from collector.accept.plan import Plan
    from collector.accept.run import Acceptance


def register(app: typer.Typer) -> None:
    """Add the verb."""

    @app.command("accept")
    def accept(
        plan: Annotated[Path, typer.Argument(metavar="PLAN.toml", help="What is under test, steps and limits.")],
        out: Annotated[Path | None, typer.Option(help="Where reports go, in place of the plan's `out`.")] = None,
    ) -> None:
        """Acceptance in the factory or on site, and its report. 出厂、现场验收与报告。

        Exit code 0: everything passed; 1: something failed, was broken off, or the plan is refused.
        """
        from collector.accept.plan import load_plan

        acceptance = _accept(load_plan(_find(plan)), out)
        if not acceptance.passed:
            raise typer.Exit(1)


def _find(plan: Path) -> Path:
    """The plan file; a missing `config/…` is taken from the installed program."""
    from collector.base.resources import config_path

    if plan.exists() or plan.is_absolute() or plan.parts[:1] != ("config",):
        return plan
    with suppress(FileNotFoundError):
        return config_path("/".join(plan.parts[1:]))
    return plan


def _accept(plan: Plan, out: Path | None) -> Acceptance:
    from rich.console import Console

    from collector.accept.report.write import write_report
    from collector.accept.run import Acceptance, break_off, run_acceptance
    from collector.base.clock import SystemClock
    from collector.base.errors import CollectorError
    from collector.model.interval import format_time

    console = Console(highlight=False, soft_wrap=True)
    clock = SystemClock()
    started = format_time(clock.now_utc_ms())
    folder = _new_folder((out or Path(plan.settings.acceptance.out)).resolve(), started)
    acceptance = Acceptance(plan, folder)

    def say(zh: str, en: str) -> None:
        console.print(f"[cyan]{zh}[/] · {en}")

    try:
        run_acceptance(acceptance, say, lambda outcome: console.print(_line(outcome)))
    except KeyboardInterrupt:
        break_off(acceptance, "操作人员中止", "by the operator")
    except SystemExit:
        break_off(acceptance, "收到终止信号", "told to end")
    except CollectorError as error:
        break_off(acceptance, "试验未能继续", str(error))
    page = write_report(acceptance, started=started, ended=format_time(clock.now_utc_ms()))
    if acceptance.broken_off:
        console.print(acceptance.broken_off, style="red", markup=False)
    verdict = "[bold green]合格 passed[/]" if acceptance.passed else "[bold red]不合格 not passed[/]"
    console.print(f"{verdict}: {page}")
    return acceptance


def _new_folder(out: Path, started: str) -> Path:
    """A new folder for this run: an earlier report is never overwritten."""
    stamp = started[:19].replace("-", "").replace(":", "")
    for number in range(1, 1000):
        folder = out / (stamp if number == 1 else f"{stamp}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise typer.BadParameter(say(tr("{out} is full of reports", out=out)), param_hint="--out")


def _line(outcome: CheckOutcome) -> str:
    from rich.markup import escape

    colour = {"pass": "green", "fail": "bold red"}.get(outcome.verdict.value, "dim")
    text = outcome.measured or outcome.reason
    limit = f" [dim]({escape(outcome.limit)})[/]" if outcome.verdict.value == "fail" else ""
    shown = "".join(f"\n      {escape(line)}" for line in outcome.evidence) if limit else ""
    verdict, title = outcome.verdict.words.split()[0], f"{outcome.check.zh} {outcome.check.en}"
    return f"  [{colour}]{verdict}[/] {outcome.check.code} {title}: {escape(text)}{limit}{shown}"
