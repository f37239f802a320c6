# SPDX-License-Identifier: GPL-3.0-or-later
"""The decoder of one request's answer, prepared once per block, which unpacks all values at once.

It gives the same results as `registers.decode_value` and `Scaling.judge` point by point; a test compares the two. Only
a block of nothing but FFFF or 0000 is judged as a whole: a gateway that has lost its device may show either.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeVar

from collector.agent.device.contract import BlockReadings
from collector.agent.device.modbus.plan import BIT_AREAS, Block
from collector.agent.device.registers import FROM_BYTES, Guard, Raw, Scaling, finite, in_order, scaling_of
from collector.model.quantity import BY_NAME, QuantityKind
from collector.model.record import Quality
from collector.points import Point

_CODES: Final = {
    "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q", "float32": "f",
    "float64": "d", "float16": "e", "bit": "H",
}  # fmt: skip
# A float32 has 24 significant bits, a float64 53: a float32 times a 28-bit factor plus one half is still exact.
_FACTOR_LIMIT: Final = 2**28
_FLOAT_LIMIT: Final = 2.0**51  # below this, halves are exact
_TABLE: Final = 256
_FILLERS: Final = b"\x00\xff"

Judged = tuple[int | None, Quality]
# (unpacked value, its bytes as received) -> (stored value, quality)
Judge = Callable[[Any, bytes], Judged]
# Unpacked value -> stored integer of a good value; None: `Judge` must decide.
Guess = Callable[[Any], int | None]
Unpack = Callable[[bytes], tuple[Any, ...]]
Sort = Callable[[bytes], bytes]
Cut = Callable[[bytes], tuple[bytes, ...]]
T = TypeVar("T", bound=tuple[Any, ...])


class BlockDecoder:
    """Decodes the bytes of a block into readings. Guard points match or not; other points get a stored integer."""

    def __init__(self, block: Block, guards: Mapping[str, Guard]) -> None:
        width = 1 if block.area in BIT_AREAS else 2
        places = tuple(
            _Place(width * (p.address - block.address), width * p.registers, _code(p, width), p.order)
            for p in block.points
        )
        self._unpack, self._sort, self._cut = _shape(places)
        self._points = block.points
        self._judges = _kept_once(
            tuple(
                _judge_guard(p, guards[p.name], _conversion(p, width))
                if p.guard
                else _judge(scaling_of(p), _conversion(p, width))
                for p in block.points
            )
        )
        self._guesses = _kept_once(
            tuple(
                _no_guess if p.guard else _guess(scaling_of(p), _conversion(p, width), p.type in ("float16", "float32"))
                for p in block.points
            )
        )
        # Points of whole numbers whose guess is all there is to judge: what is not good is out of range.
        self._whole = frozenset(
            i
            for i, p in enumerate(block.points)
            if not p.guard and _is_whole(scaling_of(p)) and _conversion(p, width) is None
        )
        self._all_good = _kept_once((Quality.GOOD,) * len(block.points))
        # The places of values out of range in the answer before, and its qualities: mostly those of the next one.
        self._beyond: list[int] = []
        self._qualities: Sequence[Quality] = self._all_good
        # One register may well hold -1 or 0. Coils are no registers.
        self._may_be_filler = width == 2 and len({(p.address, p.registers) for p in block.points}) > 1
        quantities = [BY_NAME.get(p.quantity) for p in block.points]
        # Counters of which none has shown more than zero yet.
        self._fresh = [i for i, q in enumerate(quantities) if q is not None and q.kind is QuantityKind.COUNTER]
        self._has_counted = False
        self._newest = b""

    def decode(self, data: bytes, time_utc_ms: int) -> BlockReadings:
        """Decode `data`: two bytes per register, or one byte 0 or 1 per coil, as many as the block requests."""
        self._newest = data
        unpacked = self._unpack(self._sort(data))
        values = [guess(number) for guess, number in zip(self._guesses, unpacked, strict=True)]
        qualities: Sequence[Quality] = self._all_good
        if None in values:
            doubtful = [index for index, value in enumerate(values) if value is None]
            if not self._whole.issuperset(doubtful):
                came = self._cut(data)
                qualities = list(qualities)
                for index in doubtful:
                    values[index], qualities[index] = self._judges[index](unpacked[index], came[index])
            elif doubtful == self._beyond:
                qualities = self._qualities
            else:
                beyond = dict.fromkeys(doubtful, Quality.OUT_OF_RANGE)
                qualities = self._qualities = tuple(beyond.get(i, Quality.GOOD) for i in range(len(values)))
                self._beyond = doubtful
        if data[0] in _FILLERS and data.count(data[0]) == len(data):
            if self._is_filler(data[0], qualities):
                values = [None] * len(values)
                qualities = [Quality.SUSPECT if quality.usable else quality for quality in qualities]
        elif self._fresh and any(values[index] for index in self._fresh):
            self._fresh, self._has_counted = [], True
        return BlockReadings(self._points, values, qualities, time_utc_ms, data, self._cut)

    def raws(self) -> Iterator[tuple[str, bytes]]:
        """Each point's name with its bytes in the newest answer, for display."""
        return zip((p.name for p in self._points), self._cut(self._newest), strict=False)

    def _is_filler(self, byte: int, qualities: Sequence[Quality]) -> bool:
        """True if a gateway filled the block in place of a device: FFFF throughout, or impossible zeros.

        A stopped unit shows zeros too. But a quantity whose limits exclude zero, such as a frequency, can't be zero,
        nor can a counter that has counted.
        """
        may_not_be_zero = self._has_counted or not all(quality.usable for quality in qualities)
        return self._may_be_filler and (byte == 0xFF or may_not_be_zero)


