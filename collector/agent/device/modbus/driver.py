# SPDX-License-Identifier: GPL-3.0-or-later
"""One Modbus slave on a `ModbusLine`: its points in few requests, each failure kept to the points it concerns.

A block that is refused with an exception about the request itself (1 to 4) is halved until the refused place is found,
which is then left alone (`apart`). But a block that answered before is not illegal: a gateway that restarts refuses
everything for some seconds. Such a block is only asked again in the next read, and halved if the refusal lasts. Other
exceptions (5 acknowledge, 6 busy, 8 memory) say nothing of the address: the block is asked again in the next read. 10
and 11 are a gateway's word that the slave did not answer: silence. A block without any answer is asked apart.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import chain
from typing import Final

from collector.agent.device.contract import Answer, Reading, ReadingsByBlock, failed, suspect_where_shifted
from collector.agent.device.modbus.apart import Apart
from collector.agent.device.modbus.block import BlockDecoder
from collector.agent.device.modbus.line import ModbusLine, Unsure
from collector.agent.device.modbus.plan import Block, RequestLimits, plan_reads
from collector.agent.device.registers import Guard
from collector.agent.device.turns import Turns
from collector.base.clock import Clock
from collector.base.errors import DeviceError, Garbled, Refused, Silent
from collector.base.text import tr
from collector.points import Point

_ABOUT_THE_REQUEST: Final = frozenset({1, 2, 3, 4})
# A refusal of what answered before is believed after so long; a place that answered before rests no longer than so.
_BELIEVED_AFTER_S: Final = 30.0
_COMES_BACK_S: Final = 5.0
_DECODERS: Final = 1024

_Key = tuple[str, int, int]


def _key(block: Block) -> _Key:
    return block.area, block.address, block.count


class ModbusDevice:
    """One slave. `retry_refused_s`: longest rest of a point at a refused (illegal) address, seconds."""

    def __init__(
        self, name: str, line: ModbusLine, points: tuple[Point, ...], clock: Clock, *, slave: int, timeout_s: float,
        limits: RequestLimits, pause_s: float = 0.0, retry_refused_s: float = 600.0,
    ) -> None:  # fmt: skip
        self.name, self.points = name, points
        self._line, self._clock, self._slave = line, clock, slave
        self._timeout_s, self._limits, self._pause_s = timeout_s, limits, pause_s
        self._retry_refused_s = retry_refused_s
        self._guards: dict[str, Guard] = {p.name: Guard.parse(p.guard) for p in points if p.guard}
        # Keyed by `id()`: hashing a block would hash all its points.
        self._decoders: dict[int, tuple[Block, BlockDecoder]] = {}
        self._plans: dict[int, tuple[Sequence[Point], tuple[Block, ...]]] = {}
        self._apart = Apart()
        self._turns: Turns[Block] = Turns(name, _key)
        # Blocks that were read at least once, and since when (real time, s) such a block is refused.
        self._answered: set[_Key] = set()
        self._refused_since_s: dict[_Key, float] = {}
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

    def raws(self) -> dict[str, bytes]:
        """The bytes of each point as last received."""
        return dict(chain.from_iterable(decoder.raws() for _, decoder in self._decoders.values()))

    async def read(self, points: Sequence[Point], *, budget_s: float) -> Answer:
        """Read as `Device.read` says. Points that did not fit into the budget are read first the next time."""
        loop = asyncio.get_running_loop()
        self._errors = []
        readings = ReadingsByBlock()
        line, slave = self._line, self._slave
        slips = await line.settle(slave) if not line.numbered else 0
        now_s = loop.time()
        blocks, mute = self._requests(points, readings, now_s)
        end_s, turns = now_s + budget_s, self._turns
        for block in turns.asked(blocks, loop.time, end_s):
            try:
                await self._read_block(block, readings)
            except Unsure as error:
                turns.passed(block, error)
            except Silent as error:
                turns.silent(block, error)
        if turns.failed:
            self._on_unanswered(readings)
        for block in mute:
            if turns.heard and loop.time() < end_s:
                await self._read_mute(block, readings)
            else:
                late = Silent(tr("not asked"), subject=self.name)
                readings.others.extend(failed(block.points, late, self._clock.now_utc_ms()))
        if turns.has_asked and not turns.heard and self._apart.forgive_silence():
            self._forget_plans()
        if not line.numbered and await line.settle(slave) != slips:
            self._discard(readings)
        trusted = suspect_where_shifted(readings, lambda p: p.area) if self._guards else readings
        return Answer(trusted, self._clock.now_utc_ms(), errors=self._errors)

    def _on_unanswered(self, readings: ReadingsByBlock) -> None:
        for block, reason, is_mute in self._turns.unanswered():
            self._fail(block.points, reason, readings)
            if is_mute:
                self._apart.mute(block.points, reason)
                self._forget_plans()

    def _requests(
        self, points: Sequence[Point], readings: ReadingsByBlock, now_s: float
    ) -> tuple[Sequence[Block], Sequence[Block]]:
        """The blocks to ask now, and those to ask after them because they got no answer; readings of points at rest."""
        plan = self._plan(points)
        if not self._apart.names:
            return plan, ()
        due = self._apart.due(points, now_s)
        for resting, error in self._apart.left_alone(points, due):
            readings.others.extend(failed(resting, error, self._clock.now_utc_ms()))
        refused = [b for g in due if not g.is_mute for b in self._blocks_of(g.points, points)]
        mute = [b for g in due if g.is_mute for b in self._blocks_of(g.points, points)]
        # Where nothing else is left to ask, nothing tells a mute request from a silent device.
        return ((*plan, *refused), mute) if plan or refused else (mute, ())

    def _plan(self, points: Sequence[Point]) -> tuple[Block, ...]:
        known = self._plans.get(id(points))
        if known is None or known[0] is not points:
            asked = [p for p in points if p.name not in self._apart.names]
            known = self._plans[id(points)] = (points, plan_reads(asked, self._limits))
        return known[1]

    def _blocks_of(self, group: Sequence[Point], points: Sequence[Point]) -> tuple[Block, ...]:
        wanted = {p.name for p in points}
        return plan_reads([p for p in group if p.name in wanted], self._limits)

    def _forget_plans(self) -> None:
        self._plans.clear()
        self._decoders.clear()

    def _fail(self, points: Sequence[Point], error: DeviceError, readings: ReadingsByBlock) -> None:
        self._errors.append(error)
        readings.others.extend(failed(points, error, self._clock.now_utc_ms()))

    def _discard(self, readings: ReadingsByBlock) -> None:
        """Discard the answers of this read: unexpected ones came, so they may belong to other requests."""
        error = Garbled(tr("more answers came than were asked for"), subject=f"{self._line.name} slave {self._slave}")
        for block in readings.blocks:
            self._fail(block.points, error, readings)
        readings.blocks.clear()

    async def _read_block(self, block: Block, readings: ReadingsByBlock) -> None:
        """Read one block into `readings`; halve it to find an illegal address. Raises only `Silent`."""
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        try:
            data = await self._line.request(self._slave, block, self._timeout_s)
        except Refused as error:
            if error.code in _ABOUT_THE_REQUEST and self._is_believed(block):
                await self._bisect(block, error, readings)
            else:
                self._fail(block.points, error, readings)
            return
        except Garbled as error:
            self._fail(block.points, error, readings)
            return
        if self._apart.names and self._apart.put_back(block.points):
            self._forget_plans()
        if self._refused_since_s:
            self._refused_since_s.pop(_key(block), None)
        readings.blocks.append(self._decoder(block).decode(data, self._clock.now_utc_ms()))

    def _decoder(self, block: Block) -> BlockDecoder:
        known = self._decoders.get(id(block))
        if known is None:
            if len(self._decoders) >= _DECODERS:
                self._decoders.clear()
            known = self._decoders[id(block)] = (block, BlockDecoder(block, self._guards))
            self._answered.add(_key(block))
        return known[1]

    def _has_answered(self, block: Block) -> bool:
        """True if all of the block was read at least once, in one request or as a part of one."""
        end = block.address + block.count
        return any(area == block.area and start <= block.address and end <= start + count
                   for area, start, count in self._answered)  # fmt: skip

    def _is_believed(self, block: Block) -> bool:
        """True if a refusal means an illegal address, and not a device that can't answer just now."""
        if not self._has_answered(block):
            return True
        now_s = asyncio.get_running_loop().time()
        return now_s - self._refused_since_s.setdefault(_key(block), now_s) >= _BELIEVED_AFTER_S

    async def _bisect(self, block: Block, error: Refused, readings: ReadingsByBlock) -> None:
        places = sorted({(p.address, p.registers) for p in block.points})
        if len(places) == 1:
            longest_s = _COMES_BACK_S if self._has_answered(block) else self._retry_refused_s
            self._apart.refuse(block.points, error, asyncio.get_running_loop().time(), longest_s)
            self._forget_plans()
            self._fail(block.points, error, readings)
            return
        middle = places[len(places) // 2]
        lower = [p for p in block.points if (p.address, p.registers) < middle]
        upper = [p for p in block.points if (p.address, p.registers) >= middle]
        for half in (lower, upper):
            for part in plan_reads(half, self._limits):
                try:
                    await self._read_block(part, readings)
                except Silent as silent:
                    self._fail(part.points, silent, readings)
                    if isinstance(silent, Unsure):
                        continue
                    self._apart.mute(part.points, silent)
                    self._forget_plans()

    async def _read_mute(self, block: Block, readings: ReadingsByBlock) -> None:
        """Ask a block again that got no answer in earlier reads."""
        try:
            await self._read_block(block, readings)
        except Silent as error:
            self._fail(block.points, error, readings)
            if isinstance(error, Unsure):
                return
            self._apart.mute_again(block.points, error, asyncio.get_running_loop().time())
            self._forget_plans()
