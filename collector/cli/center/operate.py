# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center run`, `status`, `backup`, `restore`, `renew`, `check`, `quarantine`, `ask`: the service."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.base.text import join, said_by, tr
from collector.cli.center.inputs import WhoOption
from collector.cli.center.progress import shown_progress
from collector.cli.center.screen import actor_of
from collector.cli.center.store import (
    ConfigArgument,
    ConfigOption,
    StateOption,
    anchor_files,
    named_config,
    needed_config,
    open_store,
    place_of_store,
    rulebook_of_center,
)
from collector.cli.language import heads, print_text, say
from collector.cli.table import print_table

if TYPE_CHECKING:
    from collector.center.db.store import CenterStore
    from collector.center.operate.status import CenterStatus, GatewayStatus


def register(app: typer.Typer) -> None:
    """Add the verbs to `collector center`."""
    app.command()(run)
    app.command()(status)
    app.command()(backup)
    app.command()(restore)
    app.command()(renew)
    app.command()(check)
    app.command()(quarantine)
    app.command()(ask)


def run(
    named: ConfigArgument = None,
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Pages and REST.")] = "",
    state: Annotated[
        str, typer.Option("--state", metavar="DIR", help="Store and lake, in place of center.state_dir.")
    ] = "",
    broker: Annotated[
        str, typer.Option("--broker", metavar="URL", help="mqtt://HOST:PORT, in place of the one in center.toml.")
    ] = "",
    config: ConfigOption = None,
) -> None:
    """Run the center: receiver and sealing. 接收、入库、封存。"""
    import asyncio

    from collector.center.app import run_center
    from collector.center.settings import load_center, with_overrides
    from collector.center.web.server.serve import use_own_threads

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    settings = load_center(needed_config(named, config))
    settings = with_overrides(settings, listen=listen, state=state, broker=broker)
    use_own_threads()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(run_center(settings))


def _loop_factory() -> Any:
    """uvloop where it is installed, as on all supported platforms; else None."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


def status(
    named: ConfigArgument = None,
    config: ConfigOption = None,
    state: StateOption = "",
    month: Annotated[str, typer.Option("--month", metavar="YYYY-MM", help="Default: of the latest record.")] = "",
    hold_s: Annotated[
        int | None, typer.Option("--hold", min=60, help="How long a record counts, s; default: the data policy's.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as JSON.")] = False,
) -> None:
    """Plants and units: last record, buffer as last reported, completeness. 数据到达与完整率。"""
    from collector.center.operate.status import latest_month, read_status
    from collector.center.runs.data_policy import hold_limit_s
    from collector.center.runs.rulebooks import rulebook_of
    from collector.model.interval import Month

    config = named_config(named, config)
    try:
        wanted = Month.parse(month) if month else None
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error)), param_hint="--month") from error
    with open_store(config, state) as store:
        now_ms = store.clock.now_utc_ms()
        wanted = wanted or store.read(latest_month) or _month_of(now_ms)
        rulebook = rulebook_of(rulebook_of_center(config, state))
        limit_s = hold_s or store.read(lambda c: hold_limit_s(c, wanted, rulebook))
        found = store.read(lambda c: read_status(c, wanted, now_ms=now_ms, hold_limit_s=limit_s))
    if as_json:
        print(json.dumps(_as_json(found), ensure_ascii=False, indent=2))
    else:
        _print_status(found)
        _print_parts(config)


def backup(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.")],
    config: ConfigOption = None,
    state: StateOption = "",
) -> None:
    """Copy store and lake together, also beside a running center. 备份。"""
    from collector.center.operate.backup import create_backup, what_is_altered

    with open_store(config, state) as store, shown_progress(tr("backup")) as note:
        count = create_backup(store, target, note)
    print_text("{target}: store and {count} day files", target=target, count=count)
    _say_altered(what_is_altered(target))


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="A folder made by backup.")],
    config: ConfigOption = None,
    state: Annotated[
        str, typer.Option("--state", metavar="DIR", help="Where the state shall be; empty or absent.")
    ] = "",
) -> None:
    """Make a state directory of a backup, and the database of CONFIG; agents then send what it lacks. 恢复。"""
    from collector.base.clock import SystemClock
    from collector.center.operate.backup import what_is_altered
    from collector.center.operate.restore import restore_backup
    from collector.center.settings import load_center

    if config is None and not state:
        raise typer.BadParameter(say(tr("say where: --state DIR, or --config center.toml")))
    settings = load_center(config) if config else None
    target = Path(state or (settings.center.state_dir if settings else ""))
    database_url, lake_url = (settings.center.database_url, settings.lake.url) if settings else ("", "")
    with shown_progress(tr("restore")) as note:
        store_id = restore_backup(
            source, target, clock=SystemClock(), database_url=database_url, lake_url=lake_url, note=note
        )
    print_text(
        "{target}: restored as store {store_id}; agents send again what they keep and this copy lacks",
        target=target,
        store_id=store_id,
    )
    _say_altered(what_is_altered(source))


def _say_altered(words: Sequence[str]) -> None:
    """Name the files that a backup holds in an altered state, and exit with 1: a timer's unit fails visibly."""
    if not words:
        return
    print("\n".join(map(say, words)), file=sys.stderr)
    remedy = tr("these files are in the backup as they were found; `collector center repair` makes a day good again")
    print(say(remedy), file=sys.stderr)
    raise typer.Exit(1)


