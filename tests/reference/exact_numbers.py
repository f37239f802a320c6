# SPDX-License-Identifier: GPL-3.0-or-later
"""Exact numbers and truth with a third value.

Truth is True, False or None, and None is *missing* (rules.md, section 2: "three-valued logic").
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

Truth = bool | None


def round_half_away(value: Fraction) -> int:
    """The nearest integer, a half away from zero."""
    size = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return size if value >= 0 else -size


def thousandths(text: str) -> int:
    """A decimal text in MW, Mvar or kV as an integer in kW, kvar or V."""
    return round_half_away(Fraction(text) * 1000)


def fen(yuan: Fraction) -> int:
    """An amount in whole fen, rounded once, half away from zero."""
    return round_half_away(yuan * 100)


def yuan(amount_fen: int) -> Decimal:
    """Whole fen as yuan with exactly two decimals."""
    return Decimal(amount_fen).scaleb(-2)


def all_of(*conditions: Truth) -> Truth:
    """The conjunction: false if any is false whatever is missing, else missing if any is missing, else true."""
    if any(condition is False for condition in conditions):
        return False
    return None if any(condition is None for condition in conditions) else True


def any_of(*conditions: Truth) -> Truth:
    """The disjunction: true if any is true whatever is missing, else missing if any is missing, else false."""
    if any(condition is True for condition in conditions):
        return True
    return None if any(condition is None for condition in conditions) else False


def negated(condition: Truth) -> Truth:
    """Not, where missing stays missing."""
    return None if condition is None else not condition


def less(a: int | None, b: int | None) -> Truth:
    """Whether a < b, strictly; missing where one of them is."""
    return None if a is None or b is None else a < b


def at_most(a: int | None, b: int | None) -> Truth:
    """Whether a <= b; missing where one of them is."""
    return None if a is None or b is None else a <= b
