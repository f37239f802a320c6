# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebook as it stands: the text of each article beside its dated values, and the readings of open clauses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Final

from litestar.params import FromPath

from collector.base.text import into, tr
from collector.center.people.access import Permission
from collector.center.runs.rulebooks import rulebook_of, rulebook_path
from collector.center.web.context import Ctx, Page
from collector.center.web.render import NavEntry
from collector.center.web.routes import page
from collector.center.web.which_month import month_named
from collector.report import words as report_words
from collector.settlement.rulebook.articles import Clause, clauses_cited
from collector.settlement.rulebook.rules import ReadingRow, Rulebook, RuleReading, RuleState, RuleValue, Service
from collector.settlement.units import unit_text


@dataclass(frozen=True, slots=True)
class DatedRow:
    """A row of a value or a service as shown. `now`: it is the one in force on the day looked at."""

    from_day: date
    until_day: date | None
    key: str
    area: str
    state: RuleState
    value: str
    cite: str
    placeholder: bool
    note: str
    now: bool


@dataclass(frozen=True, slots=True)
class ArticleShown:
    """An article with everything of the rulebook that stands in it."""

    number: int
    clauses: tuple[Clause, ...]
    services: tuple[tuple[Service, tuple[DatedRow, ...]], ...]
    values: tuple[tuple[RuleValue, tuple[DatedRow, ...]], ...]


@dataclass(frozen=True, slots=True)
class ReadingShown:
    """A reading, what is adopted on the day looked at, and its history."""

    reading: RuleReading
    adopted: str
    rows: tuple[ReadingRow, ...]
    clauses: tuple[Clause, ...]


@page("/months/{month:str}/rulebook", Permission.SEE_OWN, own=True)
def rulebook_page(ctx: Ctx, month: FromPath[str]) -> Page:
    """Values and readings, with what is in force on the first day of the month."""
    wanted = month_named(month)
    rulebook = rulebook_of(rulebook_path(ctx.settings))
    return ctx.page(
        "rulebook.html",
        rulebook=rulebook,
        month=wanted,
        unit_in_words=lambda unit: str(into(unit_text(unit), ctx.language)),
        key_in_words=lambda key: _key_words(key, ctx.language),
        articles=articles_shown(rulebook, wanted.first_day),
        readings=[_reading(r, wanted.first_day) for r in rulebook.readings.values()],
        placeholders=sum(row.placeholder for value in rulebook.values.values() for row in value.rows),
    )


def _key_words(key: str, language: str) -> str:
    """For which kind of unit, mode of dispatch or area a value holds, in words."""
    table = report_words.KEYS if key in report_words.KEYS else report_words.AREAS
    chinese, english = report_words.of(table, key)
    return chinese if language == "zh" else english or chinese


def articles_shown(rulebook: Rulebook, day: date) -> list[ArticleShown]:
    """Articles in their order; the data policy, which no article gives, comes last under 0."""
    services: dict[int, list[Service]] = {}
    for service in rulebook.services.values():
        services.setdefault(_number(service.article), []).append(service)
    values: dict[int, list[RuleValue]] = {}
    for value in rulebook.values.values():
        values.setdefault(_number(value.article), []).append(value)
    numbers = sorted(services.keys() | values.keys(), key=lambda n: (n == 0, n))
    return [
        ArticleShown(
            number=number,
            clauses=clauses_cited(str(number)),
            services=tuple((s, _service_rows(s, day)) for s in services.get(number, ())),
            values=tuple((v, _value_rows(v, day)) for v in values.get(number, ())),
        )
        for number in numbers
    ]


def _number(citation: str) -> int:
    found = re.match(r"\d+", citation)
    return int(found.group()) if found else 0


def _value_rows(value: RuleValue, day: date) -> tuple[DatedRow, ...]:
    rows = [
        (r, r.key, "" if r.value is None else str(r.value)) for r in sorted(value.rows, key=lambda r: (r.key, r.area))
    ]
    latest = _latest({(key, r.area, r.from_day): r.state for r, key, _ in rows}, day)
    return tuple(
        DatedRow(
            r.from_day, r.until_day, key, r.area, r.state, text, r.cite, r.placeholder, r.note,
            (r.until_day is None or day < r.until_day) and (key, r.area, r.from_day) in latest,
        )
        for r, key, text in rows
    )  # fmt: skip


def _service_rows(service: Service, day: date) -> tuple[DatedRow, ...]:
    latest = _latest({("", r.area, r.from_day): r.state for r in service.rows}, day)
    return tuple(
        DatedRow(
            r.from_day, r.until_day, "", r.area, r.state, f"× {r.factor}", r.cite, r.placeholder, r.note,
            (r.until_day is None or day < r.until_day) and ("", r.area, r.from_day) in latest,
        )
        for r in service.rows
    )  # fmt: skip


def _latest(rows: Mapping[tuple[str, str, date], RuleState], day: date) -> set[tuple[str, str, date]]:
    """Of each key and area, the last row that has begun; an expected one changes nothing yet."""
    begun = [name for name, state in rows.items() if name[2] <= day and state is not RuleState.EXPECTED]
    return set({name[:2]: name for name in sorted(begun)}.values())


def _reading(reading: RuleReading, day: date) -> ReadingShown:
    begun = [row for row in sorted(reading.rows, key=lambda r: r.from_day) if row.from_day <= day]
    return ReadingShown(
        reading=reading,
        adopted=begun[-1].adopted if begun else "",
        rows=reading.rows,
        clauses=clauses_cited(reading.clause)[1:],
    )


NAVIGATION: Final = (NavEntry(tr("Rulebook"), "/this/rulebook", Permission.SEE_OWN, "rulebook"),)
ROUTES: Final = [rulebook_page]
