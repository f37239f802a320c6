# SPDX-License-Identifier: GPL-3.0-or-later
"""Rulebooks that adopt another choice of a reading."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from collector.settlement.rulebook.rules import ReadingRow, Rulebook
from tests.settlement.small_month import shipped_rulebook


def adopting(reading: str, choice: str) -> Rulebook:
    """The shipped rulebook with one reading changed."""
    book = shipped_rulebook()
    row = ReadingRow(choice, date(2009, 1, 1), "test")
    return replace(book, readings={**book.readings, reading: replace(book.readings[reading], rows=(row,))})
