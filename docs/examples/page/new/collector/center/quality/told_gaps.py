# SPDX-License-Identifier: GPL-3.0-or-later
"""What gateways said they will never deliver, summed by plant and reason: an example of a function behind a page."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from collector.center.db.tables_receive import gap
from collector.center.people.access import Actor, Permission


@dataclass(frozen=True, slots=True)
class ToldGap:
    """Gap records of a plant with one reason. `longest_ms`: of the longest of them."""

    plant: str
    reason: str
    count: int
    longest_ms: int


def told_gaps(connection: Connection, *, actor: Actor) -> list[ToldGap]:
    """By plant and reason; of one's own plant for a plant's user.

    Raises:
        Denied: the role may not see even its own.
    """
    actor.require(Permission.SEE_OWN)
    columns = (gap.c.plant, gap.c.reason, func.count().label("n"), func.max(gap.c.to_ms - gap.c.from_ms).label("ms"))
    query = select(*columns).group_by(gap.c.plant, gap.c.reason).order_by(gap.c.plant, gap.c.reason)
    if not actor.may(Permission.SEE_ALL):
        query = query.where(gap.c.plant == (actor.plant or ""))
    return [ToldGap(str(r.plant), str(r.reason), int(r.n), int(r.ms)) for r in connection.execute(query)]
