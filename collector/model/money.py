# SPDX-License-Identifier: GPL-3.0-or-later
"""Money: Decimal yuan from text, rounded once to the fen, shares that sum exactly."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final

FEN: Final = Decimal("0.01")


def round_to_fen(amount_yuan: Fraction) -> Decimal:
    """Round an exact amount to 0.01 yuan, half away from zero (rules.md section 4)."""
    numerator, denominator = amount_yuan.numerator, amount_yuan.denominator
    fen = (200 * abs(numerator) + denominator) // (2 * denominator)
    return Decimal(fen if numerator >= 0 else -fen).scaleb(-2)


def format_yuan(amount_yuan: Decimal) -> str:
    """Yuan as text: two decimals, no thousands separator, never `-0.00`."""
    rounded = amount_yuan.quantize(FEN, rounding=ROUND_HALF_UP)
    return f"{rounded + 0:.2f}" if rounded else "0.00"
