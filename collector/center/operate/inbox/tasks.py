# SPDX-License-Identifier: GPL-3.0-or-later
"""The tasks of a person: to decide, answer, settle, disclose, file, approve, publish, enrol, or look at.

Tasks are not stored: a task exists as long as the store shows that something is to be done, whoever does it. The number
of queries does not grow with the finished months.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from sqlalchemy import Connection, and_, exists, func, select

from collector.base.errors import RuleError
from collector.base.text import Text, tr, tr_in
from collector.center.db.tables_inputs import has_statement, run
from collector.center.db.tables_month import month_step
from collector.center.db.tables_receive import quarantine
from collector.center.inputs.names import named_plant, named_subject, plant_names
from collector.center.kept_words import in_words
from collector.center.month.deadlines import Cycle, cycle_of, month_before
from collector.center.month.questions.question_log import QuestionState, open_questions
from collector.center.month.regulator.first_acts import returned_filing
from collector.center.month.review_log import GRANTED_STATES, Review, ReviewState, all_reviews
from collector.center.operate.alarms import list_alarms
from collector.center.people import four_eyes
from collector.center.people.access import Actor, Permission, Role
from collector.center.quality.substitution import said_subject
from collector.center.runs.month_state import MonthStage, MonthState, month_state
from collector.center.runs.run_list import NEVER_DISCLOSED
from collector.model.interval import Month, local_day
from collector.settlement.rulebook.calendar import DutyDays

KIND_WORDS: Final[Mapping[str, Text]] = {
    "approve": tr_in("task", "Decide"),
    "answer": tr_in("task", "Answer"),
    "question": tr_in("task", "Answer the question"),
    "confirm": tr_in("task", "Confirm as a review, or leave"),
    "admit": tr_in("task", "Take, or leave"),
    "decide": tr_in("task", "Propose the outcome"),
    "carry_out": tr_in("task", "Carry out"),
    "rule": tr_in("task", "Rule on the appeal"),
    "settle": tr_in("task", "Settle"),
    "disclose": tr_in("task", "Disclose"),
    "file": tr_in("task", "File"),
    "effective": tr_in("task", "Note the approval"),
    "publish": tr_in("task", "Note the publication"),
    "approve_filing": tr_in("task", "Decide the filing"),
    "returned": tr_in("task", "Returned: disclose another run"),
    "publication": tr_in("task", "Publish"),
    "check": tr_in("task", "Check the statement"),
    "enrol": tr_in("task", "Enrol the key"),
    "alarm": tr_in("task", "Look at the alarm"),
}
_MONTH_KINDS: Final = ("month_step", "month_filing", "month_publication")


@dataclass(frozen=True, slots=True)
class WaitingTask:
    """A waiting task. `kind`: a stable code; `text`: in words; `path`: the page where it is done.

    `due`: the last day for it, None where no calendar gives one. `since_ms`: the time since which it waits.
    """

    kind: str
    text: str
    since_ms: int
    due: date | None
    path: str

    def is_late(self, today: date) -> bool:
        """True if its due day is over."""
        return self.due is not None and self.due < today


def tasks_of(connection: Connection, actor: Actor, days: DutyDays | None, now_ms: int) -> list[WaitingTask]:
    """The tasks of a person, the most urgent first. `days` None: the rulebook can't be read, no due day is known."""
    proposals = four_eyes.list_proposals(connection, open_only=True)
    reviews = {each.id: each for each in all_reviews(connection) if each.is_open and actor.may_see(each.plant)}
    decided = {each.subject for each in proposals}
    names = functools.cache(lambda: plant_names(connection))

    def named(plant: str) -> str:
        return named_plant(plant, names())

    found = [
        *_to_decide(actor, proposals, reviews, names),
        *_of_reviews(actor, reviews.values(), decided, named),
        *_of_questions(connection, actor, days, now_ms, named),
        *_of_months(connection, actor, decided, days, now_ms),
        *_to_enrol(connection, actor, named),
        *_to_look_at(connection, actor, names),
    ]
    return sorted(found, key=lambda each: (each.due or date.max, each.since_ms, each.text))


