# SPDX-License-Identifier: GPL-3.0-or-later
"""Each fault as an independent client sees it, and the same again from the same seed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException

from collector.base.errors import CollectorError, ConfigError
from collector.model.interval import Interval, parse_time_ms
from collector.points.agent_config import AgentConfig, load_agent
from simulators.faces import iec104, modbus
from simulators.faults.faults import KINDS, Fault, Faults, kinds_of
from simulators.faults.file import FaultPlan, load_faults
from simulators.run.devices import Devices, serve
from simulators.run.replay import Playback, Recording
from simulators.run.simulation import Simulation, opened
from tests.patience import HANG_S, SILENCE_S
from tests.simulators.served_config import make_config, what_arrives

REQUEST = bytes.fromhex("000100000006010300040001")
ANSWER = bytes.fromhex("00010000000501030207ea")


@pytest.fixture
def config(tmp_path: Path) -> AgentConfig:
    return make_config(tmp_path)


async def raw_answer(config: AgentConfig, device: str = "gov-1", request: bytes = REQUEST) -> bytes:
    """What arrives soon after a request; b'reset' or b'refused' where the link breaks."""
    place = next(d for d in config.settings.device if d.id == device)
    try:
        reader, writer = await asyncio.open_connection(place.host, place.port)
    except ConnectionRefusedError:
        return b"refused"
    writer.write(request)
    try:
        data, closed = await what_arrives(reader)
        return b"reset" if closed else data
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


def garbled(data: bytes) -> bool:
    return len(data) == len(ANSWER) and data != ANSWER


@pytest.mark.parametrize(
    ("kind", "value", "seen"),
    [
        ("silence", 0, lambda data: data == b""),
        ("half_open", 0, lambda data: data == b""),
        ("delay", 30, lambda data: data == ANSWER),
        ("delay", 3_600_000, lambda data: data == b""),
        ("jitter", 20, lambda data: data == ANSWER),
        ("garbage", 0, garbled),
        ("garbage", 40, lambda data: len(data) == 40),
        ("truncate", 0, lambda data: data == ANSWER[:5]),
        ("truncate", 9, lambda data: data == ANSWER[:9]),
        ("glue", 0, lambda data: data == ANSWER + ANSWER),
        ("reset", 0, lambda data: data == b"reset"),
        ("refuse", 0, lambda data: data == b"refused"),
        ("mute", 4, lambda data: data == b""),
        ("mute", 5, lambda data: data == ANSWER),
        ("hang_up", 0, lambda data: data == b"reset"),
        ("own_number", 0x0A0B, lambda data: data == bytes.fromhex("0a0b") + ANSWER[2:]),
        ("exception", 6, lambda data: data == bytes.fromhex("000100000003018306")),
        ("register_shift", 1, lambda data: data[-2:] == bytes(2)),  # the neighbour's value: status word 0
        ("register_shift", -1, lambda data: data[-2:] == bytes(2)),
    ],
)
def test_a_modbus_device_misbehaves_and_recovers(
    config: AgentConfig, kind: str, value: int, seen: Callable[[bytes], bool]
) -> None:
    async def run() -> None:
        async with serve(config) as devices:
            assert await raw_answer(config) == ANSWER  # remembered: the short way must not survive the switch
            devices.faults.switch_on(Fault("gov-1", kind, value))
            data = await raw_answer(config)
            assert seen(data), data.hex(" ")
            devices.faults.switch_off("gov-1", kind)
            assert await raw_answer(config) == ANSWER

    asyncio.run(run())


@pytest.mark.parametrize("code", range(1, 12))
def test_an_independent_client_sees_each_exception_code(config: AgentConfig, code: int) -> None:
    async def run() -> None:
        async with serve(config) as devices:
            devices.faults.switch_on(Fault("gov-1", "exception", code))
            place = config.settings.device[0]
            peer = AsyncModbusTcpClient(place.host, port=place.port or 0, timeout=HANG_S, retries=0)
            await peer.connect()
            answer = await peer.read_holding_registers(0, count=1)
            assert answer.exception_code == code
            peer.close()

    asyncio.run(run())


def test_an_independent_client_rejects_a_wrong_checksum(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices:
            devices.faults.switch_on(Fault("meter", "checksum"))
            place = next(d for d in config.settings.device if d.id == "meter")
            peer = AsyncModbusTcpClient(
                place.host, port=place.port or 0, framer=FramerType.RTU, timeout=SILENCE_S, retries=0, reconnect_delay=0
            )
            await peer.connect()
            with pytest.raises(ModbusException):
                await peer.read_input_registers(0, count=2, device_id=17)
            peer.close()

    asyncio.run(run())


def test_an_adapter_echoes_the_request_before_the_answer(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices:
            body = bytes.fromhex("110400020002")
            request = body + modbus.crc16(body)
            answer = await raw_answer(config, "meter", request)
            devices.faults.switch_on(Fault("meter", "echo"))
            assert await raw_answer(config, "meter", request) == request + answer

    asyncio.run(run())


def test_words_are_swapped_and_values_frozen_until_the_fault_ends(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices:
            read = bytes.fromhex("000100000006010300000002")
            devices.board.show("U1", "active_power_mw", "380.125")
            true = (await raw_answer(config, request=read))[-4:]
            assert true == bytes.fromhex("100043be")
            devices.faults.switch_on(Fault("gov-1", "swap_words"))
            assert (await raw_answer(config, request=read))[-4:] == bytes.fromhex("43be1000")
            devices.faults.switch_off("gov-1", "swap_words")
            devices.faults.switch_on(Fault("gov-1", "frozen"))
            devices.board.show("U1", "active_power_mw", "100")
            assert (await raw_answer(config, request=read))[-4:] == true
            devices.faults.switch_off("gov-1", "frozen")
            assert (await raw_answer(config, request=read))[-4:] == bytes.fromhex("000042c8")

    asyncio.run(run())


def test_an_independent_client_sees_values_that_are_wrong_but_well_formed(config: AgentConfig) -> None:
    """Swapped words, frozen values, a map shifted by one register; jitter and a doubled answer do it no harm."""

    async def run() -> None:
        place = config.settings.device[0]
        async with serve(config) as devices:
            peer = AsyncModbusTcpClient(place.host, port=place.port or 0, timeout=HANG_S, retries=0)
            await peer.connect()

            async def power_mw() -> object:
                words = (await peer.read_holding_registers(0, count=2)).registers
                return peer.convert_from_registers(words, peer.DATATYPE.FLOAT32, word_order="little")

            async def version() -> int:
                return int((await peer.read_holding_registers(4, count=1)).registers[0])

            devices.board.show("U1", "active_power_mw", "380.125")
            assert await power_mw() == 380.125
            devices.faults.switch_on(Fault("gov-1", "swap_words"))
            assert await power_mw() != 380.125
            devices.faults.switch_off("gov-1", "swap_words")
            devices.faults.switch_on(Fault("gov-1", "frozen"))
            devices.board.show("U1", "active_power_mw", "100")
            assert await power_mw() == 380.125
            devices.faults.switch_off("gov-1", "frozen")
            assert await power_mw() == 100
            assert await version() == 2026
            devices.faults.switch_on(Fault("gov-1", "register_shift", 1))
            assert await version() != 2026
            devices.faults.switch_off("gov-1", "register_shift")
            for kind, value in (("jitter", 30), ("delay", 30), ("glue", 0)):
                devices.faults.switch_on(Fault("gov-1", kind, value))
                assert await version() == 2026
                devices.faults.switch_off("gov-1", kind)
            peer.close()
            devices.faults.switch_on(Fault("gov-1", "delay", 3_600_000))
            peer = AsyncModbusTcpClient(
                place.host, port=place.port or 0, timeout=SILENCE_S, retries=0, reconnect_delay=0
            )
            await peer.connect()
            with pytest.raises(ModbusException):
                await version()
            peer.close()

    asyncio.run(run())


async def station_frames(config: AgentConfig, devices: Devices, *, interrogate: bool = False) -> list[bytes]:
    """What a station sends for one change of its breaker (or an interrogation of common address 2)."""
    ask = iec104.encode_i(0, 0, bytes.fromhex("640106000200000000 14"))
    place = next(d for d in config.settings.device if d.id == "station")
    reader, writer = await asyncio.open_connection(place.host, place.port)
    writer.write(iec104.encode_u(iec104.STARTDT_ACT) + (ask if interrogate else b""))
    confirmed = await reader.readexactly(6)
    assert confirmed == iec104.encode_u(iec104.STARTDT_CON)
    if not interrogate:
        signal = devices.board.signal("U1", "on_grid")
        signal.set(1 - (signal.value or 0), parse_time_ms("2026-03-01T12:30:00+08:00"))
    data, _ = await what_arrives(reader)
    writer.close()
    frames = []
    while data:
        frames.append(data[2 : data[1] + 2])
        data = data[data[1] + 2 :]
    return frames


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        ("frozen", lambda frames: frames == []),
        ("sequence", lambda frames: frames[0][:2] == b"\x02\x00"),
        ("invalid", lambda frames: frames[0][13] & iec104.IV),
        ("summer_time", lambda frames: frames[0][17] == 12 | 0x80),
        ("clock_hour", lambda frames: frames[0][17] == 13),
        ("invalid_time", lambda frames: frames[0][16] == 30 | 0x80),
    ],
)
def test_a_station_misbehaves(config: AgentConfig, kind: str, check: Callable[[list[bytes]], object]) -> None:
    async def run() -> None:
        async with serve(config) as devices:
            right = (await station_frames(config, devices))[0]
            assert (right[:2], right[13] & iec104.IV, right[17]) == (b"\x00\x00", 0, 12)
            devices.faults.switch_on(Fault("station", kind))
            frames = await station_frames(config, devices)
            assert check(frames), [frame.hex(" ") for frame in frames]

    asyncio.run(run())


def test_an_interrogation_may_lack_its_end(config: AgentConfig) -> None:
    async def run() -> None:
        async with serve(config) as devices:
            whole = await station_frames(config, devices, interrogate=True)
            assert whole[-1][6] == iec104.ACTIVATION_TERM
            devices.faults.switch_on(Fault("station", "no_termination"))
            assert len(await station_frames(config, devices, interrogate=True)) == len(whole) - 1

    asyncio.run(run())


def test_the_same_seed_spoils_the_same_answers() -> None:
    def strikes(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.switch_on(Fault("d", "silence", probability=0.3))
        return [faults.hit("d", "silence") is not None for _ in range(200)]

    assert strikes(7) == strikes(7) != strikes(8)
    assert 30 < sum(strikes(7)) < 90


def test_a_fault_that_does_not_exist_is_refused() -> None:
    with pytest.raises(CollectorError, match="no such fault 'sulking'"):
        Fault("d", "sulking")
    assert len(KINDS) >= 19


@pytest.mark.parametrize("device", ["gov-1", "meter", "station"])
def test_every_kind_is_switched_from_a_file_and_from_the_control_socket(
    config: AgentConfig, tmp_path: Path, device: str
) -> None:
    protocol = next(d.protocol for d in config.settings.device if d.id == device)
    file = tmp_path / "faults.toml"
    file.write_text("".join(f'[[fault]]\ndevice = "{device}"\nkind = "{kind}"\n' for kind in kinds_of(protocol)))
    span = Interval(0, 10)

    async def run() -> None:
        devices = Devices(config)
        played = Playback(Recording((), (), ((0, "U1", ()),), {"U1": (span,)}), devices.board)
        simulation = Simulation(config, devices, played, span, "2026-03")
        async with opened(simulation, time_listen="127.0.0.1:0", control_listen="127.0.0.1:0"):
            simulation.plan_faults(load_faults(file, frozenset(simulation.devices.requests())))
            assert {fault.kind for fault in devices.faults.active()} == set(kinds_of(protocol))
            reader, writer = await asyncio.open_connection("127.0.0.1", simulation.control_port)
            for kind in KINDS:
                answers = []
                for verb in ("clear", "fault"):
                    writer.write(json.dumps({"do": verb, "device": device, "kind": kind}).encode() + b"\n")
                    answers.append(json.loads(await reader.readline()))
                if kind in kinds_of(protocol):
                    assert answers == [{"off": True}, {"on": True}]
                    writer.write(json.dumps({"do": "status"}).encode() + b"\n")
                    assert f"{device} {kind} 0" in json.loads(await reader.readline())["faults"]
                else:
                    assert f"no {kind} in {protocol}" in answers[1]["error"]
            writer.close()
            await writer.wait_closed()

    asyncio.run(run())


def test_a_restarted_meter_counts_from_0_and_a_full_one_rolls_over_before_an_independent_client(
    config: AgentConfig,
) -> None:
    place = next(d for d in config.settings.device if d.id == "meter")

    async def energy_kwh() -> int:
        peer = AsyncModbusTcpClient(place.host, port=place.port or 0, framer=FramerType.RTU, timeout=HANG_S, retries=0)
        await peer.connect()
        registers = (await peer.read_input_registers(2, count=2, device_id=17)).registers
        peer.close()
        return int(str(peer.convert_from_registers(registers, peer.DATATYPE.UINT32)))

    async def run() -> list[int]:
        seen = []
        async with serve(config) as devices:
            for kind, value, mwh in (
                ("", 0, "100"),
                ("restart", 0, "100.5"),
                ("roll_over", 3, "100.5"),
                ("", 0, "100.51"),
            ):
                if kind:
                    devices.faults.switch_on(Fault("meter", kind, value))
                    await asyncio.sleep(0.01)
                devices.board.show("U1", "energy_export_mwh", mwh)
                seen.append(await energy_kwh())
        return seen

    assert asyncio.run(run()) == [100_000, 500, 2**32 - 3, 7]


def test_planned_faults_come_and_go_with_simulated_time(config: AgentConfig, tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(
        '[[fault]]\ndevice = "gov-1"\nkind = "silence"\nstart = "2026-03-01T08:00:00+08:00"\n'
        'end = "2026-03-01T09:00:00+08:00"\n[[fault]]\ndevice = "meter"\nkind = "delay"\nvalue = 20\n',
        "utf-8",
    )
    faults = Faults()
    plan = FaultPlan(load_faults(file, frozenset({"gov-1", "meter"})), faults)
    eight = parse_time_ms("2026-03-01T08:00:00+08:00")
    seen = []
    for time in (eight - 1, eight, eight + 3_599_999, eight + 3_600_000):
        plan.advance(time)
        seen.append(sorted(fault.kind for fault in faults.active()))
    assert seen == [["delay"], ["delay", "silence"], ["delay", "silence"], ["delay"]]
    assert load_agent(config.directory / "agent.toml").settings.device[0].id == "gov-1"


def test_a_faults_file_with_mistakes_names_all_of_them(tmp_path: Path) -> None:
    file = tmp_path / "faults.toml"
    file.write_text(
        '[[fault]]\ndevice = "nobody"\nkind = "silence"\n[[fault]]\ndevice = "d"\nkind = "sulking"\n'
        '[[fault]]\ndevice = "d"\nkind = "silence"\nstart = "2026-03-01T08:00:00"\n',
        "utf-8",
    )
    with pytest.raises(ConfigError) as caught:
        load_faults(file, frozenset({"d"}))
    assert [p.key for p in caught.value.problems] == ["fault[1].device", "fault[2]", "fault[3]"]
