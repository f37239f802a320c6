# SPDX-License-Identifier: GPL-3.0-or-later
"""An example of a page: what gateways said they will never deliver."""

from __future__ import annotations

from typing import Final

from litestar import Response

from collector.base.text import tr
from collector.center.people.access import Permission
from collector.center.quality.told_gaps import told_gaps
from collector.center.web.context import Ctx, Page
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.render import NavEntry
from collector.center.web.routes import page

NAVIGATION: Final = (NavEntry(tr("Told gaps"), "/told-gaps", Permission.SEE_OWN),)

_COLUMNS: Final = (
    ListColumn("plant", tr("Plant"), "plant", choose=True),
    ListColumn("reason", tr("Reason"), "code", choose=True),
    ListColumn("count", tr("Gap records"), "n"),
    ListColumn("longest_s", tr("Longest, s"), "n", value=lambda row: row.longest_ms // 1000),
)


@page("/told-gaps", Permission.SEE_OWN, own=True)
def told_gaps_page(ctx: Ctx) -> Page | Response[bytes]:
    """By plant and reason; of one's own plant for a plant's user."""
    rows = ctx.read(lambda c: told_gaps(c, actor=ctx.actor))
    return list_page(ctx, "told_gaps.html", _COLUMNS, rows, name="told-gaps")


ROUTES: Final = [told_gaps_page]
