# SPDX-License-Identifier: GPL-3.0-or-later
"""Hints for a value that is not the expected one: other decodings of its bytes that would fit."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from collector.agent.operate.read_once import decodings, other_bases
from collector.model.quantity import from_scaled
from collector.points.point import INTEGER_RANGE, NORMALISED, RAW_UNITS
from collector.verify.items import Item
from collector.verify.judge import meets

_POWERS: Final = (Fraction(10), Fraction(100), Fraction(1000), Fraction(10**6))


@dataclass(frozen=True, slots=True)
class Candidate:
    """Another decoding of the same registers. `value`: in the quantity's unit; `fits`: it meets the expected value."""

    type: str
    order: str
    value: str
    fits: bool

    @property
    def name(self) -> str:
        """The name of the decoding: type and byte order."""
        return f"{self.type} {self.order}".strip()


def candidates_of(item: Item, raw: bytes, expected: str, tolerance: str) -> list[Candidate]:
    """Other decodings of the same bytes, fitting ones first.

    For registers other types and byte orders; for a normalised value of 104 other meanings of its factor; else none.
    """
    point = item.point
    if point.area in NORMALISED and len(raw) >= 2:
        return [
            Candidate(
                f"norm_base {base}",
                "",
                text := _decimal(item, value * RAW_UNITS[point.raw_unit][1]),
                meets(text, expected, tolerance),
            )
            for base, value in other_bases(point, raw)
        ]
    if item.family != "modbus" or not raw or point.bit is not None or point.type == "bit" or point.states:
        return []
    found = []
    for kind, order, value in decodings(raw):
        if (kind, order) != (point.type, point.order):
            text = _text(item, Fraction(value))
            found.append(Candidate(kind, order, text, meets(text, expected, tolerance)))
    return sorted(found, key=lambda candidate: not candidate.fits)


def explain(item: Item, raw: bytes, value: str, expected: str, tolerance: str) -> list[str]:
    """Sentences on changes that would make the value right, if any is found; only people change the point table."""
    found = [
        f"按 {c.name} 解码为 {c.value},与期望相符 read as {c.name} it is {c.value}: as expected"
        for c in candidates_of(item, raw, expected, tolerance)
        if c.fits
    ]
    if not value or not expected or item.is_status:
        return found
    size = Fraction(value)
    if size and meets(_decimal(item, -size), expected, tolerance):
        found.append("符号相反:核对方向列 opposite sign: check the column sign")
    return found + [
        f"相差 {power} 倍:核对系数、单位 off by {power}: check scale and raw_unit"
        for power in _POWERS
        for factor in (power, 1 / power)
        if size and meets(_decimal(item, size * factor), expected, tolerance)
    ]


def _text(item: Item, raw: Fraction) -> str:
    """A raw value scaled as in the row; an absurdly large one only roughly."""
    stored = item.point.stored(raw)
    low, high = INTEGER_RANGE["int64"]
    if low <= stored <= high:
        return f"{from_scaled(stored, item.quantity.scale):f}"
    return f"{stored / item.quantity.scale:.3g}"


def _decimal(item: Item, value: Fraction) -> str:
    """A value rounded like a stored one."""
    scale = item.quantity.scale
    return f"{from_scaled(round(value * scale), scale):f}"
