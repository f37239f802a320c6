# SPDX-License-Identifier: GPL-3.0-or-later
"""Due dates of a settled month's duties (Art. 26-28) on official working days; no amount depends on them.

The days that the articles name come from the rulebook. A month's duties fall in the following month, so the rulebook
rows in force on its first day apply. Working days come from tables, one per year, each copied from the State Council's
notice. A year without a table is an error: holidays and make-up days are decided anew every year, and a guess would be
silently wrong.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from collector.base.errors import ConfigError, Problem, RuleError
from collector.base.text import Text, tr
from collector.model.interval import Month
from collector.settlement.rulebook.rules import Rulebook, RuleValue

_KEYS: Final = frozenset({"year", "notice", "notice_date", "holiday"})
_HOLIDAY_KEYS: Final = frozenset({"name", "first", "last", "worked"})


@dataclass(frozen=True, slots=True)
class WorkingDays:
    """The working days. `free`: holidays; `made_up`: weekend days worked in exchange; `years`: years with a table."""

    years: frozenset[int]
    free: Mapping[date, str] = field(default_factory=dict)
    made_up: frozenset[date] = frozenset()

    def is_working(self, day: date) -> bool:
        """Whether `day` is a working day.

        Raises:
            RuleError: there is no table for its year.
        """
        if day.year not in self.years:
            raise RuleError(
                tr("no working-day table for {year}; write one from the State Council's notice", year=day.year),
                subject=tr("calendar of working days"),
            )
        return day in self.made_up or (day.weekday() < 5 and day not in self.free)

    def on_or_after(self, day: date) -> date:
        """The first working day from `day` on."""
        while not self.is_working(day):
            day += timedelta(days=1)
        return day

    def add(self, day: date, count: int) -> date:
        """The `count`-th working day after `day`; `day` itself does not count."""
        while count:
            day += timedelta(days=1)
            count -= self.is_working(day)
        return day


@dataclass(frozen=True, slots=True)
class DutyDays:
    """The data due dates are computed from: the working days, and the rulebook with the days of Art. 26-28."""

    working: WorkingDays
    rulebook: Rulebook

    def due(self, value: str, article: str, month: Month) -> date:
        """The date, in the month after `month`, of the day number that a rulebook value gives.

        Raises:
            RuleError: the rulebook lacks the value, or that month has no such day.
        """
        after, number = month.next(), self._number(value, article, month)
        try:
            return date(after.year, after.month, number)
        except ValueError:
            place = self.rulebook.values[value].file
            raise RuleError(
                tr("{after} has no day {number}; see {place} of the rulebook", after=after, number=number, place=place),
                subject=value,
            ) from None

    def answer_due(self, received: date, month: Month) -> date:
        """The due date of the answer to a question about `month` received on a day, which does not count (Art. 27).

        Raises:
            RuleError: the rulebook lacks the value, or a year has no table of working days.
        """
        return self.working.add(received, self._number("answer.working_days", "27", month))

    def _number(self, value: str, article: str, month: Month) -> int:
        found: RuleValue | None = self.rulebook.values.get(value)
        if found is None:
            wanted = f"article-{article}.toml"
            raise RuleError(
                tr(
                    "the calendar needs it, and rulebook {id} lacks it; add {wanted} as the one shipped",
                    id=self.rulebook.id,
                    wanted=wanted,
                ),
                subject=value,
            )
        day = month.next().first_day
        number = self.rulebook.value(value, day)
        if number is None:
            raise RuleError(
                tr("the calendar needs it, but {file} has none in force on {day}", file=found.file, day=day),
                subject=value,
            )
        return int(number)


@dataclass(frozen=True, slots=True)
class Duty:
    """A duty with its due date. `moved_from`: the date by the text, where a holiday moved it."""

    id: str
    article: str
    due: date
    text: Text
    moved_from: date | None = None


@dataclass(frozen=True, slots=True)
class Duties:
    """The duties of one settled month, in the order of the text, and a sentence for each conflict between them."""

    month: str
    duties: tuple[Duty, ...]
    clashes: tuple[str, ...]


def compute_duties(month: Month, days: DutyDays, received: Iterable[date] = ()) -> Duties:
    """The duties for `month`: with an answer to each question in `received`, or to one asked on the last day.

    Source: Art. 26-28. The text says only that the disclosure moves with holidays (I-14); we report duties that this
    makes impossible to meet, because the text does not say which duty gives way.

    Raises:
        RuleError: the rulebook lacks a value, a year has no table, or a question came outside the month after `month`.
    """
    after = month.next()
    named = days.due("disclosure.day", "26", month)
    disclosed = days.working.on_or_after(named)
    review = days.due("review.day", "27", month)
    filing = days.due("filing.day", "28", month)
    duties = [
        Duty("disclosure", "26", disclosed, tr("disclosure"), named if disclosed != named else None),
        Duty("review", "27", review, tr("last day to ask for a review")),
    ]
    questions = sorted(set(received)) or [review]
    for question in questions:
        if (question.year, question.month) != (after.year, after.month):
            raise RuleError(
                tr(
                    "a question on {month} is asked in {after}, not on {question}",
                    month=month,
                    after=after,
                    question=question,
                ),
                subject=tr("calendar of working days"),
            )
        due = days.answer_due(question, month)
        duties.append(Duty("answer", "27", due, tr("answer to a question of {day}", day=question)))
    duties.append(Duty("filing", "28", filing, tr("filing with the regulator")))
    publication = days.due("publication.day", "28", month)
    duties.append(Duty("publication", "28", publication, tr("publication by the regulator")))
    return Duties(str(month), tuple(duties), tuple(_clashes(duties, questions, days.working)))


def _clashes(duties: Iterable[Duty], questions: Iterable[date], days: WorkingDays) -> Iterable[str]:
    by_id = {duty.id: duty for duty in duties if duty.id != "answer"}
    disclosed, review, filing = by_id["disclosure"].due, by_id["review"].due, by_id["filing"].due
    if disclosed > review:
        yield tr("disclosed on {disclosed}, after reviews closed on {review}", disclosed=disclosed, review=review)
    elif disclosed == review:
        yield tr("disclosed on {disclosed}, the last day for reviews", disclosed=disclosed)
    for question in questions:
        if question > review:
            yield tr("the question of {day} came after reviews closed on {review}", day=question, review=review)
    for duty in duties:
        if duty.id == "answer" and duty.due > filing:
            yield tr(
                "{duty} is due on {due}, after the filing on {filing}", duty=duty.text, due=duty.due, filing=filing
            )
    for duty in (by_id["filing"], by_id["publication"]):
        if not days.is_working(duty.due):
            yield tr("the {duty} falls on {due}, no working day, and does not move", duty=duty.text, due=duty.due)


def load_working_days(directory: Path) -> WorkingDays:
    """Load all tables `<year>.toml` of a directory.

    Raises:
        ConfigError: every problem, with file and key.
    """
    problems: list[Problem] = []
    free: dict[date, str] = {}
    made_up: set[date] = set()
    years: set[int] = set()
    for path in sorted(directory.glob("*.toml")):
        data = _parse(path, problems)
        years.add(int(path.stem) if path.stem.isdigit() else 0)
        for index, holiday in enumerate(data.get("holiday", []), 1):
            _add_holiday(path, index, holiday, free, made_up, problems)
    if problems:
        raise ConfigError(problems)
    return WorkingDays(frozenset(years), free, frozenset(made_up))


def _parse(path: Path, problems: list[Problem]) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        problems.append(Problem(path.name, 0, "", tr("can't be read as TOML: {error}", error=error)))
        return {}
    problems.extend(Problem(path.name, 0, key, tr("unknown key")) for key in sorted(data.keys() - _KEYS))
    problems.extend(Problem(path.name, 0, key, tr("is missing")) for key in sorted(_KEYS - data.keys()))
    if data.get("year") != (int(path.stem) if path.stem.isdigit() else None):
        problems.append(
            Problem(
                path.name,
                0,
                "year",
                tr("is {value!r}, the file is named {name}", value=data.get("year"), name=path.name),
            )
        )
    return data


def _add_holiday(
    path: Path,
    index: int,
    holiday: Mapping[str, Any],
    free: dict[date, str],
    made_up: set[date],
    problems: list[Problem],
) -> None:
    place = f"holiday[{index}]"
    if set(holiday) != _HOLIDAY_KEYS:
        problems.append(
            Problem(path.name, 0, place, tr("expected the keys {names}", names=", ".join(sorted(_HOLIDAY_KEYS))))
        )
        return
    first, last, worked = holiday["first"], holiday["last"], holiday["worked"]
    dates = [first, last, *worked]
    if not all(isinstance(day, date) and not isinstance(day, datetime) and str(day.year) == path.stem for day in dates):
        problems.append(Problem(path.name, 0, place, tr("expected dates of {stem}", stem=path.stem)))
        return
    if not first <= last <= first + timedelta(days=14):
        problems.append(
            Problem(
                path.name, 0, f"{place}.last", tr("{last} is no end of a holiday from {first}", last=last, first=first)
            )
        )
        return
    for offset in range((last - first).days + 1):
        day = first + timedelta(days=offset)
        if day in free:
            problems.append(Problem(path.name, 0, place, tr("{day} is in two holidays", day=day)))
        free[day] = str(holiday["name"])
    for day in worked:
        if day.weekday() < 5 or day in made_up or day in free:
            problems.append(
                Problem(path.name, 0, f"{place}.worked", tr("{day} is no weekend day that could be worked", day=day))
            )
        made_up.add(day)
