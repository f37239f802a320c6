# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the answer to one request in everything received since the request was sent; one class per framing.

pymodbus's framers take the next whole frame for the answer. These keep the request and take only a frame that can be
its answer: sent by the slave asked, with the function asked and the byte count of the registers asked for, or an
exception reply to that function. Where requests carry a number (TCP, UDP), the number decides. RTU and ASCII have none:
a late answer to an earlier request of the same shape looks like the answer, so `surplus` tells `ModbusLine` of bytes
that came after an answer, and the line checks what it reads until it is in step again.

An adapter with local echo gives back what was sent. The request at the head of what came is dropped only where it is
there whole, and only once a valid reply follows. A reply may have the very bytes of its request (17 to 24 coils from
address 0x03xx): it is taken for the reply where the line has answered without echo before, else not at all.

Source: Modbus Messaging on TCP/IP V1.0b, 3.1.3; Modbus over Serial Line V1.02, 2.5.1 (RTU), 2.5.2 (ASCII).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pymodbus.framer import FramerAscii, FramerBase, FramerRTU, FramerSocket
from pymodbus.pdu import DecodePDU

from collector.base.text import tr

_ERROR: Final = 0x80
_HEADER: Final = 7
_MBAP_LENGTHS: Final = range(3, 255)
_MOST_TRANSACTIONS: Final = 65_000
# pymodbus's framers want one, and never ask it here.
_DECODER: Final = DecodePDU(False)


class WantedReply(NamedTuple):
    """The answer waited for: slave (0: any on a socket), function code, bytes of data."""

    slave: int
    function: int
    size: int

    def fits(self, slave: int, pdu: bytes) -> bool:
        """True if a reply can be the answer to the request."""
        if slave != self.slave:
            return False
        if pdu[0] == self.function | _ERROR:
            return len(pdu) == 2
        return pdu[0] == self.function and len(pdu) == self.size + 2 and pdu[1] == self.size


class _Waiting(FramerBase):
    """The present request and the bytes received since. `heard`: all; `surplus`: those after its answer."""

    wanted = WantedReply(0, 0, 0)
    sent = heard = surplus = frame = b""
    answered = True

    def __init__(self) -> None:
        super().__init__(_DECODER)

    def start(self, pdu: bytes, wanted: WantedReply) -> bytes:
        """Prepare for the next request; return its frame. `pdu`: function code and what follows."""
        self.wanted, self.answered = wanted, False
        self.heard = self.surplus = self.frame = b""
        self.sent = self.encode(pdu, wanted.slave, 0)
        return self.sent

    def take(self, data: bytes) -> tuple[int, bytes | None]:
        """Return how many of all bytes not used yet are used now, and the answer: function code and what follows."""
        raise NotImplementedError

    def give_up(self) -> None:
        """Stop waiting: later bytes are surplus."""
        self.answered = True

    @property
    def twice(self) -> bool:
        """True if the surplus is the answer again, one or more times."""
        count, rest = divmod(len(self.surplus), len(self.frame) or 1)
        return bool(self.frame) and not rest and self.surplus == self.frame * count

    def frames_of(self, shape: WantedReply, data: bytes) -> set[bytes]:
        """The different replies of a shape in bytes received."""
        raise NotImplementedError

    def complaint(self) -> str:
        """The reason why the received bytes are not the answer."""
        return tr("no answer to this request is in {octets}", octets=shown(self.heard))

    def _taken(self, frame: bytes, rest: bytes) -> None:
        self.answered, self.frame, self.surplus = True, frame, rest


def shown(data: bytes) -> str:
    """Raw bytes for a message, the first 40."""
    return data[:40].hex(" ") + (tr(" … ({bytes} bytes)", bytes=len(data)) if len(data) > 40 else "")


