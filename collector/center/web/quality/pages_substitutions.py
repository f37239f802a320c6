# SPDX-License-Identifier: GPL-3.0-or-later
"""Values put in place of others: proposed with method and reason, decided by somebody else, taken back, not deleted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from litestar import Response
from litestar.params import FromPath

from collector.base.errors import StoreError
from collector.base.text import said_by, tr, tr_in
from collector.center.people.access import Permission
from collector.center.quality.substitution import (
    decide_substitution,
    decide_withdrawal,
    list_substitutions,
    propose_substitution,
    propose_withdrawal,
)
from collector.center.receive.keys import enrolled_units
from collector.center.web.context import Context, Ctx, Page, own_plant
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, page
from collector.center.web.typed import instant_typed
from collector.model.interval import Interval
from collector.model.quantity import QUANTITIES

NAVIGATION: Final = (NavEntry(tr("Substitutions"), "/substitutions", Permission.SEE_OWN),)

_PROPOSES: Final = Permission.PREPARE
_COLUMNS: Final = (
    ListColumn("id", tr("No."), "n"),
    ListColumn("plant", tr("Plant"), "plant", choose=True),
    ListColumn("unit", tr("Unit"), choose=True),
    ListColumn("quantity", tr_in("recorded", "Quantity"), words="QUANTITIES", choose=True),
    ListColumn("start_ms", tr_in("stretch", "From"), "time"),
    ListColumn("end_ms", tr_in("stretch", "To"), "time"),
    ListColumn("value", tr_in("substitution", "Value"), "n"),
    ListColumn("method", tr("Method")),
    ListColumn("reason", tr("Reason")),
    ListColumn("prepared_by", tr("Prepared by"), choose=True),
    ListColumn("decided_by", tr("Decided by"), choose=True),
    ListColumn(
        "state", tr("State"), "tag", words="SUBSTITUTION_STATES", choose=True,
        tags={"open": "warn", "in_force": "good", "refused": "bad", "withdrawn": ""},
    ),
    ListColumn("act", "", "own"),
)  # fmt: skip


@page("/substitutions", Permission.SEE_OWN, own=True)
def substitutions_page(ctx: Ctx) -> Page | Response[bytes]:
    """Every substitution, newest first; the form for those who may propose one, filled from the address."""
    return _page(ctx, typed={**ctx.request.query_params})


@action("/substitutions", _PROPOSES)
def propose_action(ctx: Ctx) -> Page | Response[bytes]:
    """Propose a substitution; what was typed stays where it is refused."""
    form = ctx.form
    try:
        start, end = (instant_typed(form.get(name, "")) for name in ("from", "to"))
        if start >= end:
            raise StoreError(tr("the end lies after the start"), subject=tr_in("subject", "time"))
        fill_s = ctx.number_or_none("fill_s")
        ctx.write(
            lambda c: propose_substitution(
                c, actor=ctx.actor, unit=form.get("unit", ""), quantity=form.get("quantity", ""),
                interval=Interval(start, end), value=form.get("value", ""), method=form.get("method", "")[:64],
                reason=form.get("reason", "")[:1000], fill_s=fill_s, now_ms=ctx.now_ms,
            )
        )  # fmt: skip
    except StoreError as error:
        return _page(ctx, status=422, refused=said_by(error), typed=form)
    return ctx.redirect("/substitutions", notice="substitution_proposed")


@action("/substitutions/{number:int}/decide", Permission.APPROVE)
def decide_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Grant or refuse what somebody else proposed."""
    granted, note = ctx.chosen("decision", "grant", "refuse") == "grant", ctx.form.get("note", "")[:1000]
    ctx.write(lambda c: decide_substitution(c, number, actor=ctx.actor, granted=granted, note=note, now_ms=ctx.now_ms))
    return ctx.redirect("/substitutions", notice="substitution_decided")


@action("/substitutions/{number:int}/withdraw", Permission.PREPARE)
def withdraw_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Propose to take a substitution back."""
    reason = ctx.form.get("reason", "")[:1000]
    ctx.write(lambda c: propose_withdrawal(c, number, actor=ctx.actor, reason=reason, now_ms=ctx.now_ms))
    return ctx.redirect("/substitutions", notice="substitution_proposed")


@action("/substitutions/{number:int}/withdraw/decide", Permission.APPROVE)
def withdrawal_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Grant or refuse taking a substitution back; granted, the original value counts again."""
    granted, note = ctx.chosen("decision", "grant", "refuse") == "grant", ctx.form.get("note", "")[:1000]
    ctx.write(lambda c: decide_withdrawal(c, number, actor=ctx.actor, granted=granted, note=note, now_ms=ctx.now_ms))
    notice = "substitution_withdrawn" if granted else "substitution_decided"
    return ctx.redirect("/substitutions", notice=notice)


def _page(ctx: Context, *, typed: Mapping[str, str], status: int = 200, refused: str = "") -> Page | Response[bytes]:
    rows = ctx.read(lambda c: list_substitutions(c, plant=own_plant(ctx)))[::-1]
    quantities = [(q.name, q.zh if ctx.language == "zh" else q.name) for q in QUANTITIES]
    units = sorted(u for each in ctx.read(enrolled_units).values() for u in each) if ctx.actor.may(_PROPOSES) else []
    return list_page(
        ctx, "substitutions.html", _COLUMNS, rows, name="substitutions",
        status=status, typed=typed, refused=refused, quantities=quantities, units=units,
    )  # fmt: skip


ROUTES: Final = [substitutions_page, propose_action, decide_action, withdraw_action, withdrawal_action]