def renew(
    config: ConfigOption = None,
    state: StateOption = "",
    new_key: Annotated[
        bool, typer.Option("--new-key", help="Another seal.key in place of one that is lost; stop the center first.")
    ] = False,
) -> None:
    """Give a store that was put back by other means than restore a new id, as restore does. 更换库标识。"""
    from collector.center.db.store import CenterStore
    from collector.center.operate.anchors import note_new_key, renew_store

    if new_key:
        directory, url, _ = place_of_store(config, state)
        CenterStore.renew_key(directory, database_url=url)
        with open_store(config, state) as store:
            actor, now_ms = actor_of(""), store.clock.now_utc_ms()
            store.write(lambda connection: note_new_key(connection, actor=actor, now_ms=now_ms)).result()
        print_text("{path}: a new key; the rows are sealed with it as they are now", path=directory / "seal.key")
        return
    with open_store(config, state) as store:
        actor, now_ms = actor_of(""), store.clock.now_utc_ms()
        store_id = store.write(lambda connection: renew_store(connection, actor=actor, now_ms=now_ms)).result()
    print_text(
        "store {store_id}; restart the center: agents then send again what they keep and this store lacks",
        store_id=store_id,
    )


def check(
    named: ConfigArgument = None,
    config: ConfigOption = None,
    state: StateOption = "",
    anchor: Annotated[
        list[Path] | None,
        typer.Option("--anchor", metavar="FILE", help="A package, backup or anchor file to hold the store against."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
) -> None:
    """Verify store, lake and the books of every month. Changes nothing; exit 1 with findings. 校验。"""
    from collector.center.month.books_integrity import check_months
    from collector.center.operate.anchors import check_anchors
    from collector.center.operate.integrity import check_store

    named = named_config(named, config)
    with open_store(named, state) as store:
        findings = [*check_store(store), *check_months(store)]
        findings += check_anchors(store, [*(anchor or ()), *anchor_files(named, state)])
    if as_json:
        print(json.dumps(findings, ensure_ascii=False, indent=2))
    else:
        print("\n".join(map(say, findings)) or say(tr("all is well")))
    if findings:
        raise typer.Exit(1)


def quarantine(
    named: ConfigArgument = None,
    config: ConfigOption = None,
    readmit: Annotated[bool, typer.Option("--readmit", help="Take what today's keys and units let pass.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The list as JSON.")] = False,
) -> None:
    """What was refused and is kept, and why; look at it again with --readmit. 隔离区。"""
    from collector.center.kept_words import in_words
    from collector.center.receive.quarantine import list_quarantine

    file = needed_config(named, config)
    with open_store(file, "") as store:
        if readmit:
            _readmit(file, store)
        rows = store.read(list_quarantine)
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    for row in rows:
        name = f"{row['plant']}/{row['gateway']}/{row['epoch']}/{row['sequence']}"
        line = tr(
            "{received}  {code:16} {name}  {bytes} bytes, {repeats} repeats",
            received=row["received"], code=row["code"], name=name, bytes=row["size_bytes"], repeats=row["repeats"],
        )  # fmt: skip
        # A stranger may have written part of the reason: nothing of it may steer the terminal.
        reason = say(in_words(row["reason"]))
        print(say(line) + ": " + "".join(c if c.isprintable() else "�" for c in reason))
    print_text("{count} in quarantine", count=len(rows))


def ask(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[CONFIG] UNIT FROM TO",
            help="Times are ISO 8601 with offset, or UTC ms; TO is not included.",
        ),
    ],
    config: ConfigOption = None,
    broker: Annotated[
        str, typer.Option("--broker", metavar="URL", help="mqtt://HOST:PORT, in place of the one in center.toml.")
    ] = "",
    who: WhoOption = "",
) -> None:
    """Ask the plant's gateways again for records of a unit and interval. 补召。"""
    from collector.center.receive.asks import ask_again
    from collector.center.settings import load_center, with_overrides
    from collector.model.interval import Interval, parse_time_ms

    if len(words) not in (3, 4):
        raise typer.BadParameter(say(tr("expected [CONFIG] UNIT FROM TO")))
    unit, start, end = words[-3:]
    file = needed_config(Path(words[0]) if len(words) == 4 else None, config)
    try:
        interval = Interval(parse_time_ms(start), parse_time_ms(end))
    except ValueError as error:
        raise typer.BadParameter(say(said_by(error))) from error
    if interval.start_ms >= interval.end_ms:
        raise typer.BadParameter(say(tr("TO is not after FROM")))
    settings = with_overrides(load_center(file), listen="", state="", broker=broker)
    actor = actor_of(who)
    with open_store(file, "") as store:
        asks = ask_again(store, settings, unit, interval, actor=actor)
    for each in asks:
        print_text("asked {plant}/{gateway} ({id})", plant=each.plant, gateway=each.gateway, id=each.id)


