# SPDX-License-Identifier: GPL-3.0-or-later
"""Lint of places in a device: registers, byte orders, information objects, data identifiers; one device at a time."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from collector.model.quantity import BY_NAME, QuantityKind
from collector.points.findings import TableFindings
from collector.points.identifiers import identifier_text
from collector.points.load import Entry
from collector.points.point import BIT_AREAS, Point

# A longer hole is two different parts of a device, not a split request.
SHORT_HOLE: Final = 16
# The kind of value of an ASDU type (with its time-tagged forms).
_CARRIES: Final = {
    **dict.fromkeys(("1", "3", "20", "30", "31"), QuantityKind.STATUS),
    **dict.fromkeys(("5", "32", "9", "11", "13", "21", "34", "35", "36"), QuantityKind.ANALOG),
    **dict.fromkeys(("15", "37"), QuantityKind.COUNTER),
}
_KIND_WORDS: Final = {
    QuantityKind.STATUS: ("a status", "状态量"),
    QuantityKind.ANALOG: ("a measured value", "遥测量"),
    QuantityKind.COUNTER: ("a counter", "电度量"),
}
# Per kind of meter: quantity -> pattern of the identifiers that carry it, and how it is shown.
_IDENTIFIERS: Final = {"dlt645": {
    "energy_export_mwh": (re.compile("000[12]|90[12].$"), "0001xxxx, 0002xxxx, 901x, 902x"),
    "active_power_mw": (re.compile("0203|B63"), "0203xxxx, B63x"),
    "reactive_power_mvar": (re.compile("0204|B64"), "0204xxxx, B64x"),
    "bus_voltage_kv": (re.compile("0201|B61"), "0201xxxx, B61x"),
    "frequency_hz": (re.compile("02800002"), "02800002"),
}, "dlt698": {
    "energy_export_mwh": (re.compile("00[12]00[24]"), "001002xx, 001004xx, 002002xx, 002004xx"),
    "active_power_mw": (re.compile("200402"), "200402xx"), "reactive_power_mvar": (re.compile("200502"), "200502xx"),
    "bus_voltage_kv": (re.compile("200002"), "200002xx"), "frequency_hz": (re.compile("200F0200"), "200F0200"),
}}  # fmt: skip


def _may_share(one: Point, other: Point) -> bool:
    """True if two rows may share a place on purpose: units on one busbar share its voltage and frequency."""
    return one.quantity == other.quantity and one.unit != other.unit and bool(one.quantity) and one.area == other.area


def lint_registers(points: list[Point], findings: TableFindings) -> None:
    """Overlaps and repetitions within each area, and short holes that split requests."""
    for area in sorted({point.area for point in points}):
        inside = sorted((p for p in points if p.area == area), key=lambda p: (p.address, p.registers, p.row))
        end, last = -1, None  # first register after all seen so far, and the point that ends there
        near: dict[tuple[int, str, int | None, str], Point] = {}  # points that reach as far as here, one of a kind
        for point in inside:
            near = {place: other for place, other in near.items() if other.address + other.registers > point.address}
            for other in near.values():
                first, second = (other, point) if other.row < point.row else (point, other)
                _compare(first, second, findings)
            near.setdefault((point.address, point.type, point.bit, point.order), point)
            hole = point.address - end
            if last is not None and 0 < hole <= SHORT_HOLE:
                findings.find("gap", point.row, "address", count=hole, other=last.row)
            if point.address + point.registers > end:
                end, last = point.address + point.registers, point


def _compare(other: Point, point: Point, findings: TableFindings) -> None:
    """Two points that share a register (or coil); `other` stands first in the file."""
    same_place = (point.address, point.type) == (other.address, other.type)
    if point.area not in BIT_AREAS and point.registers == other.registers and point.address == other.address:
        if (point.bit is None) is not (other.bit is None):
            findings.find("word_and_bit", point.row, "address", address=point.address, other=other.row)
            return
        if point.bit is not None and other.bit is not None and not _bits_meet(point.bit, point, other.bit, other):
            return
    if not same_place:
        findings.find("overlap", point.row, "address", place=_span(point), other_name=other.name,
                     other_place=_span(other), other=other.row)  # fmt: skip
    elif point.order != other.order and point.registers > 1:
        findings.find("order_conflict", point.row, "order", order=point.order, other=other.row,
                     other_order=other.order)  # fmt: skip
    elif not _may_share(point, other):
        findings.find("same_address", point.row, "address", other_name=other.name, other=other.row)


def _bits_meet(bit: int, point: Point, other_bit: int, other: Point) -> bool:
    return bit < other_bit + other.bit_count and other_bit < bit + point.bit_count


def _span(point: Point) -> str:
    last = point.address + point.registers - 1
    return f"{point.area} {point.address}" + (f"-{last}" if last > point.address else "") + f" {point.type}"


def lint_orders(entries: list[Entry], findings: TableFindings) -> None:
    """Byte orders that are missing, or differ from those of the neighbours in the same device."""
    wide = [e for e in entries if e.point.registers > 1]
    said = [e for e in wide if "order" in e.written]
    if wide and not said:
        findings.find("order_unstated", wide[0].point.row, "order", device=wide[0].point.device or "-")
    usual = Counter(e.point.order for e in said).most_common(1)
    for entry in wide if said else ():
        point = entry.point
        if "order" not in entry.written:
            neighbour = min(said, key=lambda e: abs(e.point.row - point.row)).point
            findings.find("order_missing", point.row, "order", type=point.type, other=neighbour.row,
                         order=neighbour.order)  # fmt: skip
        elif point.order != usual[0][0] and usual[0][1] > len(said) / 2:
            findings.find("order_mixed", point.row, "order", order=point.order, usual=usual[0][0])
    for entry in entries:
        point = entry.point
        if point.registers == 1 and point.type != "bit" and "order" in entry.written and point.order != "ABCD":
            findings.find("order_of_one", point.row, "order", order=point.order, type=point.type)


def lint_objects(points: list[Point], findings: TableFindings) -> None:
    """IEC 60870-5-104: information objects that are impossible, repeated, or of another kind of value."""
    with_station = next((p for p in points if p.common_address is not None), None)
    places: dict[tuple[int | None, int, int | None], Point] = {}
    for point in points:
        if point.address == 0:
            findings.find("object_address_zero", point.row, "address")
        other = places.setdefault((point.common_address, point.address, point.bit), point)
        if other is not point and not _may_share(point, other):
            findings.find("same_address", point.row, "address", other_name=other.name, other=other.row)
        if with_station is not None and point.common_address is None:
            findings.find("common_address_missing", point.row, "common_address", other=with_station.row,
                         value=with_station.common_address)  # fmt: skip
        if point.quantity:
            _compare_kinds(point, findings)


def _compare_kinds(point: Point, findings: TableFindings) -> None:
    wanted = BY_NAME[point.quantity].kind
    carried = _CARRIES.get(
        point.area, QuantityKind.STATUS if point.bit is not None else QuantityKind.ANALOG
    )  # a bit string
    # Stations do send energy as a measured value; a status travels as one only where a map gives its codes a meaning.
    if carried is wanted or point.states or (carried, wanted) == (QuantityKind.ANALOG, QuantityKind.COUNTER):
        return
    (carries, carries_zh), (kind, kind_zh) = _KIND_WORDS[carried], _KIND_WORDS[wanted]
    findings.find("type_of_quantity", point.row, "area", area=point.area, carries=carries, carries_zh=carries_zh,
                 quantity=point.quantity, kind=kind, kind_zh=kind_zh)  # fmt: skip


def lint_identifiers(points: list[Point], family: str, findings: TableFindings) -> None:
    """DL/T 645 and 698.45: identifiers that are repeated, or that never carry this quantity."""
    places: dict[int, Point] = {}
    for point in points:
        other = places.setdefault(point.address, point)
        if other is not point and not _may_share(point, other):
            findings.find("same_address", point.row, "address", other_name=other.name, other=other.row)
        pattern, known = _IDENTIFIERS[family].get(point.quantity, (None, ""))
        text = identifier_text(point.address)
        if pattern is not None and pattern.match(text) is None:
            findings.find("identifier_of_quantity", point.row, "address", text=text, quantity=point.quantity,
                         known=known)  # fmt: skip
