# SPDX-License-Identifier: GPL-3.0-or-later
"""A point: where a value lives in a device and what it means. The types, areas, orders and units a table may name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from collector.model.quantity import BY_NAME

# 16-bit registers a type fills; None: it lives in a single bit or in an information object, not in registers.
REGISTERS: Final[dict[str, int | None]] = {
    "bit": None, "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "int64": 4, "uint64": 4,
    "float32": 2, "float64": 4, "bcd16": 1, "bcd32": 2,
}  # fmt: skip
INTEGER_RANGE: Final[dict[str, tuple[int, int]]] = {
    "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1), "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1), "bcd16": (0, 9999), "bcd32": (0, 99_999_999),
}  # fmt: skip
MODBUS_AREAS: Final = ("coil", "discrete", "holding", "input")
BIT_AREAS: Final = frozenset({"coil", "discrete"})
# Byte orders of a value of several registers, named as the trade does (ABCD = most significant byte first).
ORDERS: Final = ("ABCD", "CDAB", "BADC", "DCBA")
IEC104_TYPES: Final = (1, 3, 9, 11, 13, 15, 21, 30, 31, 34, 35, 36, 37)
# Engineering unit -> (unit of the quantity table, factor to it).
RAW_UNITS: Final[dict[str, tuple[str, Fraction]]] = {
    "MW": ("MW", Fraction(1)), "kW": ("MW", Fraction(1, 1000)), "W": ("MW", Fraction(1, 10**6)),
    "Mvar": ("Mvar", Fraction(1)), "kvar": ("Mvar", Fraction(1, 1000)), "var": ("Mvar", Fraction(1, 10**6)),
    "kV": ("kV", Fraction(1)), "V": ("kV", Fraction(1, 1000)),
    "Hz": ("Hz", Fraction(1)), "mHz": ("Hz", Fraction(1, 1000)),
    "MWh": ("MWh", Fraction(1)), "kWh": ("MWh", Fraction(1, 1000)), "Wh": ("MWh", Fraction(1, 10**6)),
    "": ("", Fraction(1)),
}  # fmt: skip
COLUMNS: Final = (
    "name", "description", "device", "unit", "quantity", "area", "type", "address", "common_address", "registers",
    "bit", "order", "scale", "offset", "raw_unit", "sign", "min", "max", "deadband", "period_s", "backup", "guard",
    "no_value",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Point:
    """One row. `address`: register or coil (0-based), information object address, or DL/T 645 data identifier.

    `unit` is the generating unit; empty means the device's. `area`: a Modbus area; for 104 the ASDU type as a number.
    `low`, `high`: range in `raw_unit` narrower than the quantity's. `no_value`: raw integers that mean "no value".
    `guard`: "min..max" or one value; a guard point has no quantity, its block is suspect where it does not match.
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

    @property
    def registers(self) -> int:
        """How many 16-bit registers (or coils) it fills."""
        return REGISTERS[self.type] or 1

    @property
    def reach(self) -> tuple[Fraction, Fraction] | None:
        """Lowest and highest value its integer type can give, in `raw_unit`; None for types without such ends."""
        ends = (0, 1) if self.type == "bit" or self.bit is not None else INTEGER_RANGE.get(self.type)
        if ends is None:
            return None
        low, high = ((raw * self.scale + self.offset) * self.sign for raw in ends)
        return min(low, high), max(low, high)

    def stored(self, raw: Fraction | int) -> int:
        """The stored integer of the quantity for a raw value, rounded half away from zero, exactly."""
        quantity = BY_NAME[self.quantity]
        value = (raw * self.scale + self.offset) * self.sign * RAW_UNITS[self.raw_unit][1] * quantity.scale
        doubled = 2 * abs(value) + 1
        whole = doubled.numerator // (2 * doubled.denominator)
        return whole if value >= 0 else -whole


def decimal_text(value: Fraction) -> str:
    """A number of a table as its exact decimal text (every cell is a decimal, so this ends)."""
    digits, numerator, denominator = 0, value.numerator, value.denominator
    while denominator > 1 and numerator % denominator:
        digits, numerator = digits + 1, numerator * 10
    whole = abs(numerator // denominator)
    sign = "-" if value < 0 else ""
    text = str(whole).rjust(digits + 1, "0")
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def cells_of(point: Point, protocol: str) -> Mapping[str, str]:
    """What a table would say of it, per column, in one spelling; equal cells mean equal points."""
    numbers = {"scale": point.scale, "offset": point.offset, "min": point.low, "max": point.high,
               "deadband": point.deadband, "period_s": point.period_s}  # fmt: skip
    modbus = protocol.startswith("modbus")
    return {
        "name": point.name, "description": point.description, "device": point.device, "unit": point.unit,
        "quantity": point.quantity, "area": point.area, "type": point.type,
        "address": f"{point.address:08X}" if protocol.startswith("dlt645") else str(point.address),
        "common_address": "" if point.common_address is None else str(point.common_address),
        "registers": str(point.registers) if modbus and point.type != "bit" else "",
        "bit": "" if point.bit is None else str(point.bit), "order": point.order, "raw_unit": point.raw_unit,
        "sign": str(point.sign), "backup": "1" if point.backup else "0", "guard": point.guard,
        "no_value": " ".join(map(str, point.no_value)),
        **{key: "" if value is None else decimal_text(value) for key, value in numbers.items()},
    }  # fmt: skip
