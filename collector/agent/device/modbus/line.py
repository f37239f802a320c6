# SPDX-License-Identifier: GPL-3.0-or-later
"""One Modbus connection through pymodbus: functions 1 to 4 and no other, one request under way at a time.

pymodbus connects, numbers and encodes; `framing` finds the answers. Private parts of pymodbus in use: `ctx.framer`
(ours instead of its own), `ctx.call_create` (serialx instead of pyserial, which a pty refuses at even parity),
`ctx.next_tid`, `ctx.response_future` and `ctx.max_buffer_size`.

Without transaction numbers a late answer can't be told from the answer to the next request to the same slave: after a
time-out, or after bytes that nobody asked for, the slave is out of step. Before it is read again the line is drained
until nothing has come for `quiet_s`; then the same request is repeated until one more answer than are owed is the same
as the one before, and each came alone. (Of owed + 1 answers in the order of the requests one at least is to this
request.) Values that move are never the same twice: then two more answers that come alone will do.

That holds for answers in the order of the requests, and between requests for the same places. While an answer of the
same shape is owed to a request for other places (`owed`), no order is relied upon: a block of several points is read in
parts of shapes that nobody is owed; else only answers that agree once more than are owed count, and where they don't,
the block is not asked until all owed answers came or can come no more.

A device that closes the connection after each reply is connected again and the request repeated once. A socket is
closed after two time-outs in a row: a peer that lost its power does not say so.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, NamedTuple

from pymodbus.client import AsyncModbusTcpClient, AsyncModbusUdpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from collector.agent.device.modbus.framing import (
    AsciiFramer,
    Framer,
    NumberedFramer,
    Reply,
    RtuFramer,
    WantedReply,
    shown,
)
from collector.agent.device.modbus.owed import Doubt, Owed
from collector.agent.device.modbus.plan import BIT_AREAS, Block, Framing
from collector.agent.device.serial import SerialLine, reason_of
from collector.base.errors import Garbled, Refused, Silent
from collector.base.text import tr

FUNCTIONS: Final = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
# A gateway gives these in place of a device that did not answer it.
_SILENT_BEHIND_GATEWAY: Final = {10: tr("gateway path unavailable"), 11: tr("gateway target silent")}
_EXCEPTIONS: Final = {
    1: tr("illegal function"), 2: tr("illegal data address"), 3: tr("illegal data value"), 4: tr("device failure"),
    5: tr("acknowledge"), 6: tr("device busy"), 8: tr("memory parity error"), **_SILENT_BEHIND_GATEWAY,
}  # fmt: skip
_SILENCES_BEFORE_DROP: Final = 2
_MOST_OWED: Final = 4
_MOVING_ANSWERS: Final = 2
# 3.5 characters of silence before a request, at least 1.75 ms. Source: Modbus over Serial Line V1.02, 2.5.1.1.
_GAP_CHARACTERS: Final = 3.5
_SHORTEST_GAP_S: Final = 0.00175
_RECEIVE_BUFFER: Final = 4096
_REQUESTS: Final = 4096


class Unsure(Silent):
    """Not asked, or not believed: another request's late answer could not be told from the answer."""


class _Late(Exception):  # noqa: N818 - never leaves this module
    """The answer did not come in time."""


def _read_coils(client: ModbusBaseClient, address: int, count: int, slave: int) -> Awaitable[ModbusPDU]:
    return client.read_coils(address, count=count, device_id=slave)


def _read_discrete(client: ModbusBaseClient, address: int, count: int, slave: int) -> Awaitable[ModbusPDU]:
    return client.read_discrete_inputs(address, count=count, device_id=slave)


def _read_holding(client: ModbusBaseClient, address: int, count: int, slave: int) -> Awaitable[ModbusPDU]:
    return client.read_holding_registers(address, count=count, device_id=slave)


def _read_input(client: ModbusBaseClient, address: int, count: int, slave: int) -> Awaitable[ModbusPDU]:
    return client.read_input_registers(address, count=count, device_id=slave)


