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

from collector.model.quantity import BY_NAME, QuantityKind
from collector.points import RAW_UNITS, Point

_STRUCTS: Final = {
    "int16": struct.Struct(">h"), "uint16": struct.Struct(">H"), "int32": struct.Struct(">i"),
    "uint32": struct.Struct(">I"), "int64": struct.Struct(">q"), "uint64": struct.Struct(">Q"),
    "float16": struct.Struct(">e"), "float32": struct.Struct(">f"), "float64": struct.Struct(">d"),
    "int8_hi": struct.Struct(">b"), "int8_lo": struct.Struct(">b"), "uint8_hi": struct.Struct(">B"),
    "uint8_lo": struct.Struct(">B"),
}  # fmt: skip
_LIMITS: Final = {
    "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1), "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1), "bcd16": (0, 9999), "bcd32": (0, 99_999_999),
    "bcd24": (0, 10**6 - 1), "bcd48": (0, 10**12 - 1), "bcd64": (0, 10**16 - 1),
    **{f"mod10k{bits}": (1 - 10**digits, 10**digits - 1) for bits, digits in ((32, 8), (48, 12), (64, 16))},
    **dict.fromkeys(("int8_hi", "int8_lo"), (-128, 127)), **dict.fromkeys(("uint8_hi", "uint8_lo"), (0, 255)),
}  # fmt: skip


class RawScale:
    """The scaling of one point: raw = (stored × num + add) ÷ den, as integers."""

    __slots__ = ("add", "den", "num")

    def __init__(self, point: Point) -> None:
        quantity = BY_NAME[point.quantity]
        slope = 1 / (point.factor * point.sign * RAW_UNITS[point.raw_unit][1] * quantity.scale)
        shift = -point.offset / point.factor
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
    return (Fraction(low) * point.sign - point.offset) / point.factor


def pack_raw(type_name: str, raw: float | int) -> bytes:
    """Encode a raw number as big-endian register bytes; an integer beyond the type's range saturates, as in devices."""
    if type_name.startswith("float"):
        return _STRUCTS[type_name].pack(raw)
    low, high = _LIMITS[type_name]
    whole = min(max(int(raw), low), high)
    if type_name.startswith("bcd"):
        digits = 8 if type_name == "bcd24" else int(type_name[3:]) // 4
        return bytes.fromhex(f"{whole:0{digits}d}")
    if type_name.startswith("mod10k"):
        return _base_10_000(whole, int(type_name[6:]) // 16)
    return _STRUCTS[type_name].pack(whole)


def _base_10_000(number: int, registers: int) -> bytes:
    """A register per digit, each with the sign of the number."""
    rest, words = abs(number), []
    for _ in range(registers):
        rest, digit = divmod(rest, 10_000)
        words.append((digit if number >= 0 else -digit).to_bytes(2, "big", signed=True))
    return b"".join(reversed(words))


def half_of(type_name: str) -> int | None:
    """Which byte of a register in big-endian order a type of eight bits fills: 0 or 1; None for other types."""
    return {"hi": 0, "lo": 1}.get(type_name.rpartition("_")[2])


def arrange(big_endian: bytes, order: str) -> bytes:
    """Reorder big-endian register bytes to the order the point table names."""
    if order == "ABCD":
        return big_endian
    if order == "DCBA":
        return big_endian[::-1]
    if order == "CDAB" and len(big_endian) == 4:  # the usual case, at every change of a value
        return big_endian[2:] + big_endian[:2]
    words = [big_endian[i : i + 2] for i in range(0, len(big_endian), 2)]
    if order == "CDAB":
        return b"".join(reversed(words))
    return b"".join(word[::-1] for word in words)


def state_codes(point: Point) -> dict[int | None, int]:
    """What a device shows of a status whose row maps its states: per 0 and 1 the first state named for it; under None
    the least that is not named, where it shows nothing."""
    codes: dict[int | None, int] = {}
    for state, value in point.states:
        codes.setdefault(value, state)
    named = {state for state, _ in point.states}
    codes[None] = next(state for state in range(len(named) + 1) if state not in named)
    return codes


def register_encoder(point: Point) -> Callable[[int | None], bytes | None]:
    """A function from stored integer to the register bytes of `point`; None where the registers stay unchanged.

    A missing value is encoded as the point's first `no_value`, else as NaN if the type has one, else not at all.
    """
    type_name, order = point.type, point.order
    if point.states:
        shown = {value: arrange(pack_raw(type_name, code), order) for value, code in state_codes(point).items()}
        return shown.get
    scale = RawScale(point)
    missing: bytes | None = None
    if point.no_value:
        width = 2 * point.registers
        missing = arrange((point.no_value[0] & ((1 << 8 * width) - 1)).to_bytes(width, "big"), order)
    elif type_name.startswith("float"):
        missing = arrange(pack_raw(type_name, float("nan")), order)
    if type_name.startswith("float"):
        return lambda stored: missing if stored is None else arrange(pack_raw(type_name, scale.real(stored)), order)
    if BY_NAME[point.quantity].kind is QuantityKind.COUNTER:
        turn = counter_turn(type_name)  # a counter rolls over, other values saturate
        return lambda stored: (
            missing if stored is None else arrange(pack_raw(type_name, scale.whole(stored) % turn), order)
        )
    return lambda stored: missing if stored is None else arrange(pack_raw(type_name, scale.whole(stored)), order)
