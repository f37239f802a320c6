# SPDX-License-Identifier: GPL-3.0-or-later
"""The explanation as a letter: every line of every golden month in plain Chinese, its article quoted."""

from __future__ import annotations

import re

import pytest

from collector.report.explained import explanation_text
from collector.report.words import RULES, Lang
from collector.settlement.explain import explain_parts
from collector.settlement.rulebook.articles import clauses_cited
from collector.settlement.rulebook.catalogue import VALUES
from tests.settlement.golden_months import CASES, statement_of

NAMES = {"AGC", "AVC"}  # of the regulation itself


@pytest.mark.parametrize("case", CASES)
def test_no_word_of_a_chinese_letter_is_english_a_code_or_a_unit(case: str) -> None:
    statement = statement_of(case)
    given = {line.unit for line in statement.lines} | {line.plant for line in statement.lines}
    for line in statement.lines:
        for each in explain_parts(statement, line.unit, line.service):
            letter = "\n".join(explanation_text(each, lang=Lang.ZH, segments=60))
            assert "“" in letter or not clauses_cited(line.article)  # the article, where the regulation has it
            own = re.sub(r"“[^”]*”|指令 \S+，", "", letter)  # quotations, and ids of orders
            for instant in re.findall(r"\d+T\d\d:\d\d", own):
                own = own.replace(instant, "")
            left = set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", own)) - NAMES
            assert {word for word in left if not any(word in name for name in given)} == set()


def test_every_value_of_the_rulebook_has_words() -> None:
    assert set(VALUES) <= set(RULES)
