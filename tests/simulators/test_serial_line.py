# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices on pseudo terminals, opened as a gateway opens its serial ports: with even parity."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import serialx

from collector.base.errors import CollectorError
from collector.points.agent_config import AgentConfig, load_agent
from simulators.faces.modbus import crc16
from simulators.run.devices import serve
from tests.patience import HANG_S


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    """Two RTU slaves on one line."""
    (tmp_path / "meter.csv").write_text(
        "name,quantity,area,type,address,raw_unit\nq,reactive_power_mvar,input,int32,0,kvar\n", "utf-8"
    )
    device = 'protocol = "modbus_rtu"\npoints = "meter.csv"\nserial = "line/ttyS1"\n'
    (tmp_path / "agent.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n'
        '[[unit]]\nid = "U1"\nplant = "P"\n[[unit]]\nid = "U2"\nplant = "P"\n'
        f'[[device]]\nid = "m1"\nunit = "U1"\nslave = 1\n{device}'
        f'[[device]]\nid = "m2"\nunit = "U2"\nslave = 2\n{device}',
        "utf-8",
    )
    return load_agent(tmp_path / "agent.toml")


def test_two_slaves_answer_on_a_line_with_even_parity(config: AgentConfig) -> None:
    async def run() -> list[bytes]:
        answers = []
        async with serve(config) as devices:
            devices.board.show("U1", "reactive_power_mvar", "-12.5")
            devices.board.show("U2", "reactive_power_mvar", 7)
            path = str(config.directory / "line" / "ttyS1")
            reader, writer = await serialx.open_serial_connection(path, 9600, parity=serialx.Parity.EVEN)
            for slave in (1, 2):
                body = bytes((slave, 4, 0, 0, 0, 2))
                writer.write(body + crc16(body))
                async with asyncio.timeout(HANG_S):
                    answers.append(await reader.readexactly(9))
            writer.close()
            await writer.wait_closed()
        return answers

    one, two = asyncio.run(run())
    assert (one[:7], two[:7]) == (bytes.fromhex("010404ffffcf2c"), bytes.fromhex("02040400001b58"))
    assert all(crc16(answer[:-2]) == answer[-2:] for answer in (one, two))
    assert not (config.directory / "line" / "ttyS1").is_symlink()


def test_a_line_with_even_parity_can_be_opened_again_and_again(config: AgentConfig) -> None:
    async def run() -> list[bytes]:
        answers = []
        async with serve(config):
            path = str(config.directory / "line" / "ttyS1")
            for slave in (1, 2, 1):
                reader, writer = await serialx.open_serial_connection(path, 9600, parity=serialx.Parity.EVEN)
                body = bytes((slave, 4, 0, 0, 0, 2))
                writer.write(body + crc16(body))
                async with asyncio.timeout(HANG_S):
                    answers.append(await reader.readexactly(9))
                writer.close()
                await writer.wait_closed()
        return answers

    assert [answer[0] for answer in asyncio.run(run())] == [1, 2, 1]


def test_a_path_that_is_no_simulators_link_is_left_alone(config: AgentConfig) -> None:
    place = config.directory / "line" / "ttyS1"
    place.parent.mkdir()
    place.write_text("precious", "utf-8")

    async def run() -> None:
        async with serve(config):
            raise AssertionError("opened over a file")

    with pytest.raises(CollectorError, match="not a simulator's link"):
        asyncio.run(run())
    assert place.read_text("utf-8") == "precious"
