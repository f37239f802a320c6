# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of point tables for tests, with only what matters named."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

from collector.points import Point

_PLAIN = Point(
    file="points.csv", row=2, name="p", description="", device="", unit="U1", quantity="active_power_mw",
    area="holding", type="uint16", address=0, common_address=None, bit=None, order="ABCD", scale=Fraction(1),
    offset=Fraction(0), raw_unit="", sign=1, low=None, high=None, deadband=None, period_s=None, backup=False,
    guard="", no_value=(),
)  # fmt: skip


def point(quantity: str, **fields: Any) -> Point:
    """A row for `quantity`, named after it unless `name` is given."""
    return replace(_PLAIN, quantity=quantity, name=fields.pop("name", quantity or "guard"), **fields)
