# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector agent status`, `capacity`, `doctor`, `watch`: how the agent of this machine is. Nothing is changed."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from collector.cli.table import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.agent.buffer.buffer import Counts
    from collector.agent.operate.health import DeviceHealth, Health, PointNow
    from collector.points.agent_config import AgentConfig

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

    from collector.agent.buffer.buffer import compute_counts
    from collector.agent.buffer.capacity import open_beside
    from collector.agent.operate.doctor import records_ahead, refusals
    from collector.agent.operate.health import Health
    from collector.agent.operate.status_server import ask_agent
    from collector.agent.paths import buffer_path, socket_path
    from collector.base.clock import SystemClock
    from collector.model.interval import format_time
    from collector.points.agent_config import load_agent

    loaded = load_agent(config)
    path = buffer_path(loaded)
    answer = ask_agent(socket_path(loaded), "/status")
    health = None if answer is None else msgspec.json.decode(answer, type=Health)
    if health is None:
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
    now_ms = None if loaded.settings.gateway.time_server else SystemClock().now_utc_ms()
    now_ms = now_ms if health is None else health.time_utc_ms
    if now_ms is not None and (ahead := records_ahead(path, now_ms)) is not None:
        print(f"  ahead of the clock: {ahead[0]} batches with records up to {format_time(ahead[1])}")
    if health is None:
        print("agent: not running; the above is what its buffer says")
        return
    _print_health(health)


def _print_buffer(counts: Counts, refused: dict[str, int]) -> None:
    from collector.model.interval import format_time
    from collector.wire import FINAL

    oldest = "" if counts.oldest_pending_ms is None else f", the oldest of {format_time(counts.oldest_pending_ms)}"
    print(f"buffer: {counts.used_bytes / 1e6:.1f} MB in use, {counts.recorded} records recorded")
    print(f"  not acknowledged: {counts.pending} batches with {counts.pending_records} records{oldest}")
    print(f"  open: {counts.open_records} records; lost for room or damage: {counts.evicted_records} records")
    for code, batches in refused.items():
        print(f"  refused by the center{'' if code in FINAL else ' for now, kept'}: {batches} batches, {code}")


def _print_health(health: Health) -> None:
    from collector.agent.operate.health import step_words

    uplink, ticks = health.uplink, health.ticks
    print(f"agent: {health.gateway} {health.version}, running for {_span(health.running_s)}")
    if words := step_words(ticks):
        print(f"  clock {words}")
    print(f"  clock: {health.clock}; ticks: {ticks.written} written, {ticks.missed} missed")
    link = "connected" if uplink.connected else f"not connected ({uplink.last_error or 'no answer yet'})"
    word = "never" if uplink.last_ack_age_s is None else f"{_span(uplink.last_ack_age_s)} ago"
    print(f"  broker {uplink.broker}: {link}; the center's last word: {word}")
    for plant, codes in uplink.unrecognised.items():
        print(f"  the center does not recognise plant {plant}: {', '.join(codes)}")
    if health.store_error:
        print(f"  the store refuses: {health.store_error}")
    if health.not_ready:
        print(f"  not ready: {health.not_ready}")
    rows = [
        (d.device, d.channel.removesuffix(f" {d.device}"), _state(d), d.reads, d.failures,
         "" if d.last_read_s is None else f"{d.last_read_s * 1000:.1f}",
         "never" if d.last_good_utc_ms is None else _span((health.time_utc_ms - d.last_good_utc_ms) / 1000),
         "" if d.clock_offset_ms is None else f"{d.clock_offset_ms / 1000:+.1f}",
         "" if d.answers else d.last_error)
        for d in health.devices
    ]  # fmt: skip
    print_table(
        "Devices", ("device", "channel", "state", "reads", "failed", "ms", "good before", "clock s", "error"), rows
    )


def _state(device: DeviceHealth) -> str:
    """One that is read every five minutes has not failed before its first read."""
    if device.reads == 0:
        return "not read yet"
    return "answers" if device.answers else "silent"


def _span(seconds: float) -> str:
    """A duration as people say it."""
    if math.isinf(seconds):
        return "never"
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.1f} d"


