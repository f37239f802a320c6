# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center findings|alarms|gaps|asks|doctor`, `center substitute …`, `center key …`: received data."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.base.text import join, said_by, tr
from collector.cli.center.inputs import WhoOption
from collector.cli.center.screen import actor_of, decider_of
from collector.cli.center.store import (
    ConfigArgument,
    ConfigOption,
    JsonOption,
    StateOption,
    find_config,
    named_config,
    open_store,
    rulebook_of_center,
)
from collector.cli.language import SEVERITIES, print_text, say
from collector.cli.verbs import VerbGroup

if TYPE_CHECKING:
    from collector.center.settings import CenterSettings
    from collector.model.interval import Month

MonthOption = Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="Default: all.")]
UnitOption = Annotated[str, typer.Option("--unit", metavar="UNIT", help="Of one unit.")]
NumberArgument = Annotated[int, typer.Argument(metavar="NUMBER", help="As `substitute list` shows it.")]

substitute = typer.Typer(
    cls=VerbGroup, no_args_is_help=True, help="A value in place of what was delivered, by four eyes. 人工数据替代。"
)
key = typer.Typer(
    cls=VerbGroup, no_args_is_help=True, help="Plant keys enrolled and revoked without a restart. 电厂密钥。"
)


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("findings")(findings)
    app.command("alarms")(alarms)
    app.command("gaps")(gaps)
    app.command("asks")(asks)
    app.command("doctor")(doctor)
    app.add_typer(substitute, name="substitute")
    app.add_typer(key, name="key")


def findings(
    month: MonthOption = "",
    unit: UnitOption = "",
    closed: Annotated[bool, typer.Option("--closed", help="Those that are gone, too.")] = False,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
) -> None:
    """What is implausible in the records received; days sealed since are looked at first. 数据校验结果。"""
    from collector.center.quality.validation import list_findings, validate_due
    from collector.center.runs.data_policy import data_policy_of
    from collector.center.runs.rulebooks import rulebook_of

    wanted = _month(month)
    rulebook = rulebook_of(rulebook_of_center(config, state))
    with open_store(config, state) as store:
        validate_due(store, policy_of=data_policy_of(lambda: rulebook), days=wanted.days if wanted else None)
        rows = store.read(lambda c: list_findings(c, month=wanted, unit=unit, include_closed=closed))
    _show(rows, as_json, _finding_line)
    if not as_json:
        print(say(tr("1 finding") if len(rows) == 1 else tr("{count} findings", count=len(rows))))


def alarms(
    cleared: Annotated[bool, typer.Option("--cleared", help="Those that stand no longer, too.")] = False,
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
) -> None:
    """Alarms that the running center raised. 告警。"""
    from collector.center.operate.alarms import list_alarms

    with open_store(config, state) as store:
        rows = store.read(lambda c: list_alarms(c, include_cleared=cleared))
    _show(rows, as_json, _alarm_line)
    if not as_json and not rows:
        print_text("no alarm stands")


def gaps(
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="The unit.")],
    day: Annotated[str, typer.Argument(metavar="DAY", help="Local date, YYYY-MM-DD.")],
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
) -> None:
    """Every stretch of a unit's day without a usable value, per quantity, and why. 数据缺口。"""
    from collector.center.quality.gap_map import find_gaps
    from collector.center.quality.substitution import plant_of
    from collector.center.runs.data_policy import hold_limit_s
    from collector.center.runs.rulebooks import rulebook_of
    from collector.model.interval import Month, format_time, parse_day

    try:
        wanted = parse_day(day)
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error)), param_hint="DAY") from error
    rulebook = rulebook_of(rulebook_of_center(config, state))
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        plant = store.read(lambda c: plant_of(c, unit))
        hold_s = store.read(lambda c: hold_limit_s(c, Month(wanted.year, wanted.month), rulebook))
        found = store.read(lambda c: find_gaps(c, store.lake, unit, plant, wanted, now_ms=now_ms, hold_limit_s=hold_s))
    rows = [asdict(each) for each in found]
    _show(
        rows,
        as_json,
        lambda r: (
            f"{format_time(r['start_ms'])}  {format_time(r['end_ms'])}  {r['quantity'] or 'record'}  {r['reason']}"
        ),
    )
    if not as_json and not rows:
        print_text("{unit} has no gap on {day}", unit=unit, day=day)


