# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center question …`, `collector center regulate`: questions about a day, and the regulator's own acts."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from collector.base.text import said_by, tr
from collector.cli.center.inputs import WhoOption
from collector.cli.center.review import FromOption, QuantityOption, TextOption, ToOption, YuanOption, review_request
from collector.cli.center.screen import MonthArgument, actor_of, decider_of, parse_month, show_rows, time_text, to_json
from collector.cli.center.store import ConfigOption, DaysOption, JsonOption, StateOption, days_of_center, open_store
from collector.cli.language import heads, print_text, say
from collector.cli.verbs import VerbGroup

question_app = typer.Typer(
    cls=VerbGroup, no_args_is_help=True, help="Questions about a day, before the disclosure. 披露前问询。"
)
QuestionArgument = Annotated[int, typer.Argument(metavar="QUESTION", help="Its number, as `question list` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.add_typer(question_app, name="question")
    app.command("regulate")(regulate)


@question_app.command("list")
def list_all(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM; default: all.")] = "",
    open_only: Annotated[
        bool, typer.Option("--open", help="Only what is neither a review now nor taken back.")
    ] = False,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
    who: WhoOption = "",
) -> None:
    """Questions, and what became of each. 问询列表。"""
    from collector.center.month.questions.question_log import list_questions

    wanted, actor = parse_month(month) if month else None, actor_of(who)
    with open_store(config, state) as store:
        found = store.read(lambda c: list_questions(c, actor=actor, month=wanted))
    found = [each for each in found if each.is_open or not open_only]
    if as_json:
        print(to_json(found))
        return
    names = heads("no", "day", "plant", "unit", "service", "asked", "by", "text", "state", "answer")
    rows = [
        (
            *(q.id, q.day, q.plant, q.unit, q.service, time_text(q.asked_ms), q.asked_by, q.text, q.state),
            "; ".join(each.text for each in q.events if each.text),
        )
        for q in found
    ]
    show_rows(tr("questions"), names, rows)


@question_app.command("ask")
def ask(
    unit: Annotated[str, typer.Argument(metavar="UNIT")],
    day: Annotated[str, typer.Argument(metavar="DAY", help="YYYY-MM-DD")],
    text: TextOption,
    service: Annotated[str, typer.Option("--service", help="Default: all of them.")] = "",
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Take down what a plant asks about a day of a month that is not disclosed yet. 登记披露前问询。"""
    from collector.center.month.questions.early_questions import EarlyRequest, ask_early
    from collector.model.interval import parse_day

    try:
        request = EarlyRequest(unit, parse_day(day), service, text)
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error)), param_hint="DAY") from error
    actor = actor_of(who)
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        number = store.write(lambda c: ask_early(c, request, actor=actor, now_ms=now_ms)).result()
    print_text("question {number} is taken down", number=number)


@question_app.command("answer")
def answer(
    number: QuestionArgument,
    text: TextOption,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Answer a question; may be done again. 答复问询。"""
    from collector.center.month.questions.early_questions import answer_question

    _act(config, state, who, answer_question, number, text=text)


@question_app.command("withdraw")
def withdraw(
    number: QuestionArgument,
    text: TextOption = "",
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Take a question back, for a plant that did so on paper. 撤回问询。"""
    from collector.center.month.questions.early_questions import withdraw_question

    _act(config, state, who, withdraw_question, number, text=text)


@question_app.command("confirm")
def confirm(
    number: QuestionArgument,
    run: Annotated[int, typer.Option("--run", help="The disclosed run.")],
    service: Annotated[str, typer.Option("--service")],
    start: FromOption,
    end: ToOption,
    text: TextOption,
    yuan: YuanOption = "",
    quantity: QuantityOption = "",
    tables: DaysOption = None,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Make a question the review of a line, now that its month is disclosed. 转为复核申请。"""
    from collector.center.month.questions.early_questions import confirm_question
    from collector.center.month.questions.question_log import question_by_id

    actor, days = actor_of(who), days_of_center(config, state, tables)
    with open_store(config, state) as store:
        asked = store.read(lambda c: question_by_id(c, number, actor=actor))
        request = review_request(run, asked.unit, service, start, end, yuan=yuan, quantity=quantity, text=text)
        now_ms = store.clock.now_utc_ms()
        review = confirm_question(store, number, request, actor=actor, days=days, now_ms=now_ms)
    print_text("question {number} is review {review} now", number=number, review=review)


def regulate(
    month: MonthArgument,
    approve: Annotated[bool, typer.Option("--approve", help="The filing takes effect; needs --document.")] = False,
    send_back: Annotated[bool, typer.Option("--return", help="The filing goes back; needs --note.")] = False,
    publish: Annotated[bool, typer.Option("--publish", help="What took effect is published.")] = False,
    document: Annotated[str, typer.Option("--document", help="Number of the regulator's approval.")] = "",
    note: Annotated[str, typer.Option("--note", help="Why.")] = "",
    tables: DaysOption = None,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """What the regulator decides without a proposal of the center, taken down from its letter (Art. 28). 监管决定。"""
    from collector.center.month.regulator.first_acts import act_first
    from collector.center.runs.month_state import MonthStage

    if approve + send_back + publish != 1:
        raise typer.BadParameter(say(tr("say one of --approve, --return and --publish")))
    wanted, actor, days = parse_month(month), decider_of(who, config, state), days_of_center(config, state, tables)
    target = MonthStage.PUBLISHED if publish else MonthStage.EFFECTIVE
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        found = store.write(
            lambda c: act_first(
                c, wanted, target, actor=actor, granted=not send_back, now_ms=now_ms, days=days, note=note,
                document=document,
            )
        ).result()  # fmt: skip
    print_text(
        "{month} is {state}, edition {edition}, run {run_id}",
        month=found.month,
        state=found.state,
        edition=found.edition,
        run_id=found.run_id,
    )


def _act(config: Any, state: str, who: str, what: Any, number: int, *, text: str) -> None:
    """Act on a question, and print its new state."""
    from collector.center.month.questions.question_log import question_by_id

    actor = actor_of(who)
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        store.write(lambda c: what(c, number, actor=actor, now_ms=now_ms, text=text)).result()
        found = store.read(lambda c: question_by_id(c, number, actor=actor))
    print_text("question {id} is {state}", id=found.id, state=found.state)
