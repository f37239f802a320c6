# SPDX-License-Identifier: GPL-3.0-or-later
"""A point: the place of a value in a device, and its meaning. The types, areas, orders and units a table may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from collector.model.quantity import BY_NAME
from collector.points.identifiers import attribute_of, identifier_text, layout_of

# 16-bit registers of a type; None: a single bit or an information object, not registers.
REGISTERS: Final[dict[str, int | None]] = {
    "bit": None, "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "int64": 4, "uint64": 4,
    "float32": 2, "float64": 4, "bcd16": 1, "bcd32": 2,
    "int8_hi": 1, "int8_lo": 1, "uint8_hi": 1, "uint8_lo": 1, "float16": 1, "bcd24": 2, "bcd48": 3, "bcd64": 4,
    "mod10k32": 2, "mod10k48": 3, "mod10k64": 4,
}  # fmt: skip
INTEGER_RANGE: Final[dict[str, tuple[int, int]]] = {
    "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1), "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1), "bcd16": (0, 9999), "bcd32": (0, 99_999_999),
    "int8_hi": (-128, 127), "int8_lo": (-128, 127), "uint8_hi": (0, 255), "uint8_lo": (0, 255),
    "bcd24": (0, 10**6 - 1), "bcd48": (0, 10**12 - 1), "bcd64": (0, 10**16 - 1),
    "mod10k32": (1 - 10**8, 10**8 - 1), "mod10k48": (1 - 10**12, 10**12 - 1), "mod10k64": (1 - 10**16, 10**16 - 1),
}  # fmt: skip
_OBJECT_RANGE: Final[dict[str, tuple[int, int]]] = {
    **dict.fromkeys(("1", "3", "30", "31", "20"), (0, 1)), **dict.fromkeys(("5", "32"), (-64, 63)),
    **dict.fromkeys(("9", "21", "34", "11", "35"), INTEGER_RANGE["int16"]),
    **dict.fromkeys(("15", "37"), INTEGER_RANGE["int32"]), **dict.fromkeys(("7", "33"), INTEGER_RANGE["uint32"]),
}  # fmt: skip
MODBUS_AREAS: Final = ("coil", "discrete", "holding", "input")
# The area column of a DL/T 698.45 row. It needs none, but the word marks its address as an OAD.
OAD: Final = "OAD"
BIT_AREAS: Final = frozenset({"coil", "discrete"})
# Byte orders of a value of several registers, named as the trade does (ABCD = most significant byte first).
ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
IEC104_TYPES: Final = (1, 3, 5, 7, 9, 11, 13, 15, 20, 21, 30, 31, 32, 33, 34, 35, 36, 37)
# Types of 104 that pack several states, read one by one by their bit: 16 single points, 32 of a bit string.
PACKED: Final = frozenset({"20"})
BIT_STRINGS: Final = frozenset({"7", "33"})
# Single and double points, whose two states the standard names.
TWO_STATES: Final = frozenset({"1", "3", "30", "31"})
# Normalised values: a 16-bit code that means a fraction. Source: IEC 60870-5-101, 7.2.6.6.
NORMALISED: Final = frozenset({"9", "21", "34"})
NORM_BASE: Final = 32768
# The meaning of the factor in a table: per code; or the value at code 32767, or at 32768.
NORM_BASES: Final = (1, 32767, NORM_BASE)
# Engineering unit -> (unit of the quantity table, factor to it).
RAW_UNITS: Final[dict[str, tuple[str, Fraction]]] = {
    "MW": ("MW", Fraction(1)), "kW": ("MW", Fraction(1, 1000)), "W": ("MW", Fraction(1, 10**6)),
    "Mvar": ("Mvar", Fraction(1)), "kvar": ("Mvar", Fraction(1, 1000)), "var": ("Mvar", Fraction(1, 10**6)),
    "kV": ("kV", Fraction(1)), "V": ("kV", Fraction(1, 1000)),
    "Hz": ("Hz", Fraction(1)), "mHz": ("Hz", Fraction(1, 1000)),
    "MWh": ("MWh", Fraction(1)), "kWh": ("MWh", Fraction(1, 1000)), "Wh": ("MWh", Fraction(1, 10**6)),
    "GWh": ("MWh", Fraction(1000)), "万kWh": ("MWh", Fraction(10)), "万kW": ("MW", Fraction(10)),
    "万kvar": ("Mvar", Fraction(10)),
    "": ("", Fraction(1)),
}  # fmt: skip
COLUMNS: Final = (
    "name", "description", "device", "unit", "quantity", "area", "type", "address", "common_address", "registers",
    "bit", "order", "scale", "offset", "raw_unit", "sign", "min", "max", "deadband", "period_s", "backup", "guard",
    "no_value", "norm_base", "map",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One row of a point table.

    `address`: register or coil (0-based), information object address, data identifier of DL/T 645, or OAD of DL/T
    698.45. `unit` is the generating unit; empty means the device's. `area`: a Modbus area; for 104 the ASDU type as a
    number. `low`, `high`: range in `raw_unit` narrower than the quantity's. `no_value`: raw integers that mean "no
    value". `guard`: "min..max" or one value; a guard point has no quantity, its block is suspect where it does not
    match. `norm_base`: the 16-bit code of a normalised value that means 1; None: 32768, as in the standard. `bit`: the
    only bit to read, or the lowest of `bit_count` bits that form one number. `states`: for a status whose raw value is
    not itself 0 or 1: pairs of a raw value and the 0 or 1 it means; any other raw value gives none.
    """

    file: str
    row: int
    name: str
    description: str
    device: str
    unit: str
    quantity: str
    area: str
    type: str
    address: int
    common_address: int | None
    bit: int | None
    order: str
    scale: Fraction
    offset: Fraction
    raw_unit: str
    sign: int
    low: Fraction | None
    high: Fraction | None
    deadband: Fraction | None
    period_s: Fraction | None
    backup: bool
    guard: str
    no_value: tuple[int, ...]
    norm_base: int | None = None
    bit_count: int = 1
    states: tuple[tuple[int, int], ...] = ()

    @property
    def registers(self) -> int:
        """The number of 16-bit registers (or coils) of the value."""
        return REGISTERS[self.type] or 1

    @property
    def factor(self) -> Fraction:
        """One step of the raw value, before offset and sign, in `raw_unit`."""
        return self.scale / (self.norm_base or NORM_BASE) if self.area in NORMALISED else self.scale

    @property
    def bit_text(self) -> str:
        """The bit or bits as a table writes them: 3, or 2..3."""
        if self.bit is None or self.bit_count == 1:
            return "" if self.bit is None else str(self.bit)
        return f"{self.bit}..{self.bit + self.bit_count - 1}"

    @property
    def raw_ends(self) -> tuple[Fraction | int, Fraction | int] | None:
        """Lowest and highest raw value; None where there are no such limits, as for a float."""
        if self.bit is not None:
            return 0, (1 << self.bit_count) - 1
        if self.area.isdigit():  # the type of a 104 object
            return _OBJECT_RANGE.get(self.area)
        if self.area in MODBUS_AREAS:
            return (0, 1) if self.type == "bit" else INTEGER_RANGE.get(self.type)
        format_ = attribute_of(self.address) if self.area == OAD else layout_of(self.address)
        return format_.reach if format_ else None

    @property
    def reach(self) -> tuple[Fraction, Fraction] | None:
        """Lowest and highest value, in `raw_unit`; None where there are no such limits, as for a float."""
        ends = self.raw_ends
        if ends is None:
            return None
        low, high = ((raw * self.factor + self.offset) * self.sign for raw in ends)
        return min(low, high), max(low, high)

    def stored(self, raw: Fraction | int) -> int:
        """The stored integer of the quantity for a raw value, rounded half away from zero, exactly."""
        quantity = BY_NAME[self.quantity]
        value = (raw * self.factor + self.offset) * self.sign * RAW_UNITS[self.raw_unit][1] * quantity.scale
        doubled = 2 * abs(value) + 1
        whole = doubled.numerator // (2 * doubled.denominator)
        return whole if value >= 0 else -whole


