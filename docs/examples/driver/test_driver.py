# SPDX-License-Identifier: GPL-3.0-or-later
"""The example of a driver, configured by agent.toml and a point table, beside a peer that behaves as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector.agent.device.contract import Device
from collector.agent.device.factory import build_devices
from collector.agent.device.textline.codec import decode_answer
from collector.base.clock import SystemClock
from collector.base.errors import Garbled, Refused, Silent
from collector.cli.main import app
from collector.model.record import Quality
from collector.points.agent_config import load_agent

TABLE = "name,quantity,address,raw_unit\npower,active_power_mw,7,kW\nq,reactive_power_mvar,8,kvar\n"
CONFIG = """schema = 1
[gateway]
id = "g"
[[plant]]
id = "P"
[[unit]]
id = "U"
plant = "P"
[[device]]
id = "d"
protocol = "textline"
points = "points.csv"
unit = "U"
host = "127.0.0.1"
port = {port}
timeout_s = {timeout_s}
"""


@asynccontextmanager
async def device(folder: Path, behaviour: list[str], timeout_s: float = 30.0) -> AsyncIterator[Device]:
    """A device whose number 7 is 4660 and whose 8 is 0, unless `behaviour` says otherwise."""

    peers: list[asyncio.StreamWriter] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peers.append(writer)
        while line := await reader.readline():
            address = line.decode().split()[1]
            number = {"7": "4660", "8": "0"}[address]
            answer = {"refused": f"{address} ?\r\n", "garbled": "\x00\xff\r\n", "other": "9 1\r\n", "silent": ""}
            writer.write(answer.get(behaviour[0], f"{address} {number}\r\n").encode())

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    (folder / "points.csv").write_text(TABLE, "utf-8")
    (folder / "agent.toml").write_text(CONFIG.format(port=port, timeout_s=timeout_s), "utf-8")
    (built,) = build_devices(load_agent(folder / "agent.toml"), SystemClock())
    try:
        yield built.device
    finally:
        await built.device.close()
        await built.device.close()
        for writer in peers:
            writer.close()
        server.close()
        await asyncio.sleep(0)  # closed streams go with their loop


def test_what_it_reads_is_the_value_and_what_fails_is_a_quality(tmp_path: Path) -> None:
    async def go() -> None:
        behaviour = ["good"]
        async with device(tmp_path, behaviour) as read:
            await read.open()
            await read.open()
            answer = await read.read(read.points, budget_s=60)
            assert [(r.value, r.quality) for r in answer.readings] == [(4660, Quality.GOOD), (0, Quality.GOOD)]
            for said, quality in (
                ("refused", Quality.REFUSED),
                ("garbled", Quality.GARBLED),
                ("other", Quality.GARBLED),
            ):
                behaviour[0] = said
                answer = await read.read(read.points, budget_s=60)
                assert {(r.value, r.quality) for r in answer.readings} == {(None, quality)}
            behaviour[0] = "good"
            assert (await read.read(read.points, budget_s=60)).readings[0].value == 4660

    asyncio.run(go())


def test_a_silent_device_raises_and_a_cancelled_read_leaves_it_usable(tmp_path: Path) -> None:
    async def silent() -> None:
        async with device(tmp_path, ["silent"], timeout_s=0.2) as read:
            with pytest.raises(Silent):
                await read.read(read.points, budget_s=60)

    async def cancelled() -> None:
        behaviour = ["silent"]
        async with device(tmp_path, behaviour) as read:
            task = asyncio.create_task(read.read(read.points, budget_s=60))
            await asyncio.sleep(0.1)
            task.cancel()
            await asyncio.wait([task])
            behaviour[0] = "good"
            assert (await read.read(read.points, budget_s=60)).readings[0].value == 4660

    asyncio.run(silent())
    asyncio.run(cancelled())


@pytest.mark.parametrize("line", [b"", b"\r\n", b"7", b"7 \r\n", b"7 1.5\r\n", b"8 1\r\n", b"7 1\r\nx", bytes(64)])
def test_a_line_that_is_no_answer_is_garbled(line: bytes) -> None:
    with pytest.raises(Garbled):
        decode_answer(line, 7)


def test_a_question_mark_is_a_refusal() -> None:
    with pytest.raises(Refused):
        decode_answer(b"7 ?\r\n", 7)


def test_its_table_is_looked_through_by_name_of_the_protocol(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(TABLE, "utf-8")
    done = CliRunner().invoke(app, ["points", "lint", str(tmp_path / "points.csv"), "--protocol", "textline"])
    assert done.exit_code == 0, done.output
