# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center settle|runs|what-if|explain|compare|package`: a month's runs on the center's store."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.base.errors import CollectorError
from collector.base.text import said_by, tr
from collector.cli.center.inputs import WhoOption
from collector.cli.center.screen import actor_of
from collector.cli.center.store import ConfigOption, JsonOption, StateOption, open_store, rulebook_of_center
from collector.cli.explain import LangOption
from collector.cli.language import print_text, say
from collector.report.words import Lang

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.center.db.store import CenterStore
    from collector.center.lake.read_records import RecordShown
    from collector.center.people.access import Actor
    from collector.center.runs.run_list import RunRow
    from collector.center.runs.settle_month import MadeRun

ExecutorOption = Annotated[
    str, typer.Option("--executor", metavar="dask://HOST:PORT", help="Measure on a Dask cluster that sees the lake.")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("settle")(settle_month)
    app.command("measure")(measure_days)
    app.command("runs")(show_runs)
    app.command("what-if")(try_changes)
    app.command("explain")(explain_line)
    app.command("compare")(compare_two)
    app.command("package")(pack)


def settle_month(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM")],
    config: ConfigOption = None,
    state: StateOption = "",
    rulebook: Annotated[
        Path | None, typer.Option(help="A rulebook directory; default: center.rulebook_dir, or the one shipped.")
    ] = None,
    who: WhoOption = "",
    note: Annotated[str, typer.Option("--note", help="A remark kept with the run.")] = "",
    executor: ExecutorOption = "",
    running: Annotated[
        bool, typer.Option("--running", help="Up to the last day sealed for all units; never final, pins nothing.")
    ] = False,
) -> None:
    """Settle a month from what the store has now; the run pins its inputs. 结算一个月。

    Runs are made one after the other; the same run under way elsewhere is waited for, and not made twice.
    Exit 0 when a statement was written, also provisional or blocked; 1 when the inputs were refused.
    """
    from collector.center.runs.settle_month import ask_to_settle
    from collector.center.runs.variants.running_month import ask_to_settle_running
    from collector.cli.settle.command import show

    wanted = _month(month)
    actor = actor_of(who)
    with open_store(config, state) as store:
        book = rulebook or rulebook_of_center(config, state)
        ask = ask_to_settle_running if running else ask_to_settle
        asked = ask(store, wanted, rulebook=book, actor=actor, note=note, executor=executor)
        settled = None
        if asked.is_ours:
            settled = asked.carry_out()
        else:
            print(
                say(
                    tr("run {id}, asked for by {who}, is the same; waiting for it", id=asked.row.id, who=asked.row.who)
                ),
                file=sys.stderr,
            )
        row = asked.ended() if settled is None else settled.row
        folder = store.directory / "runs" / row.folder
        if running and settled is not None:
            _settle_to_compare(store, settled, book, actor, executor)
    if settled is not None:
        show(settled.statement, folder / "statement")
        cells, measured = len(settled.progress.cells), len(settled.progress.measured)
        print_text(
            "{measured} of {cells} plant-days measured, the others were measured before", measured=measured, cells=cells
        )
    else:
        print(f"{row.status}  {folder}/statement/statement.html")
    if running:
        return
    repeat = f"collector settle {wanted} --data {folder}/data --rulebook {folder}/rulebook --out DIR"
    print_text("run {id}: its inputs are pinned; repeat it with: {repeat}", id=row.id, repeat=repeat)


def _settle_to_compare(store: CenterStore, made: MadeRun, rulebook: Path, actor: Actor, executor: str) -> None:
    """Settle the same days of the month before; prints a note where the store has no data for them."""
    from collector.center.runs.variants.month_so_far import ask_same_days

    try:
        asked = ask_same_days(store, made, rulebook=rulebook, actor=actor, executor=executor)
        if asked is not None:
            asked.ended()
    except CollectorError as error:
        print(say(tr("nothing to compare with: {why}", why=said_by(error))), file=sys.stderr)


def measure_days(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM; default: of yesterday.")] = "",
    config: ConfigOption = None,
    state: StateOption = "",
    rulebook: Annotated[Path | None, typer.Option(help="As for `settle`.")] = None,
    executor: ExecutorOption = "",
) -> None:
    """Measure the days that are not measured yet, without a run: a closing then only adds up. 预先计量。"""
    from collector.center.runs.settle_month import measure_month
    from collector.model.interval import DAY_MS, Month, local_day

    with open_store(config, state) as store:
        yesterday = local_day(store.clock.now_utc_ms() - DAY_MS)
        wanted = _month(month) if month else Month(yesterday.year, yesterday.month)
        book = rulebook or rulebook_of_center(config, state)
        count = measure_month(store, wanted, rulebook=book, executor=executor)
    print_text("{wanted}: {count} plant-days measured", wanted=wanted, count=count)


def show_runs(
    month: Annotated[str, typer.Argument(metavar="MONTH", help="YYYY-MM; default: all.")] = "",
    config: ConfigOption = None,
    state: StateOption = "",
    done: Annotated[bool, typer.Option("--done", help="Only those that have a statement.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Settlement runs, also queued, under way and failed: when, who, kind, status, result hash. 结算运行。"""
    from collector.center.runs.asking.lost_runs import runs_asked
    from collector.center.runs.run_list import RunState
    from collector.model.interval import format_time

    wanted = _month(month) if month else None
    with open_store(config, state) as store:
        rows = [row for row in runs_asked(store, wanted) if row.state is RunState.DONE or not done]
    if as_json:
        print(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=2))
        return
    for row in rows:
        kind = row.kind if row.base_run_id is None else say(tr("{kind} of {run}", kind=row.kind, run=row.base_run_id))
        result = _what_became(row)
        note = f"  {row.note}" if row.note else ""
        print(f"{row.id}  {row.month}  {format_time(row.at_ms)}  {row.who}  {kind}  {result}{note}")


def try_changes(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's number, or a month: its latest run.")],
    changes: Annotated[
        list[str], typer.Argument(metavar="KIND=FILE…", help="Imported over the run's inputs, e.g. plan=late.csv.")
    ] = [],  # noqa: B006 - typer reads the default, nobody changes it
    config: ConfigOption = None,
    state: StateOption = "",
    rulebook: Annotated[Path | None, typer.Option(help="A draft rulebook; default: the run's own.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Refuse rows that conflict with the run's own.")] = False,
    who: WhoOption = "",
    note: Annotated[str, typer.Option("--note", help="A remark kept with the run.")] = "",
    executor: ExecutorOption = "",
) -> None:
    """Settle a run's inputs with changes, and show what it does to every plant; nothing in force changes. 试算。"""
    from collector.center.runs.compare import effect_by_plant
    from collector.center.runs.variants.what_if import read_change, what_if
    from collector.settlement.rulebook.load import read_rulebook_files

    pairs = [text.partition("=") for text in changes]
    if any(not path for _, _, path in pairs):
        raise typer.BadParameter(say(tr("expected KIND=FILE, e.g. plan=late.csv")), param_hint="KIND=FILE")
    given = [read_change(kind, Path(path), replace=not keep) for kind, _, path in pairs]
    actor = actor_of(who)
    with open_store(config, state) as store:
        base = _run_of(store, run)
        draft = None if rulebook is None else read_rulebook_files(rulebook)
        row = what_if(store, base.id, changes=given, rulebook=draft, actor=actor, note=note, executor=executor)
        effects = effect_by_plant(store, base.id, row.id)
    print_text("run {id}: what_if of run {base}, {status}", id=row.id, base=base.id, status=row.status)
    for effect in effects:
        amounts = (effect.compensation_change_yuan, effect.allocation_change_yuan, effect.net_change_yuan)
        texts = ("-" if amount is None else f"{amount:+.2f}" for amount in amounts)
        compensation, allocation, net = texts
        print_text(
            "{area}  {plant}  compensation {compensation}  allocation {allocation}  net {net}",
            area=effect.area,
            plant=effect.plant,
            compensation=compensation,
            allocation=allocation,
            net=net,
        )


def explain_line(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's number, or a month: its latest run.")],
    unit: Annotated[str, typer.Option(help="The unit.")],
    service: Annotated[str, typer.Option(help="The service, e.g. deep_peak.")],
    config: ConfigOption = None,
    state: StateOption = "",
    segments: Annotated[int, typer.Option(help="At most so many segments.", min=0)] = 40,
    records: Annotated[
        str | None, typer.Option(help="Also the records of an interval: START/END, ISO 8601 with offset.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Also a page here that draws the unit's month.")] = None,
    lang: LangOption = Lang.BOTH,
) -> None:
    """Explain one line of a run, down to its records. 说明一笔费用的来历。"""
    from collector.center.runs.stored_run import open_run
    from collector.report.explained import explanation_text, records_heading
    from collector.settlement.explain import explain_parts

    span = _span(records)
    with open_store(config, state) as store:
        opened = open_run(store, _run_of(store, run).id)
        explanation, *others = explain_parts(opened.statement_of(unit), unit, service)
        print_text(
            "run {id} of {month}, {kind}, {status}",
            id=opened.facts.id,
            month=opened.month,
            kind=opened.facts.kind,
            status=opened.facts.status,
        )
        for each in (explanation, *others):
            for text in explanation_text(each, segments=segments, lang=lang):
                print(text)
        if span is not None:
            print(records_heading(lang))
            _print_records(opened.records(unit, *span))
        if html is not None:
            from collector.report.timeline.page import timeline_html

            statement, inputs = opened.statement_of(unit), opened.inputs_of(unit)
            html.write_bytes(timeline_html(explanation, statement, inputs, opened.rulebook))
            print_text("drawn: {path}", path=html.absolute())


def compare_two(
    before: Annotated[str, typer.Argument(metavar="RUN", help="A run's number.")],
    after: Annotated[str, typer.Argument(metavar="RUN", help="Another run of the same month.")],
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
) -> None:
    """Show the lines that differ between two runs, and why. Exit 1 where any does. 比对两次运行。"""
    from collector.center.runs.compare import compare_runs
    from collector.cli.compare import show_comparison

    with open_store(config, state) as store:
        found = compare_runs(store, _run_of(store, before).id, _run_of(store, after).id)
    print(json.dumps(asdict(found), ensure_ascii=False, indent=1)) if as_json else show_comparison(found)
    if found.lines or found.plants:
        raise typer.Exit(1)


def pack(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's number, or a month: its latest run.")],
    target: Annotated[
        Path | None, typer.Argument(metavar="OUT.zip", help="A new file; default: MONTH-runRUN.zip, here.")
    ] = None,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Pack a run with its inputs and rulebook, for somebody to verify offline. 打包供离线核对。"""
    from collector.center.runs.package import export_package, package_facts, package_name

    actor = actor_of(who)
    with open_store(config, state) as store:
        row = _run_of(store, run)
        packed = export_package(store, row.id, target or Path(package_name(row.month, row.id)), actor=actor)
    head = package_facts(packed)
    print_text(
        "{target}: run {id} of {month}, result hash {result_hash}",
        target=packed,
        id=row.id,
        month=row.month,
        result_hash=row.result_hash,
    )
    print_text("head of the audit log: {sequence} {hash}", sequence=head["sequence"], hash=head["hash"])


def _run_of(store: CenterStore, text: str) -> RunRow:
    """The run for a number, or the latest run of a month (what-if runs are named by number only)."""
    from collector.base.errors import StoreError
    from collector.center.runs.run_list import latest_run, run_by_id

    if text.isdecimal():
        return store.read(lambda c: run_by_id(c, int(text)))
    month = _month(text)
    found = store.read(lambda c: latest_run(c, month))
    if found is None:
        raise StoreError(tr("was never settled: `collector center settle` settles it"), subject=text)
    return found


def _what_became(row: RunRow) -> str:
    """A run's status and hash, or the reason why it has none; of several problems the first."""
    from collector.center.runs.run_list import RunState

    if row.state is RunState.DONE:
        return f"{row.status}  {row.result_hash[:16]}  runs/{row.folder}"
    if row.progress is not None:
        parts = say(tr(" {done} of {count}", done=row.progress.done, count=row.progress.of)) if row.progress.of else ""
        return f"{row.state}: {row.progress.doing}{parts}"
    if row.state is RunState.EXPIRED:
        return f"{row.status}  {row.result_hash[:16]}  {say(row.why)}"
    told = row.error
    if row.problems:
        told = tr("{how_many}, the first: {problem}", how_many=told, problem=row.problems[0].text)
    return f"{row.state}: {say(told)}".splitlines()[0] if told else str(row.state)


def _span(text: str | None) -> tuple[int, int] | None:
    from collector.model.interval import parse_time_ms

    if text is None:
        return None
    try:
        start, end = (parse_time_ms(part) for part in text.split("/"))
    except ValueError as error:
        raise typer.BadParameter(
            say(tr("an interval is START/END: {error}", error=error)), param_hint="--records"
        ) from error
    return start, end


def _print_records(records: Sequence[RecordShown]) -> None:
    from collector.model.interval import format_time

    for record in records:
        cells = []
        for name, shown in record.values.items():
            value = "-" if shown.value is None else str(shown.value)
            cells.append(f"{name} {value}" + (f" ({shown.quality.name.lower()})" if shown.quality else ""))
        print(f"  {format_time(record.time_ms)}  {', '.join(cells)}")


def _month(text: str) -> Any:
    from collector.model.interval import Month

    try:
        return Month.parse(text)
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error)), param_hint="MONTH") from error
