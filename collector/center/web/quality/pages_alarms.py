# SPDX-License-Identifier: GPL-3.0-or-later
"""Alarms, and implausible values in the stored records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from litestar import Response
from litestar.params import QueryParameter

from collector.base.text import tr, tr_in
from collector.center.inputs.names import named_subject, plant_names
from collector.center.operate.alarms import list_alarms
from collector.center.people.access import Permission
from collector.center.quality.validation import list_findings
from collector.center.web.context import Ctx, Page, own_plant
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.render import NavEntry
from collector.center.web.routes import page
from collector.center.web.which_month import month_named

NAVIGATION: Final = (NavEntry(tr("Alarms"), "/alarms", Permission.SEE_OWN),)


def _alarms(names: Mapping[str, str]) -> tuple[ListColumn, ...]:
    return (
        ListColumn(
            "state", tr("State"), "tag", words="ALARM_STATES", choose=True, tags={"stands": "bad", "cleared": ""},
            value=lambda row: "cleared" if row["until_ms"] else "stands",
        ),
        ListColumn("code", tr("Kind"), words="ALARMS", choose=True),
        ListColumn("subject", tr("Subject"), value=lambda row: named_subject(row["subject"], names)),
        ListColumn("since_ms", tr("Since"), "time"),
        ListColumn("until_ms", tr_in("alarm", "Until"), "time"),
        ListColumn("text", tr("What"), "kept"),
    )  # fmt: skip


_FINDINGS: Final = (
    ListColumn("day", tr("Day"), "day"),
    ListColumn("plant", tr("Plant"), "plant", choose=True),
    ListColumn("unit", tr("Unit"), choose=True),
    ListColumn("code", tr_in("heading", "Finding"), words="FINDING_CODES", choose=True),
    ListColumn("quantity", tr_in("recorded", "Quantity"), words="QUANTITIES", choose=True),
    ListColumn("start_ms", tr_in("stretch", "From"), "time"),
    ListColumn("end_ms", tr_in("stretch", "To"), "time"),
    ListColumn("found", tr_in("value", "Found"), "kept"),
    ListColumn("expected", tr("Expected"), "kept"),
)


@page("/alarms", Permission.SEE_OWN, own=True)
def alarms_page(ctx: Ctx, cleared: Annotated[bool, QueryParameter()] = False) -> Page | Response[bytes]:
    """Active alarms, or also the cleared ones; a plant's user sees those of its own plant."""
    rows = ctx.read(lambda c: list_alarms(c, include_cleared=cleared, plant=own_plant(ctx)))
    return list_page(ctx, "alarms.html", _alarms(ctx.read(plant_names)), rows, name="alarms", cleared=cleared)


@page("/findings", Permission.SEE_OWN, own=True)
def findings_page(
    ctx: Ctx,
    month: Annotated[str, QueryParameter(max_length=7)] = "",
    unit: Annotated[str, QueryParameter(max_length=64)] = "",
) -> Page | Response[bytes]:
    """Implausible values in the stored days, newest day first."""
    wanted = month_named(month) if month else None
    rows = ctx.read(lambda c: list_findings(c, month=wanted, unit=unit, plant=own_plant(ctx)))[::-1]
    return list_page(ctx, "findings.html", _FINDINGS, rows, name="findings")


ROUTES: Final = [alarms_page, findings_page]
