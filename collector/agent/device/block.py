# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder of one request's answer, worked out once per block: which bytes go where, then one unpacking for all.

Gives what `registers.decode_value` and `Scaling.judge` give point by point; a test holds the two against each other.
Measured (bench/modbus.py, 50 points a block): 0.35 to 0.45 of the library's bare speed, against 0.28 point by point.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from operator import itemgetter
from typing import Any, Final, NamedTuple

from collector.agent.device.base import Reading
from collector.agent.device.plan import BIT_AREAS, Block
from collector.agent.device.registers import Guard, Raw, Scaling, bcd_digits, finite, in_order
from collector.model.record import Quality
from collector.points import Point

_CODES: Final = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f",
    "float64": "d", "bcd16": "2s", "bcd32": "4s", "bit": "H",
}  # fmt: skip
_UNSIGNED: Final = {1: "H", 2: "I", 4: "Q"}

_new_tuple: Final = tuple.__new__
Convert = Callable[[Any], Raw | None]
Judge = Callable[[Raw | None, int | None], tuple[int | None, Quality]]


class _Part(NamedTuple):
    """One point in a block. `place`: its bytes; `convert`: unpacked into raw, None where they are the same."""

    point: Point
    place: slice
    convert: Convert | None
    judge: Judge


class BlockDecoder:
    """Bytes of a block into readings. Guard points hold or not; the others carry a stored integer."""

    def __init__(self, block: Block, scalings: Mapping[str, Scaling], guards: Mapping[str, Guard]) -> None:
        width = 1 if block.area in BIT_AREAS else 2
        places: list[int] = []
        codes = ">"
        parts = []
        for point in block.points:
            start = width * (point.address - block.address)
            end = start + width * point.registers
            # Where each byte of the value comes from, most significant first.
            places += in_order(bytes(range(end - start)), point.order) if width == 2 else (0,)
            places[start - end :] = [start + place for place in places[start - end :]]
            codes += "B" if width == 1 else _code(point)
            judge = _judge_guard(point, guards[point.name]) if point.guard else scalings[point.name].judge
            parts.append(_Part(point, slice(start, end), _conversion(point, width), judge))
        self._unpack = struct.Struct(codes).unpack
        # A lone place would come as a bare integer, so one more is always asked for.
        self._pick = itemgetter(*places, 0)
        self._parts = tuple(parts)

    def decode(self, data: bytes, time_utc_ms: int) -> list[Reading]:
        """`data`: two bytes a register, or one byte 0 or 1 a coil, as many as the block asked for."""
        raws = self._unpack(bytes(self._pick(data))[:-1])
        readings: list[Reading] = []
        append = readings.append
        for (point, place, convert, judge), unpacked in zip(self._parts, raws, strict=True):
            raw = unpacked if convert is None else convert(unpacked)
            value_bytes = data[place]
            pattern = int.from_bytes(value_bytes, "big") if point.no_value else None
            value, quality = judge(raw, pattern)
            # What a named tuple does when called, without the detour through its defaults.
            append(_new_tuple(Reading, (point, value, quality, time_utc_ms, None, False, value_bytes)))
        return readings


def _code(point: Point) -> str:
    return _UNSIGNED[point.registers] if point.bit is not None else _CODES[point.type]


def _conversion(point: Point, width: int) -> Convert | None:
    if width == 1:
        return None
    if point.bit is not None:
        bit = point.bit
        return lambda unpacked: unpacked >> bit & 1
    if point.type.startswith("float"):
        return finite
    return bcd_digits if point.type.startswith("bcd") else None


def _judge_guard(point: Point, guard: Guard) -> Judge:
    """Exact, and worked out once per value: a guard is meant to stay what it is."""
    known: dict[Raw | None, Quality] = {}

    def judge(raw: Raw | None, _pattern: int | None) -> tuple[int | None, Quality]:
        quality = known.get(raw)
        if quality is None:
            known.clear()
            quality = known[raw] = Quality.GOOD if guard.holds(point, raw) else Quality.SUSPECT
        return None, quality

    return judge