class NumberedFramer(_Waiting, FramerSocket):
    """Modbus TCP and UDP. `any_number`: take the answer whatever numbers its header carries.

    Numbers of the header are the transaction's and the protocol's, which is always 0.
    """

    def __init__(self, *, any_number: bool = False, datagrams: bool = False, transaction: int = 0) -> None:
        super().__init__()
        self._any, self._datagrams = any_number, datagrams
        self.transaction = transaction
        self._usual = b""
        self.others: list[tuple[int, int, int, bytes]] = []

    def start(self, pdu: bytes, wanted: WantedReply) -> bytes:
        """Prepare for the next request; return its frame."""
        slave, function, size = self.wanted = wanted
        self.answered = False
        self.heard = self.surplus = self.frame = b""
        if self.others:
            self.others.clear()
        self.transaction = transaction = self.transaction % _MOST_TRANSACTIONS + 1
        usual = transaction << 56 | (size + 3) << 24 | slave << 16 | function << 8 | size & 0xFF
        self._usual = usual.to_bytes(_HEADER + 2, "big")
        return self.encode(pdu, slave, transaction)

    def take(self, data: bytes) -> tuple[int, bytes | None]:
        """As `_Waiting.take`."""
        if not self.answered and len(data) == self.wanted.size + 9 and data.startswith(self._usual):
            # The usual case at once: nothing but the answer, whole.
            self.answered, self.frame = True, data
            return len(data), data[_HEADER:]
        used = 0
        for transaction, protocol, slave, frame in _mbap_frames(data):
            used += len(frame)
            if self.answered:
                continue
            self.heard += frame
            if self._is_answer(transaction, protocol, slave, frame[_HEADER:]):
                self._taken(frame, data[used:])
                return len(data), frame[_HEADER:]
            self.others.append((transaction, protocol, slave, frame))
        if self.answered:
            self.surplus += data
            return len(data), None
        if self._datagrams or (used < len(data) and not _may_begin_mbap(data[used:])):
            self.heard += data[used:]
            return len(data), None
        return used, None

    def _is_answer(self, transaction: int, protocol: int, slave: int, pdu: bytes) -> bool:
        wanted = self.wanted if self.wanted.slave else self.wanted._replace(slave=slave)
        if self._any:
            return wanted.fits(slave, pdu)
        # The request's own numbers: even an answer of a wrong length is the answer, and the line says what is wrong.
        return (transaction, protocol, slave) == (self.transaction, 0, wanted.slave)

    def frames_of(self, shape: WantedReply, data: bytes) -> set[bytes]:
        """The different replies of a shape in bytes received."""
        return {frame for _, _, slave, frame in _mbap_frames(data) if shape.fits(slave, frame[_HEADER:])}

    def complaint(self) -> str:
        """The reason why no answer was found: numbers of the last frame beside the wanted ones."""
        if not self.others:
            return super().complaint()
        transaction, protocol, slave, frame = self.others[-1]
        words = tr(
            "the reply carries transaction {transaction}, protocol {protocol}, slave {slave}; "
            "asked transaction {asked}, protocol 0, slave {asked_slave}: {octets}",
            transaction=transaction, protocol=protocol, slave=slave,
            asked=self.transaction, asked_slave=self.wanted.slave, octets=shown(frame),
        )  # fmt: skip
        if slave == self.wanted.slave and not self._any:
            words += tr('; for a gateway with numbers of its own set transaction_id = "any"')
        return words


def _mbap_frames(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Whole frames from the start of `data`: transaction, protocol, slave, frame with its header."""
    start = 0
    while len(data) - start > _HEADER:
        length = int.from_bytes(data[start + 4 : start + 6], "big")
        end = start + 6 + length
        if length not in _MBAP_LENGTHS or end > len(data):
            return
        head = int.from_bytes(data[start : start + 4], "big")
        yield head >> 16, head & 0xFFFF, data[start + 6], data[start:end]
        start = end


def _may_begin_mbap(data: bytes) -> bool:
    return len(data) < 6 or int.from_bytes(data[4:6], "big") in _MBAP_LENGTHS


class _SerialFraming(_Waiting):
    """RTU and ASCII: no numbers, perhaps an echo. `echoes`: whether the line did so last; None: not known yet."""

    echoes: bool | None = None

    def take(self, data: bytes) -> tuple[int, bytes | None]:
        """As `_Waiting.take`."""
        if self.answered:
            self.surplus += data
            return len(data), None
        self.heard = data
        echo = data.startswith(self.sent)
        found = self._find(data, len(self.sent)) if echo else None
        if found is None and not (echo and self.echoes is not False):
            echo, found = False, self._find(data, 0)
        if found is None:
            return 0, None
        self.echoes = echo
        start, end, pdu = found
        self._taken(data[start:end], data[end:])
        return len(data), pdu

    def _find(self, data: bytes, start: int) -> tuple[int, int, bytes] | None:
        """The first frame that can be the answer: its start, its end, its function code and what follows."""
        raise NotImplementedError

    def frames_of(self, shape: WantedReply, data: bytes) -> set[bytes]:
        """The different replies of a shape in bytes received."""
        wanted, self.wanted = self.wanted, shape
        frames, at = set(), 0
        while found := self._find(data, at):
            frames.add(data[found[0] : found[1]])
            at = found[1]
        self.wanted = wanted
        return frames

    def complaint(self) -> str:
        """The reason why no answer was found; empty where only our own request came back."""
        return "" if self.sent.startswith(self.heard) else super().complaint()


class RtuFramer(_SerialFraming, FramerRTU):
    """RTU, on a serial line or inside a socket."""

    def _find(self, data: bytes, start: int) -> tuple[int, int, bytes] | None:
        slave, function, size = self.wanted
        whole, refusal = bytes((slave, function, size)), bytes((slave, function | _ERROR))
        for at in range(start, len(data) - 4):
            if data.startswith(whole, at):
                end = at + size + 5
            elif data.startswith(refusal, at):
                end = at + 5
            else:
                continue
            body = data[at : end - 2]
            if end <= len(data) and self.check_CRC(body, int.from_bytes(data[end - 2 : end], "big")):
                return at, end, body[1:]
        return None


class AsciiFramer(_SerialFraming, FramerAscii):
    """ASCII, on a serial line or inside a socket."""

    def _find(self, data: bytes, start: int) -> tuple[int, int, bytes] | None:
        at = data.find(self.START, start)
        while at >= 0:
            end = data.find(b"\r\n", at)
            if end < 0:
                return None
            try:
                body = bytes.fromhex(data[at + 1 : end].decode("ascii"))
            except ValueError:
                body = b""
            # The sum of all bytes and their check is 0.
            if len(body) > 3 and not sum(body) & 0xFF and self.wanted.fits(body[0], body[1:-1]):
                return at, end + 2, body[1:-1]
            at = data.find(self.START, at + 1)
        return None


Framer = NumberedFramer | RtuFramer | AsciiFramer
