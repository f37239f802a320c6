# SPDX-License-Identifier: GPL-3.0-or-later
"""A plant's own view of the statement: its amounts, deadline for reviews, changes and reasons, files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Final

from collector.base.errors import ConfigError, Missing, RuleError
from collector.base.text import Text, said_by, tr
from collector.center.inputs.names import named_plant, plant_names
from collector.center.month.deadlines import cycle_of
from collector.center.papers.bill_documents import bill_csv, bill_xlsx
from collector.center.papers.bills import BillRow, bills_of
from collector.center.papers.plant_copy import Table, copy_pdf, copy_xlsx
from collector.center.papers.plant_tables import PLANT_TABLES, plant_csv, plant_table, tables_of_plant
from collector.center.runs.compare import compare_runs
from collector.center.runs.month_state import MonthStage, MonthStep, all_steps, disclosed_runs, month_state
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.center.web.context import Context
from collector.center.web.month_rules import days_of
from collector.center.web.paging import XLSX
from collector.model.interval import Month, local_day
from collector.report.numbers import format_instant
from collector.report.pdf import why_no_pdf
from collector.settlement.statement import Line, PlantRow

_IN_PDF: Final = ("plants", "lines", "not_paid")
PDF: Final = "application/pdf"


@dataclass(frozen=True, slots=True)
class OwnDifference:
    """A changed line or total (without `service`) of a plant. `causes`: the possible causes."""

    subject: str
    service: str
    before_yuan: Decimal | None
    after_yuan: Decimal | None
    causes: Sequence[str]

    @property
    def change_yuan(self) -> Decimal | None:
        """After less before; None where one of them is not known."""
        known = self.before_yuan is not None and self.after_yuan is not None
        return self.after_yuan - self.before_yuan if known else None  # type: ignore[operator]  # both are


@dataclass(frozen=True, slots=True)
class Disclosure:
    """The disclosure of a run: the step, the run disclosed before it, and the deadline to ask for a review.

    `review_due` is None if the calendar does not know the year; `why` says so.
    """

    step: MonthStep
    before: int | None
    review_due: date | None
    days_left: int | None
    why: Text | str = ""


def disclosure_of(ctx: Context, run: OpenedRun) -> Disclosure | None:
    """The disclosure of a run; None if it was never disclosed."""
    steps = [s for s in ctx.read(lambda c: all_steps(c, run.month)) if s.run_id == run.facts.id]
    if not steps:
        return None
    step = next((s for s in steps if s.state is MonthStage.DISCLOSED), steps[0])
    runs = ctx.read(lambda c: disclosed_runs(c, run.month))
    place = runs.index(run.facts.id)
    before = runs[place - 1] if place else None
    try:
        days = days_of(ctx)
        due = ctx.read(lambda c: cycle_of(c, run.month, step.edition, days)).review
    except (ConfigError, RuleError) as error:
        return Disclosure(step, before, None, None, said_by(error))
    # Only of what the month stands on may be asked.
    asked = ctx.read(lambda c: month_state(c, run.month)).run_id == run.facts.id
    return Disclosure(step, before, due, (due - local_day(ctx.now_ms)).days if asked else None)


def differences(ctx: Context, run: OpenedRun, plant: str, before: int) -> list[OwnDifference]:
    """The changes of a plant since another run of the month: its totals, then its lines."""
    earlier = open_run(ctx.store, before)
    compared = compare_runs(ctx.store, before, run.facts.id)
    causes = {(each.subject, each.service): each.causes for each in (*compared.lines, *compared.plants)}
    found = []
    totals: list[tuple[dict[tuple[str, ...], PlantRow | Line], ...]] = [
        tuple({(r.area, r.plant): r for r in each.plants if r.plant == plant} for each in (earlier, run)),
        tuple({(n.area, n.unit, n.service): n for n in each.lines if n.plant == plant} for each in (earlier, run)),
    ]
    for old, new in totals:
        for key in sorted({*old, *new}):
            was, now = old.get(key), new.get(key)
            if was != now:
                subject, service = (key[1], "") if len(key) == 2 else key[1:]
                why = causes.get((subject, service), ())
                found.append(OwnDifference(subject, service, _yuan(was), _yuan(now), why))
    return found


def _yuan(row: PlantRow | Line | None) -> Decimal | None:
    if row is None:
        return Decimal("0.00")
    return row.net_yuan if isinstance(row, PlantRow) else row.amount_yuan


def own_bills(ctx: Context, month: Month, plant: str) -> list[BillRow]:
    """The rows of a plant that are carried to its electricity bills."""
    return [row for row in ctx.read(lambda c: bills_of(c, month, actor=ctx.actor)) if row.carry.plant == plant]


def own_bill(ctx: Context, run: OpenedRun, plant: str, name: str) -> tuple[bytes, str] | None:
    """The bill as a file, of the plant's own rows; None where `name` is no bill's, or nothing was carried yet."""
    rows = own_bills(ctx, run.month, plant) if name in ("bill.csv", "bill.xlsx") else []
    if not rows:
        return None
    if name == "bill.csv":
        return bill_csv(rows), "text/csv"
    return bill_xlsx(rows, title=f"辅助服务补偿结算 {run.facts.month} {_named(ctx, plant)}"), XLSX


def own_files(run: OpenedRun) -> list[str]:
    """The files a plant may take of a run, each with its own rows only."""
    papers = ["statement.xlsx"] if why_no_pdf() else ["statement.xlsx", "statement.pdf"]
    return [*papers, *(f"{name}.csv" for name in tables_of_plant(run))]


def own_file(ctx: Context, run: OpenedRun, plant: str, name: str) -> tuple[bytes, str]:
    """A file of a plant's own rows, and its media type.

    Raises:
        Missing: the run has no such file.
    """
    if name not in own_files(run):
        raise Missing(tr("no such file of the statement"), subject=name[:64])
    if name.endswith(".csv"):
        return plant_csv(plant_table(run, plant, name.removesuffix(".csv"))), "text/csv"

    def tables(names: Sequence[str]) -> list[Table]:
        found = (plant_table(run, plant, each) for each in names)
        return [(PLANT_TABLES[each.name], each.columns, each.rows) for each in found if each.rows]

    about = _about(ctx, run, plant)
    if name == "statement.pdf":
        return copy_pdf(about, tables(_IN_PDF)), PDF
    return copy_xlsx(about, tables(tables_of_plant(run))), XLSX


def _named(ctx: Context, plant: str) -> str:
    return named_plant(plant, ctx.read(plant_names))


def _about(ctx: Context, run: OpenedRun, plant: str) -> list[tuple[str, str]]:
    """The head of a copy of the statement, in Chinese as all papers."""
    found = disclosure_of(ctx, run)
    title = f"辅助服务补偿结算单 {run.facts.month} · 电厂 {_named(ctx, plant)}"
    about = [("结算单", title), ("运行", str(run.facts.id))]
    if found is not None:
        about += [("版次", str(found.step.edition)), ("披露", format_instant(found.step.at_ms))]
        about += [("复核申请截止", str(found.review_due))] if found.review_due else []
    return [
        *about,
        ("范围", "本厂数据;全体的结果以结算单及其校验值为准"),
        ("结果校验值", run.facts.result_hash),
        ("规则校验值", run.facts.rulebook_hash),
    ]
