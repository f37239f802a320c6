# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs beside each other, what a change would do to every plant before it is made, and a run as a package."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Final

from litestar.params import FromPath, QueryParameter
from litestar.response import File

from collector.base.errors import ConfigError, Problem, StoreError
from collector.base.text import tr
from collector.center.inputs.imports import ALL_KINDS
from collector.center.inputs.service import delivered_of
from collector.center.month.review_effect import ask_to_try
from collector.center.month.review_log import review_by_id
from collector.center.people.access import Permission
from collector.center.runs.compare import compare_runs, effect_by_plant
from collector.center.runs.keeping.kept_packages import keep_package, kept_package
from collector.center.runs.month_state import visible_run
from collector.center.runs.run_list import list_runs
from collector.center.runs.stored_run import open_run
from collector.center.runs.variants.what_if import TableChange, ask_what_if
from collector.center.web.context import Context, Ctx, Page
from collector.center.web.paging import window
from collector.center.web.routes import action, page
from collector.center.web.runs.pages_run import opened_for
from collector.center.web.which_month import month_named
from collector.tables.register import DEEP_KEY, DEEP_KEY_MESSAGE

RULEBOOK_FILE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,60}\.toml\Z")


@page("/months/{month:str}/compare", Permission.SEE_ALL)
def compare_page(
    ctx: Ctx,
    month: FromPath[str],
    a: Annotated[int, QueryParameter(ge=1, le=2**53)],
    b: Annotated[int, QueryParameter(ge=1, le=2**53)],
    everything: Annotated[bool, QueryParameter(name="all")] = False,
    cursor: Annotated[int, QueryParameter(ge=0, le=10**9)] = 0,
) -> Page:
    """Differences between two runs: inputs, lines with causes, and the effect on every plant."""
    before, after = opened_for(ctx, month, a), opened_for(ctx, month, b)
    comparison = compare_runs(ctx.store, a, b)
    effects = effect_by_plant(ctx.store, a, b)
    rows, older = window(comparison.lines, cursor, ctx.settings.web.page_rows)
    return ctx.page(
        "compare.html",
        month=before.month,
        before=before,
        after=after,
        comparison=comparison,
        rows=rows,
        older=older,
        effects=[e for e in effects if everything or e.changed],
        plants=len(effects),
        everything=everything,
        change=sum((e.compensation_change_yuan for e in effects), Decimal(0)),
    )


@page("/months/{month:str}/what-if", Permission.SETTLE)
def what_if_page(ctx: Ctx, month: FromPath[str]) -> Page:
    """Try a changed input or a draft of the rulebook on a run; nothing in force is touched."""
    wanted = month_named(month)
    return ctx.page(
        "what_if.html",
        month=wanted,
        runs=list(reversed(ctx.read(lambda c: list_runs(c, wanted)))),
        run_id=ctx.read(lambda c: visible_run(c, wanted, ctx.actor)),
        kinds=ALL_KINDS,
    )


@action("/months/{month:str}/what-if", Permission.SETTLE, upload=True)
def what_if_action(ctx: Ctx, month: FromPath[str]) -> Page:
    """Make the what-if run, in the background."""
    wanted = month_named(month)
    base = ctx.number("run")
    if open_run(ctx.store, base).month != wanted:
        raise StoreError(tr("is not of {wanted}", wanted=wanted), subject=tr("run {number}", number=base))
    changes, rulebook_files = _changes(ctx)
    if not changes and not rulebook_files:
        raise ConfigError([Problem("form", 0, "file", tr("choose a file: without a change there is nothing to try"))])
    _start(ctx, base, changes, rulebook_files)
    return ctx.redirect(f"/months/{wanted}", notice="run_begun")


def _changes(ctx: Context) -> tuple[list[TableChange], dict[str, bytes]]:
    """The files of the form: inputs of a kind, and a file of the rulebook."""
    changes, rulebook_files = [], {}
    name, data = ctx.upload("file")
    if data:
        kind = ctx.form.get("kind", "")
        if kind not in ALL_KINDS:
            raise ConfigError([Problem(name, 0, "kind", tr("expected one of {names}", names=", ".join(ALL_KINDS)))])
        changes.append(TableChange(kind, delivered_of(name, data)))
    name, data = ctx.upload("rulebook")
    if data:
        if not RULEBOOK_FILE.match(name):
            raise ConfigError([Problem(name, 0, "", tr("name it like the file of the rulebook it replaces, *.toml"))])
        if DEEP_KEY.search(data.decode("utf-8", "replace")):
            raise ConfigError([Problem(name, 0, "", DEEP_KEY_MESSAGE)])
        rulebook_files[name] = data
    return changes, rulebook_files


def _start(ctx: Context, base: int, changes: Sequence[TableChange], rulebook: Mapping[str, bytes]) -> None:
    store, actor, note = ctx.store, ctx.actor, ctx.form.get("note", "")[:1000]
    # The rulebook of the run with files replaced or added.
    draft = {**open_run(store, base).rulebook_files, **rulebook} if rulebook else None
    ctx.runs.start(partial(ask_what_if, store, base, changes=changes, rulebook=draft, actor=actor, note=note))


@action("/reviews/{number:int}/try", Permission.SETTLE)
def try_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Show what granting a review would do to every plant: its remedies on top of the run it is about."""
    found = ctx.read(lambda c: review_by_id(c, number, actor=ctx.actor))
    ctx.runs.start(partial(ask_to_try, ctx.store, number, actor=ctx.actor))
    return ctx.redirect(f"/months/{found.month}", notice="run_begun")


@action("/months/{month:str}/runs/{run_id:int}/package", Permission.SEE_ALL, notes_itself=True)
def package_action(ctx: Ctx, month: FromPath[str], run_id: FromPath[int]) -> Page:
    """Make the run's package, which a third party verifies offline, and lead to it; who had it made is noted."""
    run = opened_for(ctx, month, run_id)
    made = keep_package(ctx.store, run_id, actor=ctx.actor)
    return ctx.redirect(f"/months/{run.month}/runs/{run_id}/packages/{made.made_ms}")


@page("/months/{month:str}/runs/{run_id:int}/packages/{made_ms:int}", Permission.SEE_ALL)
def package_file(ctx: Ctx, month: FromPath[str], run_id: FromPath[int], made_ms: FromPath[int]) -> File:
    """A package while it is kept."""
    opened_for(ctx, month, run_id)
    found = kept_package(ctx.store, run_id, made_ms)
    return File(found.path, filename=found.path.name, media_type="application/zip")


ROUTES: Final[Sequence[Any]] = [compare_page, what_if_page, what_if_action, try_action, package_action, package_file]
