# SPDX-License-Identifier: GPL-3.0-or-later
"""One Modbus line as its slaves share it: one request under way at a time, and no late answer taken for another's.

Without transaction numbers a late answer can't be told from the answer to the next request to the same slave: after a
time-out, or after bytes that nobody asked for, the slave is out of step. Before it is read again the line is drained
until nothing has come for `quiet_s`; then the same request is repeated until one more answer than are owed is the same
as the one before, and each came alone. (Of owed + 1 answers in the order of the requests one at least is to this
request.) Values that move are never the same twice: then two more answers that come alone will do.

That holds for answers in the order of the requests, and between requests for the same places. While an answer of the
same shape is owed to a request for other places (`owed`), no order is relied upon: a block of several points is read in
parts of shapes that nobody is owed; else only answers that agree once more than are owed count, and where they don't,
the block is not asked until all owed answers came or can come no more.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Final

from collector.agent.device.deadlines import Deadlines
from collector.agent.device.modbus.exchange import Exchange, ReadRequest, reply_data
from collector.agent.device.modbus.framing import shown
from collector.agent.device.modbus.owed import Doubt, Owed
from collector.agent.device.modbus.plan import Block, Framing
from collector.agent.device.serial import SerialLine
from collector.base.errors import Garbled, Silent
from collector.base.text import tr

_MOST_OWED: Final = 4
_MOVING_ANSWERS: Final = 2
# 3.5 characters of silence before a request, at least 1.75 ms. Source: Modbus over Serial Line V1.02, 2.5.1.1.
_GAP_CHARACTERS: Final = 3.5
_SHORTEST_GAP_S: Final = 0.00175
_REQUESTS: Final = 4096


class Unsure(Silent):
    """Not asked, or not accepted: the answer could not be told from another request's late answer."""


