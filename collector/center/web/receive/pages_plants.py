# SPDX-License-Identifier: GPL-3.0-or-later
"""Plants: what comes from their gateways, whose signatures count; and what was not accepted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from litestar import Response
from litestar.params import FromPath

from collector.base.errors import ConfigError, StoreError
from collector.base.text import said_by, tr
from collector.center.inputs.service import readmit_all
from collector.center.operate.status import read_gateways
from collector.center.people.access import Permission
from collector.center.receive.admission import plants_of
from collector.center.receive.keys import current_admission, enrol_key, enrolled_units, list_keys, revoke_key
from collector.center.receive.quarantine import list_quarantine
from collector.center.web.context import Context, Ctx, Page
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, page
from collector.model.interval import parse_time_ms

NAVIGATION: Final = (
    NavEntry(tr("Plants and keys"), "/plants", Permission.SEE_OWN),
    NavEntry(tr("Quarantine"), "/quarantine", Permission.SEE_ALL),
)

_QUARANTINE: Final = (
    ListColumn("received", tr("Received"), "time", value=lambda row: parse_time_ms(row["received"])),
    ListColumn("plant", tr("Plant"), "plant", choose=True),
    ListColumn("gateway", tr("Gateway"), choose=True),
    ListColumn("sequence", tr("Sequence"), "n"),
    ListColumn("code", tr("Code"), "code", choose=True),
    ListColumn("reason", tr("Reason")),
    ListColumn("size_bytes", tr("Bytes"), "digits"),
    ListColumn("repeats", tr("Repeats"), "digits"),
)


@page("/plants", Permission.SEE_OWN, own=True)
def plants_page(ctx: Ctx) -> Page:
    """Plants, gateways and keys; a plant's user sees its own."""
    return _page(ctx)


@action("/keys", Permission.ADMINISTER)
def enrol_action(ctx: Ctx) -> Page:
    """Take a plant's public key from now on: pasted, or as a file."""
    _, uploaded = ctx.upload("file")
    pem = uploaded or ctx.form.get("pem", "").encode()
    plant = ctx.form.get("plant", "")
    try:
        ctx.write(lambda c: enrol_key(c, actor=ctx.actor, plant=plant, pem=pem, now_ms=ctx.now_ms))
    except (ConfigError, StoreError) as error:
        message = error.problems[0].message if isinstance(error, ConfigError) else said_by(error)
        return _page(ctx, status=422, refused=message, typed=ctx.form)
    return ctx.redirect("/plants", notice="key_enrolled")


@action("/keys/{key_id:str}/revoke", Permission.ADMINISTER)
def revoke_action(ctx: Ctx, key_id: FromPath[str]) -> Page:
    """Take a key no longer."""
    plant, reason = ctx.form.get("plant", ""), ctx.form.get("reason", "")
    ctx.write(lambda c: revoke_key(c, actor=ctx.actor, plant=plant, key_id=key_id, reason=reason, now_ms=ctx.now_ms))
    return ctx.redirect("/plants", notice="key_revoked")


@page("/quarantine", Permission.SEE_ALL)
def quarantine_page(ctx: Ctx) -> Page | Response[bytes]:
    """Messages that were not accepted, newest first."""
    return list_page(ctx, "quarantine.html", _QUARANTINE, ctx.read(list_quarantine)[::-1], name="quarantine")


@action("/quarantine/readmit", Permission.IMPORT)
def readmit_action(ctx: Ctx) -> Page:
    """Check the quarantine again with the keys and units that are valid now."""
    admission = current_admission(ctx.store, ctx.settings)
    done = ctx.write(lambda c: readmit_all(c, admission.admit, actor=ctx.actor, now_ms=ctx.now_ms))
    notice = "readmitted" if done.committed else "readmitted_none"
    return ctx.redirect("/quarantine", notice=notice)


def _page(ctx: Context, *, status: int = 200, refused: str = "", typed: Mapping[str, str] | None = None) -> Page:
    known = plants_of(ctx.settings)
    sees = ctx.actor.may_see
    plants = {plant: units for plant, units in ctx.read(enrolled_units).items() if sees(plant)}
    return ctx.page(
        "plants.html",
        status=status,
        plants=plants,
        gateways=[each for each in ctx.read(read_gateways) if sees(each.plant)],
        keys=[each for each in ctx.read(lambda c: list_keys(c, known)) if sees(each["plant"])],
        refused=refused,
        typed=typed or {},
    )


ROUTES: Final = [plants_page, enrol_action, revoke_action, quarantine_page, readmit_action]