class _Place(NamedTuple):
    """Position of a value in the bytes of its block, and its `struct` format once its bytes are in order."""

    start: int
    size: int
    code: str
    order: str


@lru_cache(256)
def _kept_once(values: T) -> T:
    """The first tuple seen that equals this one: devices of one make are read by the same functions."""
    return values


# Devices of one make use the same point table: results that depend only on positions are cached for all of them.
@lru_cache(256)
def _shape(places: tuple[_Place, ...]) -> tuple[Unpack, Sort, Cut]:
    sources: list[int] = []
    for place in places:
        # Source of each byte of the value, most significant first.
        positions = bytes(range(place.size))
        ordered = positions if place.size == 1 else in_order(positions, place.order)
        sources += [place.start + position for position in ordered]
    # `itemgetter` of one item gives no tuple, so an empty slice is always added.
    cut = itemgetter(*(slice(p.start, p.start + p.size) for p in places), slice(0))
    return struct.Struct(">" + "".join(p.code for p in places)).unpack, _sorting(sources), cut


def _sorting(sources: Sequence[int]) -> Sort:
    """A function that reorders bytes: byte i of its result is byte `sources[i]` of the data."""
    if max(sources) < _TABLE:
        # The data serve as the table of `bytes.translate`, which the answer of any allowed request fits.
        wanted = bytes(sources)
        return lambda data: wanted.translate(data.ljust(_TABLE))
    pick = itemgetter(*sources, 0)
    return lambda data: bytes(pick(data))[:-1]


def _code(point: Point, width: int) -> str:
    if width == 1:
        return "B"
    if point.bit is not None and point.registers <= 2:
        return "I" if point.registers == 2 else "H"
    whole = f"{2 * point.registers}s"
    return whole if point.bit is not None else _CODES.get(point.type, whole)


def _conversion(point: Point, width: int) -> Callable[[Any], Raw | None] | None:
    """The function from unpacked to raw value; None where the two are the same."""
    if width == 1:
        return None
    if point.bit is not None:
        mask = (1 << point.bit_count) - 1
        return _bits(point.bit, mask) if point.registers <= 2 else _bits_of_bytes(point.bit, mask)
    if point.type.startswith("float"):
        return finite
    return FROM_BYTES.get(point.type)


@lru_cache
def _bits(lowest: int, mask: int) -> Callable[[int], int]:
    return lambda unpacked: unpacked >> lowest & mask


@lru_cache
def _bits_of_bytes(lowest: int, mask: int) -> Callable[[bytes], int]:
    return lambda unpacked: int.from_bytes(unpacked, "big") >> lowest & mask


# Many points have the same scaling: they share one function.
@lru_cache(1024)
def _judge(scaling: Scaling, convert: Callable[[Any], Raw | None] | None) -> Judge:
    """A function that applies `convert`, then `Scaling.judge`."""

    def judge(unpacked: Any, came: bytes) -> Judged:
        raw = unpacked if convert is None else convert(unpacked)
        return scaling.judge(raw, int.from_bytes(came, "big") if scaling.sentinels else None)

    return judge


def _no_guess(unpacked: Any) -> None:
    """Always leave the value to `Judge`."""
    del unpacked


def _is_whole(scaling: Scaling) -> bool:
    """Whether a whole number is stored as a multiple of it, whatever it is."""
    return not scaling.sentinels and not scaling.states and scaling.denominator == 1


@lru_cache(1024)
def _guess(scaling: Scaling, convert: Callable[[Any], Raw | None] | None, float32: bool) -> Guess:
    """A fast version of `_judge` for good values; it gives None where the value is not good or no fast way exists.

    `float32`: the point has this type or float16, whose numbers times a small factor are exact in floating point.
    """
    factor, addend, low, high = scaling.numerator, scaling.addend, scaling.low, scaling.high

    lowest, highest = float(max(-_FLOAT_LIMIT, low)), float(min(_FLOAT_LIMIT, high))
    float_factor = float(factor) if abs(factor) < _FACTOR_LIMIT else 0.0

    def guess_whole(unpacked: int) -> int | None:
        stored = unpacked * factor + addend
        return stored if low <= stored <= high else None

    def guess_converted(unpacked: Any) -> int | None:
        assert convert is not None
        raw = convert(unpacked)
        return guess_whole(raw) if isinstance(raw, int) else None

    def guess_float32(unpacked: float) -> int | None:
        scaled = unpacked * float_factor
        # NaN fails both comparisons.
        if lowest <= scaled <= highest:
            return int(scaled + 0.5 if scaled >= 0 else scaled - 0.5)
        return None

    if scaling.sentinels or scaling.denominator != 1:
        return _no_guess
    if scaling.states:
        known: dict[Any, int] = dict(scaling.states)
        return lambda unpacked: known.get(unpacked if convert is None else convert(unpacked))
    if convert is None:
        return guess_whole
    if convert is not finite:
        return guess_converted
    return guess_float32 if float32 and addend == 0 and abs(factor) < _FACTOR_LIMIT else _no_guess


def _judge_guard(point: Point, guard: Guard, convert: Callable[[Any], Raw | None] | None) -> Judge:
    """A function that judges a guard point exactly, cached per value: a guard's value should never change."""
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