_Read = Callable[[ModbusBaseClient, int, int, int], Awaitable[ModbusPDU]]
_READS: Final[dict[str, _Read]] = {
    "coil": _read_coils, "discrete": _read_discrete, "holding": _read_holding, "input": _read_input,
}  # fmt: skip


class _Request(NamedTuple):
    """A block of a slave as it is asked for again and again. `places`: registers or coils; `subject`: for errors."""

    read: _Read
    address: int
    places: int
    wanted: WantedReply
    subject: str

    @property
    def key(self) -> tuple[int, int]:
        """The places asked for."""
        return self.address, self.places


class ModbusLine:
    """One connection: `host` and `port`, or a serial line.

    `any_number`: a gateway on TCP or UDP answers with transaction and protocol numbers of its own. `quiet_s`: for how
    long nothing must come before a line out of step is used again. `late_s`: how long after a time-out an answer may
    still come, as far as is known at first; never less than three time-outs or `quiet_s`.
    """

    def __init__(
        self, name: str, *, host: str = "", port: int = 0, serial: SerialLine | None = None, framing: Framing = "tcp",
        any_number: bool = False, quiet_s: float = 0.2, late_s: float = 3.0,
    ) -> None:  # fmt: skip
        self.name = name
        self._host, self._port, self._serial, self._quiet_s = host, port, serial, quiet_s
        self._framing: Framing = framing
        self._any_number = any_number
        self.numbered = framing in ("tcp", "udp") and not any_number
        self._gap_s = 0.0
        if serial is not None and framing == "rtu":
            self._gap_s = max(_SHORTEST_GAP_S, _GAP_CHARACTERS * serial.bits_per_byte / serial.baud)
        self._client: ModbusBaseClient | None = None
        self._framer: Framer = self._new_framer()
        self._refusal = ""
        self._waits = False
        self._lock = asyncio.Lock()
        self._requests: dict[tuple[int, str, int, int], _Request] = {}
        self._silences = 0
        self._last_number = 0
        # Slave -> requests whose answers may still come.
        self._owed: Counter[int] = Counter()
        self._late = Owed(max(late_s, quiet_s))
        self._repeats = False
        # Slave -> how often bytes of it came that nobody asked for: what was read before may be out of step.
        self._slips: Counter[int] = Counter()

    def _new_framer(self) -> Framer:
        if self._framing == "rtu":
            return RtuFramer()
        if self._framing == "ascii":
            return AsciiFramer()
        return NumberedFramer(any_number=self._any_number, datagrams=self._framing == "udp")

    async def open(self, timeout_s: float) -> None:
        """Connect; no effect if the line is open.

        Raises:
            Silent: the host does not answer, or the serial line can't be opened; the system's reason.
        """
        if self._client is not None and self._client.connected:
            return
        self.drop()
        client = self._new_client()
        self._refusal = ""
        try:
            async with asyncio.timeout(timeout_s):
                connected = await client.connect()
        except TimeoutError as error:
            client.close()
            raise Silent(tr("no connection within {timeout_s} s", timeout_s=timeout_s), subject=self.name) from error
        except asyncio.CancelledError:
            client.close()
            raise
        if not connected:
            client.close()
            raise Silent(
                tr("no connection: {reason}", reason=self._refusal or tr("no reason given")), subject=self.name
            )
        # A gateway may send a late answer to the next connection: numbers go on where they were.
        client.ctx.next_tid = self._last_number
        self._client = client

    def _new_client(self) -> ModbusBaseClient:
        kind = AsyncModbusUdpClient if self._framing == "udp" else AsyncModbusTcpClient
        client = kind(
            self._host or "serial", port=self._port, name=self.name, retries=0, reconnect_delay=0,
            trace_connect=self._trace_connect,
            # Request timeouts are handled here, not a second time inside the library: its `asyncio.wait_for` would also
            # forget, before Python 3.12, a cancellation that arrives together with the answer.
            timeout=None,  # type: ignore[arg-type]
        )  # fmt: skip
        self._framer = client.ctx.framer = self._new_framer()
        self._framer.on_fault = self._end_wait
        client.ctx.max_buffer_size = _RECEIVE_BUFFER
        create: Callable[[], Awaitable[Any]] = client.ctx.call_create
        if self._serial is not None:
            create = self._serial.connector(lambda: client.ctx)  # type: ignore[arg-type,return-value]

        async def connect() -> Any:
            try:
                return await create()
            except OSError as error:  # pymodbus keeps the reason to itself
                self._refusal = reason_of(error)
                raise

        client.ctx.call_create = connect
        return client

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
        self._silences, self._repeats = 0, False
        if client is not None:
            self._last_number = client.ctx.next_tid
            client.close()

    async def request(self, slave: int, block: Block, timeout_s: float) -> bytes:
        """Read the registers of `block`, two bytes each, or its coils, one byte 0 or 1 each.

        Raises:
            Silent, Refused, Garbled: no answer, an exception reply, a wrong answer.
        """
        key = (slave, block.area, block.address, block.count)
        asked = self._requests.get(key) or self._remember(slave, block)
        async with self._lock:
            if not self.numbered:
                await self.settle(slave)
            if self._late and (doubt := self._late.of(asked.wanted, _now_s())):
                return await self._read_in_doubt(asked, block, doubt, timeout_s)
            pdu = await (self._ask_until_in_step if slave in self._owed else self._ask)(asked, timeout_s)
        return reply_data(pdu, block, asked.wanted, asked.subject)

    def _remember(self, slave: int, block: Block) -> _Request:
        if len(self._requests) >= _REQUESTS:
            self._requests.clear()
        asked = self._requests[slave, block.area, block.address, block.count] = self._request_for(slave, block)
        return asked

    def _request_for(self, slave: int, block: Block) -> _Request:
        size = (block.count + 7) // 8 if block.area in BIT_AREAS else 2 * block.count
        return _Request(
            _READS[block.area], block.address, block.count, WantedReply(slave, FUNCTIONS[block.area], size),
            f"{self.name} slave {slave} {block.area} {block.address}+{block.count}",
        )  # fmt: skip

    async def _read_in_doubt(self, asked: _Request, block: Block, doubt: Doubt, timeout_s: float) -> bytes:
        """Read a block while an answer of its shape is owed."""
        if not self._is_shared(asked, doubt):
            pdu = await self._ask_until_in_step(asked, timeout_s)
            return reply_data(pdu, block, asked.wanted, asked.subject)
        slave = asked.wanted.slave
        for parts in _cuts(block):
            requests = [self._request_for(slave, part) for part in parts]
            if not any(self._late.of(request.wanted, _now_s()) for request in requests):
                pdus = [await self._ask(request, timeout_s) for request in requests]
                if any(pdu[0] & 0x80 for pdu in pdus):
                    raise self._unsure(asked)  # perhaps the late answer to another request of this function
                return b"".join(
                    reply_data(pdu, part, request.wanted, request.subject)
                    for pdu, part, request in zip(pdus, parts, requests, strict=True)
                )
        return reply_data(await self._ask_until_proved(asked, timeout_s), block, asked.wanted, asked.subject)

    def _is_shared(self, asked: _Request, doubt: Doubt) -> bool:
        """Whether other places are read by requests of this shape, now owed an answer or not."""
        return doubt.is_of_others(asked.key) or any(
            other.wanted == asked.wanted and other.key != asked.key for other in self._requests.values()
        )

    def _unsure(self, asked: _Request) -> Unsure:
        return Unsure(
            tr("not read: a late answer to another request could be taken for its own"), subject=asked.subject
        )

    async def _ask_until_proved(self, asked: _Request, timeout_s: float) -> bytes:
        """Of more answers than are owed one at least is to this request, whatever their order; all must be the same."""
        late, places = self._late, asked.key
        doubt = late.of(asked.wanted, _now_s())
        if doubt is None or places in doubt.tried or len(doubt.owed) > _MOST_OWED or late.has_strayed(_now_s()):
            raise self._unsure(asked)
        await self._drain(timeout_s, asked.subject)
        doubt = late.of(asked.wanted, _now_s())
        if doubt is None:
            return await self._ask_until_in_step(asked, timeout_s)
        first, is_proved = b"", False
        try:
            for _ in range(len(doubt.owed) + 1):
                pdu = await self._ask(asked, timeout_s)
                await asyncio.sleep(self._quiet_s)
                if pdu[0] & 0x80 or (first and pdu != first) or (self._framer.surplus and not self._framer.twice):
                    raise self._unsure(asked)
                first = pdu
            # Bytes all alike are what anything at rest answers: then one of these may be another's all the same.
            is_proved = len(set(first[2:])) > 1
        finally:
            if not is_proved:
                self._note_late()
                doubt.renew(None, _now_s())
                doubt.tried.add(places)
        return first

    def _note_late(self) -> None:
        """Count the answers among what came unasked."""
        framer, late = self._framer, self._late
        if framer.surplus and late:
            for shape in late.shapes():
                # The answer just taken, once more, is no other.
                late.came(shape, len(framer.frames_of(shape, framer.surplus) - {framer.frame}), _now_s())

    async def settle(self, slave: int) -> int:
        """Wait as long as a line must be silent between frames; note the slip if something came nobody asked for.

        Gives the slips of a slave so far. Nothing to do on a line that is `numbered`.
        """
        await asyncio.sleep(self._quiet_s if self._repeats else self._gap_s)
        if self._has_slipped():
            wanted = self._framer.wanted
            self._slips[wanted.slave] += 1
            self._owed[wanted.slave] += 1
            if self._late.of(wanted, _now_s()) is None and not self._framer.twice:
                self._late.stray(wanted, _now_s())
            else:
                self._note_late()
        elif self._late:
            self._note_late()
        self._framer.surplus = b""
        return self._slips[slave]

    def _has_slipped(self) -> bool:
        """Whether a reply like the last one came after it; an adapter's noise and other slaves' frames do not count."""
        framer = self._framer
        if self._repeats and framer.twice:
            return False
        slave, function, _ = framer.wanted
        if self._framing == "ascii":
            heads = [b":%02X%02X" % (slave, code) for code in (function, function | 0x80)]
        elif self._framing == "rtu":
            heads = [bytes((slave, code)) for code in (function, function | 0x80)]
        else:
            return bool(framer.surplus)
        return any(head in framer.surplus for head in heads)

    async def _ask_until_in_step(self, asked: _Request, timeout_s: float) -> bytes:
        slave = asked.wanted.slave
        await self._drain(timeout_s, asked.subject)
        needed = min(self._owed[slave], _MOST_OWED) + 1
        last, same = b"", 0
        for _ in range(needed + _MOVING_ANSWERS):
            if doubt := self._late.of(asked.wanted, _now_s()):
                doubt.renew(asked.key, _now_s())  # only answers to requests for these places are owed here
            pdu = await self._ask(asked, timeout_s)
            await asyncio.sleep(self._quiet_s)
            if self._has_slipped():
                self._repeats = self._framer.twice
                if not self._repeats:
                    self._note_late()
                    self._owed[slave] = max(1, self._owed[slave] - 1)
                    octets = shown(self._framer.surplus)
                    raise Garbled(
                        tr("answers are out of step with the requests: {octets}", octets=octets), subject=asked.subject
                    )
            same = same + 1 if pdu == last else 1
            last = pdu
            if same == needed:
                break
        # Here each answer came alone: enough of them are the same, or no two are because the values move.
        del self._owed[slave]
        return last

    async def _drain(self, timeout_s: float, subject: str) -> None:
        """Wait until nothing has come for the quiet time."""
        end_s = asyncio.get_running_loop().time() + max(timeout_s, 4 * self._quiet_s)
        while True:
            self._framer.surplus = b""
            await asyncio.sleep(self._quiet_s)
            if not self._framer.surplus:
                return
            self._note_late()
            if asyncio.get_running_loop().time() >= end_s:
                raise Garbled(
                    tr("the line does not become silent: {octets}", octets=shown(self._framer.surplus)), subject=subject
                )

    async def _ask(self, asked: _Request, timeout_s: float) -> bytes:
        """One exchange; again where a connection that had been open before was closed under it."""
        while True:
            client = self._client
            is_fresh = client is None or not client.connected
            if is_fresh:
                await self.open(timeout_s)
                client = self._client
            assert client is not None
            self._framer.start(asked.wanted)
            late = asyncio.get_running_loop().call_later(timeout_s, self._end_wait, _Late)
            try:
                self._waits = True
                try:
                    reply = await asked.read(client, asked.address, asked.places, asked.wanted.slave)
                finally:
                    self._waits = False
                    late.cancel()
            except _Late as error:
                raise self._unanswered(asked, timeout_s) from error
            except ConnectionException as error:
                self.drop()
                if is_fresh:
                    raise Silent(tr("the connection was lost"), subject=asked.subject) from error
                continue
            except ModbusException as error:
                self._owe(asked, timeout_s)
                self.drop()
                raise Garbled(str(error), subject=asked.subject) from error
            except BaseException:
                self._owe(asked, timeout_s)
                self.drop()
                raise
            self._silences = 0
            assert isinstance(reply, Reply)
            if reply.pdu[0] & 0x80 and self._late.refusal_is_unsure(asked.wanted, _now_s()):
                self._late.miss(asked.wanted, asked.key, _now_s())
            return reply.pdu

    def _owe(self, asked: _Request, timeout_s: float) -> None:
        if not self.numbered:
            self._owed[asked.wanted.slave] += 1
            self._late.late_s = max(self._late.late_s, 3 * timeout_s)
            self._late.give_up(asked.wanted, asked.key, _now_s())

    def _unanswered(self, asked: _Request, timeout_s: float) -> Silent | Garbled:
        framer, subject = self._framer, asked.subject
        framer.give_up()
        self._owe(asked, timeout_s)
        self._silences += 1
        garbled = bool(framer.heard) and bool(framer.complaint())
        if self._serial is None and (self._silences >= _SILENCES_BEFORE_DROP or (garbled and self.numbered)):
            self.drop()
        if garbled:
            return Garbled(
                tr(
                    "bytes came, no valid answer within {timeout_s} s: {complaint}",
                    timeout_s=timeout_s,
                    complaint=framer.complaint(),
                ),
                subject=subject,
            )
        words = tr("no answer within {timeout_s} s", timeout_s=timeout_s)
        if framer.heard:
            words += tr("; only our own request came back (local echo)")
        return Silent(words, subject=subject)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _cuts(block: Block) -> Iterator[tuple[Block, Block]]:
    """The ways to read a block in two requests, each point whole in one of them."""
    points = sorted(block.points, key=lambda p: p.address)
    end = block.address
    for position, point in enumerate(points):
        if position and point.address >= end:
            yield (
                Block(block.area, block.address, point.address - block.address, tuple(points[:position])),
                Block(block.area, point.address, block.address + block.count - point.address, tuple(points[position:])),
            )
        end = max(end, point.address + point.registers)


