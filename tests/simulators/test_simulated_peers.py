# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of others at our devices: libmodbus (by mbpoll) as a client, Wireshark's dissectors as a referee."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from collector.points.agent_config import AgentConfig, load_agent
from simulators.faces import iec104
from simulators.faces.modbus import crc16
from simulators.faults.faults import Fault
from simulators.run.devices import Devices, serve
from tests.patience import HANG_S
from tests.simulators.served_config import make_config, what_arrives

MBPOLL, TSHARK = shutil.which("mbpoll"), shutil.which("tshark")
needs_mbpoll = pytest.mark.skipif(MBPOLL is None, reason="mbpoll (libmodbus) is not installed")
needs_tshark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    return make_config(tmp_path)


async def poll(*arguments: str, timeout_s: float = 10.0) -> str:
    """What mbpoll prints of one poll, errors included; 10 s is the longest it waits for an answer."""
    assert MBPOLL
    process = await asyncio.create_subprocess_exec(
        MBPOLL,
        "-1",
        "-0",
        "-o",
        str(timeout_s),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(HANG_S):
        out, _ = await process.communicate()
    return out.decode()


def values(printed: str) -> list[str]:
    return re.findall(r"(?m)^\[\d+\]:\s+(\S+)", printed)


@needs_mbpoll
def test_libmodbus_reads_registers_and_bits_over_tcp(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices:
            devices.board.show("U1", "active_power_mw", "380.125")
            devices.board.show("U1", "frequency_hz", "50.012")
            devices.board.show("U1", "agc_in_service", 1)
            place = config.settings.device[0]
            tcp = ["-m", "tcp", "-p", str(place.port)]
            assert values(await poll(*tcp, "-t", "4", "-r", "2", place.host)) == ["50012"]
            assert values(await poll(*tcp, "-t", "4:float", "-r", "0", place.host)) == ["380.125"]
            assert values(await poll(*tcp, "-t", "1", "-r", "7", place.host)) == ["1"]
            assert values(await poll(*tcp, "-t", "3:int", "-B", "-r", "0", place.host)) == ["0"]

    asyncio.run(run())


@needs_mbpoll
@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("exception", 1, "Illegal function"), ("exception", 2, "Illegal data address"),
        ("exception", 6, "Slave device or server is busy"), ("exception", 11, "Target device failed to respond"),
        ("silence", 0, "timed out"), ("half_open", 0, "timed out"), ("refuse", 0, "Connection refused"),
        ("truncate", 9, "timed out"), ("reset", 0, "reset by peer"), ("garbage", 0, "failed"),
    ],
)  # fmt: skip
def test_libmodbus_sees_the_fault(config: AgentConfig, kind: str, value: int, message: str) -> None:
    async def run() -> None:
        async with serve(config) as devices:
            place = config.settings.device[0]
            ask = ["-m", "tcp", "-p", str(place.port), "-t", "4", "-r", "4", place.host]
            assert values(await poll(*ask)) == ["2026"]
            devices.faults.switch_on(Fault("gov-1", kind, value))
            printed = await poll(*ask, timeout_s=0.3 if message == "timed out" else 10.0)
            assert message in printed, printed
            assert not values(printed)
            devices.faults.switch_off("gov-1", kind)
            assert values(await poll(*ask)) == ["2026"]

    asyncio.run(run())


@needs_mbpoll
def test_libmodbus_reads_a_slave_on_a_pseudo_terminal(tmp_path: Path) -> None:
    (tmp_path / "meter.csv").write_text(
        "name,quantity,area,type,address,raw_unit\nq,reactive_power_mvar,input,int16,0,Mvar\n", "utf-8"
    )
    (tmp_path / "agent.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n[[unit]]\nid = "U1"\nplant = "P"\n[[device]]\nid = "m"\n'
        'protocol = "modbus_rtu"\npoints = "meter.csv"\nserial = "tty"\nunit = "U1"\nslave = 9\n',
        "utf-8",
    )

    async def run() -> None:
        async with serve(load_agent(tmp_path / "agent.toml")) as devices:
            devices.board.show("U1", "reactive_power_mvar", 12)
            # Parity none: a pseudo terminal has none, and libmodbus insists on what it asks for.
            ask = ["-m", "rtu", "-a", "9", "-P", "none", "-t", "3", "-r", "0", str(tmp_path / "tty")]
            assert values(await poll(*ask)) == ["12"]
            devices.faults.switch_on(Fault("m", "checksum"))
            assert "CRC" in await poll(*ask)

    asyncio.run(run())


