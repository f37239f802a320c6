# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: what is stored of a unit, record by record: for 对点, and for whoever asks whether a value has arrived."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar.params import PathParameter, QueryParameter

from collector.center.lake.recent_records import newest_instant, stored_values
from collector.center.people.access import Permission
from collector.center.web.context import Ctx
from collector.center.web.paging import Cursor, Format, Limit, Listed, ListQuery, as_row
from collector.center.web.routes import api_get
from collector.model.interval import Interval

_Name = Annotated[str, PathParameter(max_length=64)]
_Instant = Annotated[
    int | None, QueryParameter(ge=0, le=4_102_444_800_000, description="UTC ms; without both: the newest record")
]


class StoredValueOut(msgspec.Struct, frozen=True):
    """One quantity of one record, as it was received. `value`: null where there is none; `quality` says why."""

    plant: str
    unit: str
    quantity: str
    time_ms: int
    value: str | None
    quality: str


@api_get("/plants/{plant:str}/units/{unit:str}/records", Permission.SEE_OWN, plant="plant", table=True)
def stored_records(
    ctx: Ctx,
    plant: _Name,
    unit: _Name,
    from_ms: _Instant = None,
    to_ms: _Instant = None,
    quantity: Annotated[str, QueryParameter(max_length=64, description="of this quantity only")] = "",
    cursor: Cursor = 0,
    limit: Limit = 1000,
    format: Format = "json",  # noqa: A002
) -> Listed[StoredValueOut]:
    """What is stored of a unit in [from_ms, to_ms), at most two hours, or its newest record."""
    if from_ms is None or to_ms is None:
        interval = ctx.read(lambda c: newest_instant(c, plant, unit))
    else:
        interval = Interval(from_ms, to_ms)
    rows: list[StoredValueOut] = []
    if interval is not None:
        lake = ctx.store.lake
        found = ctx.read(lambda c: stored_values(c, lake, plant, unit, interval, quantity))
        rows = [as_row(StoredValueOut, each) for each in found]
    return ListQuery(cursor, limit, format).of(rows, StoredValueOut, f"records-{unit}")


ROUTES: Final = [stored_records]
