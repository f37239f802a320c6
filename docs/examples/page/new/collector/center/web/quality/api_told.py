# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: the twin of the example page."""

from __future__ import annotations

from typing import Final

import msgspec

from collector.center.people.access import Permission
from collector.center.quality.told_gaps import told_gaps
from collector.center.web.context import Ctx
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import api_get


class ToldGapOut(msgspec.Struct, frozen=True):
    """Gap records of a plant with one reason."""

    plant: str
    reason: str
    count: int
    longest_ms: int


@api_get("/told-gaps", Permission.SEE_OWN, own=True, table=True)
def list_told_gaps(ctx: Ctx, listing: Listing) -> Listed[ToldGapOut]:
    """By plant and reason; of one's own plant for a plant's user."""
    rows = [as_row(ToldGapOut, each) for each in ctx.read(lambda c: told_gaps(c, actor=ctx.actor))]
    return listing.of(rows, ToldGapOut, "told-gaps")


ROUTES: Final = [list_told_gaps]
