# SPDX-License-Identifier: GPL-3.0-or-later
"""The encoder from stored integers to device registers: the point table applied in reverse.

The table says value = (raw × scale + offset) × sign in `raw_unit`; here it is solved for raw in exact integers.
Orders: the letters name bytes, A the most significant. CDAB and DCBA put the least significant word first, BADC and
DCBA swap the two bytes of every word; a value of four registers is treated the same way.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from math import lcm
from typing import Final

from collector.model.quantity import BY_NAME, Kind
from collector.points import RAW_UNITS, Point

_STRUCTS: Final = {
    "int16": struct.Struct(">h"), "uint16": struct.Struct(">H"), "int32": struct.Struct(">i"),
    "uint32": struct.Struct(">I"), "int64": struct.Struct(">q"), "uint64": struct.Struct(">Q"),
    "float32": struct.Struct(">f"), "float64": struct.Struct(">d"),
}  # fmt: skip
_LIMITS: Final = {
    "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1), "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1), "bcd16": (0, 9999), "bcd32": (0, 99_999_999),
}  # fmt: skip


class RawScale:
    """The scaling of one point: raw = (stored × num + add) ÷ den, as integers."""

    __slots__ = ("add", "den", "num")

    def __init__(self, point: Point) -> None:
        quantity = BY_NAME[point.quantity]
        slope = 1 / (point.scale * point.sign * RAW_UNITS[point.raw_unit][1] * quantity.scale)
        shift = -point.offset / point.scale
        self.den = lcm(slope.denominator, shift.denominator)
        self.num = int(slope * self.den)
        self.add = int(shift * self.den)

    def whole(self, stored: int) -> int:
        """The raw integer, rounded half away from zero."""
        top = stored * self.num + self.add
        doubled = (2 * abs(top) + self.den) // (2 * self.den)
        return doubled if top >= 0 else -doubled

    def exact(self, stored: int) -> Fraction:
        """The exact raw number."""
        return Fraction(stored * self.num + self.add, self.den)

    def real(self, stored: int) -> float:
        """The raw number as the nearest double."""
        return (stored * self.num + self.add) / self.den


class Counter:
    """A counting register: the total since it was created, with roll-over at the end of its digits.

    A sink of the board. `whole` converts a stored integer to units of the register's last digit; at `turn` the register
    starts again from 0; `write` stores the shown value.
    """

    def __init__(
        self, whole: Callable[[int], int], turn: int, write: Callable[[int], None],
        miss: Callable[[], None] = lambda: None,
    ) -> None:  # fmt: skip
        self._whole = whole
        self._turn = turn
        self._write = write
        self._miss = miss
        self._true: int | None = None
        self._offset = 0

    def __call__(self, stored: int | None, _time_utc_ms: int) -> None:
        """Take over the plant's integral, which has grown."""
        self._true = None if stored is None else self._whole(stored)
        self._show()

    def restart(self) -> None:
        """Count from 0 again, as a meter that lost its memory does."""
        self._offset = -(self._true or 0)
        self._show()

    def roll_over(self, before: int) -> None:
        """Set the register `before` units before its roll-over."""
        self._offset = self._turn - max(before, 1) - (self._true or 0)
        self._show()

    def _show(self) -> None:
        if self._true is None:
            self._miss()
        else:
            self._write((self._true + self._offset) % self._turn)


def counter_turn(type_name: str) -> int:
    """The value at which a counter of this register type rolls over; a float never reaches it."""
    return _LIMITS[type_name][1] + 1 if type_name in _LIMITS else 2**63


def guard_raw(point: Point) -> Fraction:
    """The raw value of a guard point: the value its row requires, or the lower end of the range."""
    low = point.guard.partition("..")[0].strip()
    return (Fraction(low) * point.sign - point.offset) / point.scale


def pack_raw(type_name: str, raw: float | int) -> bytes:
    """Encode a raw number as big-endian register bytes; an integer beyond the type's range saturates, as in devices."""
    if type_name in ("float32", "float64"):
        return _STRUCTS[type_name].pack(raw)
    low, high = _LIMITS[type_name]
    whole = min(max(int(raw), low), high)
    if type_name.startswith("bcd"):
        digits = 4 if type_name == "bcd16" else 8
        return bytes.fromhex(f"{whole:0{digits}d}")
    return _STRUCTS[type_name].pack(whole)


def arrange(big_endian: bytes, order: str) -> bytes:
    """Reorder big-endian register bytes to the order the point table names."""
    if order == "ABCD":
        return big_endian
    if order == "DCBA":
        return big_endian[::-1]
    words = [big_endian[i : i + 2] for i in range(0, len(big_endian), 2)]
    if order == "CDAB":
        return b"".join(reversed(words))
    return b"".join(word[::-1] for word in words)


def register_encoder(point: Point) -> Callable[[int | None], bytes | None]:
    """A function from stored integer to the register bytes of `point`; None where the registers stay unchanged.

    A missing value is encoded as the point's first `no_value`, else as NaN if the type has one, else not at all.
    """
    type_name, order = point.type, point.order
    scale = RawScale(point)
    missing: bytes | None = None
    if point.no_value:
        width = 2 * point.registers
        missing = arrange((point.no_value[0] & ((1 << 8 * width) - 1)).to_bytes(width, "big"), order)
    elif type_name.startswith("float"):
        missing = arrange(pack_raw(type_name, float("nan")), order)
    if type_name.startswith("float"):
        return lambda stored: missing if stored is None else arrange(pack_raw(type_name, scale.real(stored)), order)
    if BY_NAME[point.quantity].kind is Kind.COUNTER:
        turn = counter_turn(type_name)  # a counter rolls over, other values saturate
        return lambda stored: (
            missing if stored is None else arrange(pack_raw(type_name, scale.whole(stored) % turn), order)
        )
    return lambda stored: missing if stored is None else arrange(pack_raw(type_name, scale.whole(stored)), order)
