# SPDX-License-Identifier: GPL-3.0-or-later
"""Exact numbers as text. An unknown number is an empty cell, never 0."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Final

from collector.model.interval import format_time
from collector.model.money import format_yuan

QUANTITY_DIGITS: Final = 6


def format_fraction(value: Fraction | None, digits: int = QUANTITY_DIGITS) -> str:
    """A fraction with `digits` decimals, rounded half away from zero, never `-0`; empty for None."""
    if value is None:
        return ""
    whole = scaled(value, digits)
    text = f"{whole:0{digits + 1}d}"
    sign = "-" if value.numerator < 0 and whole else ""  # comparing a Fraction takes longer than all else here
    return f"{sign}{text[:-digits]}.{text[-digits:]}" if digits else sign + text


def scaled(value: Fraction, digits: int = QUANTITY_DIGITS) -> int:
    """The absolute value in units of the last decimal shown, rounded half away from zero."""
    size: int = 2 * abs(value.numerator) * 10**digits
    return (size + value.denominator) // (2 * value.denominator)


def format_amount(amount_yuan: Decimal | None) -> str:
    """Yuan with two decimals; empty for None."""
    return "" if amount_yuan is None else format_yuan(amount_yuan)


def format_seconds(duration_ms: int) -> str:
    """A duration in seconds with three decimals, which is exact."""
    return f"{duration_ms // 1000}.{duration_ms % 1000:03d}"


def format_instant(time_utc_ms: int) -> str:
    """An instant as local ISO 8601 with offset."""
    return format_time(time_utc_ms)


def format_percent(ratio: Fraction | None) -> str:
    """A ratio as percent with two decimals, cut and not rounded, so that 99.996 % is not shown as 100 %."""
    if ratio is None:
        return ""
    hundredths = ratio.numerator * 10_000 // ratio.denominator
    return f"{hundredths // 100}.{hundredths % 100:02d} %"


def group_digits(text: str) -> str:
    """`12345.60` as `12 345.60` with narrow no-break spaces, the digit grouping of GB/T 15835, for pages."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, point, fraction = digits.partition(".")
    groups: list[str] = []
    while len(whole) > 3:
        groups.insert(0, whole[-3:])
        whole = whole[:-3]
    return sign + "\u202f".join([whole, *groups]) + point + fraction
