# SPDX-License-Identifier: GPL-3.0-or-later
"""The simulated Modbus devices against the standard's vectors and against pymodbus's client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient

from collector.points.agent_config import AgentConfig
from simulators.faces.modbus import RtuFramer, TcpFramer, crc16
from simulators.run.devices import serve
from tests.patience import HANG_S
from tests.simulators.served_config import make_config


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    return make_config(tmp_path)


@asynccontextmanager
async def client(config: AgentConfig, device: str, *, rtu: bool = False) -> AsyncIterator[AsyncModbusTcpClient]:
    place = next(d for d in config.settings.device if d.id == device)
    framer = FramerType.RTU if rtu else FramerType.SOCKET
    peer = AsyncModbusTcpClient(place.host, port=place.port or 0, framer=framer, timeout=HANG_S, retries=0)
    await peer.connect()
    try:
        yield peer
    finally:
        peer.close()


def test_the_checksum_is_that_of_the_serial_line_guide() -> None:
    # Modbus over Serial Line V1.02, 6.2.2 gives 0x02 0x07 -> CRC 0x1241, sent low byte first.
    assert crc16(bytes((0x02, 0x07))) == bytes((0x41, 0x12))


def test_an_independent_client_reads_what_the_plant_shows(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices, client(config, "gov-1") as peer:
            show = devices.board.show
            show("U1", "active_power_mw", "380.125")
            show("U1", "frequency_hz", "50.012")
            show("U1", "on_grid", 1)
            show("U2", "active_power_mw", "-1.5")
            answer = await peer.read_holding_registers(0, count=5, device_id=1)
            # 380.125 = 0x43BE1000 with the low word first; bit 9 of the status word.
            assert answer.registers == [0x1000, 0x43BE, 50012, 1 << 9, 2026]
            other = await peer.read_holding_registers(0, count=2, device_id=2)
            assert other.registers == [0x0000, 0xBFC0]
            show("U1", "frequency_hz", "49.9")
            assert (await peer.read_holding_registers(2, count=1, device_id=1)).registers == [49900]
            assert devices.requests() == {"gov-1": 2, "gov-2": 1, "meter": 0, "station": 0}

    asyncio.run(run())


def test_bits_are_read_with_functions_1_and_2(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices, client(config, "gov-1") as peer:
            devices.board.show("U1", "agc_in_service", 1)
            assert (await peer.read_discrete_inputs(7, count=1)).bits[:1] == [True]
            assert (await peer.read_coils(0, count=1)).bits[:1] == [False]
            devices.board.show("U1", "avc_in_service", 1)
            assert (await peer.read_coils(0, count=1)).bits[:1] == [True]

    asyncio.run(run())


def test_a_meter_answers_rtu_frames_over_tcp(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices, client(config, "meter", rtu=True) as peer:
            devices.board.show("U1", "reactive_power_mvar", "-12.5")
            devices.board.show("U1", "energy_export_mwh", "1234.5678")
            for _ in range(2):  # the second time by the short way
                answer = await peer.read_input_registers(0, count=4, device_id=17)
                assert answer.registers == [0xFFFF, 0xCF2C, 0x0012, 0xD688]

    asyncio.run(run())


@pytest.mark.parametrize(
    ("address", "count", "slave", "code"),
    [(0, 6, 1, 2), (5, 1, 1, 2), (60000, 1, 1, 2), (0, 1, 9, 11)],
)
def test_what_is_not_there_is_refused_with_the_code_of_the_standard(
    config: AgentConfig, address: int, count: int, slave: int, code: int
) -> None:
    async def run() -> None:
        async with serve(config), client(config, "gov-1") as peer:
            answer = await peer.read_holding_registers(address, count=count, device_id=slave)
            assert answer.isError()
            assert answer.exception_code == code

    asyncio.run(run())


def test_a_write_is_refused_and_reported(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config, report_to=[]) as devices, client(config, "gov-1") as peer:
            answer = await peer.write_register(0, 7, device_id=1)
            assert answer.exception_code == 1
            assert len(devices.audit.violations) == 1
            assert "06 00 00 00 07" in devices.audit.violations[0]

    asyncio.run(run())


def test_requests_may_come_in_pieces_or_glued(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config):
            place = config.settings.device[0]
            reader, writer = await asyncio.open_connection(place.host, place.port)
            request = bytes.fromhex("000100000006010300040001")
            writer.write(request[:5])
            await writer.drain()
            await asyncio.sleep(0.01)
            writer.write(request[5:] + request)
            # One answer each: 2026 = 0x07EA.
            async with asyncio.timeout(HANG_S):
                assert await reader.readexactly(22) == bytes.fromhex("00010000000501030207ea") * 2
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())


@given(st.lists(st.binary(max_size=30), max_size=8))
def test_no_bytes_break_the_framers(parts: list[bytes]) -> None:
    tcp, rtu = TcpFramer(), RtuFramer()
    for part in parts:
        rtu.feed(part)
        if tcp.feed(part) is None:
            break


@given(st.binary(max_size=20), st.integers(1, 247), st.integers(1, 4), st.integers(0, 65535), st.integers(1, 125))
def test_an_rtu_request_is_found_behind_noise(
    noise: bytes, unit_id: int, function: int, address: int, count: int
) -> None:
    body = bytes((unit_id, function)) + address.to_bytes(2, "big") + count.to_bytes(2, "big")
    framer = RtuFramer()
    found = framer.feed(noise + body + crc16(body) + bytes(260))
    assert found is not None
    assert (b"", unit_id, body[1:]) in found
