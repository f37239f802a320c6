# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector agent check`, `read`, `keygen`: what is done before the service is started. Nothing is sent."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from collector.base.text import tr, tr_in
from collector.cli.language import heads, print_text, say
from collector.cli.table import print_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collector.agent.operate.config_check import DevicePlan
    from collector.agent.operate.read_once import PointReading
    from collector.base.errors import Problem
    from collector.points import Point

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="agent.toml")]
AsJson = Annotated[bool, typer.Option("--json", help="The same as JSON.")]


def register(app: typer.Typer) -> None:
    """Add the verbs to `collector agent`."""
    for verb in (check, read, keygen):
        app.command()(verb)


def check(config: ConfigFile, as_json: AsJson = False) -> None:
    """Check a configuration and its point tables, and show the read plan. 检查配置与点表。"""
    from collector.agent.operate.config_check import compute_plan, find_problems
    from collector.base.errors import ConfigError
    from collector.points.agent_config import load_agent

    plan: list[DevicePlan] = []
    try:
        loaded = load_agent(config)
        problems: Sequence[Problem] = find_problems(loaded, str(config))
        if not problems:
            plan = compute_plan(loaded)
    except ConfigError as error:
        problems = error.problems
    if as_json:
        found = {"problems": [asdict(p) for p in problems], "plan": [asdict(p) for p in plan]}
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        for problem in problems:
            print(say(problem.text), file=sys.stderr)
        if plan:
            _print_plan(plan)
    if problems:
        if not as_json:
            count = len(problems)
            print(say(tr("1 problem") if count == 1 else tr("{count} problems", count=count)), file=sys.stderr)
        raise typer.Exit(1)


def _print_plan(plan: Sequence[DevicePlan]) -> None:
    headings = heads("device", "line", "every", "requests", "points", "bytes", "takes", "if dead")
    rows = [
        (p.device, f"{p.protocol} {p.line.removesuffix(f' {p.device}')}", f"{p.period_s:g} s", p.requests, p.points,
         p.bytes, f"{p.cycle_s:.3f} s", f"{p.worst_s:g} s")
        for p in plan
    ]  # fmt: skip
    print_table(tr("Read plan, per cycle"), headings, rows)
    print_text("ok: {count} devices, {points} points", count=len(plan), points=sum(p.points for p in plan))


def read(
    config: ConfigFile,
    device: Annotated[str, typer.Argument(metavar="DEVICE", help="Only this one.")] = "",
    candidates: Annotated[bool, typer.Option("--candidates", help="What else the same bytes could mean.")] = False,
    as_json: AsJson = False,
) -> None:
    """Read every point once and send nothing. 读一次，不上送。"""
    import asyncio

    from collector.agent.log import start_logging
    from collector.agent.operate.read_once import candidates as other_decodings
    from collector.agent.operate.read_once import read_devices
    from collector.base.clock import open_clock
    from collector.points.agent_config import load_agent

    start_logging(logging.ERROR)
    loaded = load_agent(config)
    known = [d.id for d in loaded.settings.device]
    if device and device not in known:
        raise typer.BadParameter(
            say(tr("no such device; the configuration has {known}", known=", ".join(known))), param_hint="DEVICE"
        )

    if _is_running(config):
        words = tr(
            "the agent is running: a serial line, and many a device, answers one master only; what it reads itself is "
            "shown by collector agent watch"
        )
        print(say(words), file=sys.stderr)

    async def read_once() -> list[tuple[PointReading, Point, bytes]]:
        return await read_devices(loaded, await open_clock(loaded.settings.gateway.time_server), device)

    found = asyncio.run(read_once())
    others = [other_decodings(point, raw) if candidates else [] for _, point, raw in found]
    if as_json:
        rows: list[dict[str, Any]] = [asdict(row) for row, _, _ in found]
        for entry, decodings in zip(rows, others, strict=True):
            if candidates:
                entry["candidates"] = [{"type": k, "order": o, "value": v} for k, o, v in decodings]
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    else:
        _print_readings([row for row, _, _ in found], others)
    if any(row.value == "" and row.quantity for row, _, _ in found):
        raise typer.Exit(1)


def _is_running(config: Path) -> bool:
    """True if an agent with this configuration answers on this machine."""
    from collector.agent.operate.status_server import ask_agent
    from collector.agent.paths import find_socket
    from collector.base.errors import LinkError

    try:
        return ask_agent(find_socket(config), "/capacity") is not None
    except (LinkError, PermissionError):
        return True  # there is one, but it does not answer, or not to this user


def _print_readings(rows: Sequence[PointReading], others: Sequence[Sequence[tuple[str, str, str]]]) -> None:
    from collector.model.interval import format_time

    measure = tr_in("measure", "unit")
    headings = (
        *heads("name", "address", "raw", "value"), measure,
        *heads("quality", "device time", "at", "could also be"),
    )  # fmt: skip
    by_device: dict[str, list[list[str]]] = {}
    for row, decodings in zip(rows, others, strict=True):
        tag = "" if row.device_time_utc_ms is None else format_time(row.device_time_utc_ms)
        date, _, at = format_time(row.time_utc_ms).partition("T")
        also = "\n".join(" ".join(filter(None, decoding)) for decoding in decodings)
        # Day and time zone once, above; a device's own time in full, as its day may differ.
        by_device.setdefault(
            tr("{device}, read on {date} {zone}", device=row.device, date=date, zone=at[-6:]), []
        ).append([row.name, row.address, row.raw, row.value, row.unit, row.quality, tag, at[:-6], also])
    for title, cells in by_device.items():
        print_table(title, headings, cells)
    for error in dict.fromkeys(row.error for row in rows if row.error):
        print(say(error), file=sys.stderr)


def keygen(
    plant: Annotated[
        str,
        typer.Argument(metavar="PLANT", help="The plant's id, or center; names the two files."),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to put them.")] = Path(),
) -> None:
    """Make a signing key: PLANT.key stays here, PLANT.pub goes to the other side. 生成签名密钥。"""
    from collector.wire import generate_key_pair

    private, public = out / f"{plant}.key", out / f"{plant}.pub"
    name = generate_key_pair(private, public)
    words = (
        tr("key {name}: {private} (keep it here, readable by the center only), {public} (give it to the gateways)",
           name=name, private=private, public=public)
        if plant == "center"
        else tr("key {name}: {private} (keep it here, readable by the agent only), {public} (give it to the center)",
                name=name, private=private, public=public)
    )  # fmt: skip
    print(say(words))
