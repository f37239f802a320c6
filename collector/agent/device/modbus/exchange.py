# SPDX-License-Identifier: GPL-3.0-or-later
"""One Modbus connection and one exchange on it, through pymodbus: functions 1 to 4 and no other.

pymodbus connects, numbers and encodes; `framing` finds the answers. Private parts of pymodbus in use: `ctx.framer`
(ours instead of its own), `ctx.call_create` (serialx instead of pyserial, which a pty refuses at even parity),
`ctx.next_tid`, `ctx.response_future` and `ctx.max_buffer_size`.

A device that closes the connection after each reply is connected again and the request repeated once. A socket is
closed after two time-outs in a row: a peer that lost its power does not say so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
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
_RECEIVE_BUFFER: Final = 4096


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


class ReadRequest(NamedTuple):
    """A prepared request for a block of a slave. `places`: registers or coils; `subject`: for errors."""

    read: _Read
    address: int
    places: int
    wanted: WantedReply
    subject: str

    @property
    def key(self) -> tuple[int, int]:
        """The places asked for."""
        return self.address, self.places


class Exchange:
    """A connection, by `host` and `port` or a serial line, and one exchange on it. Not for two at a time.

    `any_number`: a gateway on TCP or UDP answers with transaction and protocol numbers of its own.
    """

    def __init__(
        self, name: str, *, host: str = "", port: int = 0, serial: SerialLine | None = None, framing: Framing = "tcp",
        any_number: bool = False,
    ) -> None:  # fmt: skip
        self.name = name
        self.numbered = framing in ("tcp", "udp") and not any_number
        self._host, self._port, self._serial = host, port, serial
        self._framing: Framing = framing
        self._any_number = any_number
        self._client: ModbusBaseClient | None = None
        self.framer: Framer = self._new_framer()
        self._refusal = ""
        self._waits = False
        self._silences = 0
        self._last_number = 0

    def given_up(self, asked: ReadRequest, timeout_s: float) -> None:
        """Note that a request is no longer waited for, though its answer may still come. For subclasses."""

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
        client = self._client = self._new_client()  # kept before it is open: closed whatever comes between
        self._refusal = ""
        try:
            async with asyncio.timeout(timeout_s):
                connected = await client.connect()
        except TimeoutError as error:
            self.drop()
            raise Silent(tr("no connection within {timeout_s} s", timeout_s=timeout_s), subject=self.name) from error
        except BaseException:
            self.drop()
            raise
        if not connected:
            self.drop()
            raise Silent(
                tr("no connection: {reason}", reason=self._refusal or tr("no reason given")), subject=self.name
            )
        # A gateway may send a late answer to the next connection: numbers go on where they were.
        client.ctx.next_tid = self._last_number

    def _new_client(self) -> ModbusBaseClient:
        kind = AsyncModbusUdpClient if self._framing == "udp" else AsyncModbusTcpClient
        client = kind(
            self._host or "serial", port=self._port, name=self.name, retries=0, reconnect_delay=0,
            trace_connect=self._trace_connect,
            # A request's time is limited here, not a second time inside the library: its `asyncio.wait_for` would also
            # forget, before Python 3.12, a cancellation that arrives together with the answer.
            timeout=None,  # type: ignore[arg-type]
        )  # fmt: skip
        self.framer = client.ctx.framer = self._new_framer()
        self.framer.on_fault = self._end_wait
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
        self._silences = 0
        if client is not None:
            self._last_number = client.ctx.next_tid or self._last_number  # 0: it was never open
            client.close()

    def request_for(self, slave: int, block: Block) -> ReadRequest:
        """The request for a block of a slave."""
        size = (block.count + 7) // 8 if block.area in BIT_AREAS else 2 * block.count
        return ReadRequest(
            _READS[block.area], block.address, block.count, WantedReply(slave, FUNCTIONS[block.area], size),
            f"{self.name} slave {slave} {block.area} {block.address}+{block.count}",
        )  # fmt: skip

    async def ask(self, asked: ReadRequest, timeout_s: float) -> bytes:
        """One exchange; again where a connection that had been open before was closed under it. The answer's PDU.

        Raises:
            Silent, Garbled: no answer, or none that could be read; `given_up` was told.
        """
        while True:
            client = self._client
            is_fresh = client is None or not client.connected
            if is_fresh:
                await self.open(timeout_s)
                client = self._client
            assert client is not None
            self.framer.start(asked.wanted)
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
                self.given_up(asked, timeout_s)
                self.drop()
                raise Garbled(str(error), subject=asked.subject) from error
            except BaseException:
                self.given_up(asked, timeout_s)
                self.drop()
                raise
            self._silences = 0
            assert isinstance(reply, Reply)
            return reply.pdu

    def _unanswered(self, asked: ReadRequest, timeout_s: float) -> Silent | Garbled:
        framer, subject = self.framer, asked.subject
        framer.give_up()
        self.given_up(asked, timeout_s)
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
