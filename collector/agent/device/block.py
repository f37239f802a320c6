# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder of one request's answer, worked out once per block: which bytes go where, then one unpacking for all.

Gives what `registers.decode_value` and `Scaling.judge` give point by point; a test holds the two against each other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

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
# A float32 has 24 significant bits, a float64 53: times a factor of 29 bits it is still exact.
_FACTOR_LIMIT: Final = 2**29
_FLOAT_LIMIT: Final = 2.0**53

_new_tuple: Final = tuple.__new__
Judged = tuple[int | None, Quality]
# What was unpacked, and the value's bytes as they came, into value and quality.
Judge = Callable[[Any, bytes], Judged]


class BlockDecoder:
    """Bytes of a block into readings. Guard points hold or not; the others carry a stored integer."""

    def __init__(self, block: Block, scalings: Mapping[str, Scaling], guards: Mapping[str, Guard]) -> None:
        width = 1 if block.area in BIT_AREAS else 2
        places: list[int] = []
        cuts = []
        codes = ">"
        judges = []
        for point in block.points:
            start = width * (point.address - block.address)
            end = start + width * point.registers
            # Where each byte of the value comes from, most significant first.
            order = in_order(bytes(range(end - start)), point.order) if width == 2 else b"\0"
            places += [start + place for place in order]
            cuts.append(slice(start, end))
            codes += "B" if width == 1 else _code(point)
            if point.guard:
                judges.append(_judge_guard(point, guards[point.name], _conversion(point, width)))
            else:
                judges.append(_judge(scalings[point.name], _conversion(point, width), point.type == "float32"))
        self._points, self._judges = block.points, tuple(judges)
        self._unpack = struct.Struct(codes).unpack
        # A lone place would come bare and not in a tuple, so one more is always asked for.
        self._pick = itemgetter(*places, 0)
        self._cut = itemgetter(*cuts, slice(0))

    def decode(self, data: bytes, time_utc_ms: int) -> list[Reading]:
        """`data`: two bytes a register, or one byte 0 or 1 a coil, as many as the block asked for."""
        unpacked = self._unpack(bytes(self._pick(data))[:-1])
        readings: list[Reading] = []
        append = readings.append
        for point, judge, number, came in zip(self._points, self._judges, unpacked, self._cut(data), strict=False):
            value, quality = judge(number, came)
            # What a named tuple does when called, without the detour through its defaults.
            append(_new_tuple(Reading, (point, value, quality, time_utc_ms, None, False, came)))
        return readings


def _code(point: Point) -> str:
    return _UNSIGNED[point.registers] if point.bit is not None else _CODES[point.type]


def _conversion(point: Point, width: int) -> Callable[[Any], Raw | None] | None:
    """Unpacked into raw; None where they are the same."""
    if width == 1:
        return None
    if point.bit is not None:
        return _bit(point.bit)
    if point.type.startswith("float"):
        return finite
    return bcd_digits if point.type.startswith("bcd") else None


@lru_cache
def _bit(number: int) -> Callable[[int], int]:
    return lambda unpacked: unpacked >> number & 1


# Many points share an arithmetic: one judge for all of them.
@lru_cache(1024)
def _judge(scaling: Scaling, convert: Callable[[Any], Raw | None] | None, float32: bool) -> Judge:
    """`Scaling.judge` after `convert`, by the shortest way that gives the same."""

    def judge(unpacked: Any, came: bytes) -> Judged:
        raw = unpacked if convert is None else convert(unpacked)
        return scaling.judge(raw, int.from_bytes(came, "big") if scaling.sentinels else None)

    if scaling.sentinels or scaling.denominator != 1:
        return judge
    factor, addend, low, high = scaling.numerator, scaling.addend, scaling.low, scaling.high
    good = Quality.GOOD

    def judge_whole(unpacked: int, came: bytes) -> Judged:
        del came
        stored = unpacked * factor + addend
        return (stored, good) if low <= stored <= high else (None, Quality.OUT_OF_RANGE)

    def judge_float32(unpacked: float, came: bytes) -> Judged:
        scaled = unpacked * factor
        if not -_FLOAT_LIMIT < scaled < _FLOAT_LIMIT:
            return judge(unpacked, came)
        stored = int(scaled)
        rest = scaled - stored
        if rest >= 0.5:
            stored += 1
        elif rest <= -0.5:
            stored -= 1
        return (stored, good) if low <= stored <= high else (None, Quality.OUT_OF_RANGE)

    if convert is None:
        return judge_whole
    return judge_float32 if float32 and addend == 0 and abs(factor) < _FACTOR_LIMIT else judge


def _judge_guard(point: Point, guard: Guard, convert: Callable[[Any], Raw | None] | None) -> Judge:
    """Exact, and worked out once per value: a guard is meant to stay what it is."""
    known: dict[Any, Quality] = {}

    def judge(unpacked: Any, came: bytes) -> Judged:
        del came
        quality = known.get(unpacked)
        if quality is None:
            raw = unpacked if convert is None else convert(unpacked)
            known.clear()
            quality = known[unpacked] = Quality.GOOD if guard.holds(point, raw) else Quality.SUSPECT
        return None, quality

    return judge
