# SPDX-License-Identifier: GPL-3.0-or-later
"""A Chinese terminal is told in Chinese what a verb can't take; Typer's sentences are known as Typer writes them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.main import get_command

from collector.cli.help_words import put_into_chinese, refuse_in_chinese
from collector.cli.main import app


def said(words: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    """What stands on standard error after words that are refused."""
    monkeypatch.setenv("COLLECTOR_LANGUAGE", "zh")
    program: Any = get_command(app)
    put_into_chinese(program)
    refuse_in_chinese(program)
    with pytest.raises(SystemExit) as ended:
        program(words.split(), prog_name="collector")
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("nothing", "没有命令 'nothing'"),
        ("agent rea", "没有命令 'rea'。是否指 'read'？"),
        ("center settle --keep", "没有选项 --keep（是否指 --help）"),
        ("settle", "缺少参数 'month'"),
        ("settle 2026-06", "缺少选项 '--data'"),
        ("settle --data", "选项 '--data' 需要一个值"),
        ("settle --help=3", "选项 '--help' 不带值"),
        ("agent capacity a b c", "多余的参数：b c"),
        ("points lint --protocol foo x", "'--protocol'：'foo' 不在可选值之内：'modbus_tcp', "),
        ("center worker --processes x", "'--processes'：应为整数"),
        ("center worker --processes -1", "'--processes'：应不小于 0"),
        ("center summary 10000 --state x", "'YEAR'：应不大于 9999"),
        ("simulate run x.toml --seconds x", "'--seconds'：应为数字"),
        ("center runs x", "MONTH：月份应写成 YYYY-MM，实为 'x'"),
        ("center restore x", "请指明位置：--state DIR，或 --config center.toml"),
    ],
)
def test_what_a_verb_can_not_take_is_told_in_chinese(
    words: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = said(words, capsys, monkeypatch)
    assert f"错误：{told}" in found
    assert "用法：collector" in found or words in ("settle --data", "settle --help=3")  # Typer has no verb for these
    assert not re.search(r"(?:[A-Za-z]{2,} ){2,}[A-Za-z]{2,}", found.partition("错误")[2]), found
