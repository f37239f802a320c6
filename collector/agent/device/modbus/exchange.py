# SPDX-License-Identifier: GPL-3.0-or-later
"""One Modbus line's connection and one exchange on it: functions 1 to 4 and no other.

pymodbus encodes the requests and `link` sends them; `framing` finds the answers. A device that closes the connection
after each reply is connected again and the request repeated once. A socket is closed after two time-outs in a row: a
peer that lost its power does not say so.
"""

from __future__ import annotations

import asyncio
from typing import Final, NamedTuple

from pymodbus.pdu.bit_message import ReadCoilsRequest, ReadDiscreteInputsRequest
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from collector.agent.device.deadlines import Deadlines
from collector.agent.device.modbus.framing import (
    AsciiFramer,
    Framer,
    NumberedFramer,
    RtuFramer,
    WantedReply,
    shown,
)
from collector.agent.device.modbus.link import LateAnswer, LostLink, ModbusLink
from collector.agent.device.modbus.plan import BIT_AREAS, Block, Framing
from collector.agent.device.serial import SerialLine, reason_of
from collector.base.errors import Garbled, Refused, Silent
from collector.base.text import tr

# All that is ever sent.
REQUESTS: Final = {
    "coil": ReadCoilsRequest, "discrete": ReadDiscreteInputsRequest, "holding": ReadHoldingRegistersRequest,
    "input": ReadInputRegistersRequest,
}  # fmt: skip
# A gateway gives these in place of a device that did not answer it.
_SILENT_BEHIND_GATEWAY: Final = {10: tr("gateway path unavailable"), 11: tr("gateway target silent")}
_EXCEPTIONS: Final = {
    1: tr("illegal function"), 2: tr("illegal data address"), 3: tr("illegal data value"), 4: tr("device failure"),
    5: tr("acknowledge"), 6: tr("device busy"), 8: tr("memory parity error"), **_SILENT_BEHIND_GATEWAY,
}  # fmt: skip
_SILENCES_BEFORE_DROP: Final = 2
_ERROR: Final = 0x80


class ReadRequest(NamedTuple):
    """A prepared request for a block of a slave.

    `pdu`: function code and what follows; `places`: registers or coils; `subject`: for errors.
    """

    pdu: bytes
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
        any_number: bool = False, deadlines: Deadlines | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.numbered = framing in ("tcp", "udp") and not any_number
        self._host, self._port, self._serial = host, port, serial
        self._framing: Framing = framing
        self._any_number = any_number
        self._deadlines = deadlines or Deadlines()
        self._link: ModbusLink | None = None
        self.framer: Framer = self._new_framer(0)
        self._silences = 0

    def given_up(self, asked: ReadRequest, timeout_s: float) -> None:
        """Note that a request is no longer waited for, though its answer may still come. For subclasses."""

    def refused(self, asked: ReadRequest) -> None:
        """Note that a request was answered by an exception reply. For subclasses."""

    def _new_framer(self, transaction: int) -> Framer:
        if self._framing == "rtu":
            return RtuFramer()
        if self._framing == "ascii":
            return AsciiFramer()
        datagrams = self._framing == "udp"
        return NumberedFramer(any_number=self._any_number, datagrams=datagrams, transaction=transaction)

    async def open(self, timeout_s: float) -> None:
        """Connect; no effect if the line is open.

        Raises:
            Silent: the host does not answer, or the serial line can't be opened; the system's reason.
        """
        if self._link is None or not self._link.is_active():
            await self._connect(timeout_s)

    async def _connect(self, timeout_s: float) -> ModbusLink:
        self.drop()
        former = self.framer
        # A gateway may send a late answer to the next connection: numbers go on where they were.
        self.framer = self._new_framer(former.transaction if isinstance(former, NumberedFramer) else 0)
        # Kept before it is open: closed whatever comes between.
        link = self._link = ModbusLink(self.name, self._host, self._port, self.framer, datagrams=self._framing == "udp")
        try:
            async with asyncio.timeout(timeout_s):
                await (link.open_socket() if self._serial is None else self._serial.connect(lambda: link))
        except OSError as error:
            self.drop()
            if isinstance(error, TimeoutError) and not error.errno:  # ours, not the system's
                words = tr("no connection within {timeout_s} s", timeout_s=timeout_s)
            else:
                words = tr("no connection: {reason}", reason=reason_of(error) or tr("no reason given"))
            raise Silent(words, subject=self.name) from error
        except BaseException:
            self.drop()
            raise
        return link

    def drop(self) -> None:
        """Close at once; a request under way is lost."""
        link, self._link = self._link, None
        self._silences = 0
        if link is not None:
            link.close()

    def request_for(self, slave: int, block: Block) -> ReadRequest:
        """The request for a block of a slave."""
        size = (block.count + 7) // 8 if block.area in BIT_AREAS else 2 * block.count
        request = REQUESTS[block.area](dev_id=slave, address=block.address, count=block.count)
        function = request.function_code
        return ReadRequest(
            bytes((function,)) + request.encode(), block.address, block.count, WantedReply(slave, function, size),
            f"{self.name} slave {slave} {block.area} {block.address}+{block.count}",
        )  # fmt: skip

    async def ask(self, asked: ReadRequest, timeout_s: float) -> bytes:
        """One exchange; again where a connection that had been open before was closed under it. The answer's PDU.

        Raises:
            Silent, Garbled: no answer, or none that could be read; `given_up` was told.
        """
        while True:
            link = self._link
            is_fresh = link is None or not link.is_active()
            if is_fresh or link is None:
                link = await self._connect(timeout_s)
            request = self.framer.start(asked.pdu, asked.wanted)
            self._deadlines.begin(link, link.loop.time() + timeout_s)
            try:
                pdu = await link.ask(request)
            except LateAnswer as error:
                raise self._unanswered(asked, timeout_s) from error
            except LostLink as error:
                self.drop()
                if is_fresh:
                    raise Silent(tr("the connection was lost"), subject=asked.subject) from error
                continue
            except BaseException:
                self.given_up(asked, timeout_s)
                self.drop()
                raise
            finally:
                self._deadlines.end(link)
            self._silences = 0
            if pdu[0] & _ERROR:
                self.refused(asked)
            return pdu

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
    if function & _ERROR:
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
