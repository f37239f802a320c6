# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector agent status`, `capacity`, `doctor`, `watch`: the state of this machine's agent. Nothing is changed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from collector.base.text import tr, tr_in
from collector.cli.language import SEVERITIES, heads, print_text, say, terminal_language
from collector.cli.table import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.agent.buffer.counts import Counts
    from collector.agent.operate.health import DeviceHealth, Health, PointNow

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="agent.toml")]
AsJson = Annotated[bool, typer.Option("--json", help="The same as JSON.")]

_GAP: Final = 2  # between columns of the live table
_COLOURS: Final = {"good": "green", "substituted": "cyan", "late_tag": "cyan", "stale": "yellow"}


def register(app: typer.Typer) -> None:
    """Add the verbs to `collector agent`."""
    app.command()(status)
    app.command()(capacity)
    app.command()(doctor)
    app.command()(watch)


def status(config: ConfigFile, as_json: AsJson = False) -> None:
    """Buffer, links and clock, of a running agent or of a stopped one's buffer. 运行状态。"""
    import msgspec

    from collector.agent.buffer.capacity import open_beside
    from collector.agent.buffer.counts import compute_counts
    from collector.agent.operate.doctor_buffer import records_ahead, refusals
    from collector.agent.operate.health import Health
    from collector.agent.operate.status_server import ask_agent
    from collector.agent.paths import find_socket
    from collector.base.clock import SystemClock
    from collector.model.interval import format_time
    from collector.points.agent_config import load_agent

    socket_file = find_socket(config)
    path = socket_file.with_suffix(".buffer")
    answer = ask_agent(socket_file, "/status", language="en" if as_json else terminal_language())
    health = None if answer is None else msgspec.json.decode(answer, type=Health)
    now_ms = None if health is None else health.time_utc_ms
    if health is None:
        if not load_agent(config).settings.gateway.time_server:
            now_ms = SystemClock().now_utc_ms()
        db = open_beside(path)
        try:
            counts = compute_counts(db)
        finally:
            db.close()
    else:
        counts = health.buffer
    refused = refusals(path)
    if as_json:
        found = {"running": health is not None, "buffer": counts, "refused": refused, "agent": health}
        print(json.dumps(msgspec.to_builtins(found), ensure_ascii=False, indent=2))
        return
    _print_buffer(counts, refused)
    if now_ms is not None and (ahead := records_ahead(path, now_ms)) is not None:
        print_text(
            "  ahead of the clock: {batches} batches with records up to {time}",
            batches=ahead[0],
            time=format_time(ahead[1]),
        )
    if health is None:
        print_text("agent: not running; the above is what its buffer says")
        return
    _print_health(health)


def _print_buffer(counts: Counts, refused: dict[str, int]) -> None:
    from collector.model.interval import format_time
    from collector.wire import FINAL

    oldest = format_time(counts.oldest_pending_ms) if counts.oldest_pending_ms is not None else ""
    print_text(
        "buffer: {used:.1f} MB in use, {recorded} records recorded",
        used=counts.used_bytes / 1000000.0,
        recorded=counts.recorded,
    )
    print_text(
        "  not acknowledged: {batches} batches with {records} records{oldest}",
        batches=counts.pending,
        records=counts.pending_records,
        oldest=tr(", the oldest of {time}", time=oldest) if oldest else "",
    )
    if counts.handed or counts.unconfirmed:
        print_text(
            "  handed over to a one-way device: {handed} of them;"
            " given up unconfirmed: {batches} batches with {records} records",
            handed=counts.handed,
            batches=counts.unconfirmed,
            records=counts.unconfirmed_records,
        )
    print_text(
        "  open: {records} records; lost for room or damage: {lost} records",
        records=counts.open_records,
        lost=counts.evicted_records,
    )
    for code, batches in refused.items():
        print_text(
            "  refused by the center{kept}: {batches} batches, {code}",
            kept="" if code in FINAL else tr(" for now, kept"),
            batches=batches,
            code=code,
        )


