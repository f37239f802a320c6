# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers of one cell: stripped text → value. Each raises ValueError with found, expected and remedy.

Empty cells are not parsed: they are *missing*, and the caller knows whether that is allowed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Final, TypeVar

from collector.base.text import said_by, tr
from collector.model.interval import Month, parse_time_ms
from collector.model.quantity import parse_decimal, to_scaled
from collector.sheets.findings import nearest

C = TypeVar("C", bound=StrEnum)

# Integer times below this (March 1973) are seconds mistaken for milliseconds; the regulation is later than that.
EARLIEST_MS: Final = 100_000_000_000
LATEST_MS: Final = 7_258_118_400_000  # 2200-01-01
# A million MW, Mvar or kV is a misplaced decimal point; a month of that power in kW·ms still fits 64 bits.
LARGEST_ANALOG: Final = 1_000_000
LARGEST_COUNTER: Final = 10**10
LARGEST_YUAN: Final = 10**11  # above the yearly revenue of a grid region


def parse_instant(text: str) -> int:
    """Parse an instant: ISO 8601 with offset, or integer UTC ms, to UTC ms."""
    if re.search(r":\d{2}(\.\d+)?[+-]\d{2}$", text):
        text += ":00"  # an offset in whole hours (+08) is valid too
    if re.match(r"\d{4}[-/]\d{1,2}[-/]\d{1,2}", text) and not re.search(r"(Z|[+-]\d{2}:?\d{2})$", text):
        raise ValueError(tr("time without offset {text!r}; write it like 2026-03-01T00:00:00+08:00", text=text))
    try:
        time_utc_ms = parse_time_ms(text)
    except (ValueError, OverflowError) as error:
        reason = said_by(error) if repr(text) in str(error) else f"{error}: {text!r}"
        raise ValueError(tr("not a time: {reason}", reason=reason)) from None
    if not EARLIEST_MS <= time_utc_ms < LATEST_MS:
        hint = tr("; are these seconds?") if 0 < time_utc_ms < EARLIEST_MS else ""
        raise ValueError(
            tr(
                "no plausible time {text!r}: expected UTC milliseconds or ISO 8601 with offset{hint}",
                text=text,
                hint=hint,
            )
        )
    return time_utc_ms


def parse_number(text: str) -> Decimal:
    """Parse a finite decimal number exactly."""
    try:
        return parse_decimal(text)
    except ValueError:
        comma = tr("; no thousands separator, decimal point '.'") if "," in text or "，" in text else ""
        raise ValueError(
            tr("not a number {text!r}{comma}; leave the cell empty where the value is missing", text=text, comma=comma)
        ) from None


def parse_money(text: str, *, unit_yuan: int = 1) -> Decimal:
    """Parse an amount of money: whole fen, below 10^11 yuan. `unit_yuan`: yuan per unit (10 000 for 万元)."""
    value = parse_number(text)
    if "e" in text.casefold():
        remedy = tr("a spreadsheet may have lost its last digits; format the cell as a number, write out all digits")
        raise ValueError(tr("amount of money in exponent form {text!r}: {remedy}", text=text, remedy=remedy))
    unit = tr("yuan") if unit_yuan == 1 else tr("units of {unit_yuan} yuan", unit_yuan=unit_yuan)
    if value.copy_abs() >= LARGEST_YUAN // unit_yuan:
        limit = f"10^{len(str(LARGEST_YUAN // unit_yuan)) - 1} {unit}"
        raise ValueError(
            tr(
                "{text} is no amount of money, which is below {limit}; check unit (元, 万元) and decimal point",
                text=text,
                limit=limit,
            )
        )
    if (Fraction(value) * unit_yuan * 100).denominator != 1:
        decimals = len(str(unit_yuan * 100)) - 1
        raise ValueError(
            tr(
                "{text} has more than {decimals} decimals, parts of a fen; an amount in {unit} is rounded to them",
                text=text,
                decimals=decimals,
                unit=unit,
            )
        )
    return value


def parse_analog(text: str, scale: int) -> int:
    """Parse a measured or planned value to its stored integer, rounded half away from zero."""
    value = parse_number(text)
    if abs(value) > LARGEST_ANALOG:
        raise ValueError(
            tr(
                "{text} is beyond any plausible value (±{largest_analog}); check unit and decimal point",
                text=text,
                largest_analog=LARGEST_ANALOG,
            )
        )
    return to_scaled(value, scale)


def parse_counter(text: str, scale: int) -> int:
    """Parse a meter register to its stored integer."""
    value = parse_number(text)
    if not 0 <= value <= LARGEST_COUNTER:
        raise ValueError(tr("{text} is no meter register (0 to 10^10)", text=text))
    return to_scaled(value, scale)


def parse_status(text: str) -> int:
    """Parse a status: 0 or 1."""
    if text not in ("0", "1"):
        raise ValueError(tr("not a boolean {text!r}: expected 0 or 1", text=text))
    return int(text)


def parse_month(text: str) -> str:
    """Parse a month, `YYYY-MM`."""
    try:
        return str(Month.parse(text))
    except ValueError:
        raise ValueError(tr("not a month {text!r}: expected YYYY-MM", text=text)) from None


def parse_day(text: str) -> date:
    """Parse a local date, `YYYY-MM-DD`."""
    try:
        if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
            raise ValueError
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(tr("not a date {text!r}: expected YYYY-MM-DD", text=text)) from None


def parse_id(text: str) -> str:
    """Parse an identifier: printable, at most 64 characters."""
    if len(text) > 64 or not text.isprintable():
        raise ValueError(tr("not an id {text!r}: at most 64 printable characters", text=text[:80]))
    return text


def parse_ratio(text: str) -> Decimal:
    """Parse a ratio from 0 to 1."""
    value = parse_number(text)
    if not 0 <= value <= 1:
        raise ValueError(tr("{text} is no ratio: expected 0 to 1, not percent", text=text))
    return value


def choice_of(kinds: type[C]) -> Callable[[str], C]:
    """A parser of the values of an enumeration."""

    def parse_choice(text: str) -> C:
        try:
            return kinds(text)
        except ValueError:
            words = [kind.value for kind in kinds]
            raise ValueError(
                tr("{text!r} is none of {names}{hint}", text=text, names=", ".join(words), hint=nearest(text, words))
            ) from None

    return parse_choice


def one_of(words: Collection[str]) -> Callable[[str], str]:
    """A parser that accepts one of `words`."""

    def parse_word(text: str) -> str:
        if text not in words:
            raise ValueError(
                tr(
                    "{text!r} is none of {names}{hint}",
                    text=text,
                    names=", ".join(sorted(words)),
                    hint=nearest(text, words),
                )
            )
        return text

    return parse_word