def write_pcap(path: Path, packets: Iterable[tuple[bool, bytes]], port: int) -> None:
    """A capture of one TCP connection without its handshake: (from the client, payload); raw IPv4 (link type 101)."""
    sequence = {True: 1, False: 1}
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for number, (ours, data) in enumerate(packets):
            ports = (50_000, port) if ours else (port, 50_000)
            tcp = struct.pack(">HHIIBBHHH", *ports, sequence[ours], sequence[not ours], 0x50, 0x18, 65535, 0, 0) + data
            sequence[ours] += len(data)
            hosts = [socket.inet_aton(host) for host in ("127.0.0.1", "127.0.0.2")]
            ends = hosts if ours else hosts[::-1]
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), number, 0, 64, 6, 0, *ends) + tcp
            file.write(struct.pack("<IIII", number, 0, len(ip), len(ip)) + ip)


def dissect(path: Path, *arguments: str) -> list[str]:
    """A line per packet: what tshark calls it; malformed ones say so."""
    assert TSHARK
    command = [
        TSHARK,
        "-n",
        "-r",
        str(path),
        *arguments,
        "-T",
        "fields",
        "-e",
        "_ws.col.Protocol",
        "-e",
        "_ws.col.Info",
    ]
    command += ["-e", "_ws.malformed", "-e", "_ws.expert.message"]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=True).stdout.splitlines()


async def talk(host: str, port: int, requests: list[bytes]) -> list[tuple[bool, bytes]]:
    """Each request and what came back soon."""
    reader, writer = await asyncio.open_connection(host, port)
    seen: list[tuple[bool, bytes]] = []
    for request in requests:
        writer.write(request)
        seen.append((True, request))
        data, _ = await what_arrives(reader)
        seen.append((False, data))
    writer.close()
    return seen


def show_everything(devices: Devices) -> None:
    for unit in ("U1", "U2"):
        for name, value in (
            ("active_power_mw", "380.125"), ("reactive_power_mvar", "-12.5"), ("bus_voltage_kv", "512.5"),
            ("energy_export_mwh", "100"), ("on_grid", 1), ("avc_target_kv", 515),
        ):  # fmt: skip
            devices.board.show(unit, name, value)


@needs_tshark
def test_wireshark_finds_no_malformed_frame_of_a_station(config: AgentConfig, tmp_path: Path) -> None:
    async def run() -> list[tuple[bool, bytes]]:
        async with serve(config) as devices:
            show_everything(devices)
            devices.stations["station"].restart()
            place = next(d for d in config.settings.device if d.id == "station")
            asks = [bytes.fromhex(f"{kind}010600ffff000000{order}") for kind, order in (("64", "14"), ("65", "05"))]
            seen = await talk(place.host, place.port or 0, [iec104.encode_u(iec104.STARTDT_ACT), iec104.encode_s(2)])
            interrogated = [iec104.encode_u(iec104.STARTDT_ACT), iec104.encode_i(0, 0, asks[0])]
            return seen + await talk(place.host, place.port or 0, [*interrogated, iec104.encode_i(1, 7, asks[1])])

    packets = asyncio.run(run())
    write_pcap(tmp_path / "104.pcap", packets, 2404)
    lines = dissect(tmp_path / "104.pcap")
    text = "\n".join(lines)
    assert "Malformed" not in text
    for type_name in ("M_EI_NA_1", "C_IC_NA_1", "M_SP_NA_1", "M_ME_NC_1", "M_ME_NB_1", "C_CI_NA_1", "M_IT_TB_1"):
        assert type_name in text, text


@needs_tshark
def test_wireshark_finds_no_malformed_frame_of_modbus(config: AgentConfig, tmp_path: Path) -> None:
    reads = [bytes.fromhex(pdu) for pdu in ("0300000005", "0400000004", "0200070001", "0100000001", "0300630001")]

    async def run() -> tuple[list[tuple[bool, bytes]], list[tuple[bool, bytes]]]:
        async with serve(config) as devices:
            show_everything(devices)
            tcp, meter = config.settings.device[0], next(d for d in config.settings.device if d.id == "meter")
            over_tcp = [bytes((0, n, 0, 0, 0, 6, 1)) + pdu for n, pdu in enumerate(reads)]
            rtu = [bytes((17,)) + pdu + crc16(bytes((17,)) + pdu) for pdu in reads]
            return await talk(tcp.host, tcp.port or 0, over_tcp), await talk(meter.host, meter.port or 0, rtu)

    for name, packets, how in zip(("Modbus/TCP", "Modbus RTU"), asyncio.run(run()), ("mbtcp", "mbrtu"), strict=True):
        assert len(packets) == 10
        write_pcap(tmp_path / "m.pcap", packets, 1502)
        lines = dissect(tmp_path / "m.pcap", "-d", f"tcp.port==1502,{how}")
        assert all(line.startswith(name) for line in lines), lines
        assert "Malformed" not in "\n".join(lines)
        assert "Illegal data address" in lines[-1] or "Exception" in lines[-1]
