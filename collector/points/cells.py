# SPDX-License-Identifier: GPL-3.0-or-later
"""One row while it is read: cells become numbers and our own words, every problem with its place."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Final

from collector.model.quantity import BY_NAME, parse_decimal
from collector.points.findings import TableFindings
from collector.points.point import RAW_UNITS
from collector.points.words import EMPTY_WORDS, QUANTITY_WORDS, SIGN_WORDS, UNIT_WORDS, Vocabulary, fold

_DECIMAL = re.compile(r"([+-]?\d{1,20})(?:\.0+)?\Z", re.ASCII)
_STATE: Final = re.compile(r"([^=:]+)[=:]([01])\Z")
_HEXADECIMAL = re.compile(r"([+-]?)(?:0[xX]([0-9A-Fa-f]{1,16})|([0-9A-Fa-f]{1,16})[Hh])\Z", re.ASCII)
# In these columns a dash is text, not an empty cell.
_TEXTS: Final = frozenset({"name", "description", "device", "unit", "guard", "sign"})
_QUANTITIES: Final[dict[str, str]] = {
    fold(word): name
    for name, quantity in BY_NAME.items()
    for word in (name, quantity.zh, *QUANTITY_WORDS.get(name, ()))
}


def without_zeros(text: str) -> str:
    """A whole number without the decimal point that a spreadsheet added: 3.0 -> 3; any other text unchanged."""
    found = _DECIMAL.match(text)
    return found[1] if found else text


def parse_whole(text: str) -> int | None:
    """A whole number as tables write it: 16, 0016, 16.0 (from a spreadsheet), 0x10, 10H; None for any other text."""
    if found := _DECIMAL.match(text):
        return int(found[1])
    if found := _HEXADECIMAL.match(text):
        return int(found[1] + (found[2] or found[3]), 16)
    return None


def parse_states(text: str) -> tuple[tuple[int, int], ...] | None:
    """The states of a status, e.g. 1=1; 2=0: raw value and its meaning; None where the text is not such a list."""
    plain = re.sub(r"\s*([=:])\s*", r"\1", unicodedata.normalize("NFKC", text))
    found: dict[int, int] = {}
    for part in filter(None, re.split(r"[;,、\s]+", plain)):
        state = _STATE.match(part)
        raw = parse_whole(state[1]) if state else None
        if state is None or raw is None or found.setdefault(raw, int(state[2])) != int(state[2]):
            return None
    return tuple(found.items()) or None


@lru_cache(4096)
def _fraction(text: str) -> Fraction:
    """The exact number of a text, cached: a table repeats the same factor thousands of times."""
    return Fraction(parse_decimal(text))


class Row:
    """The cells of one row by column. `bad`: the columns in which a problem was found."""

    def __init__(self, number: int, cells: Mapping[str, str], findings: TableFindings) -> None:
        self.number = number
        self.bad: set[str] = set()
        self._cells, self._findings = cells, findings

    @property
    def file(self) -> str:
        """The name of the table's file."""
        return self._findings.file

    def find(self, code: str, key: str, /, **values: object) -> None:
        """Report a problem of the cell under `key`, and remember that the column is bad."""
        self.bad.add(key)
        self._findings.find(code, self.number, key, **values)

    def text(self, key: str) -> str:
        """The text of a cell; empty too where a dash stands for an empty cell."""
        text = self._cells.get(key, "").strip()
        return "" if text in EMPTY_WORDS and key not in _TEXTS else text

    def written(self) -> frozenset[str]:
        """The columns of this row that are not empty."""
        return frozenset(key for key in self._cells if self.text(key))

    def number_of(self, key: str) -> Fraction | None:
        """A decimal number, exactly; None where the cell is empty."""
        text = self.text(key)
        if not text:
            return None
        try:
            return _fraction(text)
        except ValueError:
            self.find("not_a_number", key, text=text)
            return None

    def whole(self, key: str, low: int, high: int) -> int | None:
        """A whole number from `low` to `high`; None where the cell is empty."""
        text = self.text(key)
        if not text:
            return None
        value = parse_whole(text)
        if value is None:
            self.find("not_whole", key, text=text)
        elif not low <= value <= high:
            self.find("out_of_limits", key, low=low, high=high, value=value)
        else:
            return value
        return None

    def word(self, key: str, vocabulary: Vocabulary, default: str | None = None) -> str:
        """Our word for the cell's text; `default` where the cell is empty (without a default that is a problem)."""
        text = without_zeros(self.text(key))
        folded = fold(text)
        if not text:
            if default is None:
                self.find("empty", key)
            return default or vocabulary.choices[0]
        if folded in vocabulary.words:
            return vocabulary.words[folded]
        if folded in vocabulary.writing:
            self.find("writes", key, text=text)
        elif folded in vocabulary.traps:
            self.find("ambiguous_word", key, text=text, meanings=vocabulary.traps[folded])
        else:
            self._near("not_a_choice", key, text, vocabulary.choices)
        return default or vocabulary.choices[0]

    def heading(self, key: str) -> str:
        """The heading of a column as the file writes it."""
        return self._findings.headings.get(key, "")

    def sign(self) -> int:
        """The sign of the value: 1 or -1."""
        text = without_zeros(self.text("sign")) or "1"
        if text in SIGN_WORDS:
            return int(SIGN_WORDS[text])
        if text in EMPTY_WORDS:
            self.find("ambiguous_word", "sign", text=text, meanings="-1, 1 (empty)")
        else:
            self._near("not_a_choice", "sign", text, ("1", "-1"))
        return 1

    def raw_unit(self) -> str:
        """The engineering unit; case matters (mW is not MW)."""
        text = self.text("raw_unit")
        unit = UNIT_WORDS.get(text, text)
        if unit not in RAW_UNITS:
            self._near("not_a_choice", "raw_unit", text, tuple(name for name in RAW_UNITS if name))
            return ""
        return unit

    def quantity(self) -> str:
        """The settlement quantity by its name or Chinese name; as written where it is unknown (a problem)."""
        text = self.text("quantity")
        if not text:
            return ""
        name = _QUANTITIES.get(fold(text))
        if name is None:
            known = (*BY_NAME, *(quantity.zh for quantity in BY_NAME.values()))
            self._near("quantity_unknown", "quantity", text, known)
        return name or text

    def _near(self, code: str, key: str, text: str, choices: tuple[str, ...]) -> None:
        self.bad.add(key)
        self._findings.near(code, self.number, key, text, choices, choices=", ".join(choices))
