# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the regulation by article, to be read beside what was computed from them. Nothing is computed here."""

from __future__ import annotations

import functools
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.base.resources import config_path

_FILE: Final = "articles/east-china-trial.toml"
_CITED: Final = re.compile(r"(\d+)((?:\(\d+\)-?)*)")
_NUMBER: Final = re.compile(r"\((\d+)\)(-?)")


@dataclass(frozen=True, slots=True)
class Clause:
    """An article, or one numbered clause of it, as its paragraphs."""

    article: str
    paragraphs: tuple[str, ...]


@functools.cache
def load_articles() -> Mapping[str, Clause]:
    """Every article shipped, by number: "18", "13(3)"."""
    found = tomllib.loads(config_path(_FILE).read_text("utf-8"))["articles"]
    return {number: Clause(number, tuple(paragraphs)) for number, paragraphs in found.items()}


def clauses_cited(citation: str) -> tuple[Clause, ...]:
    """The clauses a citation names, each with its article's head, in the order of the text.

    Written as the rulebook writes them: "18", "15(3)1", "13(4)(5)(7)", "15(1)-(2), 6(3)". An article alone is all of
    it; what is not there is left out.
    """
    articles = load_articles()
    wanted: set[str] = set()
    for found in _CITED.finditer(citation):
        article, clauses = found.groups()
        wanted.add(article)
        numbers = _clause_numbers(clauses)
        wanted |= {name for name in articles if name.startswith(f"{article}(")} if not numbers else set()
        wanted |= {f"{article}({number})" for number in numbers}
    return tuple(clause for name, clause in articles.items() if name in wanted)


def _clause_numbers(clauses: str) -> set[int]:
    numbers: set[int] = set()
    first = 0  # of a span "(1)-(3)" whose end comes next
    for text, dash in _NUMBER.findall(clauses):
        numbers |= set(range(first or int(text), int(text) + 1))
        first = int(text) if dash else 0
    return numbers
