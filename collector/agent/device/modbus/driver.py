# SPDX-License-Identifier: GPL-3.0-or-later
"""Modbus TCP, RTU and RTU over TCP, through pymodbus: functions 1 to 4 and no other.

A `ModbusLine` is one connection (a socket or a serial line) that several slaves may share; a `ModbusDevice` is one
slave on it. One request is under way at a time on a line.

pymodbus leaves checks to its caller: an exception reply is returned, not raised; the number of registers received is
not compared with the number requested; and nothing in an RTU reply tells a late answer to the last request from the
answer to this one. So lengths and function codes are checked here, and after a timeout or a cancelled request the
connection is closed, so that no late answer is read.

pymodbus would unpack registers one by one and format them for a debug line; for a full block that is more than half of
its time. So the replies of the four functions are registered as classes that keep their bytes, and a `BlockDecoder`
unpacks them all at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.framer import FramerType
from pymodbus.pdu import ModbusPDU

from collector.agent.device.contract import Answer, Reading, ReadingsByBlock, failed, suspect_where_shifted
from collector.agent.device.modbus.block import BlockDecoder
from collector.agent.device.modbus.plan import BIT_AREAS, Block, Limits, plan_reads
from collector.agent.device.registers import Guard
from collector.agent.device.serial import SerialLine
from collector.base.clock import Clock
from collector.base.errors import DeviceError, Garbled, Refused, Silent
from collector.base.tasks import heed_cancellation
from collector.model.record import Quality
from collector.points import Point

ILLEGAL_ADDRESS_CODES: Final = frozenset({2, 3})
_TARGET_SILENT_CODE: Final = 11
_EXCEPTIONS: Final = {
    1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "device failure", 5: "acknowledge",
    6: "device busy", 8: "memory parity error", 10: "gateway path unavailable", 11: "gateway target silent",
}  # fmt: skip


class _Late(Exception):  # noqa: N818 - never leaves this module
    """The answer did not come in time."""


class _Reply(ModbusPDU):
    """A reply as received: a byte count, then the data bytes."""

    rtu_byte_count_pos = 2
    exception_code = 0
    data = b""

    def __init__(self) -> None:
        """Take no arguments: pymodbus sets the slave's address later, and a reply has no other fields."""

    def __str__(self) -> str:
        """The class name only: pymodbus formats each reply it receives."""
        return type(self).__name__

    def decode(self, data: bytes) -> None:
        """Keep the data bytes; `BlockDecoder` decodes them."""
        self.data = data


class _Coils(_Reply):
    function_code = 1


class _Discrete(_Reply):
    function_code = 2


class _Holding(_Reply):
    function_code = 3


class _Input(_Reply):
    function_code = 4


_REPLIES: Final[dict[str, type[_Reply]]] = {
    "coil": _Coils, "discrete": _Discrete, "holding": _Holding, "input": _Input,
}  # fmt: skip


