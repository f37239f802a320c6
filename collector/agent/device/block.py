# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder of one request's answer, worked out once per block: which bytes go where, then one unpacking for all.

Gives what `registers.decode_value` and `Scaling.judge` give point by point; a test holds the two against each other.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple

from collector.agent.device.base import Reading
from collector.agent.device.plan import BIT_AREAS, Block
from collector.agent.device.registers import Guard, Raw, Scaling, bcd_digits, finite, in_order, scaling_of
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
Unpack = Callable[[bytes], tuple[Any, ...]]
Pick = Callable[[bytes], tuple[int, ...]]
Cut = Callable[[bytes], tuple[bytes, ...]]


class BlockDecoder:
    """Bytes of a block into readings. Guard points hold or not; the others carry a stored integer."""

    def __init__(self, block: Block, guards: Mapping[str, Guard]) -> None:
        width = 1 if block.area in BIT_AREAS else 2
        places = tuple(
            _Place(width * (p.address - block.address), width * p.registers, _code(p, width), p.order)
            for p in block.points
        )
        self._unpack, self._pick, self._cut = _shape(places)
        self._points = block.points
        self._judges = tuple(
            _judge_guard(p, guards[p.name], _conversion(p, width))
            if p.guard
            else _judge(scaling_of(p), _conversion(p, width), p.type == "float32")
            for p in block.points
        )

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


class _Place(NamedTuple):
    """Where a value lies in the bytes of its block, and what `struct` calls it when its bytes are in order."""

    start: int
    size: int
    code: str
    order: str


# Devices of one make are read by the same table: what depends on places alone is worked out once for all of them.
@lru_cache(256)
def _shape(places: tuple[_Place, ...]) -> tuple[Unpack, Pick, Cut]:
    picked: list[int] = []
    for place in places:
        # Where each byte of the value comes from, most significant first.
        positions = bytes(range(place.size))
        ordered = positions if place.size == 1 else in_order(positions, place.order)
        picked += [place.start + position for position in ordered]
    # A lone place would come bare and not in a tuple, so one more is always asked for.
    cut = itemgetter(*(slice(p.start, p.start + p.size) for p in places), slice(0))
    return struct.Struct(">" + "".join(p.code for p in places)).unpack, itemgetter(*picked, 0), cut


def _code(point: Point, width: int) -> str:
    if width == 1:
        return "B"
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
