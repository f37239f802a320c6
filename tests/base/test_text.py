# SPDX-License-Identifier: GPL-3.0-or-later
"""A text is English where it is written and Chinese where that is asked for."""

from __future__ import annotations

import json
import pickle
from decimal import Decimal

import pytest

from collector.base.text import as_data, as_language, both, from_data, full_width, into, join, recognise, tr, tr_in

ROWS = tr("{count} rows", count=3)
STATE, STAGE = tr("State"), tr_in("month", "State")


def test_a_text_is_the_english_sentence() -> None:
    assert ROWS == "3 rows"
    assert f"{ROWS}" == "3 rows"
    assert ROWS.into("en") == "3 rows"


def test_it_says_itself_in_chinese_with_its_values() -> None:
    assert ROWS.into("zh") == "共 3 行"


def test_one_english_text_may_have_two_chinese_ones() -> None:
    assert STATE == STAGE
    assert (STATE.into("zh"), STAGE.into("zh")) == ("状态", "阶段")


def test_values_that_are_texts_are_said_in_the_same_language() -> None:
    assert tr("{count} d", count=join(", ", (ROWS, STATE))).into("zh") == "共 3 行、状态 天"
    assert ("1. " + ROWS + "!").into("zh") == "1. 共 3 行!"


def test_what_is_not_in_the_catalogue_stays_as_it_is() -> None:
    assert into("anything else", "zh") == "anything else"
    assert into(Decimal("1.50"), "zh") == Decimal("1.50")


def test_braces_without_values_and_in_values_mean_themselves() -> None:
    assert tr("{count} rows") == "{count} rows"
    assert tr("{count} rows", count="{x}").into("zh") == "共 {x} 行"


def test_a_text_travels_to_another_process() -> None:
    told = tr("{count} rows", count=ValueError("3"))
    assert pickle.loads(pickle.dumps(told)).into("zh") == "共 3 行"
    assert pickle.loads(pickle.dumps(STAGE)).into("zh") == "阶段"


def test_chinese_is_what_an_unknown_language_gets() -> None:
    assert [as_language(text) for text in ("en", "zh", "xx", "")] == ["en", "zh", "zh", "zh"]


def test_a_text_that_was_stored_is_still_said_in_both_languages() -> None:
    told = tr("{count} d", count=join("; ", (ROWS, tr("{count} rows", count=Decimal("1.50")))))
    kept = from_data(json.loads(json.dumps(as_data(told))))
    assert (kept, kept.into("zh")) == (told, "共 3 行；共 1.50 行 天")
    assert from_data(json.loads(json.dumps(as_data("as it was kept before")))) == "as it was kept before"


def test_a_text_may_bring_its_own_chinese() -> None:
    told = join("; ", (both("is {x}", "是 {x}"), ROWS))
    kept = from_data(json.loads(json.dumps(as_data(told))))
    assert (told, kept, kept.into("zh")) == ("is {x}; 3 rows", told, "是 {x}；共 3 行")


def test_a_sentence_in_a_file_is_known_again_by_its_words() -> None:
    known = (tr("{count} rows"), tr("not delivered"))
    assert into(recognise("7 rows", known), "zh") == "共 7 行"
    assert into(recognise("not delivered", known), "zh") == "未提交"
    assert recognise("rows", known) == "rows"


@pytest.mark.parametrize(
    ("half", "full"),
    [
        ("启停调峰(燃煤)", "启停调峰（燃煤）"),
        ("基本调峰下限(MW)", "基本调峰下限（MW）"),
        ("第十三条(三)", "第十三条（三）"),
        ("视为已知,不补偿;断路器: 合", "视为已知，不补偿；断路器：合"),
        ("各省(区)的负荷特性确定,报电监会", "各省（区）的负荷特性确定，报电监会"),
        ("olga: 角色 没有权限", "olga：角色 没有权限"),
        ("13(1)-(3), 6(2)", "13(1)-(3), 6(2)"),
        ("P0, P1 08:30", "P0, P1 08:30"),
        ("约 1,234.50 元", "约 1,234.50 元"),
    ],
)
def test_marks_beside_chinese_become_full_width_and_others_stay(half: str, full: str) -> None:
    assert full_width(half) == full