def asks(
    unit: UnitOption = "", config: ConfigOption = None, state: StateOption = "", as_json: JsonOption = False
) -> None:
    """What was asked for again, and what came of it. 补召记录。"""
    from collector.center.receive.asks import list_asks

    with open_store(config, state) as store:
        rows = store.read(lambda c: list_asks(c, unit=unit))
    _show(rows, as_json, _ask_line)


def doctor(
    argument: ConfigArgument = None,
    config: ConfigOption = None,
    state: StateOption = "",
    backups: Annotated[Path | None, typer.Option("--backups", metavar="DIR", help="Where backups are put.")] = None,
    as_json: JsonOption = False,
) -> None:
    """What is wrong with this center and what to do; exit 1 with findings. 自检。"""
    from collector.center.operate.doctor import examine, limits_in_words, runs_in_words
    from collector.center.settings import load_center

    named = find_config(named_config(argument, config), state)
    settings = load_center(named) if named else None
    with open_store(named, state) as store:
        found = examine(store, settings, backups=backups)
    rows = [asdict(each) for each in found]
    _show(rows, as_json, _complaint_line)
    if not as_json and settings is not None:
        print_text("limits: {limits}", limits=limits_in_words(settings.receiver))
        print_text("runs: {runs}", runs=runs_in_words(settings.runs))
    if not as_json and not rows:
        print_text("all is well")
    if rows:
        raise typer.Exit(1)


