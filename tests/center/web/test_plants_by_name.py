# SPDX-License-Identifier: GPL-3.0-or-later
"""No page shows the id of a plant without the name that the register gives it, in text, in choices and in charts."""

from __future__ import annotations

import html
import io
import re
from collections.abc import Iterator

import openpyxl
import pytest

from tests.center.web.conftest import JUNE, june_world
from tests.center.web.web_world import OTHER_PAGES, World, pages_of_month

NAMES = {"P0": "演示燃煤电厂", "P1": "演示抽蓄电站"}
# The style page draws made-up plants.
PAGES = tuple(path for path in OTHER_PAGES if path != "/style")


def nameless(page: str) -> list[str]:
    """Where the id of a plant stands without its name before it; the id of its gateway is another thing."""
    shown = re.sub(r"\\u([0-9a-f]{4})", lambda found: chr(int(found[1], 16)), page.partition("<main")[2])
    text = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", shown)))
    found = re.finditer(r"(?<!G-)\bP[01]\b", text)
    return [
        text[max(0, each.start() - 40) : each.end() + 20]
        for each in found
        if not text[: each.start()].rstrip().endswith(NAMES[each[0]])
    ]


def test_a_nameless_plant_is_found() -> None:
    assert nameless("<main><td>演示燃煤电厂 <span>P0</span></td><td>G-P1</td>") == []
    assert len(nameless("<main><td>演示燃煤电厂 P1</td><td>P0</td>")) == 2


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with june_world(tmp_path_factory.mktemp("named"), names=NAMES) as made:
        yield made


@pytest.mark.parametrize("who", ["olga", "aldo", "paul"])
def test_the_name_stands_before_every_id(named: World, who: str) -> None:
    looked_at = 0
    with named.browser(who, "zh") as browser:
        for path in (*PAGES, *pages_of_month(named)):
            answer = browser.get(path)
            if answer.status_code == 200 and "html" in answer.headers["content-type"]:
                looked_at += 1
                assert nameless(answer.text) == [], path
    assert looked_at > 20


def test_a_copy_of_the_statement_says_the_name_of_its_plant(named: World) -> None:
    with named.browser("paul") as browser:
        answer = browser.get(f"/months/{JUNE}/runs/{named.run_id}/own/statement.xlsx")
    sheets = openpyxl.load_workbook(io.BytesIO(answer.content), read_only=True)
    cells = [str(cell) for sheet in sheets for row in sheet.iter_rows(values_only=True) for cell in row if cell]
    assert any(cell.endswith("电厂 演示抽蓄电站 P1") for cell in cells)
