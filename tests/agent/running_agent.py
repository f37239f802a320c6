# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration for simulated devices, the agent on it, and what its buffer holds afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import uvloop

from collector.agent.app import run_agent
from collector.agent.buffer.counts import read_counts
from collector.base.clock import SystemClock
from collector.base.errors import StoreError
from collector.model.record import GapRecord, UnitLayout, UnitRecord
from collector.points.agent_config import load_agent
from collector.wire import decode_batch, open_envelope
from tests.agent.uplink.uplink_world import free_port
from tests.patience import HANG_S

TABLE = "name,quantity,area,type,address,raw_unit\npower,active_power_mw,holding,int32,0,kW\n"
WIDER = TABLE + "reactive,reactive_power_mvar,holding,int32,2,kvar\n"


def write_agent(
    folder: Path, ports: Sequence[int], *, gateway: str = "", tables: Sequence[str] = (), broker: int | None = None,
    more: str = "",
) -> Path:  # fmt: skip
    """agent.toml with one Modbus device per port: d1 for unit U1, d2 for U2 … of plant P; nobody is the broker."""
    text = f'schema = 1\n[gateway]\nid = "g"\nstate_dir = "state"\nreorder_ms = 100\n{gateway}\n'
    text += f'[mqtt]\nport = {broker or free_port()}\n{more}\n[[plant]]\nid = "P"\n'
    for number, port in enumerate(ports, 1):
        table = tables[number - 1] if tables else TABLE
        (folder / f"d{number}.csv").write_text(table, "utf-8")
        text += (
            f'[[unit]]\nid = "U{number}"\nplant = "P"\n[[device]]\nid = "d{number}"\nprotocol = "modbus_tcp"\n'
            f'points = "d{number}.csv"\nunit = "U{number}"\nhost = "127.0.0.1"\nport = {port}\ntimeout_s = 5\n'
        )
    path = folder / "agent.toml"
    path.write_text(text, "utf-8")
    return path


@asynccontextmanager
async def agent_at(path: Path, *, page: str = "") -> AsyncIterator[asyncio.Event]:
    """The agent of a configuration for as long as the block runs; what it gives reloads when set. `page`: its place."""
    stop, reload = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(
        run_agent(load_agent(path), SystemClock(), path=path, stop=stop, reload=reload, page=page)
    )
    try:
        yield reload
    finally:
        stop.set()
        await asyncio.wait_for(task, HANG_S)


def run(scenario: Coroutine[Any, Any, None]) -> None:
    """On uvloop, as the agent does."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario, HANG_S))


def recorded(path: Path) -> int:
    """Records in the buffer of the agent at `path`, 0 before the first."""
    with contextlib.suppress(StoreError):
        return read_counts(path.parent / "state").recorded
    return 0


def buffered(path: Path) -> tuple[list[tuple[UnitLayout, UnitRecord]], list[GapRecord]]:
    """Every record with its layout, and every gap, sealed in the buffer of an agent that has stopped."""
    with closing(sqlite3.connect(path.parent / "state" / "g.buffer")) as db:
        payloads = [row[0] for row in db.execute("SELECT payload FROM batches ORDER BY stream, sequence")]
    records: list[tuple[UnitLayout, UnitRecord]] = []
    gaps: list[GapRecord] = []
    for payload in payloads:
        batch = decode_batch(open_envelope(payload))
        layouts = {layout.unit: layout for layout in batch.layouts}
        records += [(layouts[r.unit], r) for r in batch.records]
        gaps += batch.gaps
    return records, gaps
