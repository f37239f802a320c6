# SPDX-License-Identifier: GPL-3.0-or-later
"""Expected values and tolerances in exact arithmetic, and the comparison of a value with them.

The default tolerance is the resolution of the device: one count of its integer, one last digit of its meter, the last
binary digit of a floating point number, the dead band of a point that reports spontaneously; at least one step of the
stored value. States are exact.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

from collector.agent.device.dlt645.codec import layout_of
from collector.agent.device.iec60870.asdu import FAMILIES
from collector.base.text import tr
from collector.model.quantity import parse_decimal
from collector.points import RAW_UNITS
from collector.points.identifiers import attribute_of
from collector.points.point import decimal_text
from collector.verify.items import CLOSED, OPENED, Item

_STATES: Final = {
    "0": ("0", "分", "断", "退", "退出", "off", "open", "out"),
    "1": ("1", "合", "投", "投入", "on", "closed", "in"),
}  # fmt: skip
# Type -> last binary digit of a number, relative to the number.
_LAST_DIGIT: Final = {"float32": Fraction(1, 2**23), "float64": Fraction(1, 2**52)}
_NORMALISED, _SHORT_FLOAT = 9, 13


def parse_expected(item: Item, text: str) -> str:
    """Parse an expected value to plain decimal text in the quantity's unit; a state to 0 or 1.

    Raises:
        ValueError: not a number, or not a state.
    """
    text = text.strip()
    if item.is_status:
        for state, words in _STATES.items():
            if text.lower() in words:
                return state
        raise ValueError(tr("a state is 0 (off) or 1 (on), got {text!r}", text=text))
    return decimal_text(Fraction(parse_decimal(text)))


def step_name(item: Item, text: str) -> str:
    """The name of the step typed by a person; a status also accepts 0 and 1, for keyboards without Chinese."""
    try:
        return (OPENED, CLOSED)[int(parse_expected(item, text))] if item.is_status else text
    except ValueError:
        return text


def parse_tolerance(item: Item, text: str) -> str:
    """Parse a tolerance to plain decimal text in the quantity's unit; `0.5%` refers to the row's range (min to max).

    Raises:
        ValueError: the text is no tolerance, negative, or a percentage where the row has no range.
    """
    text = text.strip()
    if not text:
        return ""
    point = item.point
    share = text.removesuffix("%").removesuffix("％").strip()
    size = Fraction(parse_decimal(share))
    if size < 0:
        raise ValueError(tr("a tolerance is not negative, got {text!r}", text=text))
    if share != text:
        if point.low is None or point.high is None:
            raise ValueError(
                tr(
                    "{text!r} is of the row's range, which has no min and max: write it in {unit}",
                    text=text,
                    unit=item.quantity.unit,
                )
            )
        size = size / 100 * (point.high - point.low) * RAW_UNITS[point.raw_unit][1]
    return decimal_text(size)


def default_tolerance(item: Item, expected: str) -> str:
    """The resolution of the device near the expected value, in the quantity's unit; 0 for states."""
    if item.is_status:
        return "0"
    point, scale = item.point, item.quantity.scale
    to_unit = RAW_UNITS[point.raw_unit][1]
    size = _count(item, Fraction(expected or "0")) + Fraction(1, 2 * scale)  # stored values are rounded
    if item.family == "iec104" and point.deadband is not None:
        size = max(size, point.deadband * to_unit)
    return decimal_text(Fraction(max(1, math.floor(size * scale)), scale))


def _count(item: Item, expected: Fraction) -> Fraction:
    """The smallest difference the device can represent, in the quantity's unit."""
    point = item.point
    factor = abs(point.scale) * RAW_UNITS[point.raw_unit][1]
    if item.family == "dlt645":
        layout = layout_of(point.address)
        return factor * Fraction(1, 10**layout.decimals) if layout else factor
    if item.family == "dlt698":
        attribute = attribute_of(point.address)
        return factor * Fraction(1, 10**attribute.decimals) if attribute else factor
    if item.family == "iec104":
        family = FAMILIES.get(int(point.area))
        if family == _SHORT_FLOAT:
            return abs(expected) * _LAST_DIGIT["float32"]
        return factor / 32768 if family == _NORMALISED else factor
    digit = _LAST_DIGIT.get(point.type)
    return factor if digit is None else abs(expected) * digit


def meets(value: str, expected: str, tolerance: str) -> bool:
    """True if a value is within the tolerance of the expected one; False where there is no value."""
    if not value or not expected:
        return False
    return abs(Fraction(value) - Fraction(expected)) <= Fraction(tolerance)
