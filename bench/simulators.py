# SPDX-License-Identifier: GPL-3.0-or-later
"""300 simulated devices with 20 000 points, polled every second, from one process held on one core.

230 Modbus TCP devices of 70 points, 40 IEC 104 stations of 84 (general and counter interrogation every second, and
what changes comes by itself), 30 DL/T 645 meters of 18. Five quantities of every unit move every second meanwhile.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

import uvloop

from bench.figure import Figure
from collector.model.quantity import QUANTITIES, QuantityKind
from collector.points.agent_config import DeviceConfig, load_agent
from simulators.faces import dlt645, iec104
from simulators.plant.scenario import free_ports
from simulators.run.devices import Devices

_MODBUS, _STATIONS, _METERS = 230, 40, 30
_ROUNDS: Final = 10
_PERIOD_S: Final = 1.0
_MOVING: Final = ("active_power_mw", "reactive_power_mvar", "bus_voltage_kv", "frequency_hz", "energy_export_mwh")
_REGISTERS: Final = 75  # five units: six float32, a counter of two registers, a word of statuses


def _modbus_table(units: list[str]) -> str:
    lines, address = ["name,unit,quantity,area,type,address,bit,raw_unit"], 0
    for unit in units:
        bits = [q.name for q in QUANTITIES if q.kind is QuantityKind.STATUS]
        for quantity in QUANTITIES:
            if quantity.kind is not QuantityKind.STATUS:
                kind = "uint32" if quantity.kind is QuantityKind.COUNTER else "float32"
                lines.append(f"{unit}{quantity.name},{unit},{quantity.name},holding,{kind},{address},,{quantity.unit}")
                address += 2
        lines += [f"{unit}{name},{unit},{name},holding,bit,{address},{bit}," for bit, name in enumerate(bits)]
        address += 1
    return "\n".join(lines) + "\n"


def _station_table(units: list[str]) -> str:
    lines, address = ["name,unit,quantity,area,type,address,raw_unit"], 1
    for unit in units:
        for quantity in QUANTITIES:
            area = {QuantityKind.STATUS: "30,bit", QuantityKind.COUNTER: "37,float32"}.get(quantity.kind, "36,float32")
            lines.append(f"{unit}{quantity.name},{unit},{quantity.name},{area},{address},{quantity.unit}")
            address += 1
    return "\n".join(lines) + "\n"


def _meter_table(units: list[str]) -> str:
    rows = ["name,unit,quantity,address,scale,raw_unit"]
    kinds = (
        ("energy_export_mwh", 0x00010000, "kWh"),
        ("bus_voltage_kv", 0x02010100, "V"),
        ("active_power_mw", 0x02030000, "kW"),
        ("reactive_power_mvar", 0x02040000, "kvar"),
    )
    for number, unit in enumerate(units):
        for quantity, identifier, raw in kinds if number < 4 else kinds[2:]:
            rows.append(f"{unit}{quantity},{unit},{quantity},{identifier + (number << 8):08X},100000,{raw}")
    return "\n".join(rows) + "\n"


def write_world(folder: Path) -> Path:
    """agent.toml and the point tables of all devices."""
    ports, parts, units = free_ports(_MODBUS + _STATIONS + _METERS), [], []
    groups: tuple[tuple[int, str, int, Callable[[list[str]], str]], ...] = (
        (_MODBUS, 'protocol = "modbus_tcp"', 5, _modbus_table),
        (_STATIONS, 'protocol = "iec104"\ncommon_addresses = [1]', 6, _station_table),
        (_METERS, 'protocol = "dlt645_over_tcp"\naddress = "000000000001"', 5, _meter_table),
    )
    number = 0
    for count, lines, per_device, table in groups:
        for _ in range(count):
            own = [f"u{number}-{part}" for part in range(per_device)]
            (folder / f"d{number}.csv").write_text(table(own), "utf-8")
            parts.append(
                f'[[device]]\nid = "d{number}"\n{lines}\nunit = "{own[0]}"\npoints = "d{number}.csv"\n'
                f'host = "127.0.0.1"\nport = {ports[number]}\n'
            )
            units += own
            number += 1
    head = 'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n'
    head += "".join(f'[[unit]]\nid = "{unit}"\nplant = "P"\n' for unit in units)
    (folder / "agent.toml").write_text(head + "".join(parts), "utf-8")
    return folder / "agent.toml"


def _process(agent_file: str, pipe: Connection) -> None:
    """The simulators: one process, one core; after each word from `pipe` the CPU seconds so far."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(Path(agent_file), pipe))


async def _serve(agent_file: Path, pipe: Connection) -> None:
    config = load_agent(agent_file)
    devices = Devices(config, now_utc_ms=lambda: 1_772_300_000_000)
    await devices.open()
    signals = [devices.board.signal(unit.id, name) for unit in config.settings.unit for name in _MOVING]
    pipe.send((len(devices.members), sum(len(points) for points in config.points.values())))
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def answer() -> None:
        if pipe.recv() == "end":
            ended.set()
        usage = resource.getrusage(resource.RUSAGE_SELF)
        pipe.send((usage.ru_utime + usage.ru_stime, sum(devices.requests().values())))

    loop.add_reader(pipe.fileno(), answer)
    step = 0
    while not ended.is_set():
        step += 1
        for number, signal in enumerate(signals):
            signal.set(100_000 + 500 * step + number % 97, 1_772_300_000_000 + 1000 * step)
        await asyncio.sleep(_PERIOD_S)
    loop.remove_reader(pipe.fileno())
    await devices.close()


