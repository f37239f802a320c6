# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers, times and money: exact, half away from zero."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from collector.model.interval import (
    Interval,
    Month,
    day_interval,
    format_time,
    instants_to_read,
    local_day,
    parse_time_ms,
)
from collector.model.money import format_yuan, round_to_fen
from collector.model.quantity import BY_NAME, QUANTITIES, from_scaled, parse_scaled


@pytest.mark.parametrize(
    ("text", "stored"),
    [("1.2345", 1235), ("-1.2345", -1235), ("1.2344999", 1234), ("0.0005", 1), ("-0", 0), ("1e2", 100000)],
)
def test_a_value_becomes_an_integer_half_away_from_zero(text: str, stored: int) -> None:
    assert parse_scaled(text, 1000) == stored


@pytest.mark.parametrize("text", ["", "nan", "inf", "1_000", "１２", "0x10", "1,5", "1e999", "--1"])
def test_what_is_not_a_plain_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a number"):
        parse_scaled(text, 1000)


def test_a_stored_integer_reads_back_exactly() -> None:
    assert from_scaled(-1235, 1000) == Decimal("-1.235")


def test_names_end_in_their_unit() -> None:
    assert len(BY_NAME) == len(QUANTITIES)
    for quantity in QUANTITIES:
        assert not quantity.unit or quantity.name.endswith("_" + quantity.unit.lower())


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T08:00:00+08:00", 0),
        ("2024-02-29T23:59:59.999+08:00", 1709222399999),
        ("2024-02-29 23:59+0800", 1709222340000),
        ("1709222399999", 1709222399999),
    ],
)
def test_times_are_read_to_utc_ms(text: str, ms: int) -> None:
    assert parse_time_ms(text) == ms


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-03-01T00:00:00", "add the offset"),
        ("2026-03-01", "add the offset"),
        ("2026-02-30T00:00:00Z", "day"),
        ("2026-03-01T00:00:00.0005Z", "finer than a millisecond"),
        ("noon", "ISO 8601 with offset"),
        ("1.5", "ISO 8601 with offset"),
    ],
)
def test_a_time_without_offset_or_sense_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_time_ms(text)


def test_local_days_begin_at_sixteen_hundred_utc() -> None:
    assert day_interval(date(2026, 3, 1)) == Interval(
        parse_time_ms("2026-02-28T16:00:00Z"), parse_time_ms("2026-03-01T16:00:00Z")
    )
    assert local_day(parse_time_ms("2026-02-28T15:59:59.999Z")) == date(2026, 2, 28)
    assert format_time(parse_time_ms("2026-02-28T16:00:00.250Z")) == "2026-03-01T00:00:00.250+08:00"


def test_months_know_their_days() -> None:
    leap = Month.parse("2024-02")
    assert len(leap.days) == 29
    assert str(Month(2026, 12).next()) == "2027-01"
    assert leap.interval.end_ms - leap.interval.start_ms == 29 * 86_400_000
    for text in ("2024-2", "2024-13", "202402", "2024-02-01"):
        with pytest.raises(ValueError, match="month"):
            Month.parse(text)


@pytest.mark.parametrize(
    ("amount", "fen"),
    [
        (Fraction(5, 1000), "0.01"),
        (Fraction(-5, 1000), "-0.01"),
        (Fraction(4999, 10**6), "0.00"),
        (Fraction(1, 3), "0.33"),
    ],
)
def test_amounts_round_once_half_away_from_zero(amount: Fraction, fen: str) -> None:
    assert round_to_fen(amount) == Decimal(fen)
    assert format_yuan(round_to_fen(amount)) == fen


def test_zero_yuan_has_no_sign() -> None:
    assert format_yuan(round_to_fen(Fraction(-1, 10**6))) == "0.00"


def test_instants_in_a_sentence_are_read_without_fractions_and_offset() -> None:
    kept = "33 values, 2026-06-01T00:10:00.009+08:00 to 2026-06-03T14:35:00+08:00; 2026-06-03T14:35:00Z stays"
    said = "33 values, 2026-06-01 00:10:00 to 2026-06-03 14:35:00; 2026-06-03T14:35:00Z stays"
    assert instants_to_read(kept) == said