@substitute.command("propose")
def propose(
    unit: Annotated[str, typer.Argument(metavar="UNIT", help="The unit.")],
    quantity: Annotated[str, typer.Argument(metavar="QUANTITY", help="active_power_mw, on_grid …")],
    start: Annotated[str, typer.Argument(metavar="FROM", help="ISO 8601 with offset, or UTC ms.")],
    end: Annotated[str, typer.Argument(metavar="TO", help="Not included.")],
    value: Annotated[str, typer.Argument(metavar="VALUE", help="In the quantity's unit; 0 or 1 of a status.")],
    method: Annotated[str, typer.Option("--method", help="How the value was come by.")],
    reason: Annotated[str, typer.Option("--reason", help="Why the delivered one can't count.")],
    fill: Annotated[bool, typer.Option("--fill", help="Also where there is no record: make them.")] = False,
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Propose a value for an interval; another person approves. 提出替代。"""
    from collector.center.quality.substitution import propose_substitution
    from collector.center.runs.data_policy import hold_limit_s
    from collector.center.runs.rulebooks import rulebook_of
    from collector.model.interval import Interval, Month, local_day, parse_time_ms

    try:
        interval = Interval(parse_time_ms(start), parse_time_ms(end))
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error))) from error
    rulebook = rulebook_of(rulebook_of_center(config, state))
    day = local_day(interval.start_ms)
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        hold_s = store.read(lambda c: hold_limit_s(c, Month(day.year, day.month), rulebook))
        number = store.write(
            lambda c: propose_substitution(
                c, actor=actor_of(who), unit=unit, quantity=quantity, interval=interval, value=value, method=method,
                reason=reason, fill_s=hold_s if fill else None, now_ms=now_ms,
            )
        ).result()  # fmt: skip
    print_text(
        "substitution {number} is proposed; another person: collector center substitute approve {number}", number=number
    )


@substitute.command("approve")
def approve(
    number: NumberArgument,
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse it instead.")] = False,
    note: Annotated[str, typer.Option("--note", help="Why.")] = "",
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Approve what somebody else proposed; the days it touches are sealed again. 批准替代。"""
    from collector.center.quality.substitution import decide_substitution

    actor = decider_of(who, config, state)
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        store.write(
            lambda c: decide_substitution(c, number, actor=actor, granted=not refuse, note=note, now_ms=now_ms)
        ).result()
    print_text("substitution {number} is {outcome}", number=number, outcome=tr("refused") if refuse else tr("in force"))


@substitute.command("withdraw")
def withdraw(
    number: NumberArgument,
    reason: Annotated[str, typer.Option("--reason", help="Why; proposes it.")] = "",
    approve_it: Annotated[bool, typer.Option("--approve", help="Approve what somebody else proposed.")] = False,
    refuse: Annotated[bool, typer.Option("--refuse", help="Refuse it: it stays in force.")] = False,
    note: Annotated[str, typer.Option("--note", help="Why it is approved or refused.")] = "",
    config: ConfigOption = None,
    state: StateOption = "",
    who: WhoOption = "",
) -> None:
    """Take a substitution back, by two people; what was delivered counts again. 撤回替代。"""
    from collector.center.quality.substitution import decide_withdrawal, propose_withdrawal

    if [bool(reason), approve_it, refuse].count(True) != 1:
        raise typer.BadParameter(say(tr("expected one of --reason, --approve and --refuse")))
    actor = decider_of(who, config, state)
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        if reason:
            store.write(
                lambda c: propose_withdrawal(c, number, actor=actor_of(who), reason=reason, now_ms=now_ms)
            ).result()
            print_text(
                "proposed; another person: collector center substitute withdraw {number} --approve", number=number
            )
            return
        store.write(
            lambda c: decide_withdrawal(c, number, actor=actor, granted=approve_it, note=note, now_ms=now_ms)
        ).result()
    print_text(
        "substitution {number} is {outcome}",
        number=number,
        outcome=tr("withdrawn") if approve_it else tr("still in force"),
    )


@substitute.command("list")
def list_all(
    month: MonthOption = "",
    unit: UnitOption = "",
    config: ConfigOption = None,
    state: StateOption = "",
    as_json: JsonOption = False,
) -> None:
    """Every substitution: open, refused, in force, withdrawn. 替代清单。"""
    from collector.center.quality.substitution import list_substitutions

    wanted = _month(month)
    with open_store(config, state) as store:
        rows = store.read(lambda c: list_substitutions(c, month=wanted, unit=unit))
    _show(rows, as_json, _substitution_line)


@key.command("list")
def list_of_keys(argument: ConfigArgument = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every plant's keys and whether they count. 密钥清单。"""
    from collector.center.receive.admission import plants_of
    from collector.center.receive.keys import list_keys

    config = named_config(argument, config)
    plants = plants_of(_settings(config))
    with open_store(config, "") as store:
        rows = store.read(lambda c: list_keys(c, plants))
    _show(rows, as_json, lambda r: f"{r['plant']}  {r['key_id']}  {r['state']}  {r['source']}  {r['reason']}".rstrip())


@key.command("enroll")
def enroll(
    plant: Annotated[str, typer.Argument(metavar="PLANT", help="The plant, as center.toml names it.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Its public key (PEM).")],
    config: ConfigOption = None,
    who: WhoOption = "",
) -> None:
    """Take a plant's public key from now on; the running center knows it within 10 s. 登记密钥。"""
    from collector.base.errors import ConfigError, Problem
    from collector.center.receive.keys import MAX_PEM_BYTES, enrol_key

    try:
        with file.open("rb") as source:
            pem = source.read(MAX_PEM_BYTES)
    except OSError as error:
        raise ConfigError(
            [Problem(str(file), 0, "", tr("can't be read: {strerror}", strerror=error.strerror))]
        ) from error
    with open_store(config, "") as store:
        now_ms = store.clock.now_utc_ms()
        number = store.write(lambda c: enrol_key(c, actor=actor_of(who), plant=plant, pem=pem, now_ms=now_ms)).result()
    print_text(
        "{plant}: key {number} counts from now on; compare its name with the plant over the telephone",
        plant=plant,
        number=number,
    )


@key.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `key list` shows it.")],
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    config: ConfigOption = None,
    who: WhoOption = "",
) -> None:
    """Take a key no longer, also one that center.toml names. 吊销密钥。"""
    from collector.center.receive.admission import plants_of
    from collector.center.receive.keys import list_keys, revoke_key

    plants = plants_of(_settings(config))
    with open_store(config, "") as store:
        now_ms = store.clock.now_utc_ms()
        known = [row for row in store.read(lambda c: list_keys(c, plants)) if row["key_id"] == key_id]
        if not known:
            raise typer.BadParameter(say(tr("no plant has this key; `collector center key list`")), param_hint="KEY_ID")
        for row in known:
            store.write(
                lambda c, p=row["plant"]: revoke_key(  # type: ignore[misc]
                    c, actor=actor_of(who), plant=p, key_id=key_id, reason=reason, now_ms=now_ms
                )
            ).result()
            print_text("{plant}: key {key_id} is revoked", plant=row["plant"], key_id=key_id)


def _settings(config: Path | None) -> CenterSettings:
    from collector.center.settings import load_center

    named = find_config(config, "")
    assert named is not None
    return load_center(named)


def _month(text: str) -> Month | None:
    from collector.model.interval import Month

    try:
        return Month.parse(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error)), param_hint="--month") from error