def _print_health(health: Health) -> None:
    from collector.agent.operate.health import step_words

    uplink, ticks = health.uplink, health.ticks
    print_text(
        "agent: {gateway} {version}, running for {span}",
        gateway=health.gateway,
        version=health.version,
        span=_span(health.running_s),
    )
    if words := step_words(ticks):
        print_text("  clock {words}", words=words)
    print_text(
        "  clock: {clock}; ticks: {written} written, {missed} missed",
        clock=health.clock,
        written=ticks.written,
        missed=ticks.missed,
    )
    from collector.agent.operate.doctor_words import way_of

    link = (
        tr("connected")
        if uplink.connected
        else tr("not connected ({reason})", reason=uplink.last_error or tr("no answer yet"))
    )
    ago = uplink.last_ack_age_s
    word = tr("never") if ago is None else tr("{span} ago", span=_span(ago))
    print_text("  {way}: {link}; the center's last word: {word}", way=way_of(uplink.broker), link=link, word=word)
    for plant, codes in uplink.unrecognised.items():
        print_text("  the center does not recognise plant {plant}: {codes}", plant=plant, codes=", ".join(codes))
    if health.store_error:
        print_text("  the store refuses: {store_error}", store_error=health.store_error)
    if health.not_ready:
        print_text("  not ready: {not_ready}", not_ready=health.not_ready)
    rows = [
        (d.device, d.channel.removesuffix(f" {d.device}"), _state(d), d.reads, d.failures,
         "" if d.last_read_s is None else f"{d.last_read_s * 1000:.1f}",
         tr("never") if d.last_good_utc_ms is None else _span((health.time_utc_ms - d.last_good_utc_ms) / 1000),
         "" if d.clock_offset_ms is None else f"{d.clock_offset_ms / 1000:+.1f}",
         "" if d.answers else d.last_error)
        for d in health.devices
    ]  # fmt: skip
    headings = heads("device", "channel", "state", "reads", "failed", "ms", "good before", "clock s", "error")
    print_table(tr("Devices"), headings, rows)


def _state(device: DeviceHealth) -> str:
    """The state of a device in words. Before its first read, it has not failed."""
    if device.reads == 0:
        return tr("not read yet")
    return tr("answers") if device.answers else tr_in("device", "silent")


def _span(seconds: float) -> str:
    """A duration in words."""
    if math.isinf(seconds):
        return tr("never")
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def capacity(config: ConfigFile, as_json: AsJson = False) -> None:
    """How long the buffer lasts without the center, and how long catching up takes. 缓存容量。"""
    import msgspec

    from collector.agent.buffer.capacity import Capacity, compute_capacity
    from collector.agent.operate.status_server import ask_agent
    from collector.agent.paths import find_socket
    from collector.points.agent_config import load_agent

    answer = ask_agent(find_socket(config), "/capacity")
    # MessagePack, as JSON has no infinity.
    found = compute_capacity(load_agent(config)) if answer is None else msgspec.msgpack.decode(answer, type=Capacity)
    if as_json:
        # JSON has no infinity: an infinite time is null beside `never_catches_up`.
        row: dict[str, Any] = asdict(found)
        never = found.full_catch_up_s is not None and math.isinf(found.full_catch_up_s)
        row |= {"catch_up_s": None, "full_catch_up_s": None} if never else {}
        print(json.dumps(row | {"never_catches_up": never}, indent=2))
        return
    source = (
        tr("measured in this buffer") if found.is_measured else tr("usual; this buffer holds too little to measure")
    )
    print_text("a record takes {bytes:.1f} bytes ({source})", bytes=found.bytes_per_record, source=source)
    print_text("records an hour: {records:.0f}", records=found.records_per_hour)
    print_text(
        "unsent: {unsent:.1f} of {size:.0f} MB ({ratio:.1%})",
        unsent=found.unsent_bytes / 1000000.0,
        size=found.max_bytes / 1000000.0,
        ratio=found.unsent_ratio,
    )
    print_text(
        "an outage from now may last {left}, from empty {in_all}",
        left=_span(found.hours_left * 3600),
        in_all=_span(found.hours_in_all * 3600),
    )
    if found.catch_up_s is None or found.full_catch_up_s is None:
        print_text("catching up: no rate cap; as fast as line and center allow")
    else:
        now, full = _span(found.catch_up_s), _span(found.full_catch_up_s)
        print_text(
            "catching up at {rate} bytes/s: {now} now, {full} from full",
            rate=found.rate_cap_bytes_per_s,
            now=now,
            full=full,
        )