def capacity(config: ConfigFile, as_json: AsJson = False) -> None:
    """How long the buffer lasts without the center, and how long catching up takes. 缓存容量。"""
    from collector.agent.buffer.capacity import compute_capacity
    from collector.points.agent_config import load_agent

    found = compute_capacity(load_agent(config))
    if as_json:
        # JSON has no infinity: what never ends is null beside `never_catches_up`.
        row: dict[str, Any] = asdict(found)
        never = found.full_catch_up_s is not None and math.isinf(found.full_catch_up_s)
        row |= {"catch_up_s": None, "full_catch_up_s": None} if never else {}
        print(json.dumps(row | {"never_catches_up": never}, indent=2))
        return
    source = "measured in this buffer" if found.is_measured else "usual; this buffer holds too little to measure"
    print(f"a record takes {found.bytes_per_record:.1f} bytes ({source})")
    print(f"records an hour: {found.records_per_hour:.0f}")
    print(f"unsent: {found.unsent_bytes / 1e6:.1f} of {found.max_bytes / 1e6:.0f} MB ({found.unsent_ratio:.1%})")
    print(
        f"an outage from now may last {_span(found.hours_left * 3600)}, from empty {_span(found.hours_in_all * 3600)}"
    )
    if found.catch_up_s is None or found.full_catch_up_s is None:
        print("catching up: no rate cap; as fast as line and center allow")
    else:
        now, full = _span(found.catch_up_s), _span(found.full_catch_up_s)
        print(f"catching up at {found.rate_cap_bytes_per_s} bytes/s: {now} now, {full} from full")


def doctor(config: ConfigFile, as_json: AsJson = False) -> None:
    """What is wrong, in words, and what to do; exit 1 where something is. 故障诊断。"""
    from collector.agent.operate.doctor import examine
    from collector.points.agent_config import load_agent

    found = examine(load_agent(config), str(config))
    if as_json:
        print(json.dumps([asdict(f) for f in found], ensure_ascii=False, indent=2))
    else:
        for finding in found:
            print(f"{finding.severity}: {finding.subject}: {finding.message}")
            print(f"    → {finding.remedy}")
        print(f"{len(found)} findings" if found else "nothing is wrong")
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
    from collector.points.agent_config import load_agent

    start_logging(level=50)  # a warning would tear the table
    loaded = load_agent(config)
    try:
        asyncio.run(_watch(loaded, device, once=once or as_json, as_json=as_json))
    except KeyboardInterrupt:
        return


async def _watch(config: AgentConfig, device: str, *, once: bool, as_json: bool) -> None:
    import msgspec
    from rich.console import Console
    from rich.live import Live

    from collector.agent.operate.watch_points import pictures
    from collector.base.clock import open_clock

    console = Console()
    with Live(console=console, auto_refresh=False, screen=console.is_terminal and not once) as live:
        async for source, points in pictures(config, await open_clock(config.settings.gateway.time_server), once=once):
            shown = [p for p in points if device in ("", p.device)]
            if as_json:
                live.stop()
                print(json.dumps(msgspec.to_builtins(shown), ensure_ascii=False, indent=2))
            else:
                height = console.height if console.is_terminal and not once else 0
                live.update(_picture(source, shown, console.width, height))
                live.refresh()


def _picture(source: str, points: Sequence[PointNow], width: int, height: int) -> Any:
    """The table; what does not fit on the screen is counted, bad qualities come first then."""
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.table import Table
    from rich.text import Text

    room = max(3, height - 6) if height else len(points)
    if len(points) > room:
        points = sorted(points, key=lambda p: p.quality == "good")
    hidden = len(points) - room
    headings = ["device", "point", "unit", "quantity", "value", "", "quality", "age s"]
    rows = [
        [p.device, p.point, p.generating_unit, p.quantity, p.value, p.unit, p.quality,
         "" if p.age_s is None else f"{p.age_s:.1f}"]
        for p in points[:room]
    ]  # fmt: skip
    if sum(max(map(cell_len, cells)) + _GAP for cells in zip(headings, *rows, strict=True)) > width:
        # On a narrow screen the point's name says it; a value, its quality and its age must be seen whole.
        for cells in (headings, *rows):
            del cells[3]
    table = Table(
        title=source, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
        caption=f"{hidden} more; --device shows one" if hidden > 0 else "",
    )  # fmt: skip
    for heading in headings:
        table.add_column(heading, justify="right" if heading in ("value", "age s") else "left", no_wrap=True)
    for *cells, quality, age in rows:
        table.add_row(*map(Text, cells), Text(quality, style=_COLOURS.get(quality, "bold red")), age)
    return table