class _Client(asyncio.Protocol):
    """One poller: sends what one poll takes, knows when the answers are complete."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.done = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self.transport = transport  # type: ignore[assignment]

    async def poll(self) -> None:
        self.done.clear()
        self.ask()
        async with asyncio.timeout(10):
            await self.done.wait()

    def ask(self) -> None:
        raise NotImplementedError


class _Modbus(_Client):
    def __init__(self) -> None:
        super().__init__()
        self._missing = 0

    def ask(self) -> None:
        self._missing = 9 + 2 * _REGISTERS
        self.transport.write(bytes((0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, _REGISTERS)))

    def data_received(self, data: bytes) -> None:
        self._missing -= len(data)
        if self._missing == 0:
            self.done.set()


class _Station(_Client):
    def __init__(self) -> None:
        super().__init__()
        self._framer, self._sent, self._received, self._ends = iec104.ApduFramer(), 0, 0, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(iec104.encode_u(iec104.STARTDT_ACT))

    def ask(self) -> None:
        for asdu in ("64010600010000000014", "65010600010000000005"):
            self.transport.write(iec104.encode_i(self._sent % 32768, self._received % 32768, bytes.fromhex(asdu)))
            self._sent += 1
        self._ends = 2

    def data_received(self, data: bytes) -> None:
        for frame in self._framer.feed(data):
            if frame.kind == "I":
                self._received += 1
                self._ends -= frame.asdu[2] == iec104.ACTIVATION_TERM
        self.transport.write(iec104.encode_s(self._received % 32768))
        if self._ends == 0:
            self.done.set()


class _Meter(_Client):
    def __init__(self) -> None:
        super().__init__()
        self._framer, self._missing = dlt645.Framer(), 0

    def ask(self) -> None:
        self._missing = 4
        for block in (0x0001FF00, 0x0201FF00, 0x0203FF00, 0x0204FF00):
            address = dlt645.address_bytes("1")
            self.transport.write(dlt645.encode_frame(address, dlt645.READ, block.to_bytes(4, "little")))

    def data_received(self, data: bytes) -> None:
        self._missing -= sum(frame.control == 0x91 for frame in self._framer.feed(data))
        if self._missing == 0:
            self.done.set()


_CLIENTS: Final = {"modbus_tcp": _Modbus, "iec104": _Station, "dlt645_over_tcp": _Meter}


@dataclass(frozen=True, slots=True)
class Polled:
    """What was seen: `slowest_s` of all rounds from first request to last answer; `busy` of the one core."""

    devices: int
    points: int
    slowest_s: float
    busy: float
    cpu_per_request_us: float


async def _poll(places: list[DeviceConfig], pipe: Connection) -> tuple[float, float, float]:
    loop = asyncio.get_running_loop()
    clients = []
    for place in places:
        _, client = await loop.create_connection(_CLIENTS[place.protocol], place.host, place.port or 0)
        clients.append(client)
    for client in clients:
        await client.poll()  # the first poll of each is no measure: requests are learnt
    pipe.send("go")
    cpu_s, requests = pipe.recv()
    begun, slowest = time.perf_counter(), 0.0
    for number in range(_ROUNDS):
        await asyncio.sleep(max(0.0, begun + number * _PERIOD_S - time.perf_counter()))
        start = time.perf_counter()
        await asyncio.gather(*(client.poll() for client in clients))
        slowest = max(slowest, time.perf_counter() - start)
    await asyncio.sleep(max(0.0, begun + _ROUNDS * _PERIOD_S - time.perf_counter()))
    wall_s = time.perf_counter() - begun
    pipe.send("end")
    later_s, later = pipe.recv()
    for client in clients:
        client.transport.abort()
    return slowest, (later_s - cpu_s) / wall_s, (later_s - cpu_s) / (later - requests) * 1e6


def poll_everything() -> Polled:
    """Start the process, poll it for some seconds."""
    with tempfile.TemporaryDirectory() as folder:
        agent_file = write_world(Path(folder))
        ours, theirs = multiprocessing.get_context("spawn").Pipe()
        process = multiprocessing.get_context("spawn").Process(target=_process, args=(str(agent_file), theirs))
        process.start()
        theirs.close()
        try:
            devices, points = ours.recv()
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found = runner.run(_poll(load_agent(agent_file).settings.device, ours))
            process.join(20)
        finally:
            process.kill()
            process.join()
    return Polled(devices, points, *found)


def measure() -> list[Figure]:
    """How much of one core and of one second the polls take."""
    seen = poll_everything()
    assert (seen.devices, seen.points) == (300, 20_000), seen
    return [
        Figure.absolute("simulators_300_devices_core_busy", seen.busy, "cores", 1.0),
        Figure.absolute("simulators_300_devices_slowest_round", seen.slowest_s, "s", _PERIOD_S),
        Figure.absolute(
            "simulators_20000_points_cpu_per_point", seen.busy * _PERIOD_S / seen.points * 1e6, "us/point", 50.0
        ),
    ]  # fmt: skip
