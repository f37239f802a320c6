# SPDX-License-Identifier: GPL-3.0-or-later
"""The explanation as a letter: every line of every golden month in plain Chinese, its article quoted."""

from __future__ import annotations

import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

from collector.model.interval import Month
from collector.report.explained import explanation_text
from collector.report.words import RULES, Lang
from collector.settlement.explain import explain_parts
from collector.settlement.rulebook.articles import clauses_cited
from collector.settlement.rulebook.catalogue import VALUES
from collector.settlement.settle import settle
from collector.tables.folder import load_folder
from tests.settlement.golden_months import CASES, rulebook_at, statement_of
from tests.settlement.made_events import make_events
from tests.settlement.small_month import RULES as RULEBOOK

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
            left = set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", own)) - NAMES
            assert {word for word in left if not any(word in name for name in given)} == set()


@pytest.mark.parametrize("seed", range(6))
def test_no_letter_about_a_month_full_of_events_has_codes_or_units_of_the_other_language(
    seed: int, tmp_path: Path
) -> None:
    # Meters that ran back or differ, values that can't be, every reason why an order is not judged.
    month = make_events(random.Random(seed), tmp_path)
    statement = settle(Month.parse(month), load_folder(tmp_path), rulebook_at(RULEBOOK))
    given = {line.unit for line in statement.lines} | {line.plant for line in statement.lines}
    for line in statement.lines:
        for each in explain_parts(statement, line.unit, line.service):
            chinese, english = (
                "\n".join(explanation_text(each, lang=lang, segments=400)) for lang in (Lang.ZH, Lang.EN)
            )
            own = re.sub(r"“[^”]*”|指令 \S+，", "", chinese)
            assert set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", own)) - NAMES <= given
            own = re.sub(r"“[^”]*”|order \S+, ", "", english)
            assert set(re.findall(r"\b[a-z]+_[a-z_]+\b", own)) == set()
            assert not re.search("[\u4e00-\u9fff]", own)


def test_a_reading_is_told_with_the_question_it_answers() -> None:
    statement = statement_of("deep-peak-shanghai-annual-plan")
    (told,) = explain_parts(statement, "U1", "deep_peak")
    chinese, english = ("\n".join(explanation_text(told, lang=lang)) for lang in (Lang.ZH, Lang.EN))
    assert "启停调峰指令期间的升降负荷过程是否算深度调峰？不算；" in chinese
    assert "Are start-up and shut-down ramps inside a start-stop order deep peak? no (I-18);" in english
    old = replace(told, readings=tuple(replace(r, question="", question_zh="") for r in told.readings))  # stored before
    assert "以下理解：随机组登记的调度机构；" in "\n".join(explanation_text(old, lang=Lang.ZH))


def test_every_value_of_the_rulebook_has_words() -> None:
    assert set(VALUES) <= set(RULES)
