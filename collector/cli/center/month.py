# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center month|duties`: taking a month through its steps at the command line.

Users of these verbs have the store's own rights (`Actor.at_command_line`), but never approve a proposal made under the
same name, or by the same user of the system.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.base.text import from_data, said_by, tr
from collector.cli.center.inputs import WhoOption
from collector.cli.center.screen import MonthArgument, actor_of, decider_of, parse_month, show_rows, time_text, to_json
from collector.cli.center.store import ConfigOption, DaysOption, JsonOption, StateOption, days_of_center, open_store
from collector.cli.language import heads, print_text, say
from collector.cli.verbs import VerbGroup

if TYPE_CHECKING:
    from collector.center.month.duties import DutyBoard

month_app = typer.Typer(cls=VerbGroup, no_args_is_help=True, help="The steps of a month, with four eyes. 月度流程。")
ProposalArgument = Annotated[int, typer.Argument(metavar="PROPOSAL", help="Its number, as `month show` shows it.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.add_typer(month_app, name="month")
    app.command("duties")(duties)


@month_app.command("show")
def show_month(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM; default: every month with a run.")] = "",
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
) -> None:
    """Where a month stands: its steps, what waits for approval, what may follow. 月度状态。"""
    from collector.center.month.deadline_rules import against_calendar
    from collector.center.month.transitions import transitions_from, what_stands_open
    from collector.center.people.four_eyes import list_proposals
    from collector.center.runs.month_state import all_steps, area_statuses, month_state, months_known

    with open_store(config, state) as store:
        if not month:
            states = store.read(lambda c: [month_state(c, each) for each in months_known(c)])
            rows = [(str(s.month), *_state_words(s.state), s.edition, s.run_id, time_text(s.since_ms)) for s in states]
            show_rows(
                tr("months"), (tr("month"), "状态", *heads("state", "edition", "run", "since")), rows, as_json=as_json
            )
            return
        wanted = parse_month(month)
        now = store.read(lambda c: month_state(c, wanted))
        steps = store.read(lambda c: all_steps(c, wanted))
        waiting = store.read(lambda c: list_proposals(c, subject=str(wanted), open_only=True))
        run = now.run_id
        standing = [] if run is None else store.read(lambda c: what_stands_open(c, wanted, run))
        areas = {} if run is None else store.read(lambda c: area_statuses(c, run))
        ways, days, now_ms = transitions_from(now.state), days_of_center(config, state, None), store.clock.now_utc_ms()
        late = store.read(lambda c: {t: against_calendar(c, now, t.after, days, now_ms) for t in ways})
    if as_json:
        print(to_json({"state": now, "steps": steps, "proposals": waiting, "open": standing, "areas": areas}))
        return
    title = tr(
        "{month}  {state}  edition {edition}", month=month, state=" ".join(_state_words(now.state)), edition=now.edition
    )
    names = heads("no", "state", "edition", "run", "at", "prepared", "approved", "document", "reason")
    cells = [
        (s.number, s.state, s.edition, s.run_id, time_text(s.at_ms), s.prepared_by, s.approved_by, s.document, s.reason)
        for s in steps
    ]
    if cells:
        show_rows(title, names, cells)
    else:
        print(say(title))
    for p in waiting:
        print_text(
            "proposal {id} by {prepared_by}: to {to}, run {run_id}; waits for approval",
            id=p.id,
            prepared_by=p.prepared_by,
            to=p.content["to"],
            run_id=p.content["run_id"],
        )
        for each in p.content.get("against_texts", ()):
            print(f"! {say(from_data(each))}: {p.content['reason']}")
    for area, status in areas.items():
        print_text("area {area}: {status}", area=area, status=status)
    for each in standing:
        print(f"! {say(each)}")
    for t in ways:
        print_text("next: {after}  {text} (Art. {article})", after=t.after, text=say(t.text), article=t.article)
        for each in late[t]:
            print_text("! {each}: needs --reason", each=say(each))


@month_app.command("propose")
def propose(
    month: MonthArgument,
    to: Annotated[str, typer.Argument(metavar="STATE", help="disclosed, in_review, filed, effective …")],
    run: Annotated[int | None, typer.Option("--run", help="Default: the run the month stands on.")] = None,
    reason: Annotated[
        str, typer.Option("--reason", help="Where one is needed: against the calendar, provisional, open reviews …")
    ] = "",
    document: Annotated[str, typer.Option("--document", help="A number of the center's own.")] = "",
    tables: DaysOption = None,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Prepare a step for another person to approve. 提出流程步骤，待他人批准。"""
    from collector.center.month.transitions import prepare_step
    from collector.center.runs.month_state import MonthStage

    wanted, actor = parse_month(month), actor_of(who)
    try:
        target = MonthStage(to)
    except ValueError:
        raise typer.BadParameter(
            say(tr("expected one of {stages}", stages=", ".join(MonthStage))), param_hint="STATE"
        ) from None
    days = days_of_center(config, state, tables)
    with open_store(config, state) as store:
        options: dict[str, Any] = {"run_id": run, "reason": reason, "document": document, "days": days}
        number = prepare_step(store, wanted, target, actor=actor, **options)
    print_text(
        "proposal {number}: another person approves it with `collector center month approve {number}`", number=number
    )


@month_app.command("approve")
def approve(
    number: ProposalArgument,
    document: Annotated[str, typer.Option("--document", help="The regulator's number, to make it effective.")] = "",
    note: Annotated[str, typer.Option("--note", help="Why; needed where it has come to be too late since.")] = "",
    tables: DaysOption = None,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Approve a step that somebody else prepared, and take it. 批准流程步骤。"""
    from collector.center.month.transitions import approve_step

    actor, days = decider_of(who, config, state), days_of_center(config, state, tables)
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        found = store.write(
            lambda c: approve_step(c, number, actor=actor, now_ms=now_ms, days=days, document=document, note=note)
        ).result()
    print_text(
        "{month} is {state}, edition {edition}, run {run_id}",
        month=found.month,
        state=found.state,
        edition=found.edition,
        run_id=found.run_id,
    )


@month_app.command("refuse")
def refuse(
    number: ProposalArgument,
    note: Annotated[str, typer.Option("--note", help="Why.")],
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Refuse a step that somebody else prepared; the month stays where it is. 退回流程步骤。"""
    from collector.center.month.transitions import refuse_step

    actor = decider_of(who, config, state)
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        store.write(lambda c: refuse_step(c, number, actor=actor, now_ms=now_ms, note=note)).result()
    print_text("proposal {number} is refused", number=number)


@month_app.command("delta")
def delta(
    month: MonthArgument,
    run: Annotated[int | None, typer.Option("--run", help="Default: the run the month stands on.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Also write it as CSV.")] = None,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
    who: WhoOption = "",
) -> None:
    """What a run changes against the run in effect, by line and by plant. 更正差额。"""
    from collector.center.papers.corrections import correction_csv, correction_of

    wanted, actor = parse_month(month), actor_of(who)
    with open_store(config, state) as store:
        found = correction_of(store, wanted, actor=actor, run_id=run)
    if out is not None:
        out.write_bytes(correction_csv(found))
    if as_json:
        print(to_json(found))
        return
    title = tr(
        "{subject}: run {after} against run {before}", subject=month, after=found.after_run, before=found.before_run
    )
    lines = [(x.plant, x.unit, x.service, x.before_yuan, x.after_yuan, x.delta_yuan) for x in found.lines]
    show_rows(title, heads("plant", "unit", "service", "before", "after", "delta"), lines)
    plants = [(x.area, x.plant, x.compensation_yuan, x.allocation_yuan, x.net_yuan) for x in found.plants]
    show_rows(tr("plants"), heads("area", "plant", "compensation", "allocation", "net"), plants)


def duties(
    month: Annotated[
        str, typer.Argument(metavar="MONTH", help="YYYY-MM; default: the last one, and those not published yet.")
    ] = "",
    config: ConfigOption = None,
    state: StateOption = "",
    on: Annotated[str, typer.Option("--on", metavar="DAY", help="As of this day; default: today.")] = "",
    tables: DaysOption = None,
    as_json: JsonOption = False,
    who: WhoOption = "",
) -> None:
    """What is due, done or not, days left. Exit 1 where something is late. 期限与办理情况。"""
    from collector.center.month.duties import LATE, duties_of, months_due
    from collector.model.interval import local_midnight_ms, parse_day

    wanted, actor = [parse_month(month)] if month else [], actor_of(who)
    try:
        day = parse_day(on) if on else None
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error)), param_hint="--on") from error
    days = days_of_center(config, state, tables)
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms() if day is None else local_midnight_ms(day)
        months = wanted or store.read(lambda c: months_due(c, now_ms))
        boards = store.read(lambda c: [duties_of(c, each, days, actor=actor, now_ms=now_ms) for each in months])
    if as_json:
        print(to_json(boards[0] if wanted else boards))
    else:
        for board in boards:
            _show_board(board)
    if any(row.status == LATE for board in boards for row in board.rows):
        raise typer.Exit(1)


def _show_board(board: DutyBoard) -> None:
    rows = [(r.article, r.due, r.chinese, r.english, r.status, r.done_day, r.days_left) for r in board.rows]
    title = tr("{month} edition {edition}, on {day}", month=board.month, edition=board.edition, day=board.today)
    show_rows(title, ("条款", tr("due"), "事项", *heads("duty", "status", "done", "days left")), rows)
    for clash in board.clashes:
        print(f"! {say(clash)}")


def _state_words(state: Any) -> tuple[str, str]:
    from collector.center.runs.month_state import STATE_WORDS

    return STATE_WORDS[state]
