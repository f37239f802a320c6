# SPDX-License-Identifier: GPL-3.0-or-later
"""The register decoder: registers of a device to raw values, raw values to the stored integers of their quantity.

All arithmetic is exact (integers and fractions), also for floating point values: their binary value is taken as it is
(a float32 is widened to 64 bits before any factor) and rounded once, half away from zero.

Word orders have their usual names, A the most significant byte of a 32-bit value: ABCD high word first, CDAB low word
first, BADC and DCBA the same two with the bytes of each word swapped. 64-bit values follow the same pattern over four
words; in a single register ABCD equals CDAB, and BADC equals DCBA.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Final

from collector.model.quantity import BY_NAME, QuantityKind, parse_decimal
from collector.model.record import Quality
from collector.points import RAW_UNITS, Point

_SIGNED: Final = frozenset({"int16", "int32", "int64"})
_FLOAT: Final = {"float16": struct.Struct(">e"), "float32": struct.Struct(">f"), "float64": struct.Struct(">d")}
_MOD10K: Final = 10_000

Raw = int | float | Fraction


def in_order(data: bytes, order: str) -> bytes:
    """The bytes of one value, most significant first. `data`: whole registers as received; `order`: as above."""
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order in ("CDAB", "DCBA"):
        words.reverse()
    if order in ("BADC", "DCBA"):
        words = [word[::-1] for word in words]
    return b"".join(words)


def decode_value(data: bytes, kind: str, order: str, bit: int | None, bit_count: int = 1) -> int | float | None:
    """Decode a raw value; None where the bytes are no number of this type (BCD digit above 9, NaN, infinity).

    Args:
        data: the registers of the value as received, two bytes each.
        kind: the type column of the point table.
        order: ABCD, CDAB, BADC or DCBA.
        bit: number of the bit wanted, 0 least significant, or of the lowest of `bit_count`; None: the whole value.
        bit_count: how many bits are one number.
    """
    ordered = in_order(data, order) if order != "ABCD" else data
    if bit is not None:
        return int.from_bytes(ordered, "big") >> bit & (1 << bit_count) - 1
    if kind in _FLOAT:
        return finite(_FLOAT[kind].unpack(ordered)[0])
    if kind in FROM_BYTES:
        return FROM_BYTES[kind](ordered)
    return int.from_bytes(ordered, "big", signed=kind in _SIGNED)


def finite(value: float) -> float | None:
    """The number itself, or None for infinity and NaN."""
    return value if value - value == 0 else None


def bcd_digits(data: bytes) -> int | None:
    """Decode a packed BCD number; None where a digit is above 9."""
    digits = data.hex()
    return int(digits) if digits.isdecimal() else None


def mod10k(data: bytes) -> int | None:
    """Decode a number of base 10 000, a signed register per digit; None where a register is beyond +-9999."""
    value = 0
    for start in range(0, len(data), 2):
        digit = int.from_bytes(data[start : start + 2], "big", signed=True)
        if abs(digit) >= _MOD10K:
            return None
        value = _MOD10K * value + digit
    return value


def _byte(index: int, *, signed: bool) -> Callable[[bytes], int]:
    return lambda data: int.from_bytes(data[index : index + 1], "big", signed=signed)


# Types decoded from their bytes, most significant first. bcd24: the lower three bytes of two registers.
FROM_BYTES: Final[dict[str, Callable[[bytes], int | None]]] = {
    **dict.fromkeys(("bcd16", "bcd32", "bcd48", "bcd64"), bcd_digits), "bcd24": lambda data: bcd_digits(data[1:]),
    **dict.fromkeys(("mod10k32", "mod10k48", "mod10k64"), mod10k),
    "int8_hi": _byte(0, signed=True), "int8_lo": _byte(1, signed=True),
    "uint8_hi": _byte(0, signed=False), "uint8_lo": _byte(1, signed=False),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Scaling:
    """The prepared scaling of a point: stored = (raw × numerator + addend) ÷ denominator.

    `low`, `high`: the stored integers allowed: the quantity's plausible range narrowed by the row's own.
    `sentinels`: raw integers meaning "no value"; a value also matches by its bit pattern (65535 and -1 in int16).
    `states`: see `Point.states`; where there are any, nothing is scaled, and any other raw value is out of range.
    """

    numerator: int
    addend: int
    denominator: int
    low: int
    high: int
    sentinels: frozenset[int]
    states: tuple[tuple[int, int], ...] = ()

    def judge(self, raw: Raw | None, pattern: int | None = None) -> tuple[int | None, Quality]:
        """The stored integer (None unless usable) and its quality. `pattern`: the raw bits as received."""
        if raw is None:
            return None, Quality.INVALID
        if self.sentinels and (raw in self.sentinels or pattern in self.sentinels):
            return None, Quality.INVALID
        if self.states:
            value = next((value for state, value in self.states if state == raw), None)
            return value, Quality.GOOD if value is not None else Quality.OUT_OF_RANGE
        if isinstance(raw, int):
            scaled, denominator = raw * self.numerator + self.addend, self.denominator
        else:
            above, below = raw.as_integer_ratio()
            scaled, denominator = above * self.numerator + self.addend * below, self.denominator * below
        if denominator == 1:
            stored = scaled
        elif scaled >= 0:
            stored = (2 * scaled + denominator) // (2 * denominator)
        else:
            stored = -((denominator - 2 * scaled) // (2 * denominator))
        if self.low <= stored <= self.high:
            return stored, Quality.GOOD
        return None, Quality.OUT_OF_RANGE


def scaling_of(point: Point) -> Scaling:
    """The scaling of a point that carries a quantity; points with equal scaling share the object."""
    return _scaling(
        point.quantity, point.raw_unit, point.factor * point.sign, point.offset * point.sign, point.low, point.high,
        point.no_value, point.states,
    )  # fmt: skip


@lru_cache(1024)
def _scaling(
    quantity_name: str, raw_unit: str, scale: Fraction, offset: Fraction, low_raw: Fraction | None,
    high_raw: Fraction | None, no_value: tuple[int, ...], states: tuple[tuple[int, int], ...],
) -> Scaling:  # fmt: skip
    quantity = BY_NAME[quantity_name]
    to_stored = RAW_UNITS[raw_unit][1] * quantity.scale
    factor, addend = scale * to_stored, offset * to_stored
    denominator = math.lcm(factor.denominator, addend.denominator)
    low, high = quantity.low_scaled, quantity.high_scaled
    if low_raw is not None:
        low = max(low, math.ceil(low_raw * to_stored))
    if high_raw is not None:
        high = min(high, math.floor(high_raw * to_stored))
    if quantity.kind is QuantityKind.STATUS:
        low, high = max(low, 0), min(high, 1)
    return Scaling(
        int(factor * denominator), int(addend * denominator), denominator, low, high, frozenset(no_value), states
    )


@dataclass(frozen=True, slots=True)
class Guard:
    """A constant or range that must be found at a known address before the values around it are trusted."""

    low: Fraction
    high: Fraction

    @classmethod
    def parse(cls, text: str) -> Guard:
        """Parse `2009` or `2000..2100`.

        Raises:
            ValueError: the text holds no numbers, or the range ends before it begins.
        """
        first, dots, last = text.partition("..")
        low = Fraction(parse_decimal(first.strip()))
        high = Fraction(parse_decimal(last.strip())) if dots else low
        if low > high:
            raise ValueError(f"the range ends before it begins: {text!r}")
        return cls(low, high)

    def holds(self, point: Point, raw: Raw | None) -> bool:
        """True if the value read matches the guard; compared in the row's own unit, after scale, offset and sign."""
        if raw is None:
            return False
        return self.low <= (Fraction(raw) * point.factor + point.offset) * point.sign <= self.high
