# SPDX-License-Identifier: GPL-3.0-or-later
"""Parsers of one value of register.toml: TOML value → checked value. Each raises ValueError with found and expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from collector.base.text import tr
from collector.model.quantity import parse_decimal
from collector.model.register import LocalSpan
from collector.tables.cells import LARGEST_ANALOG, choice_of, parse_day, parse_id

E = TypeVar("E", bound=StrEnum)


def parse_text(raw: Any) -> str:
    """Parse a text in quotes."""
    if not isinstance(raw, str):
        raise ValueError(tr("expected text in quotes, got {raw!r}", raw=raw))
    return parse_id(raw) if len(raw) <= 64 else _printable(raw)


def _printable(raw: str) -> str:
    if len(raw) > 1000 or not raw.isprintable():
        raise ValueError(tr("expected at most 1000 printable characters"))
    return raw


def parse_key(raw: Any) -> str:
    """Parse an id."""
    if not isinstance(raw, str) or raw != raw.strip():
        raise ValueError(tr("expected an id in quotes without spaces around it, got {raw!r}", raw=raw))
    return parse_id(raw)


def parse_truth(raw: Any) -> bool:
    """Parse true or false."""
    if not isinstance(raw, bool):
        raise ValueError(tr("expected true or false, got {raw!r}", raw=raw))
    return raw


def parse_number(raw: Any) -> Decimal:
    """Parse a TOML number, or a text of one, to an exact decimal."""
    if isinstance(raw, bool) or not isinstance(raw, str | int | Decimal):
        raise ValueError(tr("not a number: {raw!r}", raw=raw))
    try:
        value = parse_decimal(str(raw))
    except ValueError:
        raise ValueError(tr("not a number: {raw!r}", raw=raw)) from None
    if abs(value) > 10**9:
        raise ValueError(tr("{raw} is beyond any plausible value", raw=raw))
    return value


def parse_analog_value(raw: Any) -> Decimal:
    """Parse a power or voltage, limited so that a month of it in kW·ms fits 64 bits, as a month of records does."""
    value = parse_number(raw)
    if abs(value) > LARGEST_ANALOG:
        raise ValueError(tr("{raw} is beyond any plausible value", raw=raw))
    return value


def parse_rating(raw: Any) -> Decimal:
    """Parse a power or voltage above 0."""
    return parse_positive(parse_analog_value(raw))


def parse_positive(raw: Any) -> Decimal:
    """Parse a number above 0."""
    value = parse_number(raw)
    if value <= 0:
        raise ValueError(tr("{raw} is not above 0", raw=raw))
    return value


def parse_not_negative(raw: Any) -> Decimal:
    """Parse a number not below 0."""
    value = parse_number(raw)
    if value < 0:
        raise ValueError(tr("{raw} is below 0", raw=raw))
    return value


def parse_ratio(raw: Any) -> Decimal:
    """Parse a ratio from 0 to 1."""
    value = parse_number(raw)
    if not 0 <= value <= 1:
        raise ValueError(tr("{raw} is no ratio: expected 0 to 1, not percent", raw=raw))
    return value


def parse_choice_of(kinds: type[E]) -> Callable[[Any], E]:
    """A parser of the values of an enumeration."""
    parse = choice_of(kinds)
    return lambda raw: parse(parse_text(raw))


def parse_day_value(raw: Any) -> date:
    """Parse a TOML date, or a text of one."""
    if isinstance(raw, datetime) or not isinstance(raw, str | date):
        raise ValueError(tr("expected a local date like 2026-01-01, got {raw!r}", raw=str(raw)))
    return raw if isinstance(raw, date) else parse_day(raw)


def parse_texts(raw: Any) -> tuple[str, ...]:
    """Parse a list of texts."""
    if not isinstance(raw, list):
        raise ValueError(tr('expected a list of texts like ["备注"], got {raw!r}', raw=raw))
    return tuple(parse_text(text) for text in raw)


def parse_spans(raw: Any) -> tuple[LocalSpan, ...]:
    """Parse daily local hours; the spans of the list may not overlap."""
    if not isinstance(raw, list):
        raise ValueError(tr('expected a list like ["00:00-08:00"]; [] where there are none'))
    spans = tuple(_span(text) for text in raw)
    minutes: set[int] = set()
    for text, span in zip(raw, spans, strict=True):
        end = span.end_min if span.end_min > span.start_min else span.end_min + 1440
        covered = {minute % 1440 for minute in range(span.start_min, end)}
        if covered & minutes:
            raise ValueError(tr("{text!r} overlaps another span of the list", text=text))
        minutes |= covered
    return spans


def _span(raw: Any) -> LocalSpan:
    found = re.fullmatch(r"(\d{2}):(\d{2})-(\d{2}):(\d{2})", raw, re.ASCII) if isinstance(raw, str) else None
    if not found:
        raise ValueError(tr("not a span {raw!r}: expected HH:MM-HH:MM", raw=raw))
    start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
    if start > 1440 or end > 1440 or int(found[2]) > 59 or int(found[4]) > 59:
        raise ValueError(tr("no such hours {raw!r}: 00:00 to 24:00", raw=raw))
    if start in (end, end + 1440):
        raise ValueError(tr("{raw!r} is empty; the whole day is 00:00-24:00", raw=raw))
    return LocalSpan(start % 1440, end)  # 24:00 is the next midnight