class ModbusLine(Exchange):
    """One connection: `host` and `port`, or a serial line.

    `any_number`: a gateway on TCP or UDP answers with transaction and protocol numbers of its own. `quiet_s`: for how
    long nothing must come before a line out of step is used again. `late_s`: how long after a time-out an answer may
    still come, as far as is known at first; never less than three time-outs or `quiet_s`.
    """

    def __init__(
        self, name: str, *, host: str = "", port: int = 0, serial: SerialLine | None = None, framing: Framing = "tcp",
        any_number: bool = False, quiet_s: float = 0.2, late_s: float = 3.0, deadlines: Deadlines | None = None,
    ) -> None:  # fmt: skip
        super().__init__(
            name, host=host, port=port, serial=serial, framing=framing, any_number=any_number, deadlines=deadlines
        )
        self._quiet_s = quiet_s
        self._gap_s = 0.0
        if serial is not None and framing == "rtu":
            self._gap_s = max(_SHORTEST_GAP_S, _GAP_CHARACTERS * serial.bits_per_byte / serial.baud)
        self._lock = asyncio.Lock()
        self._requests: dict[tuple[int, str, int, int], ReadRequest] = {}
        # Slave -> requests whose answers may still come.
        self._owed: Counter[int] = Counter()
        self._late = Owed(max(late_s, quiet_s))
        self._repeats = False
        # Slave -> how often bytes of it came that nobody asked for: what was read before may be out of step.
        self._slips: Counter[int] = Counter()

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
            pdu = await (self._ask_until_in_step if slave in self._owed else self.ask)(asked, timeout_s)
        return reply_data(pdu, block, asked.wanted, asked.subject)

    def _remember(self, slave: int, block: Block) -> ReadRequest:
        if len(self._requests) >= _REQUESTS:
            self._requests.clear()
        asked = self._requests[slave, block.area, block.address, block.count] = self.request_for(slave, block)
        return asked

    async def _read_in_doubt(self, asked: ReadRequest, block: Block, doubt: Doubt, timeout_s: float) -> bytes:
        """Read a block while an answer of its shape is owed."""
        if not self._is_shared(asked, doubt):
            pdu = await self._ask_until_in_step(asked, timeout_s)
            return reply_data(pdu, block, asked.wanted, asked.subject)
        slave = asked.wanted.slave
        for parts in _cuts(block):
            requests = [self.request_for(slave, part) for part in parts]
            if not any(self._late.of(request.wanted, _now_s()) for request in requests):
                pdus = [await self.ask(request, timeout_s) for request in requests]
                if any(pdu[0] & 0x80 for pdu in pdus):
                    raise self._unsure(asked)  # perhaps the late answer to another request of this function
                return b"".join(
                    reply_data(pdu, part, request.wanted, request.subject)
                    for pdu, part, request in zip(pdus, parts, requests, strict=True)
                )
        return reply_data(await self._ask_until_proved(asked, timeout_s), block, asked.wanted, asked.subject)

    def _is_shared(self, asked: ReadRequest, doubt: Doubt) -> bool:
        """True if requests of this shape read other places too, whether they are owed an answer or not."""
        return doubt.is_of_others(asked.key) or any(
            other.wanted == asked.wanted and other.key != asked.key for other in self._requests.values()
        )

    def _unsure(self, asked: ReadRequest) -> Unsure:
        return Unsure(
            tr("not read: a late answer to another request could be taken for its own"), subject=asked.subject
        )

    async def _ask_until_proved(self, asked: ReadRequest, timeout_s: float) -> bytes:
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
                pdu = await self.ask(asked, timeout_s)
                await asyncio.sleep(self._quiet_s)
                if pdu[0] & 0x80 or (first and pdu != first) or (self.framer.surplus and not self.framer.twice):
                    raise self._unsure(asked)
                first = pdu
            # Bytes all alike are what anything at rest answers: then one of these may be another's all the same.
            is_proved = len(set(first[2:])) > 1
        finally:
            if not is_proved:
                self._note_surplus()
                doubt.renew(None, _now_s())
                doubt.tried.add(places)
        return first

    def _note_late(self) -> None:
        """Count late answers among the unexpected bytes."""
        framer, late = self.framer, self._late
        if framer.surplus and late:
            for shape in late.shapes():
                # The answer just taken, once more, is no other.
                late.came(shape, len(framer.frames_of(shape, framer.surplus) - {framer.frame}), _now_s())

    async def settle(self, slave: int) -> int:
        """Wait for the silence between frames; count a slip if unexpected bytes came.

        Returns the slave's slips so far. Nothing to do on a line that is `numbered`.
        """
        await asyncio.sleep(self._quiet_s if self._repeats else self._gap_s)
        self._note_surplus()
        return self._slips[slave]

    def _note_surplus(self) -> None:
        """Judge unexpected bytes, once: an answer counted twice would seem to have come twice."""
        if self._has_slipped():
            wanted = self.framer.wanted
            self._slips[wanted.slave] += 1
            self._owed[wanted.slave] += 1
            if self._late.of(wanted, _now_s()) is None and not self.framer.twice:
                self._late.stray(wanted, _now_s())
            else:
                self._note_late()
        elif self._late:
            self._note_late()
        self.framer.surplus = b""

    def _has_slipped(self) -> bool:
        """True if a reply like the last one came after it; noise and other slaves' frames do not count."""
        framer = self.framer
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

    async def _ask_until_in_step(self, asked: ReadRequest, timeout_s: float) -> bytes:
        slave = asked.wanted.slave
        await self._drain(timeout_s, asked.subject)
        needed = min(self._owed[slave], _MOST_OWED) + 1
        last, same = b"", 0
        for _ in range(needed + _MOVING_ANSWERS):
            if doubt := self._late.of(asked.wanted, _now_s()):
                doubt.renew(asked.key, _now_s())  # only answers to requests for these places are owed here
            pdu = await self.ask(asked, timeout_s)
            await asyncio.sleep(self._quiet_s)
            if self._has_slipped():
                self._repeats = self.framer.twice
                if not self._repeats:
                    octets = shown(self.framer.surplus)
                    self._note_surplus()
                    self._owed[slave] = max(1, self._owed[slave] - 2)
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
            self.framer.surplus = b""
            await asyncio.sleep(self._quiet_s)
            if not self.framer.surplus:
                return
            self._note_late()
            if asyncio.get_running_loop().time() >= end_s:
                raise Garbled(
                    tr("the line does not become silent: {octets}", octets=shown(self.framer.surplus)), subject=subject
                )

    def refused(self, asked: ReadRequest) -> None:
        """A refusal that may have been another request's leaves this one owed its answer."""
        if self._late.refusal_is_unsure(asked.wanted, _now_s()):
            self._late.miss(asked.wanted, asked.key, _now_s())

    def given_up(self, asked: ReadRequest, timeout_s: float) -> None:
        """Note that an answer may still come, on a line without numbers."""
        if not self.numbered:
            self._owed[asked.wanted.slave] += 1
            self._late.expect(3 * timeout_s)
            self._late.give_up(asked.wanted, asked.key, _now_s())

    def drop(self) -> None:
        """Close at once; a request under way is lost."""
        super().drop()
        self._repeats = False


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
