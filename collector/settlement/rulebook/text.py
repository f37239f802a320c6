# SPDX-License-Identifier: GPL-3.0-or-later
"""A rulebook as rows of text, all rows or those of a day, and the difference of two rulebooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from collector.settlement.rulebook.rules import Rulebook


@dataclass(frozen=True, slots=True, order=True)
class RuleLine:
    """One dated row of a value, service or reading, as text."""

    kind: str
    id: str
    key: str
    area: str
    from_day: str
    state: str
    value: str
    unit: str
    article: str
    cite: str


def rule_lines(rulebook: Rulebook) -> Iterator[RuleLine]:
    """Every row of every value, service and reading, sorted."""
    found: list[RuleLine] = []
    for value in rulebook.values.values():
        for row in value.rows:
            number = "" if row.value is None else str(row.value)
            days = row.from_day.isoformat() + (f"…{row.until_day}" if row.until_day else "")
            found.append(
                RuleLine(
                    "value", value.id, row.key, row.area, days, row.state, number, value.unit, value.article, row.cite
                )
            )
    for service in rulebook.services.values():
        for entry in service.rows:
            days = entry.from_day.isoformat() + (f"…{entry.until_day}" if entry.until_day else "")
            factor = f"factor {entry.factor}"
            found.append(
                RuleLine(
                    "service", service.id, "", entry.area, days, entry.state, factor, "", service.article, entry.cite
                )
            )
    for reading in rulebook.readings.values():
        for choice in reading.rows:
            days = choice.from_day.isoformat()
            found.append(
                RuleLine(
                    "reading", reading.id, "", "", days, "adopted", choice.adopted, "", reading.clause, choice.cite
                )
            )
    return iter(sorted(found))


def rule_lines_on(rulebook: Rulebook, day: date) -> Iterator[RuleLine]:
    """The rows in force on a day: per id, key and area the last row that has begun and not ended."""
    latest: dict[tuple[str, str, str, str], RuleLine] = {}
    for line in rule_lines(rulebook):
        begin, _, end = line.from_day.partition("…")
        if line.state != "expected" and begin <= day.isoformat() and (not end or day.isoformat() < end):
            latest[line.kind, line.id, line.key, line.area] = line
    return iter(sorted(latest.values()))


def rulebook_difference(left: Rulebook, right: Rulebook) -> list[tuple[str, RuleLine]]:
    """Rows that only one of two rulebooks has: `-` only the left, `+` only the right."""
    before, after = set(rule_lines(left)), set(rule_lines(right))
    changed = [("-", line) for line in before - after] + [("+", line) for line in after - before]
    return sorted(
        changed, key=lambda item: (item[1].kind, item[1].id, item[1].key, item[1].area, item[1].from_day, item[0])
    )
