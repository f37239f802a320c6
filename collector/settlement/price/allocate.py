# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 9, allocation: an area's total compensation is shared among its plants, exact to the fen (Art. 22, 23).

A_i = R · F_i / ΣF, floored to the fen; the leftover fen go to the largest remainders, ties by plant id. ΣA = R exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction


def allocate(total_yuan: Decimal, revenue_yuan: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Share `total_yuan` (whole fen, ≥ 0) by revenue; the caller has checked that ΣF > 0 and no F < 0."""
    total_fen = int(total_yuan.scaleb(2))
    whole = sum((Fraction(f) for f in revenue_yuan.values()), Fraction(0))
    exact = {plant: total_fen * Fraction(f) / whole for plant, f in revenue_yuan.items()}
    fen = {plant: share.numerator // share.denominator for plant, share in exact.items()}
    leftover = total_fen - sum(fen.values())
    for plant in sorted(exact, key=lambda p: (fen[p] - exact[p], p))[:leftover]:
        fen[plant] += 1
    return {plant: Decimal(amount).scaleb(-2) for plant, amount in fen.items()}


def why_blocked(revenue_yuan: Mapping[str, Decimal | None]) -> tuple[str, tuple[str, ...]]:
    """Why the plants' revenue allows no allocation, and which plants that is about; an empty reason: it does.

    A missing row is never read as 0: a plant that sold nothing needs a row of 0.
    """
    if missing := tuple(sorted(plant for plant, revenue in revenue_yuan.items() if revenue is None)):
        return "no_revenue", missing
    known = {plant: revenue for plant, revenue in revenue_yuan.items() if revenue is not None}
    if negative := tuple(sorted(plant for plant, revenue in known.items() if revenue < 0)):
        return "negative_revenue", negative
    return ("", ()) if sum(known.values(), Decimal(0)) else ("zero_revenue", tuple(sorted(known)))