def _show(rows: Sequence[Mapping[str, Any]], as_json: bool, line: Any) -> None:
    if as_json:
        print(json.dumps(list(rows), ensure_ascii=False, indent=2))
        return
    for row in rows:
        # A row may contain text of a stranger: no control characters for the terminal.
        print("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in say(line(row))))


def _finding_line(row: Mapping[str, Any]) -> str:
    from collector.center.kept_words import in_words
    from collector.model.interval import format_time

    when = f"{format_time(row['start_ms'])}  {format_time(row['end_ms'])}"
    gone = tr("  (gone)") if row["closed_ms"] is not None else ""
    return tr(
        "{unit}  {when}  {code}  {quantity}: {found}, expected {expected}{gone}",
        unit=row["unit"], when=when, code=row["code"], quantity=row["quantity"], found=in_words(row["found"]),
        expected=in_words(row["expected"]), gone=gone,
    )  # fmt: skip


def _alarm_line(row: Mapping[str, Any]) -> str:
    from collector.center.kept_words import in_words
    from collector.model.interval import format_time

    until = "" if row["until_ms"] is None else tr(" until {time}", time=format_time(row["until_ms"]))
    return join(
        "",
        (
            format_time(row["since_ms"]),
            until,
            f"  {row['code']}  ",
            in_words(row["subject"]),
            ": ",
            in_words(row["text"]),
        ),
    )


def _complaint_line(found: Mapping[str, Any]) -> str:
    head = f"{say(SEVERITIES[found['severity']])}: {say(found['subject'])}: {say(found['message'])}"
    return f"{head}\n    {say(found['remedy'])}"


def _ask_line(row: Mapping[str, Any]) -> str:
    from collector.model.interval import format_time

    span = f"{format_time(row['from_ms'])}/{format_time(row['to_ms'])}"
    answer = tr(
        "{count} new batches, {repeats} again, gaps: {gaps}",
        count=row["new_batches"],
        repeats=row["repeats"],
        gaps=", ".join(row["gap_reasons"]) or tr("none"),
    )
    asked = f"{format_time(row['at_ms'])}  {row['who']}  {row['plant']}/{row['gateway']}  {row['unit']}  {span}"
    return join("", (f"{asked}  {row['state']}: ", answer))


def _substitution_line(row: Mapping[str, Any]) -> str:
    from collector.model.interval import format_time

    span = f"{format_time(row['start_ms'])}/{format_time(row['end_ms'])}"
    decided_by = row["decided_by"] or tr("nobody yet")
    back = ""
    if row["withdrawal_by"]:
        back = tr("; {who} proposes to take it back: {why}", who=row["withdrawal_by"], why=row["withdrawal_reason"])
    what = f"{row['id']}  {row['state']}  {row['unit']}  {row['quantity']} = {row['value']}  {span}"
    return join("", (f"{what}  ({row['prepared_by']}, ", decided_by, f"): {row['method']}; {row['reason']}", back))
