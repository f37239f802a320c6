# SPDX-License-Identifier: GPL-3.0-or-later
"""Every text of the pages, Chinese and English: one catalogue, put together from a file per group of pages.

Codes of the settlement (services, statuses, reasons) have their words in `collector.report.words`; they are not
repeated here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, get_args

from collector.center.web.words import (
    base,
    month,
    reviews,
    upkeep,
)

Language = Literal["zh", "en"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
Words = tuple[str, str]


def _merged(*parts: Mapping[str, Words]) -> Mapping[str, Words]:
    merged: dict[str, Words] = {}
    for part in parts:
        if twice := merged.keys() & part.keys():
            raise ValueError(f"these words are given twice: {', '.join(sorted(twice))}")
        merged |= part
    return MappingProxyType(merged)


WORDS: Final = _merged(base.WORDS, month.WORDS, reviews.WORDS, upkeep.WORDS)


def word(key: str, language: str, **values: object) -> str:
    """The text of a key; `{name}` in it takes the value of that name.

    Raises:
        KeyError: there is no such key.
    """
    text = WORDS[key][LANGUAGES.index(as_language(language))]
    return text.format(**values) if values else text


def as_language(text: str) -> Language:
    """A language of ours; Chinese for anything else."""
    return "en" if text == "en" else "zh"
