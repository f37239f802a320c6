# SPDX-License-Identifier: GPL-3.0-or-later
"""Expected values and tolerances, exactly; whether a value meets them.

A tolerance that nobody gave is what the device can resolve: one count of its integer, one last digit of its meter, the
last binary digit of a floating point number, the dead band of a point that reports by itself; at least one step of the
stored value. States are exact.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Final

from collector.agent.device.dlt645.codec import layout_of
from collector.agent.device.iec104.asdu import FAMILIES
from collector.base.text import tr
from collector.model.quantity import parse_decimal
from collector.points import RAW_UNITS
from collector.points.point import decimal_text
from collector.verify.items import CLOSED, OPENED, Item

_STATES: Final = {
    "0": ("0", "分", "断", "退", "退出", "off", "open", "out"),
    "1": ("1", "合", "投", "投入", "on", "closed", "in"),
}  # fmt: skip
# Of one, what the last binary digit is.
_LAST_DIGIT: Final = {"float32": Fraction(1, 2**23), "float64": Fraction(1, 2**52)}
_NORMALISED, _SHORT_FLOAT = 9, 13


def parse_expected(item: Item, text: str) -> str:
    """An expected value as plain decimal text in the quantity's unit; a state as 0 or 1.

    Raises:
        ValueError: it is none.
    """
    text = text.strip()
    if item.is_status:
        for state, words in _STATES.items():
            if text.lower() in words:
                return state
        raise ValueError(tr("a state is 0 (off) or 1 (on), got {text!r}", text=text))
    return decimal_text(Fraction(parse_decimal(text)))


def step_name(item: Item, text: str) -> str:
    """The step somebody means; those of a status also as 0 and 1, for keyboards without Chinese."""
    try:
        return (OPENED, CLOSED)[int(parse_expected(item, text))] if item.is_status else text
    except ValueError:
        return text


def parse_tolerance(item: Item, text: str) -> str:
    """A tolerance as plain decimal text in the quantity's unit; `0.5%` is of the range the row gives (min to max).

    Raises:
        ValueError: it is none, negative, or a share of a range that the row does not give.
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
    """What the device can resolve near the expected value; 0 for states."""
    if item.is_status:
        return "0"
    point, scale = item.point, item.quantity.scale
    to_unit = RAW_UNITS[point.raw_unit][1]
    size = _count(item, Fraction(expected or "0")) + Fraction(1, 2 * scale)  # stored values are rounded
    if item.family == "iec104" and point.deadband is not None:
        size = max(size, point.deadband * to_unit)
    return decimal_text(Fraction(max(1, math.floor(size * scale)), scale))


def _count(item: Item, expected: Fraction) -> Fraction:
    """The smallest difference the device can tell, in the quantity's unit."""
    point = item.point
    factor = abs(point.scale) * RAW_UNITS[point.raw_unit][1]
    if item.family == "dlt645":
        layout = layout_of(point.address)
        return factor * Fraction(1, 10**layout.decimals) if layout else factor
    if item.family == "iec104":
        family = FAMILIES.get(int(point.area))
        if family == _SHORT_FLOAT:
            return abs(expected) * _LAST_DIGIT["float32"]
        return factor / 32768 if family == _NORMALISED else factor
    digit = _LAST_DIGIT.get(point.type)
    return factor if digit is None else abs(expected) * digit


def meets(value: str, expected: str, tolerance: str) -> bool:
    """Whether a value lies within the tolerance of what is expected; no value never does."""
    if not value or not expected:
        return False
    return abs(Fraction(value) - Fraction(expected)) <= Fraction(tolerance)
