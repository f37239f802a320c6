# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent as a whole and its verbs, against pymodbus's own server; no broker is there, and nothing waits for one."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path

import pytest
import uvloop
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice
from typer.testing import CliRunner

from collector.agent.app import run_agent
from collector.agent.buffer.counts import read_counts
from collector.agent.operate.read_once import candidates, read_devices
from collector.base.clock import SystemClock
from collector.cli.agent.commands import app
from collector.points.agent_config import load_agent
from tests.agent.device.agent_points import point
from tests.agent.running_agent import recorded
from tests.patience import HANG_S, until

CONFIG = """
schema = 1
[gateway]
id = "g"
state_dir = "state"
reorder_ms = 0
[mqtt]
port = {broker}
[[plant]]
id = "P"
[[unit]]
id = "U"
plant = "P"
[[device]]
id = "governor"
protocol = "modbus_tcp"
points = "points.csv"
unit = "U"
host = "127.0.0.1"
port = {port}
timeout_s = 60
"""
POINTS = """name,quantity,area,type,address,order,raw_unit
power,active_power_mw,holding,float32,0,CDAB,MW
breaker,on_grid,holding,uint16,2,,
"""


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    # 0xE979 0x42F6 read low word first is 123.456.
    registers = SimData(0, values=[0xE979, 0x42F6, 1], datatype=DataType.REGISTERS)
    modbus = ModbusTcpServer(SimDevice(id=1, simdata=[registers]), address=("127.0.0.1", 0))
    await modbus.serve_forever(background=True)
    try:
        yield modbus.transport.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
    finally:
        await modbus.shutdown()  # type: ignore[no-untyped-call]
        await asyncio.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def write_config(folder: Path, port: int) -> Path:
    (folder / "points.csv").write_text(POINTS, "utf-8")
    path = folder / "agent.toml"
    path.write_text(CONFIG.format(port=port, broker=free_port()), "utf-8")
    return path


def test_an_agent_without_a_broker_records_every_second_and_stops_when_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with server() as port:
            stop = asyncio.Event()
            path = write_config(tmp_path, port)
            agent = asyncio.create_task(run_agent(load_agent(path), SystemClock(), stop=stop))
            # The file is there a moment before its tables are: `recorded` takes that for nothing yet.
            await until(lambda: recorded(path) >= 3, every_s=0.2)
            stop.set()
            await agent

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scenario(), HANG_S))
    counts = read_counts(tmp_path / "state")
    assert counts.recorded == counts.buffered == counts.pending_records >= 3
    assert counts.open_records == 0, "the open batch is sealed at shutdown"


def test_reading_once_shows_raw_bytes_value_and_quality(tmp_path: Path) -> None:
    async def scenario() -> list[tuple[str, str, str, str]]:
        async with server() as port:
            found = await read_devices(load_agent(write_config(tmp_path, port)), SystemClock(), "")
            return [(row.name, row.raw, row.value, row.quality) for row, _, _ in found]

    assert asyncio.run(scenario()) == [("power", "e9 79 42 f6", "123.456", "good"), ("breaker", "00 01", "1", "good")]


def test_the_other_decodings_of_the_same_bytes_stand_side_by_side() -> None:
    found = {
        (kind, order): text for kind, order, text in candidates(point("active_power_mw"), bytes.fromhex("e97942f6"))
    }
    assert found["float32", "CDAB"] == "123.456001"
    assert found["uint32", "ABCD"] == str(0xE97942F6)
    assert found["int32", "ABCD"] == str(0xE97942F6 - (1 << 32))
    assert not any(kind in ("int16", "float64") for kind, _ in found)
    assert candidates(point("on_grid", area="coil", type="bit"), b"\1") == []


def test_the_other_meanings_of_a_normalised_codes_factor_stand_side_by_side() -> None:
    # Code 16384 with a factor of 0.02 MW: per code 327.68 MW; at the full code 16384 / 32767 of it.
    value = point("active_power_mw", area="9", raw_unit="MW", scale=Fraction("0.02"))
    assert candidates(value, bytes.fromhex("004000")) == [
        ("norm_base 1", "", "327.68"), ("norm_base 32767", "", "0.0100003"),
    ]  # fmt: skip


def test_read_of_a_device_that_is_not_there_says_silent_and_exits_1(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["read", str(write_config(tmp_path, free_port())), "--json"])
    assert result.exit_code == 1
    assert {row["quality"] for row in json.loads(result.stdout)} == {"silent"}


def test_read_of_an_unknown_device_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["read", str(write_config(tmp_path, 502)), "governer"])
    assert result.exit_code == 2
    assert "governor" in result.output


def test_check_prints_the_read_plan_as_json(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(write_config(tmp_path, 502)), "--json"])
    assert result.exit_code == 0
    (plan,) = json.loads(result.stdout)["plan"]
    # One request of 3 registers: 12 bytes out, 9 + 6 back.
    assert (plan["requests"], plan["points"], plan["bytes"]) == (1, 2, 27)


@pytest.mark.parametrize(
    ("change", "place", "words"),
    [
        (("timeout_s = 60", "timout_s = 0.5"), "device[1].timout_s", "did you mean 'timeout_s'"),
        (("timeout_s = 60", "max_registers = 1"), "points.csv:2", "reads at most 1"),
        (('id = "U"', 'id = "U"\nplant = "P"\n[[unit]]\nid = "V"'), "unit[2].id", "no point of any device"),
        (('id = "P"', 'id = "P"\nsigning_key_file = "no.key"'), "plant[1].signing_key_file", "there is no file"),
        (("timeout_s = 60", "pause_ms = 10000"), "device[1].period_s", "the period is 1 s"),
    ],
)
def test_check_names_file_key_and_remedy(change: tuple[str, str], place: str, words: str, tmp_path: Path) -> None:
    path = write_config(tmp_path, 502)
    path.write_text(path.read_text("utf-8").replace(*change, 1), "utf-8")
    result = CliRunner().invoke(app, ["check", str(path)])
    assert result.exit_code == 1
    assert place in result.stderr
    assert words in result.stderr


def test_check_finds_two_devices_that_share_a_line_and_disagree(tmp_path: Path) -> None:
    path = write_config(tmp_path, 502)
    second = '[[device]]\nid = "two"\nprotocol = "modbus_rtu_over_tcp"\npoints = "points.csv"\nunit = "U"\n'
    path.write_text(path.read_text("utf-8") + second + 'host = "127.0.0.1"\nport = 502\n', "utf-8")
    result = CliRunner().invoke(app, ["check", str(path)])
    assert "device[2].protocol: device[1] uses the same line with 'modbus_tcp'" in result.stderr
    assert "device[2].slave" in result.stderr
