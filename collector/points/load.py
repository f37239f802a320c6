# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of a table into checked points. A table with one problem gives no points, and all its problems at once."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from sys import intern
from typing import Final

from collector.model.quantity import BY_NAME, QuantityKind, parse_decimal
from collector.points.cells import Row, parse_states, parse_whole, without_zeros
from collector.points.findings import TableFindings
from collector.points.grid import PointSheet, read_table
from collector.points.identifiers import is_of_1997
from collector.points.notation import find_notation
from collector.points.point import (
    BIT_AREAS,
    BIT_STRINGS,
    INTEGER_RANGE,
    NORM_BASE,
    NORM_BASES,
    NORMALISED,
    OAD,
    PACKED,
    RAW_UNITS,
    REGISTERS,
    TWO_STATES,
    Point,
    decimal_text,
)
from collector.points.words import (
    AREA_DIGITS,
    AREA_ZH,
    BACKUP_WORDS,
    BIT_TYPE_WORDS,
    FUNCTION_HEADINGS,
    HEADINGS,
    IEC104_AREA_WORDS,
    MODBUS_AREA_WORDS,
    ORDER_LETTERS,
    ORDER_WORDS,
    TYPE_WORDS,
    fold,
)

_REQUIRED: Final = {
    "modbus": ("name", "area", "type", "address"),
    "iec104": ("name", "area", "address"),
    "dlt645": ("name", "address"),
    "dlt698": ("name", "address"),
}
_ZERO, _ONE = Fraction(0), Fraction(1)
_DOTTED = re.compile(r"(\d+)\.(\d{1,2})\Z", re.ASCII)
_GUARD_RANGE = re.compile(r"(.+?)\.\.(.+)\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of a table: the point, and the columns that the row itself fills."""

    point: Point
    written: frozenset[str]


def family_of(protocol: str) -> str:
    """The family of a protocol: modbus, iec104 (101 too), dlt645 or dlt698; it decides how address columns are read."""
    if protocol.startswith("iec10"):
        return "iec104"
    return "modbus" if protocol.startswith("modbus") else protocol.removesuffix("_over_tcp")


def load_points(path: Path, protocol: str, device: str, ignored: Iterable[str] = ()) -> tuple[Point, ...]:
    """The rows of a point table meant for `device` (rows with an empty device cell are meant for every device).

    Args:
        path: CSV (UTF-8, a BOM tolerated, or GBK) or XLSX (the sheet 点表, else the first).
        protocol: modbus_tcp, modbus_rtu, modbus_rtu_over_tcp, iec104, iec101, dlt645, dlt698 or one of the three with
            _over_tcp: decides what the address columns mean.
        device: id of the device.
        ignored: headings of columns that are passed over.

    Raises:
        ConfigError: every problem of the table, with file, row and column.
    """
    findings = TableFindings(str(path))
    table = read_table(path, findings, ignored)
    entries = [] if table is None else read_entries(table, protocol, findings, device=device)
    if not entries and not findings:
        findings.find("no_row_for_device", 0, "device", device=device)
    findings.refuse_if_any()
    return tuple(entry.point for entry in entries)


def load_device_ids(path: Path) -> dict[str, int]:
    """The device ids that a table's rows name, each with its first row; empty where the table can't be read."""
    table = read_table(path, TableFindings(str(path)))
    found: dict[str, int] = {}
    for number, cells in table.rows if table is not None else ():
        device = Row(number, cells, TableFindings(str(path))).text("device")
        if device:
            found.setdefault(device, number)
    return found


def read_entries(
    table: PointSheet, protocol: str, findings: TableFindings, *, device: str | None = None
) -> list[Entry]:
    """The sound rows of a table, for `device` or for all; problems of the others go to `findings`."""
    family = family_of(protocol)
    missing = [key for key in _REQUIRED[family] if key not in table.headings]
    for key in missing:
        findings.find("column_missing", table.header_row, key, zh=HEADINGS[key][0])
    if missing:
        return []
    entries, everything = [], []
    for number, cells in table.rows:
        row = Row(number, cells, findings)
        if device is not None and (row.text("device") or device) != device:
            continue
        point = _point(row, family)
        everything.append(point)
        if not row.bad:
            entries.append(Entry(point, row.written()))
    _check_duplicates(everything, findings)
    return entries


def by_device(points: Iterable[Point]) -> dict[str, list[Point]]:
    """Device id (empty if none is named) -> the rows it reads, in order: its own and those for every device."""
    points = list(points)
    own: dict[str, list[Point]] = {}
    for point in points:
        if point.device:
            own.setdefault(point.device, []).append(point)
    shared = [point for point in points if not point.device]
    if not own:
        return {"": shared}
    return {device: sorted((*shared, *rows), key=lambda point: point.row) for device, rows in own.items()}


def _point(row: Row, family: str) -> Point:
    modbus = family == "modbus"
    kind = row.word("type", TYPE_WORDS, None if modbus else "float32")
    area = OAD if family == "dlt698" else row.text("area")
    if not family.startswith("dlt"):
        area = _modbus_area(row) if modbus else row.word("area", IEC104_AREA_WORDS)
    scale = row.number_of("scale")
    if scale == 0:
        row.find("scale_zero", "scale")
    bit, bit_count = _bits(row, _highest_bit(kind, family, area))
    point = Point(
        file=row.file, row=row.number, name=row.text("name"), description=row.text("description"),
        device=intern(row.text("device")), unit=intern(row.text("unit")), quantity=row.quantity(), area=area, type=kind,
        address=_address(row, family, area), common_address=row.whole("common_address", 1, 65534),
        bit=bit, bit_count=bit_count,
        order=row.word("order", ORDER_WORDS, "ABCD"), scale=scale or _ONE,
        offset=row.number_of("offset") or _ZERO, raw_unit=row.raw_unit(), sign=row.sign(),
        low=row.number_of("min"), high=row.number_of("max"), deadband=row.number_of("deadband"),
        period_s=row.number_of("period_s"), backup=row.word("backup", BACKUP_WORDS, "0") == "1",
        guard=row.text("guard"), no_value=_no_value(row), norm_base=_norm_base(row, family, area), states=_states(row),
    )  # fmt: skip
    if not point.name:
        row.find("empty", "name")
    if point.unit in RAW_UNITS and point.unit:
        row.find("unit_is_engineering", "unit", text=point.unit)
    if point.deadband is not None and point.deadband < 0:
        row.find("negative", "deadband", value=decimal_text(point.deadband))
    if point.period_s is not None and point.period_s <= 0:
        row.find("not_positive", "period_s", value=decimal_text(point.period_s))
    _check_meaning(row, point)
    if modbus:
        _check_width(row, point)
    elif family == "iec104" and area in PACKED and point.bit is None and not row.bad & {"area", "bit"}:
        row.find("bit_of_object", "bit", area=area)
    return point


def _modbus_area(row: Row) -> str:
    digit = without_zeros(row.text("area"))
    if digit in AREA_DIGITS and fold(row.heading("area")) not in FUNCTION_HEADINGS:
        row.find("ambiguous_word", "area", text=row.text("area"), meanings=AREA_DIGITS[digit])
    return row.word("area", MODBUS_AREA_WORDS)


def _highest_bit(kind: str, family: str, area: str) -> int:
    """The highest bit of a value that a row may name."""
    wide = kind in ("int32", "uint32") if family == "modbus" else family == "iec104" and area in BIT_STRINGS
    return 31 if wide else 15


def _bits(row: Row, highest: int) -> tuple[int | None, int]:
    """The bit of a row, or the lowest of the bits that form one number, and their count."""
    first, dots, last = row.text("bit").partition("..")
    if not dots:
        return row.whole("bit", 0, highest), 1
    low, high = parse_whole(first.strip()), parse_whole(last.strip())
    if low is None or high is None or not 0 <= low < high <= highest:
        row.find("bits_form", "bit", text=row.text("bit"), highest=highest)
        return None, 1
    return low, high - low + 1


def _states(row: Row) -> tuple[tuple[int, int], ...]:
    text = row.text("map")
    states = parse_states(text) if text else ()
    if states is None:
        row.find("map_form", "map", text=text)
    return states or ()


def _no_value(row: Row) -> tuple[int, ...]:
    values = []
    for part in row.text("no_value").split():
        value = parse_whole(part)
        if value is None:
            row.find("no_value_form", "no_value", text=part)
        else:
            values.append(value)
    return tuple(values)


def _norm_base(row: Row, family: str, area: str) -> int | None:
    text = row.text("norm_base")
    if not text:
        return None
    base = row.whole("norm_base", 1, NORM_BASE)
    if family != "iec104" or area not in NORMALISED:
        row.find("norm_base_area", "norm_base")
    elif base is not None and base not in NORM_BASES:
        row.find("not_a_choice", "norm_base", text=text, choices=", ".join(map(str, NORM_BASES)), hint_en="",
                 hint_zh="")  # fmt: skip
    return base


def _address(row: Row, family: str, area: str) -> int:
    text = row.text("address")
    if not text:
        row.find("empty", "address")
        return 0
    if family.startswith("dlt"):
        digits = text.lower().removeprefix("0x").removesuffix("h")
        # Eight digits with the number of a 1997 identifier would be asked in that way; four that are none, as 2007.
        wanted = "[9a-f][0-9a-f]{3}|[0-9a-f]{8}" if family == "dlt645" else "[0-9a-f]{8}"
        if re.fullmatch(wanted, digits) is None or (len(digits) == 8 and is_of_1997(int(digits, 16))):
            row.find("identifier", "address", text=text)
            return 0
        return int(digits, 16)
    if family == "modbus" and (_is_dotted(row, text, area) or _is_notation(row, text, area)):
        return 0
    return row.whole("address", 0, 65535 if family == "modbus" else 0xFFFFFF) or 0


def _is_dotted(row: Row, text: str, area: str) -> bool:
    """True for 40006.1: bit 1 of 40006, or 40006.10 that a spreadsheet shortened. 40006.0 is 40006 but for a bit."""
    found = _DOTTED.match(text)
    if found is None:
        return False
    whole, bit = found.groups()
    of_bit = fold(row.text("type")) in BIT_TYPE_WORDS and not row.text("bit") and area not in BIT_AREAS
    if not bit.strip("0") and not of_bit:
        return False
    row.find("dotted", "address", text=text, address=whole, bit=int(bit))
    return True


def _is_notation(row: Row, text: str, area: str) -> bool:
    """True for 4xxxx notation, which is refused with the address to write: the program does not guess the base."""
    notation = find_notation(text)
    if notation is None:
        return False
    values = {"text": text, "prefix": notation.prefix, "area": notation.area, "area_zh": AREA_ZH[notation.area],
              "address": notation.address}  # fmt: skip
    if notation.area == area or (notation.certain and "area" in row.bad):
        itself = parse_whole(text)
        plain = itself is not None and itself <= 65535
        row.find("notation" if plain else "notation_certain", "address", hexadecimal=hex(itself or 0), **values)
        return True
    if notation.certain:
        row.find("notation_area", "address", given=area, given_zh=AREA_ZH.get(area, area), **values)
    return notation.certain


def _check_meaning(row: Row, point: Point) -> None:
    if point.low is not None and point.high is not None and point.low > point.high:
        row.find("min_above_max", "min", low=decimal_text(point.low), high=decimal_text(point.high))
    if point.guard:
        if point.quantity:
            row.find("guard_quantity", "guard")
        if point.states:
            row.find("map_quantity", "map")
        if guard_range(point.guard) is None:
            row.find("guard_form", "guard", text=point.guard)
        return
    quantity = BY_NAME.get(point.quantity)
    if quantity is None:
        if not point.quantity:
            row.find("quantity_empty", "quantity")
        return
    if "raw_unit" not in row.bad and RAW_UNITS[point.raw_unit][0] != quantity.unit:
        allowed = [name for name, (unit, _) in RAW_UNITS.items() if unit == quantity.unit and name]
        row.find("unit_of_quantity", "raw_unit", quantity=quantity.name, text=point.raw_unit,
                 choices_en=" or ".join(allowed) or "no unit", choices="、".join(allowed) or "空")  # fmt: skip
    _check_states(row, point, is_status=quantity.kind is QuantityKind.STATUS)


def _check_states(row: Row, point: Point, *, is_status: bool) -> None:
    """Check the type that a status is read from, and the columns that its map may be combined with."""
    if not point.states:
        if is_status and "type" not in row.bad and point.type.startswith(("float", "bcd")) and row.text("type"):
            row.find("status_type", "type", text=point.type)
        if is_status and point.bit_count > 1 and "map" not in row.bad:
            row.find("bits_unmapped", "map", bits=point.bit_text, states=1 << point.bit_count)
        return
    if not is_status:
        row.find("map_quantity", "map")
    if point.scale != 1 or point.offset or point.sign != 1:
        row.find("map_scale", "map")
    if point.area in TWO_STATES:
        row.find("map_area", "map", area=point.area)


def guard_range(text: str) -> tuple[Fraction, Fraction] | None:
    """The range that a guard cell demands, both ends included; None where it is neither a number nor a range."""
    found = _GUARD_RANGE.match(text)
    first, last = (found[1], found[2]) if found else (text, text)
    try:
        low, high = Fraction(parse_decimal(first.strip())), Fraction(parse_decimal(last.strip()))
    except ValueError:
        return None
    return (low, high) if low <= high else None


def _check_width(row: Row, point: Point) -> None:
    """Check the type against the area, the width and the value range that the row declares."""
    if row.bad & {"type", "area"}:
        return
    single_bit = point.area in BIT_AREAS
    if single_bit and point.type != "bit":
        row.find("bit_area", "type", area=point.area, area_zh=AREA_ZH[point.area], type=point.type,
                 registers=point.registers)  # fmt: skip
    if not single_bit and point.type == "bit" and point.bit is None and not row.bad & {"address", "bit"}:
        row.find("bit_number", "bit")
    if single_bit and point.bit_count > 1:
        row.find("bits_area", "bit", area=point.area, area_zh=AREA_ZH[point.area])
    width = row.whole("registers", 1, 4)
    if width is not None and width != point.registers:
        row.find("width", "type", type=point.type, registers=point.registers, given=width)
    letters = ORDER_LETTERS.get(fold(row.text("order")))
    size = 2 * (REGISTERS[point.type] or 0)
    if letters is not None and letters != size:
        row.find("order_width", "order", text=row.text("order"), letters=letters, type=point.type, bytes=size)
    if point.address + point.registers > 65536:
        row.find("past_end", "address", type=point.type, address=point.address)
    if point.type in INTEGER_RANGE and point.quantity in BY_NAME and not point.guard:
        _check_range(row, point)


def _check_range(row: Row, point: Point) -> None:
    if point.reach is None:
        return
    low, high = point.reach
    for key, limit in (("min", point.low), ("max", point.high)):
        if limit is not None and not low <= limit <= high:
            row.find("unreachable", "type", type=point.type, low=decimal_text(low), high=decimal_text(high),
                     unit=point.raw_unit, key=key, limit=decimal_text(limit))  # fmt: skip


def _check_duplicates(points: list[Point], findings: TableFindings) -> None:
    """A name, and a primary and backup source of a quantity, may occur once for each device that reads the rows."""
    for rows in by_device(points).values():
        names: dict[str, Point] = {}
        meanings: dict[tuple[str, str, bool], Point] = {}
        for point in rows:
            first = names.setdefault(point.name, point)
            if first is not point and point.name:
                findings.find("name_twice", point.row, "name", name=point.name, other=first.row)
            if point.guard or not point.quantity:
                continue
            key = (point.unit, point.quantity, point.backup)
            if (other := meanings.setdefault(key, point)) is not point:
                findings.find("source_twice", point.row, "quantity",
                             quantity=point.quantity, role="backup" if point.backup else "primary",
                             role_zh="备用" if point.backup else "主用", other=other.row)  # fmt: skip
