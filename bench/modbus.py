# SPDX-License-Identifier: GPL-3.0-or-later
"""Modbus polling: blocks over 50 links, into records with quality, against pymodbus called bare.

Three times: 14 points in 50 registers, as many as a generating unit has quantities; 25, which fill 50 registers; and
50, which fill 100 and are four units (32-bit integers and floats, word orders mixed). Every block read becomes the
records of a tick. Both sides run on uvloop in this process, with the agent's settings of the collector of cycles,
against one server in a process of its own, in turns, and keep one request under way on every link. Counted in seconds
of this process on a core, so that what else the machine does matters little.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import statistics
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from multiprocessing.connection import Connection
from typing import ClassVar

import uvloop
from pymodbus.client import AsyncModbusTcpClient

from bench.figure import Figure
from collector.agent.app import look_for_cycles_rarely
from collector.agent.device.modbus.driver import ModbusDevice
from collector.agent.device.modbus.line import ModbusLine
from collector.agent.device.modbus.plan import RequestLimits, plan_reads
from collector.agent.record.recorder import Recorder
from collector.agent.record.sources import QuantitySource
from collector.base.clock import SystemClock
from collector.base.clock_state import ClockState
from collector.model.quantity import QUANTITIES, Quantity, QuantityKind
from collector.model.record import Quality
from collector.points import Point

_LINKS = 50
_BLOCKS = 100  # of each link in a round
_ROUNDS = 5
# By the number of points: registers of the first point, the second, …; the last two of the block are always among them.
_SPREAD: dict[int, list[int]] = {14: [*range(0, 24, 2), 36, 48], 25: list(range(0, 50, 2)), 50: list(range(0, 100, 2))}
_KINDS = (("int32", "ABCD"), ("float32", "CDAB"), ("uint32", "CDAB"), ("float32", "ABCD"))


def _number(quantity: Quantity) -> int:
    """A plausible value in the unit of its table."""
    if quantity.kind is QuantityKind.STATUS:
        return 1
    return 50 if quantity.unit == "Hz" else 251


def block_bytes(count: int) -> bytes:
    """The registers of a block of so many points."""
    words = [bytes(4)] * (registers_of(count) // 2)
    for index, address in enumerate(_SPREAD[count]):
        kind, order = _KINDS[address // 2 % 4]
        value = _number(_quantity(index))
        word = struct.pack(">f" if kind == "float32" else ">i", value)
        words[address // 2] = word if order == "ABCD" else word[2:] + word[:2]
    return b"".join(words)


def registers_of(count: int) -> int:
    """How many registers a block of so many points has."""
    return _SPREAD[count][-1] + 2


def _quantity(index: int) -> Quantity:
    return QUANTITIES[index % len(QUANTITIES)]


class _Slave(asyncio.Protocol):
    """Answers every request at once; the slave asked for says with how many points."""

    _DATA: ClassVar[dict[int, bytes]] = {count: block_bytes(count) for count in _SPREAD}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """One request at a time."""
        registers = self._DATA[data[6]]
        reply = data[:4] + struct.pack(">HBBB", 3 + len(registers), data[6], 3, len(registers)) + registers
        self._transport.write(reply)  # type: ignore[attr-defined]


def _serve(ready: Connection) -> None:
    async def body() -> None:
        server = await asyncio.get_running_loop().create_server(_Slave, "127.0.0.1", 0)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(body())


def points_of(count: int) -> tuple[Point, ...]:
    """The points of such a block: four units, or one."""
    points = []
    for index, address in enumerate(_SPREAD[count]):
        (kind, order), quantity = _KINDS[address // 2 % 4], _quantity(index)
        points.append(
            Point(
                file="bench", row=index, name=f"p{index}", description="", device="",
                unit=f"U{index // len(QUANTITIES)}", quantity=quantity.name, area="holding", type=kind,
                address=address, common_address=None, bit=None, order=order, scale=Fraction(1), offset=Fraction(0),
                raw_unit=quantity.unit, sign=1, low=None, high=None, deadband=None, period_s=None, backup=False,
                guard="", no_value=(),
            )
        )  # fmt: skip
    return tuple(points)


async def _side_by_side(reads: list[Callable[[], Awaitable[None]]]) -> float:
    """CPU seconds for `_BLOCKS` reads of each."""

    async def many(read: Callable[[], Awaitable[None]]) -> None:
        for _ in range(_BLOCKS):
            await read()

    start = time.process_time()
    await asyncio.gather(*(many(read) for read in reads))
    return time.process_time() - start


def _device(port: int, count: int, number: int) -> ModbusDevice:
    line = ModbusLine(f"l{number}", host="127.0.0.1", port=port)
    return ModbusDevice(
        f"d{number}", line, points_of(count), SystemClock(), slave=count, timeout_s=5.0,
        limits=RequestLimits(max_gap=12),
    )  # fmt: skip


def _reading(device: ModbusDevice, points: tuple[Point, ...]) -> Callable[[], Awaitable[None]]:
    """Reads the block and makes the records of a tick."""
    recorder = Recorder([QuantitySource(p, p.unit, 3000) for p in points], period_ms=1000, last={})
    tick_ms = 0

    async def read() -> None:
        nonlocal tick_ms
        answer = await device.read(points, budget_s=5.0)
        recorder.feed(answer.readings)
        tick_ms = max(tick_ms + 1, answer.time_utc_ms)
        records, _ = recorder.record(tick_ms, ClockState.SYNCHRONISED)
        assert records[0].qualities[0] is Quality.GOOD

    return read


async def _compare(port: int, count: int) -> tuple[float, float]:
    """Blocks per second: ours and bare, medians of the rounds."""
    clients = [AsyncModbusTcpClient("127.0.0.1", port=port) for _ in range(_LINKS)]
    points, registers = points_of(count), registers_of(count)
    devices = [_device(port, count, number) for number in range(_LINKS)]
    for client, device in zip(clients, devices, strict=True):
        await client.connect()
        await device.open()
        answer = await device.read(points, budget_s=5.0)
        assert len(answer.readings) == count
        assert all(r.quality is Quality.GOOD for r in answer.readings)
        assert len(plan_reads(points, RequestLimits(max_gap=12))) == 1

    def bare(client: AsyncModbusTcpClient) -> Callable[[], Awaitable[None]]:
        async def read() -> None:
            answer = await client.read_holding_registers(0, count=registers, device_id=count)
            assert len(answer.registers) == registers

        return read

    seconds: dict[str, list[float]] = {"bare": [], "ours": []}
    for _ in range(_ROUNDS):
        seconds["bare"].append(await _side_by_side([bare(client) for client in clients]))
        seconds["ours"].append(await _side_by_side([_reading(device, points) for device in devices]))
    for client, device in zip(clients, devices, strict=True):
        client.close()
        await device.close()
    done = _LINKS * _BLOCKS
    return done / statistics.median(seconds["ours"]), done / statistics.median(seconds["bare"])


@contextmanager
def serve_blocks() -> Iterator[int]:
    """The server in a process of its own; gives its port."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    server = context.Process(target=_serve, args=(there,), daemon=True)
    server.start()
    try:
        yield here.recv()
    finally:
        server.terminate()
        server.join()
        here.close()
        there.close()


def one_link_s(port: int, count: int, blocks: int) -> float:
    """CPU seconds of this process to read so many blocks over one link and make records of them."""
    look_for_cycles_rarely()

    async def read_all() -> float:
        device, points = _device(port, count, 0), points_of(count)
        await device.open()
        read = _reading(device, points)
        await read()
        begun_s = time.process_time()
        for _ in range(blocks):
            await read()
        taken_s = time.process_time() - begun_s
        await device.close()
        return taken_s

    return uvloop.run(read_all())


def measure() -> list[Figure]:
    """Blocks per second, and what of them is left of the library's own speed."""
    look_for_cycles_rarely()
    with serve_blocks() as port:
        speeds = {count: uvloop.run(_compare(port, count)) for count in _SPREAD}
    return [
        Figure(
            f"modbus_blocks_{count}_points", ours, "blocks/core s", "pymodbus + uvloop bare", bare, 0.85, of_ratio=True,
            at_most=False,
        )
        for count, (ours, bare) in speeds.items()
    ]  # fmt: skip
