# SPDX-License-Identifier: GPL-3.0-or-later
"""The devices that both gateways poll: Modbus TCP slaves of 50 values, each block read numbered.

A device has an address of loopback of its own and four units, as a plant's controller has. Every value is an int32,
high word first. The energy of each unit is the number of the read, 1 for the first since the start, so that what
arrives says which read it came from; the other values walk as a plant's do, the same in every run.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import struct
import time
from multiprocessing.connection import Connection
from typing import Final, cast

import uvloop

from collector.model.quantity import QUANTITIES, Quantity, QuantityKind

DEVICES: Final = 10
ENERGY: Final = "energy_export_mwh"
_ANALOG: Final = tuple(q for q in QUANTITIES if q.kind is QuantityKind.ANALOG)
_FULL: Final = QUANTITIES
_SHORT: Final = (*QUANTITIES[:7], QUANTITIES[-1])
UNITS: Final = (_FULL, _FULL, _FULL, _SHORT)
POINTS: Final[tuple[tuple[int, Quantity], ...]] = tuple((n, q) for n, each in enumerate(UNITS) for q in each)
REGISTERS: Final = 2 * len(POINTS)
_BEGINS: Final = {"bus_voltage_kv": 230_000, "frequency_hz": 50_000, "avc_target_kv": 231_000}  # thousandths
_DISTINCT: Final = 256  # blocks made; the reads go through them again and again
_HEAD: Final = 12  # MBAP, function, address, count


def host_of(device: int) -> str:
    """The loopback address of a device."""
    return f"127.0.1.{1 + device}"


def address_of(point: int) -> int:
    """The first of the two registers of a point."""
    return 2 * point


def blocks_of(device: int) -> list[list[int]]:
    """The values of the blocks of a device, thousandths of their units; statuses 0 or 1; energies 0."""
    dice = random.Random(device)
    values = [_first(quantity) for _, quantity in POINTS]
    blocks = []
    for _ in range(_DISTINCT):
        for number, (_, quantity) in enumerate(POINTS):
            if quantity.kind is QuantityKind.ANALOG:
                values[number] += dice.randint(-40, 40)
        blocks.append(list(values))
    return blocks


def _first(quantity: Quantity) -> int:
    if quantity.kind is QuantityKind.STATUS:
        return 1
    return 0 if quantity.name == ENERGY else _BEGINS.get(quantity.name, 100_000)


class Slave(asyncio.Protocol):
    """One connection to one of the devices. `reads`, `last_s`: of each device, shared with whoever looks."""

    def __init__(self, reads: list[int], last_s: list[float], blocks: list[list[list[int]]]) -> None:
        self._reads, self._last_s, self._blocks = reads, last_s, blocks
        self._data = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The address that was called says which device is meant."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not derived from it
        self._device = int(transport.get_extra_info("sockname")[0].rpartition(".")[2]) - 1

    def data_received(self, data: bytes) -> None:
        """Answer every whole request for the block; refuse any other."""
        self._data += data
        while len(self._data) >= _HEAD:
            request, self._data = self._data[:_HEAD], self._data[_HEAD:]
            if request[7:] != struct.pack(">BHH", 3, 0, REGISTERS):
                self._transport.write(request[:4] + struct.pack(">HBBB", 3, request[6], request[7] | 0x80, 2))
                continue
            self._reads[self._device] += 1
            self._last_s[self._device] = time.monotonic()
            body = self.block(self._device, self._reads[self._device])
            self._transport.write(request[:4] + struct.pack(">HBBB", 3 + len(body), request[6], 3, len(body)) + body)

    def block(self, device: int, read: int) -> bytes:
        """The registers of a read."""
        values = self._blocks[device][read % _DISTINCT]
        return struct.pack(
            f">{len(values)}i",
            *(read if q.name == ENERGY else value for value, (_, q) in zip(values, POINTS, strict=True)),
        )


def _serve(ready: Connection, reads: list[int], last_s: list[float]) -> None:
    async def body() -> None:
        blocks = [blocks_of(device) for device in range(DEVICES)]
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Slave(reads, last_s, blocks), "0.0.0.0", 0, backlog=256)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(body())


class Devices:
    """The running devices, in a process of their own."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._reads, self._last_s = (context.Array(kind, DEVICES, lock=False) for kind in "qd")
        here, there = context.Pipe()
        self._process = context.Process(target=_serve, args=(there, self._reads, self._last_s), daemon=True)
        self._process.start()
        self.port: int = here.recv()
        here.close()
        there.close()

    def answered(self) -> list[int]:
        """The reads of each device so far."""
        return list(self._reads)

    def are_read_since(self, since_s: float) -> bool:
        """True if every device has answered a read since then, monotonic."""
        return all(last_s > since_s for last_s in self._last_s)

    def stop(self) -> None:
        """The devices answer no more; their counts stay."""
        self._process.terminate()
        self._process.join()