def reply_data(pdu: bytes, block: Block, wanted: WantedReply, subject: str) -> bytes:
    """The data of a reply.

    Raises:
        Silent, Refused, Garbled: an exception reply, or a reply to another request.
    """
    function, data = pdu[0], pdu[1:]
    if function & 0x7F != wanted.function:
        raise Garbled(
            tr(
                "reply to function {function}, asked {asked}: {octets}",
                function=function & 127,
                asked=wanted.function,
                octets=shown(pdu),
            ),
            subject=subject,
        )
    if function & 0x80:
        code = data[0]
        words = tr("exception {code} ({name})", code=code, name=_EXCEPTIONS.get(code, tr("unknown")))
        if code in _SILENT_BEHIND_GATEWAY:
            raise Silent(words, subject=subject)
        raise Refused(words, subject=subject, code=code)
    if len(data) != wanted.size + 1 or data[0] != wanted.size:
        raise Garbled(
            tr(
                "{bytes} bytes came, counted {counted}; asked {asked}: {octets}",
                bytes=len(data) - 1,
                counted=data[0],
                asked=wanted.size,
                octets=shown(pdu),
            ),
            subject=subject,
        )
    if block.area in BIT_AREAS:
        return bytes(data[1 + i // 8] >> i % 8 & 1 for i in range(block.count))
    return data[1:]