def _to_decide(
    actor: Actor,
    proposals: list[four_eyes.Proposal],
    reviews: dict[int, Review],
    names: Callable[[], Mapping[str, str]],
) -> Iterator[WaitingTask]:
    for each in proposals:
        if each.prepared_by == actor.name or not actor.may(four_eyes.KINDS[each.kind].decide):
            continue
        number = each.subject.removeprefix("review ")
        review = reviews.get(int(number)) if number.isdecimal() else None
        if each.kind in _MONTH_KINDS:
            path, text = f"/months/{each.subject}", tr("{month}: a step of the month", month=each.subject)
        elif review is not None:
            path, text = _at(review), tr("review {number}: the decision", number=review.id)
        elif each.kind.startswith("substitution"):
            path, text = "/substitutions", tr("a substitution: {subject}", subject=said_subject(each.subject))
        else:
            path = "/decisions"
            text = tr("repair of a day file: {subject}", subject=named_subject(each.subject, names()))
        yield WaitingTask("approve", text, each.prepared_ms, None if review is None else review.answer_due, path)


def _at(review: Review) -> str:
    return f"/months/{review.month}/reviews/{review.id}"


def _of_reviews(
    actor: Actor, reviews: Iterable[Review], decided: set[str], named: Callable[[str], str]
) -> Iterator[WaitingTask]:
    for each in reviews:
        name = tr("review {number} of {plant}, {month}", number=each.id, plant=named(each.plant), month=each.month)
        since = each.events[-1].at_ms if each.events else each.submitted_ms
        answers = actor.may(Permission.REVIEW_ANSWER) and f"review {each.id}" not in decided
        if each.state is ReviewState.ASKED and answers:
            yield WaitingTask("answer", name, each.submitted_ms, each.answer_due, _at(each))
        elif each.state is ReviewState.LATE and answers:
            yield WaitingTask("admit", name, each.submitted_ms, None, _at(each))
        elif each.state is ReviewState.ANSWERED and answers:
            yield WaitingTask("decide", name, since, each.answer_due, _at(each))
        elif each.state in GRANTED_STATES and actor.may(Permission.IMPORT):
            yield WaitingTask("carry_out", name, since, None, _at(each))
        elif each.state is ReviewState.APPEALED and actor.may(Permission.REGULATE):
            yield WaitingTask("rule", name, since, None, _at(each))


def _of_questions(
    connection: Connection, actor: Actor, days: DutyDays | None, now_ms: int, named: Callable[[str], str]
) -> Iterator[WaitingTask]:
    """Questions to answer; and for a plant, questions of a month disclosed since, which it may confirm as reviews."""
    answers, asks = actor.may(Permission.REVIEW_ANSWER), actor.may(Permission.REVIEW_SUBMIT) and not actor.local
    if not (answers or asks):
        return
    disclosed: dict[Month, MonthState] = {}
    for each in open_questions(connection):
        if not each.may_be_seen(actor):
            continue
        name = tr("question {number} of {plant}: {unit}, {day}",
                  number=each.id, plant=named(each.plant), unit=each.unit, day=each.day)  # fmt: skip
        path = f"/months/{each.month}/questions/{each.id}"
        if answers and each.state is QuestionState.ASKED:
            yield WaitingTask("question", name, each.asked_ms, None, path)
        if asks and each.role == Role.PLANT:
            state = disclosed.setdefault(each.month, month_state(connection, each.month))
            cycle = _cycle(connection, each.month, state.edition, days)
            stands = state.state in (MonthStage.DISCLOSED, MonthStage.IN_REVIEW)
            if stands and (cycle is None or local_day(now_ms) <= cycle.review):
                since_ms = state.since_ms or each.asked_ms
                yield WaitingTask("confirm", name, since_ms, None if cycle is None else cycle.review, path)