def _readmit(config: Path, store: CenterStore) -> None:
    from collector.center.receive.journal import readmit
    from collector.center.receive.keys import current_admission
    from collector.center.settings import load_center

    admission = current_admission(store, load_center(config))
    now_ms = store.clock.now_utc_ms()
    result = store.write(lambda connection: readmit(connection, admission.admit, now_ms=now_ms)).result()
    print_text("readmitted {batches} batches with {records} records", batches=result.committed, records=result.records)


def _month_of(now_ms: int) -> Any:
    from collector.model.interval import Month, local_day

    day = local_day(now_ms)
    return Month(day.year, day.month)


def _as_json(found: CenterStatus) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "month": str(found.month),
        "units": [asdict(u) | {"completeness_ratio": u.completeness_ratio} for u in found.units],
        "gateways": [asdict(g) for g in found.gateways],
        "quarantined": dict(found.quarantined),
        "unsealed_days": found.unsealed_days,
    }


def _print_parts(config: Path | None) -> None:
    """The parts of a center that is only one of several."""
    from collector.center.settings import PARTS, load_center

    chosen = load_center(config).center.parts if config else list(PARTS)
    if set(chosen) != set(PARTS):
        print(say(tr("parts of this center: {parts}; other machines do the rest", parts=", ".join(chosen))))


def _print_status(found: CenterStatus) -> None:
    """Units, gateways, and their buffers apart: each table fits a console of 80 columns."""
    from collector.model.interval import time_to_read

    def at(time_utc_ms: int | None, otherwise: str) -> str:
        return otherwise if time_utc_ms is None else time_to_read(time_utc_ms)

    names = heads("plant", "unit", "last record", "records", "completeness", "gaps")
    rows = [
        [u.plant, u.unit, at(u.last_record_ms, say(tr("never"))), u.received,
         "" if u.completeness_ratio is None else f"{u.completeness_ratio:.2%}", u.gaps]
        for u in found.units
    ]  # fmt: skip
    print_table(tr("{month}: units (times in UTC+8)", month=found.month), names, rows)
    names = heads("plant", "gateway", "last batch", "batches", "records", "missing")
    rows = [
        [g.plant, g.gateway, at(g.last_received_ms, ""), g.batches, g.records, g.missing_sequences]
        for g in found.gateways
    ]
    print_table(tr("gateways"), names, rows)
    names = heads("plant", "gateway", "repeats", "buffer, as last reported")
    print_table(tr("buffers"), names, [[g.plant, g.gateway, g.repeats, _buffer_words(g)] for g in found.gateways])
    quarantined = ", ".join(f"{code} {count}" for code, count in sorted(found.quarantined.items())) or tr("empty")
    print(say(tr(
        "quarantine: {quarantined}; days to be sealed: {days}", quarantined=quarantined, days=found.unsealed_days
    )))  # fmt: skip


def _buffer_words(gateway: GatewayStatus) -> str:
    if gateway.state is None:
        return say(tr("nothing reported"))
    said = gateway.state.get("online")
    online = tr("online") if said is True else tr("offline") if said is False else ""
    return say(join(", ", filter(None, (online, gateway.buffer_words))))
