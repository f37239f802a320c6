# SPDX-License-Identifier: GPL-3.0-or-later
"""The regulation's words beside what is computed from them."""

from __future__ import annotations

import pytest

from collector.base.resources import config_path
from collector.settlement.rulebook.articles import clauses_cited, load_articles
from collector.settlement.rulebook.load import load_rulebook


@pytest.mark.parametrize(
    ("citation", "names"),
    [
        ("18", ["18"]),
        ("15(3)1", ["15", "15(3)"]),
        ("13(4)(5)(7)", ["13", "13(4)", "13(5)", "13(7)"]),
        ("15(1)-(2), 6(3)", ["6", "6(3)", "15", "15(1)", "15(2)"]),
        ("16", ["16", "16(1)", "16(2)"]),
        ("999", []),
        ("", []),
    ],
)
def test_a_citation_names_its_clauses(citation: str, names: list[str]) -> None:
    assert [clause.article for clause in clauses_cited(citation)] == names


def test_every_service_value_and_reading_cites_an_article_that_is_there() -> None:
    rulebook = load_rulebook(config_path("rules/east-china-trial"))
    cited = [service.article for service in rulebook.services.values()]
    cited += [value.article for value in rulebook.values.values()]
    cited += [reading.clause for reading in rulebook.readings.values()]
    assert [c for c in cited if c[:1].isdigit() and not clauses_cited(c)] == []


def test_the_words_hold_the_figures_of_the_rulebook() -> None:
    """A row cites the words its value was read from: where they name a figure, the article has it too."""
    articles = load_articles()
    for article, figure in (("13(5)", "260元"), ("14(2)", "240元/兆瓦"), ("15(2)", "15元/兆乏时"), ("18", "8万元/月")):
        assert figure in "".join(articles[article].paragraphs)