def _of_months(
    connection: Connection, actor: Actor, decided: set[str], days: DutyDays | None, now_ms: int
) -> Iterator[WaitingTask]:
    newest = select(month_step.c.month, func.max(month_step.c.number).label("number")).group_by(month_step.c.month)
    last = newest.subquery()
    mine = and_(month_step.c.month == last.c.month, month_step.c.number == last.c.number)
    query = select(month_step).join(last, mine).where(month_step.c.state != MonthStage.PUBLISHED)
    open_months: dict[str, Any] = {row.month: row for row in connection.execute(query)}
    before = str(month_before(local_day(now_ms)))
    if (
        before not in open_months
        and not connection.execute(select(exists().where(month_step.c.month == before))).scalar()
    ):
        open_months[before] = None
    for text, row in sorted(open_months.items()):
        month = Month.parse(text)
        stage = MonthStage.TRIAL if row is None else MonthStage(row.state)
        edition = 1 if row is None else int(row.edition)
        since_ms = month.interval.end_ms if row is None else int(row.at_ms)
        cycle = _cycle(connection, month, edition, days)
        if text not in decided and month.interval.end_ms <= now_ms:
            stood_on = None if row is None else int(row.run_id)
            yield from _step(connection, actor, month, stage, cycle, since_ms, stood_on)
        asks = stage in (MonthStage.DISCLOSED, MonthStage.IN_REVIEW) and actor.may(Permission.REVIEW_SUBMIT)
        if asks and not actor.local and (cycle is None or local_day(now_ms) <= cycle.review):
            path = f"/months/{month}/runs"
            yield WaitingTask("check", str(month), since_ms, None if cycle is None else cycle.review, path)


def _cycle(connection: Connection, month: Month, edition: int, days: DutyDays | None) -> Cycle | None:
    try:
        return None if days is None else cycle_of(connection, month, edition, days)
    except RuleError:  # a year without a calendar: the duty board reports it
        return None


def _step(
    connection: Connection,
    actor: Actor,
    month: Month,
    stage: MonthStage,
    cycle: Cycle | None,
    since_ms: int,
    stood_on: int | None,
) -> Iterator[WaitingTask]:
    """The next step of a month, for a person who may do it."""
    path, disclosure = f"/months/{month}", None if cycle is None else cycle.disclosure
    if stage in (MonthStage.TRIAL, MonthStage.CORRECTION):
        ready = (run.c.month == str(month)) & has_statement & run.c.kind.not_in(NEVER_DISCLOSED)
        if stood_on is not None:
            ready &= run.c.id != stood_on
        if not connection.execute(select(exists().where(ready))).scalar():
            if actor.may(Permission.SETTLE):
                yield WaitingTask("settle", str(month), since_ms, disclosure, path)
        elif actor.may(Permission.PREPARE):
            yield WaitingTask("disclose", str(month), since_ms, disclosure, path)
    elif stage in (MonthStage.DISCLOSED, MonthStage.IN_REVIEW) and actor.may(Permission.PREPARE):
        yield WaitingTask("file", str(month), since_ms, None if cycle is None else cycle.filing, path)
    elif stage is MonthStage.FILED:
        back = returned_filing(connection, month, since_ms)
        if actor.may(Permission.PREPARE):
            if back is None:
                yield WaitingTask("effective", str(month), since_ms, None, path)
            else:
                yield WaitingTask("returned", str(month), back.decided_ms or since_ms, None, path)
        if actor.may(Permission.REGULATE) and not actor.local and back is None:
            yield WaitingTask("approve_filing", str(month), since_ms, None, path)
    elif stage is MonthStage.EFFECTIVE:
        due = None if cycle is None else cycle.publication
        if actor.may(Permission.PREPARE):
            yield WaitingTask("publish", str(month), since_ms, due, path)
        if actor.may(Permission.REGULATE) and not actor.local:
            yield WaitingTask("publication", str(month), since_ms, due, path)


def _to_enrol(connection: Connection, actor: Actor, named: Callable[[str], str]) -> Iterator[WaitingTask]:
    """Gateways that sign with a key that is not enrolled."""
    if not actor.may(Permission.ADMINISTER):
        return
    unknown = quarantine.c.code == "unknown_key"
    query = select(quarantine.c.plant, func.min(quarantine.c.received_ms).label("since_ms")).where(unknown)
    for row in connection.execute(query.group_by(quarantine.c.plant)):
        yield WaitingTask(
            "enrol", tr("a gateway of {plant}", plant=named(row.plant)), int(row.since_ms), None, "/plants"
        )


def _to_look_at(connection: Connection, actor: Actor, names: Callable[[], Mapping[str, str]]) -> Iterator[WaitingTask]:
    """Standing alarms: for staff that run the center; for a plant its own."""
    if not (actor.may(Permission.IMPORT) or actor.may(Permission.ADMINISTER) or actor.plant):
        return
    for each in list_alarms(connection, plant=actor.plant or ""):
        text = tr("{subject}: {alarm}", subject=named_subject(each["subject"], names()), alarm=in_words(each["text"]))
        yield WaitingTask("alarm", text, int(each["since_ms"]), None, "/alarms")