def decimal_text(value: Fraction) -> str:
    """A number as exact decimal text, which every table cell is; to six digits where the decimals never end."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest > 1:
        return f"{float(value):.6g}"
    digits, numerator, denominator = 0, value.numerator, value.denominator
    while denominator > 1 and numerator % denominator:
        digits, numerator = digits + 1, numerator * 10
    whole = abs(numerator // denominator)
    sign = "-" if value < 0 else ""
    text = str(whole).rjust(digits + 1, "0")
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def cells_of(point: Point, protocol: str) -> Mapping[str, str]:
    """The cells of a point by column, in one spelling; equal cells mean equal points."""
    numbers = {"scale": point.scale, "offset": point.offset, "min": point.low, "max": point.high,
               "deadband": point.deadband, "period_s": point.period_s}  # fmt: skip
    modbus = protocol.startswith("modbus")
    return {
        "name": point.name, "description": point.description, "device": point.device, "unit": point.unit,
        "quantity": point.quantity, "area": "" if point.area == OAD else point.area, "type": point.type,
        "address": identifier_text(point.address) if protocol.startswith("dlt") else str(point.address),
        "common_address": "" if point.common_address is None else str(point.common_address),
        "registers": str(point.registers) if modbus and point.type != "bit" else "",
        "bit": point.bit_text, "order": point.order, "raw_unit": point.raw_unit,
        "sign": str(point.sign), "backup": "1" if point.backup else "0", "guard": point.guard,
        "no_value": " ".join(map(str, point.no_value)),
        "norm_base": "" if point.norm_base is None else str(point.norm_base),
        "map": "; ".join(f"{state}={value}" for state, value in point.states),
        **{key: "" if value is None else decimal_text(value) for key, value in numbers.items()},
    }  # fmt: skip
