# SPDX-License-Identifier: GPL-3.0-or-later
"""Open items between a month and its end, counted, with the money each item concerns.

A month never appears complete only because nothing was computed: without a run, the missing run is the open item.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from sqlalchemy import Connection, func, select

from collector.base.text import join, tr
from collector.center.db.tables_quality import finding
from collector.center.db.tables_receive import enrolled, unit_day
from collector.center.inputs.names import named_plant
from collector.center.month.input_changes import InputChange
from collector.center.month.review_log import Review
from collector.center.month.transitions import area_words
from collector.center.runs.run_list import RunRow
from collector.model.interval import Month, local_day
from collector.settlement.statement import AreaRow, Line, LineStatus


@dataclass(frozen=True, slots=True)
class OpenItem:
    """Something open. `count`: number of cases; `yuan`: the amount concerned, None where unknown.

    `path`: below the month. `text`: in words, with the meaning of `yuan`.
    """

    code: str
    count: int
    yuan: Decimal | None
    text: str
    path: str


@dataclass(frozen=True, slots=True)
class LateUnits:
    """Units with an open validation finding, and plants with a day without any records."""

    findings: int
    units: frozenset[str]
    plants: frozenset[str]


def look_at_records(connection: Connection, month: Month, now_ms: int) -> LateUnits:
    """Open findings of a month, and the plants with a finished day without any record."""
    first, end = month.first_day.isoformat(), min(month.next().first_day, local_day(now_ms)).isoformat()
    inside = (finding.c.day >= first) & (finding.c.day < month.next().first_day.isoformat())
    stands = inside & finding.c.closed_ms.is_(None)
    units = connection.execute(select(finding.c.unit, func.count()).where(stands).group_by(finding.c.unit)).all()
    over = sum(day.isoformat() < end for day in month.days)
    came = dict.fromkeys(connection.execute(select(enrolled.c.plant)).scalars(), 0)
    came_on = (unit_day.c.day >= first) & (unit_day.c.day < end)
    query = select(unit_day.c.plant, func.count(unit_day.c.day.distinct())).where(came_on).group_by(unit_day.c.plant)
    came |= {plant: int(days) for plant, days in connection.execute(query)}
    late = frozenset(plant for plant, days in came.items() if days < over)
    return LateUnits(sum(int(n) for _, n in units), frozenset(unit for unit, _ in units), late)


def open_items(
    run: RunRow | None,
    *,
    lines: Collection[Line],
    areas: Collection[AreaRow],
    changes: Collection[InputChange],
    records: LateUnits,
    missing: Collection[str],
    reviews: Collection[Review],
    names: Mapping[str, str],
) -> Iterator[OpenItem]:
    """The open items of a month, in the order of work. `missing`: kinds never delivered; `names`: of plants."""
    if run is None:
        yield OpenItem("no_run", 1, None, tr("not settled yet: no run of the month"), "")
    if missing:
        text = tr("kinds of input never delivered: {names}", names=join(", ", missing))
        yield OpenItem("missing_inputs", len(missing), None, text, "/imports")
    here = "runs" if run is None else f"runs/{run.id}"
    for area in areas:
        if area.reason:
            text = tr("{area} can't be allocated; its compensation", area=area_words(area.area))
            yield OpenItem("blocked_area", 1, area.compensation_yuan, text, here)
    if changes:
        text = tr("changes of inputs since run {number} was made; settle and compare shows their effect",
                  number=run.id if run else 0)  # fmt: skip
        yield OpenItem("stale", len(changes), None, text, "")
    if records.plants:
        text = tr("plants without a record on some day: {plants}; what their lines may differ by at most",
                  plants=_some(named_plant(each, names) for each in records.plants))  # fmt: skip
        mine = [line for line in lines if line.plant in records.plants]
        yield OpenItem("late_plants", len(records.plants), _spread(mine), text, "completeness")
    waiting = [line for line in lines if line.status in (LineStatus.BLOCKED, LineStatus.PENDING)]
    if waiting:
        text = tr("lines not settled; what they come to at most")
        yield OpenItem("unsettled", len(waiting), _most(waiting), text, f"{here}/lines?status=blocked")
    apart = [line for line in lines if line.status is LineStatus.PAID and line.low_yuan is not None]
    if apart:
        text = tr("lines paid although some of their time is missing; how far apart their bounds are")
        yield OpenItem("uncertain", len(apart), _spread(apart), text, here)
    if records.findings:
        text = tr("findings in the records; what the lines of their units pay")
        mine = [line for line in lines if line.unit in records.units]
        yield OpenItem("findings", records.findings, _paid(mine), text, "/findings")
    if reviews:
        text = tr("reviews not done; what they claim beyond the run")
        yield OpenItem("reviews", len(reviews), _claimed(reviews), text, "reviews")


def _some(names: Iterable[str], most: int = 5) -> str:
    listed = sorted(names)
    shown = join(", ", listed[:most])
    return shown if len(listed) <= most else join(" ", (shown, tr("and {count} more", count=len(listed) - most)))


def _paid(lines: Iterable[Line]) -> Decimal | None:
    """The sum of the lines' amounts; None without any, as without a run the amount is unknown."""
    paid = [line.amount_yuan for line in lines if line.amount_yuan is not None]
    return sum(paid, Decimal("0.00")) if paid else None


def _spread(lines: Iterable[Line]) -> Decimal | None:
    """The sum of the distances between lines' bounds; None where an upper bound is open, or no line has bounds."""
    bounds = [(line.low_yuan, line.high_yuan) for line in lines if line.low_yuan is not None]
    apart = [high - low for low, high in bounds if low is not None and high is not None]
    return sum(apart, Decimal("0.00")) if apart and len(apart) == len(bounds) else None


def _most(lines: Collection[Line]) -> Decimal | None:
    highs = [line.high_yuan for line in lines if line.high_yuan is not None]
    return sum(highs, Decimal("0.00")) if len(highs) == len(lines) else None


def _claimed(reviews: Iterable[Review]) -> Decimal | None:
    total, any_known = Decimal("0.00"), False
    for each in reviews:
        try:
            if each.claim_kind == "yuan":
                total, any_known = total + Decimal(each.claim_value) - Decimal(each.line_value or 0), True
        except InvalidOperation:
            continue
    return total if any_known else None
