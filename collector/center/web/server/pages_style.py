# SPDX-License-Identifier: GPL-3.0-or-later
"""The style page: every element that pages are made of, once, for whoever changes how they look."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from litestar import Response

from collector.base.text import tr
from collector.center.web.context import Ctx, Page
from collector.center.web.guards import Open
from collector.center.web.listing import ListColumn, list_page
from collector.center.web.routes import page


@dataclass(frozen=True, slots=True)
class _Sample:
    name: str
    at_ms: int
    share: Decimal
    amount_yuan: Decimal | None
    state: str


_ROWS: Final = (
    _Sample("X1", 1_780_243_200_000, Decimal("0.9479"), Decimal("25803.88"), "paid"),
    _Sample("X2", 1_780_246_800_000, Decimal(1), None, "blocked"),
    _Sample("X3", 1_780_250_400_000, Decimal("0.5"), Decimal("-1347.31"), "pending"),
)
_COLUMNS: Final = (
    ListColumn("name", tr("Unit")),
    ListColumn("at_ms", tr("Time"), "time"),
    ListColumn("share", tr("Coverage"), "percent"),
    ListColumn("amount_yuan", tr("Amount (yuan)"), "yuan", total=True),
    ListColumn("state", tr("Status"), "tag", words="STATUSES", choose=True),
)


@page("/style", Open.LOGGED_IN, own=True, charts=True)
def style_page(ctx: Ctx) -> Page | Response[bytes]:
    """Headings, cards, tags, notices, lists, forms and a drawing; made-up figures."""
    bars: dict[str, Any] = {
        "unit": tr("10 000 yuan").into(ctx.language),
        "traces": [
            {"name": tr("Compensation").into(ctx.language), "x": ["P1", "P2"], "y": [25.80388, 9.1]},
            {"name": tr("Allocation").into(ctx.language), "x": ["P1", "P2"], "y": [-12, -22.90388]},
        ],
    }
    return list_page(ctx, "style.html", _COLUMNS, _ROWS, name="style", bars=bars)


ROUTES: Final = [style_page]