def doctor(config: ConfigFile, as_json: AsJson = False) -> None:
    """What is wrong, in words, and what to do; exit 1 where something is. 故障诊断。"""
    from collector.agent.operate.doctor import examine

    found = examine(config, "en" if as_json else terminal_language())
    if as_json:
        print(json.dumps([asdict(f) for f in found], ensure_ascii=False, indent=2))
    else:
        for finding in found:
            print(f"{say(SEVERITIES[finding.severity])}: {say(finding.subject)}: {say(finding.message)}")
            print(f"    → {say(finding.remedy)}")
        count = tr("1 finding") if len(found) == 1 else tr("{count} findings", count=len(found))
        print(say(count if found else tr("nothing is wrong")))
    if any(finding.severity == "error" for finding in found):
        raise typer.Exit(1)


def watch(
    config: ConfigFile,
    device: Annotated[str, typer.Option("--device", help="Only this one.")] = "",
    once: Annotated[bool, typer.Option("--once", help="One picture, no live table.")] = False,
    as_json: AsJson = False,
) -> None:
    """Live table: each point's value, quality and age, until Ctrl-C. 实时监视。

    Beside a running agent it shows what that knows; without one it reads the devices itself and sends nothing.
    """
    import asyncio

    from collector.agent.log import start_logging

    start_logging(level=50)  # a warning would tear the table
    try:
        asyncio.run(_watch(config, device, once=once or as_json, as_json=as_json))
    except KeyboardInterrupt:
        return


async def _watch(config: Path, device: str, *, once: bool, as_json: bool) -> None:
    import msgspec
    from rich.console import Console
    from rich.live import Live

    from collector.agent.operate.watch_points import pictures

    console = Console()
    if not console.is_terminal and not as_json:  # into a file or a pipe: one picture, in whole lines
        async for source, points in pictures(config, once=True):
            shown = [p for p in points if device in ("", p.device)]
            Console(width=200).print(_picture(source, shown, 200, 0))
        return
    with Live(console=console, auto_refresh=False, screen=console.is_terminal and not once) as live:
        async for source, points in pictures(config, once=once):
            shown = [p for p in points if device in ("", p.device)]
            if as_json:
                live.stop()
                print(json.dumps(msgspec.to_builtins(shown), ensure_ascii=False, indent=2))
            else:
                height = console.height if console.is_terminal and not once else 0
                live.update(_picture(source, shown, console.width, height))
                live.refresh()


def _picture(source: str, points: Sequence[PointNow], width: int, height: int) -> Any:
    """The table; rows that do not fit on the screen are counted, and rows with bad quality then come first."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    room = max(3, height - 6) if height else len(points)
    if len(points) > room:
        points = sorted(points, key=lambda p: p.quality == "good")
    hidden = len(points) - room
    names = (*heads("device", "point", "unit", "quantity", "raw", "value"), "", *heads("quality", "age s"))
    headings = [say(name) for name in names]
    numbers = headings[5], headings[8]
    rows = [
        [p.device, p.point, p.generating_unit, p.quantity, p.raw, p.value, p.unit, p.quality,
         "" if p.age_s is None else f"{p.age_s:.1f}"]
        for p in points[:room]
    ]  # fmt: skip
    # On a narrow screen these columns are dropped: the value stands for its bytes, the name for its quantity.
    for dispensable in (4, 3):
        if sum(max(map(cell_len, cells)) + _GAP for cells in zip(headings, *rows, strict=True)) > width:
            for cells in (headings, *rows):
                del cells[dispensable]
    table = Table(
        title=say(source), title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
        caption=say(tr("{count} more; --device shows one", count=hidden)) if hidden > 0 else "",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right" if heading in numbers else "left", no_wrap=True)
    for *cells, quality, age in rows:
        table.add_row(*map(Text, cells), Text(quality, style=_COLOURS.get(quality, "bold red")), age)
    return table
