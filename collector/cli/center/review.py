# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center review …`: reviews (复核申请) from question to ruling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.base.text import said_by, tr
from collector.cli.center.inputs import WhoOption
from collector.cli.center.screen import actor_of, decider_of, parse_month, show_rows, time_text, to_json
from collector.cli.center.store import ConfigOption, DaysOption, JsonOption, StateOption, days_of_center, open_store
from collector.cli.language import heads, print_text, say
from collector.cli.verbs import VerbGroup

if TYPE_CHECKING:
    from collector.center.month.review_log import Review
    from collector.center.month.reviews import ReviewRequest

review_app = typer.Typer(
    cls=VerbGroup, no_args_is_help=True, help="Reviews: asked, answered, decided, appealed. 复核申请。"
)
NumberArgument = Annotated[int, typer.Argument(metavar="REVIEW", help="Its number, as `review list` shows it.")]
TextOption = Annotated[str, typer.Option("--text", help="In words.")]
FromOption = Annotated[str, typer.Option("--from", metavar="TIME", help="ISO 8601 with offset, or UTC ms.")]
ToOption = Annotated[str, typer.Option("--to", metavar="TIME", help="Not included.")]
YuanOption = Annotated[str, typer.Option("--yuan", help="The amount claimed.")]
QuantityOption = Annotated[str, typer.Option("--quantity", help="The quantity claimed, in the line's unit.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.add_typer(review_app, name="review")


@review_app.command("list")
def list_all(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM; default: all.")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only what is still to be decided or done.")] = False,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
    who: WhoOption = "",
) -> None:
    """Reviews with their clocks. 复核申请列表。"""
    from collector.center.month.review_log import list_reviews

    wanted, actor = parse_month(month) if month else None, actor_of(who)
    with open_store(config, state) as store:
        found = store.read(lambda c: list_reviews(c, actor=actor, month=wanted, open_only=open_only))
    if as_json:
        print(to_json(found))
        return
    names = heads("no", "month", "run", "plant", "unit", "service", "claims", "run says", "state", "answer due")
    rows = [
        (
            *(r.id, str(r.month), r.run_id, r.plant, r.unit, r.service, f"{r.claim_value} {r.claim_unit}"),
            *(r.line_value, r.state, r.answer_due),
        )
        for r in found
    ]
    show_rows(tr("reviews"), names, rows)


@review_app.command("show")
def show(
    number: NumberArgument, config: ConfigOption = None, state: StateOption = "", as_json: JsonOption = False
) -> None:
    """One review, with everything that happened and the files beside it. 复核申请详情。"""
    from collector.center.month.review_log import review_by_id
    from collector.center.people.four_eyes import list_proposals

    actor = actor_of("")
    with open_store(config, state) as store:
        found = store.read(lambda c: review_by_id(c, number, actor=actor))
        waiting = store.read(lambda c: list_proposals(c, subject=f"review {number}", open_only=True))
    if as_json:
        print(to_json(found))
        return
    names = heads("at", "what", "who", "document", "text")
    asked = (time_text(found.submitted_ms), "asked", found.submitted_by, "", found.text)
    rows = [asked, *((time_text(e.at_ms), e.kind, e.who, e.document, e.text) for e in found.events)]
    line = f"{found.plant} {found.unit} {found.service} · {found.state}"
    show_rows(tr("review {number}: {line}", number=number, line=line), names, rows)
    _tell_office(found)
    files = [(a.id, a.purpose, a.input_kind, a.name, a.size_bytes, a.sha256[:16]) for a in found.attachments]
    if files:
        show_rows(tr("files"), heads("id", "purpose", "kind", "name", "bytes", "SHA-256"), files)
    for p in waiting:
        print_text(
            "proposal {id} by {prepared_by}: {outcome}; waits for approval",
            id=p.id,
            prepared_by=p.prepared_by,
            outcome=p.content["outcome"],
        )


@review_app.command("submit")
def submit(
    run: Annotated[int, typer.Option("--run", help="The disclosed run.")],
    unit: Annotated[str, typer.Option("--unit")],
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
    """Take down a review that came on paper; plants ask in the pages. 登记书面复核申请。"""
    from collector.center.month.reviews import submit_review

    request = review_request(run, unit, service, start, end, yuan=yuan, quantity=quantity, text=text)
    with open_store(config, state) as store:
        number = submit_review(store, request, actor=actor_of(who), days=days_of_center(config, state, tables))
        found = _get(store, number)
    late = (
        tr("late: the last day was {day}", day=found.deadline)
        if found.late
        else tr("answer due on {day}", day=found.answer_due)
    )
    print_text("review {number} is taken down; {late}", number=number, late=late)


def review_request(
    run: int, unit: str, service: str, start: str, end: str, *, yuan: str, quantity: str, text: str
) -> ReviewRequest:
    """The review request given on the command line.

    Raises:
        typer.BadParameter: not exactly one of --yuan and --quantity, or an invalid time.
    """
    from collector.center.month.reviews import ReviewRequest
    from collector.model.interval import parse_time_ms

    if bool(yuan) == bool(quantity):
        raise typer.BadParameter(say(tr("name what is claimed: --yuan or --quantity")))
    try:
        interval = parse_time_ms(start), parse_time_ms(end)
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error))) from error
    kind, value = ("yuan", yuan) if yuan else ("quantity", quantity)
    return ReviewRequest(run, unit, service, *interval, kind, value, text)


