# SPDX-License-Identifier: GPL-3.0-or-later
"""Point tables (点表): rows of a CSV become checked, frozen points; the agent and the simulators read the same table.

A row says where a value lives in a device and what it means. Raw register units exist only here: value =
(raw × scale + offset) × sign, in `raw_unit`, becomes the stored integer of its quantity (model/quantity.py).
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

from collector.errors import ConfigError, Problem
from collector.model.quantity import BY_NAME, Kind, parse_decimal

# 16-bit registers a type fills; None: it lives in a single bit or in an information object, not in registers.
REGISTERS: Final[dict[str, int | None]] = {
    "bit": None, "int16": 1, "uint16": 1, "int32": 2, "uint32": 2, "int64": 4, "uint64": 4,
    "float32": 2, "float64": 4, "bcd16": 1, "bcd32": 2,
}  # fmt: skip
_INTEGER_RANGE: Final[dict[str, tuple[int, int]]] = {
    "int16": (-(2**15), 2**15 - 1), "uint16": (0, 2**16 - 1), "int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1),
    "int64": (-(2**63), 2**63 - 1), "uint64": (0, 2**64 - 1), "bcd16": (0, 9999), "bcd32": (0, 99_999_999),
}  # fmt: skip
MODBUS_AREAS: Final = ("coil", "discrete", "holding", "input")
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

    def stored(self, raw: Fraction | int) -> int:
        """The stored integer of the quantity for a raw value, rounded half away from zero, exactly."""
        quantity = BY_NAME[self.quantity]
        value = (raw * self.scale + self.offset) * self.sign * RAW_UNITS[self.raw_unit][1] * quantity.scale
        doubled = 2 * abs(value) + 1
        whole = doubled.numerator // (2 * doubled.denominator)
        return whole if value >= 0 else -whole


COLUMNS: Final = (
    "name", "description", "device", "unit", "quantity", "area", "type", "address", "common_address", "registers",
    "bit", "order", "scale", "offset", "raw_unit", "sign", "min", "max", "deadband", "period_s", "backup", "guard",
    "no_value",
)  # fmt: skip
_REQUIRED: Final = ("name", "area", "type", "address")


class _Row:
    """One row while it is checked: reads cells, remembers every problem with its place."""

    def __init__(self, file: str, row: int, cells: Mapping[str, str], problems: list[Problem]) -> None:
        self.file, self.row, self.cells, self.problems = file, row, cells, problems

    def problem(self, key: str, message: str) -> None:
        self.problems.append(Problem(self.file, self.row, key, message))

    def text(self, key: str, default: str = "") -> str:
        return (self.cells.get(key) or "").strip() or default

    def number(self, key: str) -> Fraction | None:
        text = self.text(key)
        if not text:
            return None
        try:
            return Fraction(parse_decimal(text))
        except ValueError as error:
            self.problem(key, str(error))
            return None

    def whole(self, key: str, low: int, high: int) -> int | None:
        text = self.text(key)
        if not text:
            return None
        try:
            value = int(text, 0)
        except ValueError:
            self.problem(key, f"expected a whole number, got {text!r}")
            return None
        if not low <= value <= high:
            self.problem(key, f"expected {low} to {high}, got {value}")
            return None
        return value

    def choice(self, key: str, choices: Iterable[str], default: str = "") -> str:
        text, names = self.text(key, default), list(choices)
        if text in names:
            return text
        near = difflib.get_close_matches(text, names, 1)
        self.problem(key, f"got {text!r}, expected one of {', '.join(n for n in names if n)}" + _hint(near))
        return default


def _hint(near: list[str]) -> str:
    return f"; did you mean {near[0]!r}?" if near else ""


def load_points(path: Path, protocol: str, device: str) -> tuple[Point, ...]:
    """The rows of a point table meant for `device` (rows with an empty device cell are meant for every device).

    Args:
        path: CSV, UTF-8 (BOM tolerated) or GBK.
        protocol: modbus_tcp, modbus_rtu, modbus_rtu_over_tcp, iec104 or dlt645: decides what the address columns mean.
        device: id of the device.

    Raises:
        ConfigError: every problem of the table, with file, row and column.
    """
    problems: list[Problem] = []
    points = [_point(row, protocol) for row in _rows(path, problems) if row.text("device", device) == device]
    _check_duplicates(points, problems)
    if not points and not problems:
        problems.append(Problem(str(path), 0, "device", f"no row is meant for device {device!r}"))
    if problems:
        raise ConfigError(problems)
    return tuple(points)


def _rows(path: Path, problems: list[Problem]) -> list[_Row]:
    try:
        data = path.read_bytes()
    except OSError as error:
        problems.append(Problem(str(path), 0, "", f"can't be read: {error.strerror}"))
        return []
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        try:
            text = data.decode("gb18030")
        except UnicodeDecodeError:
            problems.append(Problem(str(path), 0, "", "is neither UTF-8 nor GBK text; save it as CSV UTF-8"))
            return []
    reader = csv.DictReader(io.StringIO(text, newline=""))
    header = [h.strip() for h in reader.fieldnames or []]
    problems.extend(
        Problem(str(path), 1, name, "unknown column" + _hint(difflib.get_close_matches(name, COLUMNS, 1)))
        for name in header
        if name not in COLUMNS
    )
    problems.extend(Problem(str(path), 1, name, "column missing") for name in _REQUIRED if name not in header)
    if problems:
        return []
    reader.fieldnames = header
    rows = []
    for cells in reader:
        if None in cells or None in cells.values():
            message = f"the row has not the {len(header)} cells of the header"
            problems.append(Problem(str(path), reader.line_num, "", message))
        elif any(cells.values()):
            rows.append(_Row(str(path), reader.line_num, cells, problems))
    return rows


def _point(row: _Row, protocol: str) -> Point:
    modbus = protocol.startswith("modbus")
    kind = row.choice("type", REGISTERS, "" if modbus else "float32")
    low, high = row.number("min"), row.number("max")
    sign = row.choice("sign", ("1", "-1", "+1"), "1")
    no_value = []
    for part in row.text("no_value").split():
        try:
            no_value.append(int(part, 0))
        except ValueError:
            row.problem("no_value", f"expected whole numbers apart by spaces, got {part!r}")
    point = Point(
        file=row.file, row=row.row, name=row.text("name"), description=row.text("description"),
        device=row.text("device"), unit=row.text("unit"), quantity=row.text("quantity"), area=_area(row, protocol),
        type=kind or "uint16", address=_address(row, protocol),
        common_address=row.whole("common_address", 1, 65534), bit=row.whole("bit", 0, 15),
        order=row.choice("order", ORDERS, "ABCD"), scale=row.number("scale") or Fraction(1),
        offset=row.number("offset") or Fraction(0), raw_unit=row.choice("raw_unit", RAW_UNITS, ""),
        sign=int(sign or 1), low=low, high=high, deadband=row.number("deadband"), period_s=row.number("period_s"),
        backup=row.choice("backup", ("0", "1"), "0") == "1", guard=row.text("guard"), no_value=tuple(no_value),
    )  # fmt: skip
    if row.text("scale") and row.number("scale") == 0:
        row.problem("scale", "0 would make every value 0")
    if not point.name:
        row.problem("name", "is empty")
    _check_meaning(row, point)
    if modbus:
        _check_width(row, point)
    return point


def _area(row: _Row, protocol: str) -> str:
    if protocol.startswith("modbus"):
        return row.choice("area", MODBUS_AREAS)
    if protocol == "iec104":
        return row.choice("area", [str(t) for t in IEC104_TYPES])
    return row.text("area")


def _address(row: _Row, protocol: str) -> int:
    text = row.text("address")
    if protocol == "dlt645":
        try:
            value = int(text, 16)
        except ValueError:
            row.problem("address", f"a data identifier is 8 hexadecimal digits, got {text!r}")
            return 0
        if len(text.removeprefix("0x")) != 8:
            row.problem("address", f"a data identifier is 8 hexadecimal digits, got {text!r}")
        return value
    if not text:
        row.problem("address", "is empty")
        return 0
    if protocol.startswith("modbus") and len(text) in (5, 6) and text.isascii() and text.isdigit() and int(text) > 9999:
        area = {"1": "discrete", "3": "input", "4": "holding"}.get(text[0])
        if area and 1 <= int(text[1:]) <= 65536 and (row.text("area") == area):
            row.problem("address", f"{text} looks like {text[0]}xxxx notation of a {area} register; "
                        f"write the 0-based address {int(text[1:]) - 1}")  # fmt: skip
            return 0
    value_or_none = row.whole("address", 0, 65535 if protocol.startswith("modbus") else 0xFFFFFF)
    return value_or_none or 0


def _check_meaning(row: _Row, point: Point) -> None:
    if point.guard:
        if point.quantity:
            row.problem("guard", "a guard point carries no quantity")
        return
    quantity = BY_NAME.get(point.quantity)
    if quantity is None:
        near = difflib.get_close_matches(point.quantity, BY_NAME, 1)
        row.problem("quantity", f"unknown quantity {point.quantity!r}" + _hint(near))
        return
    if RAW_UNITS[point.raw_unit][0] != quantity.unit:
        allowed = [name for name, (unit, _) in RAW_UNITS.items() if unit == quantity.unit]
        row.problem(
            "raw_unit", f"{quantity.name} is given in {' or '.join(allowed) or 'no unit'}, got {point.raw_unit!r}"
        )
    if point.low is not None and point.high is not None and point.low > point.high:
        row.problem("min", f"min {_plain(point.low)} is above max {_plain(point.high)}")
    if quantity.kind is Kind.STATUS and point.type.startswith(("float", "bcd")) and row.text("type"):
        row.problem("type", f"a status can't be {point.type}; use bit, or an integer with a bit number")


def _check_width(row: _Row, point: Point) -> None:
    """The type must fit the area, the width and the value range that the row itself declares."""
    single_bit = point.area in ("coil", "discrete")
    if single_bit and point.type != "bit":
        row.problem("type", f"a {point.area} holds one bit; {point.type} needs {point.registers} register(s)")
    if not single_bit and point.type == "bit" and point.bit is None:
        row.problem("bit", "a bit of a register needs its number, 0 (least significant) to 15")
    width = row.whole("registers", 1, 4)
    if width is not None and width != point.registers:
        row.problem("type", f"{point.type} fills {point.registers} register(s), the row gives it {width}")
    if point.address + point.registers > 65536:
        row.problem("address", f"{point.type} at {point.address} runs past the last register 65535")
    if point.type in _INTEGER_RANGE and point.quantity in BY_NAME and not point.guard:
        _check_range(row, point)


def _check_range(row: _Row, point: Point) -> None:
    ends = [(Fraction(raw) * point.scale + point.offset) * point.sign for raw in _INTEGER_RANGE[point.type]]
    for key, limit in (("min", point.low), ("max", point.high)):
        if limit is not None and not min(ends) <= limit <= max(ends):
            row.problem("type", f"{point.type} with this scale reaches {_plain(min(ends))} to {_plain(max(ends))} "
                        f"{point.raw_unit}: it can't hold {key} {_plain(limit)}")  # fmt: skip


def _plain(value: Fraction) -> str:
    return f"{Decimal(value.numerator) / Decimal(value.denominator):f}"


def _check_duplicates(points: list[Point], problems: list[Problem]) -> None:
    names: dict[str, Point] = {}
    meanings: dict[tuple[str, str, bool], Point] = {}
    for point in points:
        first = names.setdefault(point.name, point)
        if first is not point:
            message = f"{point.name!r} is already used in row {first.row}"
            problems.append(Problem(point.file, point.row, "name", message))
        if point.guard or not point.quantity:
            continue
        key = (point.unit, point.quantity, point.backup)
        if (other := meanings.setdefault(key, point)) is not point:
            what = "backup" if point.backup else "primary"
            problems.append(Problem(point.file, point.row, "quantity",
                            f"{point.quantity} has a {what} source already in row {other.row}"))  # fmt: skip
