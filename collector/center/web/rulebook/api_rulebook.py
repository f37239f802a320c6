# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: the rulebook months are settled by: dated values with their articles, and the readings of open clauses."""

from __future__ import annotations

from typing import Final

import msgspec

from collector.center.people.access import Permission
from collector.center.runs.rulebooks import rulebook_of, rulebook_path
from collector.center.web.context import Ctx
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import api_get


class RulebookOut(msgspec.Struct, frozen=True):
    """The id, title and hash of a rulebook."""

    id: str
    title: str
    hash: str


class RuleValueOut(msgspec.Struct, frozen=True):
    """A dated value of the law. `value`: null where it has ended or is not known."""

    id: str
    unit: str
    article: str
    key: str
    area: str
    value: str | None
    from_day: str
    until_day: str | None
    state: str
    cite: str
    placeholder: bool
    note: str


class AdoptedOut(msgspec.Struct, frozen=True):
    """From when a choice of an open clause is adopted."""

    adopted: str
    from_day: str
    cite: str
    placeholder: bool


class OpenReadingOut(msgspec.Struct, frozen=True):
    """An open point of the text, the choices it leaves, and what is adopted."""

    id: str
    clause: str
    question: str
    choices: dict[str, str]
    question_zh: str
    choices_zh: dict[str, str]
    adopted: list[AdoptedOut]


@api_get("/rulebook", Permission.SEE_OWN, own=True)
def rulebook(ctx: Ctx) -> RulebookOut:
    """The rulebook months are settled by now; the same for all."""
    return as_row(RulebookOut, rulebook_of(rulebook_path(ctx.settings)))


@api_get("/rulebook/values", Permission.SEE_OWN, own=True, table=True)
def values(ctx: Ctx, listing: Listing) -> Listed[RuleValueOut]:
    """Every dated value."""
    found = rulebook_of(rulebook_path(ctx.settings))
    rows = [
        as_row(RuleValueOut, row, id=value.id, unit=value.unit, article=value.article)
        for value in found.values.values()
        for row in value.rows
    ]
    return listing.of(rows, RuleValueOut, "rulebook-values")


@api_get("/rulebook/readings", Permission.SEE_OWN, own=True, table=True)
def readings(ctx: Ctx, listing: Listing) -> Listed[OpenReadingOut]:
    """Every open clause and what is adopted."""
    found = rulebook_of(rulebook_path(ctx.settings))
    rows = [
        as_row(
            OpenReadingOut,
            each,
            choices=dict(each.choices),
            choices_zh=dict(each.choices_zh),
            adopted=[as_row(AdoptedOut, row) for row in each.rows],
        )
        for each in found.readings.values()
    ]
    return listing.of(rows, OpenReadingOut, "rulebook-readings")


ROUTES: Final = [rulebook, values, readings]