@review_app.command("admit")
def admit(
    number: NumberArgument,
    text: TextOption,
    tables: DaysOption = None,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Examine a late review after all; the days of its answer count from now. 受理逾期申请。"""
    from collector.center.month.reviews import admit_review

    _act(config, state, who, admit_review, number, reason=text, days=days_of_center(config, state, tables))


@review_app.command("answer")
def answer(
    number: NumberArgument,
    text: TextOption,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Answer the plant (Art. 27). 答复。"""
    from collector.center.month.reviews import answer_review

    _act(config, state, who, answer_review, number, text=text)


@review_app.command("decide")
def decide(
    number: NumberArgument,
    grant: Annotated[bool | None, typer.Option("--grant/--refuse", help="The outcome proposed, or ruled.")] = None,
    approve: Annotated[
        bool | None, typer.Option("--approve/--send-back", help="Decide what somebody else proposed.")
    ] = None,
    text: TextOption = "",
    document: Annotated[str, typer.Option("--document", help="Of the regulator's ruling on an appeal.")] = "",
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Propose an outcome, approve one, or with --document rule on an appeal. 复核决定。"""
    from collector.base.errors import StoreError
    from collector.center.month.reviews import decide_review, propose_decision, rule_on_appeal
    from collector.center.people.four_eyes import list_proposals

    if (grant is None) == (approve is None):
        raise typer.BadParameter(say(tr("say --grant or --refuse, or else --approve or --send-back")))
    if approve is None and document:
        _act(config, state, who, rule_on_appeal, number, granted=grant, text=text, document=document)
    elif approve is None:
        proposal = _act(config, state, who, propose_decision, number, granted=grant, text=text)
        print_text("proposal {proposal}: another person decides it with --approve or --send-back", proposal=proposal)
    else:
        with open_store(config, state) as store:
            waiting = store.read(lambda c: list_proposals(c, subject=f"review {number}", open_only=True))
        if not waiting:
            raise StoreError(tr("no decision is proposed"), subject=tr("review {number}", number=number))
        _act(config, state, who, decide_review, waiting[0].id, approved=approve, note=text, shown=number)


@review_app.command("escalate")
def escalate(
    number: NumberArgument,
    text: TextOption,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Appeal to the regulator, for a plant that did so on paper (Art. 27, 29). 申诉。"""
    from collector.center.month.reviews import escalate_review

    _act(config, state, who, escalate_review, number, text=text)


@review_app.command("withdraw")
def withdraw(
    number: NumberArgument,
    text: TextOption = "",
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Take a review back, for a plant that did so on paper. 撤回。"""
    from collector.center.month.reviews import withdraw_review

    _act(config, state, who, withdraw_review, number, text=text)


@review_app.command("attach")
def attach_files(
    number: NumberArgument,
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="PDF, PNG, JPEG, XLSX, DOCX, CSV, text.")],
    remedy: Annotated[
        str, typer.Option("--remedy", metavar="KIND", help="The files are inputs of this kind, to be tried.")
    ] = "",
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Put files beside a review: evidence, or the inputs that would change if it is granted. 附件。"""
    from collector.center.month.attachments import MAX_FILE_BYTES
    from collector.center.month.review_files import attach

    for path in files:
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)  # one byte more than the limit, so that a larger file is refused
        _act(config, state, who, attach, number, name=path.name, data=data, input_kind=remedy)


@review_app.command("try")
def try_remedy(
    number: NumberArgument, config: ConfigOption = None, state: StateOption = "", who: WhoOption = ""
) -> None:
    """Settle with the remedy beside a review, and show what that does to every plant. 试算影响。"""
    from collector.center.month.review_effect import effect_of_review, try_review

    actor = actor_of(who)
    with open_store(config, state) as store:
        row = try_review(store, number, actor=actor)
        effects = effect_of_review(store, number, actor=actor)
    names = heads("area", "plant", "Δ compensation", "Δ allocation", "Δ net")
    rows = [(e.area, e.plant, e.compensation_change_yuan, e.allocation_change_yuan, e.net_change_yuan) for e in effects]
    subject = tr("review {number}", number=number)
    title = tr("{subject}: run {after} against run {before}", subject=subject, after=row.id, before=row.base_run_id)
    show_rows(title, names, rows)


@review_app.command("link")
def link(
    number: NumberArgument,
    import_id: Annotated[int | None, typer.Option("--import", help="The import that carries it out.")] = None,
    run: Annotated[int | None, typer.Option("--run", help="The run that carries it out.")] = None,
    text: TextOption = "",
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Name the import or the run that carries a granted review out. 落实。"""
    from collector.center.month.reviews import link_remedy

    _act(config, state, who, link_remedy, number, import_id=import_id, run_id=run, text=text)


def _act(config: Path | None, state: str, who: str, what: Any, number: int, *, shown: int = 0, **more: Any) -> Any:
    """Act on a review (or on a proposal, then `shown` is the review), and print its new state."""
    actor = decider_of(who, config, state)
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        result = store.write(lambda c: what(c, number, actor=actor, now_ms=now_ms, **more)).result()
        found = _get(store, shown or number)
    print_text("review {id} is {state}", id=found.id, state=found.state)
    if found.state == "appealed":
        _tell_office(found)
    return result


def _tell_office(found: Review) -> None:
    """Print the office that rules on a dispute about a review, if the register names one."""
    if found.office:
        print_text("{office} rules on a dispute (Art. 29)", office=found.office)


def _get(store: Any, number: int) -> Review:
    from collector.center.month.review_log import review_by_id

    actor = actor_of("")
    found: Review = store.read(lambda c: review_by_id(c, number, actor=actor))
    return found