class ModbusLine:
    """One connection: `host` and `port`, or a serial line; `rtu` chooses the framing on a socket."""

    def __init__(
        self, name: str, *, host: str = "", port: int = 0, serial: SerialLine | None = None, rtu: bool = False
    ) -> None:
        self.name = name
        self._host, self._port, self._serial, self._rtu = host, port, serial, rtu
        self._client: ModbusBaseClient | None = None
        self._heard = False
        self._waits = False
        self._lock = asyncio.Lock()

    async def open(self, timeout_s: float) -> None:
        """Connect; no effect if the line is open.

        Raises:
            Silent: the host does not answer, or the serial line can't be opened.
        """
        if self._client is not None and self._client.connected:
            return
        self.drop()
        client = self._new_client()
        try:
            async with asyncio.timeout(timeout_s):
                connected = await client.connect()
        except TimeoutError as error:
            client.close()
            raise Silent(f"no connection within {timeout_s} s", subject=self.name) from error
        except asyncio.CancelledError:
            client.close()
            raise
        if not connected:
            client.close()
            raise Silent("no connection: refused, or no such line", subject=self.name)
        self._client = client

    def _new_client(self) -> ModbusBaseClient:
        rtu = self._rtu or self._serial is not None
        client = AsyncModbusTcpClient(
            self._host or "serial", port=self._port, framer=FramerType.RTU if rtu else FramerType.SOCKET,
            name=self.name, retries=0, reconnect_delay=0, trace_packet=self._trace, trace_connect=self._trace_connect,
            # Request timeouts are handled here, not a second time inside the library.
            timeout=None,  # type: ignore[arg-type]
        )  # fmt: skip
        for reply in _REPLIES.values():
            client.register(reply)
        if self._serial is not None:
            # pymodbus opens serial lines through pyserial, which a pty refuses at even parity: serialx opens it.
            client.ctx.call_create = self._serial.connector(lambda: client.ctx)  # type: ignore[arg-type,return-value,assignment]
        return client

    def _trace(self, sending: bool, data: bytes) -> bytes:
        self._heard = not sending
        return data

    def _trace_connect(self, connected: bool) -> None:
        """End the wait for an answer when the connection is lost; pymodbus would go on waiting."""
        if not connected:
            self._end_wait(ConnectionException("the connection was lost"))

    def _end_wait(self, error: Exception | type[Exception]) -> None:
        """End the wait for an answer, if any. Cheaper than a timeout per wait, which costs half as much as decoding."""
        if self._waits and self._client is not None:
            answer = self._client.ctx.response_future
            if not answer.done():
                answer.set_exception(error)

    def drop(self) -> None:
        """Close at once; a request under way is lost."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    async def request(self, slave: int, block: Block, timeout_s: float) -> bytes:
        """Read the registers of `block`, two bytes each, or its coils, one byte 0 or 1 each, in one exchange.

        Raises:
            Silent, Refused, Garbled: no answer, an exception reply, a wrong answer.
        """
        subject = f"{self.name} slave {slave} {block.area} {block.address}+{block.count}"
        async with self._lock:
            await self.open(timeout_s)
            assert self._client is not None
            self._heard = False
            late = asyncio.get_running_loop().call_later(timeout_s, self._end_wait, _Late)
            try:
                self._waits = True
                try:
                    reply = await _READS[block.area](self._client, block.address, block.count, slave)
                finally:
                    self._waits = False
                    late.cancel()
                heed_cancellation()
            except _Late as error:
                self.drop()
                if self._heard:
                    raise Garbled(f"bytes came, no valid frame within {timeout_s} s", subject=subject) from error
                raise Silent(f"no answer within {timeout_s} s", subject=subject) from error
            except ConnectionException as error:
                self.drop()
                raise Silent("the connection was lost", subject=subject) from error
            except ModbusException as error:
                self.drop()
                raise Garbled(str(error), subject=subject) from error
            except BaseException:
                self.drop()
                raise
            try:
                return _payload(reply, block, subject)
            except Garbled:
                self.drop()
                raise


def _payload(reply: ModbusPDU, block: Block, subject: str) -> bytes:
    expected = _REPLIES[block.area]
    if reply.isError():
        code = reply.exception_code
        if reply.function_code & 0x7F != expected.function_code:
            asked = f"asked {expected.function_code}"
            raise Garbled(f"error reply to function {reply.function_code & 0x7F}, {asked}", subject=subject)
        words = f"exception {code} ({_EXCEPTIONS.get(code, 'unknown')})"
        if code == _TARGET_SILENT_CODE:
            raise Silent(words, subject=subject)
        raise Refused(words, subject=subject, code=code)
    if not isinstance(reply, expected):
        raise Garbled(f"reply to function {reply.function_code}, asked {expected.function_code}", subject=subject)
    data = reply.data
    size = (block.count + 7) // 8 if block.area in BIT_AREAS else 2 * block.count
    if len(data) != size + 1 or data[0] != size:
        raise Garbled(f"{len(data) - 1} bytes came, counted {data[:1].hex()}h; asked {size}", subject=subject)
    if block.area in BIT_AREAS:
        return bytes(data[1 + i // 8] >> i % 8 & 1 for i in range(block.count))
    return data[1:]


async def _read_coils(client: ModbusBaseClient, address: int, count: int, slave: int) -> ModbusPDU:
    return await client.read_coils(address, count=count, device_id=slave)


async def _read_discrete(client: ModbusBaseClient, address: int, count: int, slave: int) -> ModbusPDU:
    return await client.read_discrete_inputs(address, count=count, device_id=slave)


async def _read_holding(client: ModbusBaseClient, address: int, count: int, slave: int) -> ModbusPDU:
    return await client.read_holding_registers(address, count=count, device_id=slave)


async def _read_input(client: ModbusBaseClient, address: int, count: int, slave: int) -> ModbusPDU:
    return await client.read_input_registers(address, count=count, device_id=slave)


_READS: Final = {"coil": _read_coils, "discrete": _read_discrete, "holding": _read_holding, "input": _read_input}


class ModbusDevice:
    """One slave. `retry_refused_s`: seconds until a point at a refused (illegal) address is read again."""

    def __init__(
        self, name: str, line: ModbusLine, points: tuple[Point, ...], clock: Clock, *, slave: int, timeout_s: float,
        limits: Limits, pause_s: float = 0.0, retry_refused_s: float = 600.0,
    ) -> None:  # fmt: skip
        self.name, self.points = name, points
        self._line, self._clock, self._slave = line, clock, slave
        self._timeout_s, self._limits, self._pause_s, self._retry_refused_s = (
            timeout_s,
            limits,
            pause_s,
            retry_refused_s,
        )
        self._guards: dict[str, Guard] = {p.name: Guard.parse(p.guard) for p in points if p.guard}
        # Keyed by `id()`: hashing a block would hash all its points.
        self._decoders: dict[int, tuple[Block, BlockDecoder]] = {}
        # Points at addresses the device refuses -> (real time of the next try in s, the refusal).
        self._refused: dict[str, tuple[float, Refused]] = {}
        self._plans: dict[int, tuple[Sequence[Point], tuple[Block, ...]]] = {}
        self._next_block = 0
        self._errors: list[DeviceError] = []

    async def open(self) -> None:
        """Connect the line; no effect if it is open. Raises `Silent`."""
        await self._line.open(self._timeout_s)

    async def close(self) -> None:
        """Close the line; another slave on it opens it again by itself."""
        self._line.drop()

    def collect(self) -> list[Reading]:
        """Always empty: a slave only answers requests."""
        return []

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        """Read as `Device.read` says. Points that did not fit into the budget are read first the next time."""
        loop = asyncio.get_running_loop()
        blocks = self._blocks(points, loop.time())
        first = self._next_block % len(blocks) if blocks else 0
        self._next_block = 0
        self._errors = []
        readings = ReadingsByBlock(others=self._left_alone(points))
        end = loop.time() + budget_s
        order = blocks[first:] + blocks[:first] if first else blocks
        for position, block in enumerate(order):
            if position and loop.time() >= end:
                self._next_block = (first + position) % len(blocks)
                late = Silent(f"not asked: the budget of {budget_s} s was used up", subject=self.name)
                readings.others.extend(self._failed(order[position:], late))
                break
            try:
                await self._read_block(block, readings)
            except Silent as error:
                # One missing answer costs one timeout, not one for each request.
                readings.others.extend(self._failed(order[position:], error))
                break
        trusted = suspect_where_shifted(readings, lambda p: p.area) if self._guards else readings
        return Answer(trusted, self._clock.now_utc_ms(), errors=self._errors)

    def _blocks(self, points: Sequence[Point], now_s: float) -> tuple[Block, ...]:
        if self._refused and (again := [n for n, (retry_at, _) in self._refused.items() if retry_at <= now_s]):
            # Retry each refused point alone; if it is refused again its waiting time starts anew.
            for name in again:
                del self._refused[name]
            self._forget_plans()
            alone = [p for p in points if p.name in again]
            rest = [p for p in points if p.name not in again and p.name not in self._refused]
            return plan_reads(rest, self._limits) + tuple(b for p in alone for b in plan_reads([p], self._limits))
        known = self._plans.get(id(points))
        if known is None or known[0] is not points:
            asked = [p for p in points if p.name not in self._refused]
            known = self._plans[id(points)] = (points, plan_reads(asked, self._limits))
        return known[1]

    def _forget_plans(self) -> None:
        self._plans.clear()
        self._decoders.clear()

    def _left_alone(self, points: Sequence[Point]) -> list[Reading]:
        if not self._refused:
            return []
        now = self._clock.now_utc_ms()
        return [Reading(p, None, Quality.REFUSED, now) for p in points if p.name in self._refused]

    def _failed(self, blocks: Sequence[Block], error: DeviceError) -> list[Reading]:
        now = self._clock.now_utc_ms()
        self._errors.append(error)
        return [reading for block in blocks for reading in failed(block.points, error, now)]

    async def _read_block(self, block: Block, readings: ReadingsByBlock) -> None:
        """Read one block into `readings`; halve it to find an illegal address. Raises only `Silent`."""
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        try:
            data = await self._line.request(self._slave, block, self._timeout_s)
        except Refused as error:
            if error.code in ILLEGAL_ADDRESS_CODES:
                await self._bisect(block, error, readings)
            else:
                readings.others.extend(self._failed([block], error))
            return
        except Garbled as error:
            readings.others.extend(self._failed([block], error))
            return
        known = self._decoders.get(id(block))
        if known is None:
            known = self._decoders[id(block)] = (block, BlockDecoder(block, self._guards))
        readings.blocks.append(known[1].decode(data, self._clock.now_utc_ms()))

    async def _bisect(self, block: Block, error: Refused, readings: ReadingsByBlock) -> None:
        places = sorted({(p.address, p.registers) for p in block.points})
        if len(places) == 1:
            retry_at = asyncio.get_running_loop().time() + self._retry_refused_s
            self._refused.update({p.name: (retry_at, error) for p in block.points})
            self._forget_plans()
            readings.others.extend(self._failed([block], error))
            return
        middle = places[len(places) // 2]
        lower = [p for p in block.points if (p.address, p.registers) < middle]
        upper = [p for p in block.points if (p.address, p.registers) >= middle]
        for half in (lower, upper):
            for part in plan_reads(half, self._limits):
                await self._read_block(part, readings)
