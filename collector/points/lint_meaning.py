# SPDX-License-Identifier: GPL-3.0-or-later
"""Lint of the meaning of values: declared ranges against plausible ones, units, steps, statuses, sentinels, guards."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from collector.model.quantity import BY_NAME, Quantity, QuantityKind
from collector.points.findings import TableFindings
from collector.points.identifiers import identifier_text
from collector.points.load import guard_range
from collector.points.point import BIT_AREAS, INTEGER_RANGE, MODBUS_AREAS, RAW_UNITS, Point, decimal_text
from collector.points.words import AREA_ZH

# A range that stays below this means that the unit is a thousand times too small (in the quantity's unit).
_TINY: Final = {"MW": Fraction(1, 10), "Mvar": Fraction(1, 10), "kV": Fraction(1)}
_NOMINAL_HZ: Final = 50


def lint_ranges(points: list[Point], findings: TableFindings) -> None:
    """The range a row declares, and the one its type reaches, against the plausible range of the quantity."""
    for point in points:
        quantity = BY_NAME.get(point.quantity)
        if quantity is None or quantity.kind is QuantityKind.STATUS:
            continue
        _lint_declared(point, quantity, findings)
        _lint_small(point, quantity, findings)
        _lint_reach(point, findings)
        if quantity.kind is QuantityKind.COUNTER and point.type in ("int16", "uint16", "bcd16") and point.reach:
            findings.find("counter_narrow", point.row, "type", type=point.type, high=decimal_text(point.reach[1]),
                         unit=point.raw_unit)  # fmt: skip


def _lint_declared(point: Point, quantity: Quantity, findings: TableFindings) -> None:
    factor = RAW_UNITS[point.raw_unit][1]
    plausible_low, plausible_high = Fraction(quantity.low), Fraction(quantity.high)
    low = plausible_low if point.low is None else point.low * factor
    high = plausible_high if point.high is None else point.high * factor
    shown = f"{decimal_text(plausible_low)} … {decimal_text(plausible_high)} {quantity.unit}"
    if low > plausible_high or high < plausible_low:
        findings.find("outside_quantity", point.row, "max", low=_shown(point.low), high=_shown(point.high),
                     unit=point.raw_unit, plausible=shown)  # fmt: skip
        return
    for key, limit, beyond in (("min", point.low, low < plausible_low), ("max", point.high, high > plausible_high)):
        if limit is not None and beyond:
            findings.find("beyond_quantity", point.row, key, key=key, limit=decimal_text(limit), unit=point.raw_unit,
                         plausible=shown)  # fmt: skip
    ends = [end * factor for end in point.reach] if point.reach else [low, high]
    if quantity.unit == "Hz" and not max(low, ends[0]) <= _NOMINAL_HZ <= min(high, ends[1]):
        findings.find("no_nominal", point.row, "max")
    if point.low is None or point.high is None:
        return
    width = point.high - point.low
    if point.reach and point.area and width and abs(point.factor) * 100 > width:
        findings.find("coarse", point.row, "scale", step=decimal_text(abs(point.factor)), unit=point.raw_unit)
    if point.deadband is not None and width and point.deadband * 5 >= width:
        findings.find("deadband_wide", point.row, "deadband", deadband=decimal_text(point.deadband), part="1/5")


def _shown(limit: Fraction | None) -> str:
    return "…" if limit is None else decimal_text(limit)


def _lint_small(point: Point, quantity: Quantity, findings: TableFindings) -> None:
    """A range or type that reaches only tiny values: mostly kW labelled MW the other way round, or a wrong scale."""
    least = _TINY.get(quantity.unit)
    if least is None:
        return
    factor, unit = RAW_UNITS[point.raw_unit][1], quantity.unit
    declared = [abs(limit * factor) for limit in (point.low, point.high) if limit is not None]
    if declared and point.high is not None and max(declared) < least:
        findings.find("tiny_range", point.row, "max", reach=f"{decimal_text(max(declared))} {unit}")
    elif point.reach is not None:
        reach = max(abs(end * factor) for end in point.reach)
        if reach < least:
            findings.find("tiny_reach", point.row, "scale", type=_type_of(point), reach=f"{decimal_text(reach)} {unit}")


def _type_of(point: Point) -> str:
    if point.area.isdigit():
        return f"type {point.area}"
    return point.type if point.area else identifier_text(point.address)


def _lint_reach(point: Point, findings: TableFindings) -> None:
    """A declared limit that no raw value reaches, on 104 and meters; on registers such a table is already refused.

    A limit a little beyond the end of a measuring range is usual; ten times beyond means another factor.
    """
    limits = {key: limit for key, limit in (("min", point.low), ("max", point.high)) if limit is not None}
    if point.reach is None or point.area in MODBUS_AREAS or not limits:
        return
    low, high = point.reach
    size, farthest = max(abs(low), abs(high)), max(limits, key=lambda key: abs(limits[key]))
    code = "unreachable" if abs(limits[farthest]) > 10 * size else "reach_short"
    for key, limit in limits.items():
        if not low <= limit <= high:
            findings.find(code, point.row, "scale", type=_type_of(point), low=decimal_text(low),
                         high=decimal_text(high), unit=point.raw_unit, key=key, limit=decimal_text(limit))  # fmt: skip


def lint_sentinels(points: list[Point], findings: TableFindings) -> None:
    """Counters and states without a sentinel, read from registers that a device may fill with ones for "no value"."""
    names = []
    for point in points:
        quantity = BY_NAME.get(point.quantity)
        if quantity is None or quantity.kind is QuantityKind.ANALOG or point.no_value or point.area in BIT_AREAS:
            continue
        ends = INTEGER_RANGE.get(point.type, (0, 0))
        ones = (
            (1 << point.bit_count) - 1
            if point.bit is not None
            else -1
            if ends[0] < 0
            else (1 << 16 * point.registers) - 1
        )
        if point.states:
            if ones in dict(point.states):
                names.append((point.row, point.name))
        elif ones <= ends[1] or point.bit is not None:
            value = point.stored(ones)
            if quantity.low_scaled <= value <= quantity.high_scaled:
                names.append((point.row, point.name))
    if names:
        shown = ", ".join(name for _, name in names[:5]) + (" …" if len(names) > 5 else "")
        findings.find("no_value_unstated", names[0][0], "no_value", names=shown)


def lint_arithmetic(points: list[Point], family: str, findings: TableFindings) -> None:
    """Signs, statuses, sentinels and guards that can't work as written."""
    for point in points:
        quantity = BY_NAME.get(point.quantity)
        if point.scale < 0 and point.sign < 0:
            findings.find("double_sign", point.row, "sign")
        if quantity is not None and quantity.kind is QuantityKind.STATUS:
            values = sorted((raw * point.scale + point.offset) * point.sign for raw in (0, 1))
            if point.states:
                values = sorted({Fraction(value) for _, value in point.states})
                _lint_states(point, findings)
            if values != [0, 1]:
                shown = ", ".join(map(decimal_text, values))
                findings.find("never_valid", point.row, "scale", values=shown)
        if family == "modbus":
            _lint_raw(point, findings)


def _lint_states(point: Point, findings: TableFindings) -> None:
    ends = point.raw_ends
    for state, _ in point.states:
        if ends is not None and not ends[0] <= state <= ends[1]:
            findings.find("map_width", point.row, "map", value=state, type=_type_of(point))


def _lint_raw(point: Point, findings: TableFindings) -> None:
    if point.area in BIT_AREAS and point.bit is not None:
        findings.find("bit_unused", point.row, "bit", area=point.area, area_zh=AREA_ZH[point.area])
    if point.type in INTEGER_RANGE:
        low, high = INTEGER_RANGE[point.type]
        # A sentinel may be written as the bits of a signed register: 65535 for -1.
        widest = (1 << 16 * point.registers) - 1 if low < 0 else high
        for value in point.no_value:
            if not low <= value <= widest:
                findings.find("no_value_width", point.row, "no_value", value=value, type=point.type)
    if 0 in point.no_value:
        findings.find("no_value_zero", point.row, "no_value")
    wanted = guard_range(point.guard) if point.guard else None
    if wanted is not None and point.reach is not None and (wanted[0] > point.reach[1] or wanted[1] < point.reach[0]):
        findings.find("guard_unreachable", point.row, "guard", type=point.type, text=point.guard)
