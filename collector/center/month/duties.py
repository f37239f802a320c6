# SPDX-License-Identifier: GPL-3.0-or-later
"""The duties of a month with their status: done, open or late; days left; clashes between them (Art. 26-28).

Due days come from the calendar, the status from the month's own history. For reviews the days left to ask are shown;
each question has an answer of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

from sqlalchemy import Connection, select

from collector.base.text import Text, tr
from collector.center.db.tables_month import month_step
from collector.center.inputs.names import named_plant, plant_names
from collector.center.month.deadlines import Cycle, cycle_of, month_before
from collector.center.month.review_log import Review, ReviewState, list_reviews
from collector.center.people.access import Actor, Permission
from collector.center.runs.month_state import MonthStage, MonthStep, all_steps, month_state
from collector.model.interval import Month, local_day
from collector.settlement.rulebook.calendar import DutyDays

DONE: Final = "done"
OPEN: Final = "open"
LATE: Final = "late"
PASSED: Final = "passed"


@dataclass(frozen=True, slots=True)
class DutyRow:
    """A duty of a month.

    `status`: done, open, late (not done though the day is over), or passed: the end of the time to ask, which nobody
    does. `days_left`, `working_days_left`: until the due day, which is not counted; negative once it is over, None when
    done. `done_late`: it was done after its day. `review_id`: the review to answer.
    """

    id: str
    article: str
    chinese: str
    english: str
    due: date
    moved_from: date | None
    status: str
    done_day: date | None
    done_late: bool
    days_left: int | None
    working_days_left: int | None
    review_id: int | None = None


@dataclass(frozen=True, slots=True)
class DutyBoard:
    """The duties of a month's present edition on a day. `clashes`: in words."""

    month: Month
    edition: int
    cycle_month: Month
    today: date
    rows: tuple[DutyRow, ...]
    clashes: tuple[str, ...]


def duties_of(
    connection: Connection, month: Month, days: DutyDays, *, actor: Actor, now_ms: int, edition: int | None = None
) -> DutyBoard:
    """The duties of an edition (default: the present one), and of the reviews the actor may see.

    Raises:
        RuleError: the calendar does not know a year that is needed.
    """
    actor.require(Permission.SEE_OWN)
    wanted = month_state(connection, month).edition if edition is None else edition
    cycle = cycle_of(connection, month, wanted, days)
    steps = [step for step in all_steps(connection, month) if step.edition == wanted]
    reviews = [r for r in list_reviews(connection, actor=actor, month=month) if r.edition == wanted]
    today = local_day(now_ms)
    rows = tuple(_rows(cycle, steps, reviews, today, days, plant_names(connection) if reviews else {}))
    return DutyBoard(month, wanted, cycle.month, today, rows, tuple(_clashes(cycle, reviews)))


def months_due(connection: Connection, now_ms: int) -> list[Month]:
    """The months with duties: the last one, and those with a step that are not published yet."""
    last = month_before(local_day(now_ms))
    begun = {Month.parse(text) for text in connection.execute(select(month_step.c.month).distinct()).scalars()}
    unfinished = {m for m in begun if month_state(connection, m).state is not MonthStage.PUBLISHED}
    return sorted({last, *unfinished})


def _rows(
    cycle: Cycle,
    steps: Iterable[MonthStep],
    reviews: Iterable[Review],
    today: date,
    days: DutyDays,
    names: Mapping[str, str],
) -> Iterator[DutyRow]:
    taken: dict[MonthStage, date] = {}
    for step in steps:
        taken.setdefault(step.state, local_day(step.at_ms))
    by_id = {duty.id: duty for duty in cycle.duties.duties}
    for ident, state in (("disclosure", MonthStage.DISCLOSED), ("review", None), ("filing", MonthStage.FILED)):
        duty = by_id[ident]
        done = taken.get(state) if state else None
        row = _row(ident, duty.article, duty.text, duty.due, done, today, days, moved=duty.moved_from)
        if state is None and row.status == LATE:
            row = replace(row, status=PASSED, days_left=None, working_days_left=None)
        yield row
        if ident == "review":
            yield from _answers(reviews, today, days, names)
    duty = by_id["publication"]
    done = taken.get(MonthStage.PUBLISHED)
    yield _row("publication", duty.article, duty.text, duty.due, done, today, days)


def _answers(reviews: Iterable[Review], today: date, days: DutyDays, names: Mapping[str, str]) -> Iterator[DutyRow]:
    for review in reviews:
        if review.state is ReviewState.LATE:
            continue
        if review.state is ReviewState.WITHDRAWN and review.answered_ms is None:
            continue
        text = tr("answer to review {number} of {plant}", number=review.id, plant=named_plant(review.plant, names))
        answered = next((e.at_ms for e in review.events if e.kind.value in ("answered", "granted", "refused")), None)
        done = None if answered is None else local_day(answered)
        yield _row("answer", "27", text, review.answer_due, done, today, days, review_id=review.id)


def _row(
    ident: str,
    article: str,
    text: Text,
    due: date,
    done: date | None,
    today: date,
    days: DutyDays,
    *,
    moved: date | None = None,
    review_id: int | None = None,
) -> DutyRow:
    status = DONE if done is not None else LATE if today > due else OPEN
    open_still = done is None
    return DutyRow(
        id=ident,
        article=article,
        chinese=text.into("zh"),
        english=str(text),
        due=due,
        moved_from=moved,
        status=status,
        done_day=done,
        done_late=done is not None and done > due,
        days_left=(due - today).days if open_still else None,
        working_days_left=_working_days(today, due, days) if open_still else None,
        review_id=review_id,
    )


def _working_days(today: date, due: date, days: DutyDays) -> int:
    """Working days after `today` up to and including `due`; after it, the working days since, negative."""
    first, last = min(today, due), max(today, due)
    count = sum(days.working.is_working(first + timedelta(days=n)) for n in range(1, (last - first).days + 1))
    return count if due >= today else -count


def _clashes(cycle: Cycle, reviews: Iterable[Review]) -> Iterator[str]:
    """Clashes of the calendar, without its example of an answer: here the real due days of answers are checked."""
    for clash in cycle.duties.clashes:
        if not clash.startswith("answer to a question"):
            yield clash
    for review in reviews:
        waiting = review.state is ReviewState.ASKED
        if waiting and review.answer_due > cycle.filing:
            yield tr(
                "the answer to review {number} is due on {due}, after the filing on {filing}",
                number=review.id, due=review.answer_due, filing=cycle.filing,
            )  # fmt: skip
