# SPDX-License-Identifier: GPL-3.0-or-later
"""The yuan that a file would move are told on its preview, plant by plant, before anything of it is stored.

By hand: U1 is designated for black start, 80 000.00 (coal). Both plants sold for 100: each bears 40 000.00, net
+40 000.00 and -40 000.00.
- revenue: P1 sold for 300 and bears 60 000.00, P2 20 000.00: nothing more is paid; net +20 000.00 and -20 000.00.
- register: U1 is designated no more. Nothing is paid nor borne: -80 000.00 in all; net 0.00 and 0.00.
- exclusions: the black start of U1 does not count in May: as with that register.
- a file of E text with that register and that revenue: nothing is paid, whoever sold for how much.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from collector.center.inputs.imports import list_imports
from collector.center.inputs.names import plant_names
from collector.center.inputs.service import deliver_tables, delivered_of
from collector.center.month.input_changes import changes_since
from collector.center.runs.run_list import list_asked, run_by_id
from collector.center.runs.settle_month import settle_month
from collector.center.runs.stored_run import open_run
from collector.model.interval import Month, parse_time_ms
from tests.center.runs.center_months import RULES, take
from tests.center.web.web_world import World, world
from tests.patience import wait_until

MAY = Month(2026, 5)
REGISTER = """[[area]]
id = "jiangsu"
dispatch_mode = "annual_plan"
valley_hours = []
peak_hours = []
[[plant]]
id = "P1"
name = "一厂"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
[[plant]]
id = "P2"
name = "二厂"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
[[unit]]
id = "U1"
plant = "P1"
kind = "coal"
rated_mw = "600"
black_start = true
black_start_document = "预案"
"""
NO_BLACK_START = REGISTER.replace("black_start = true\n", "").replace('black_start_document = "预案"\n', "")
HEAD = "plant,month,kind,amount_yuan\n"
REVENUE = HEAD + "P1,2026-05,energy,100\nP2,2026-05,energy,100\n"
# What is of June moves nothing in May.
MORE_REVENUE = HEAD + "P1,2026-05,energy,300\nP1,2026-06,energy,900\n"
EXCLUSION = "unit,service,start,end,reason\nU1,black_start,2026-05-01T00:00:00+08:00,2026-06-01T00:00:00+08:00,grid\n"
SEVERAL = """<! System=OMS TimeZone='+08:00' !>
<区域::华东>
@ 编号 名称 调度方式 低谷时段 高峰时段
# jiangsu 江苏 annual_plan 00:00-08:00 08:00-11:00
</区域::华东>
<电厂::华东>
@ 编号 名称 区域 电费口径 参与分摊
# P1 一厂 jiangsu on_grid 1
# P2 二厂 jiangsu on_grid 1
</电厂::华东>
<机组::华东>
@ 编号 电厂 机组类型 额定容量
# U1 P1 coal 600
</机组::华东>
<revenue::华东>
@ plant month kind amount_yuan area
# P1 2026-05 energy 300 ''
</revenue::华东>
"""
RECORDS = "unit,time,active_power_mw,on_grid\nU1,2026-05-01T00:00:00+08:00,300,1\n"


@pytest.fixture
def own(tmp_path: Path) -> Iterator[World]:
    """May, settled."""
    with world(tmp_path) as made:
        take(made.store, "register", REGISTER)
        take(made.store, "revenue", REVENUE)
        made.clock.now_ms = parse_time_ms("2026-06-03T10:00:00+08:00")
        made.run_id = settle_month(made.store, MAY, rulebook=RULES, actor=made.actor("olga")).id
        yield made


def look_at(own: World, browser: TestClient[Litestar], name: str, text: str, **form: str) -> str:
    """Send a file to be looked at; the address of its preview."""
    data = {"csrf": own.csrf_of("olga"), **form}
    answer = browser.post("/imports/check", data=data, files={"file": (name, text.encode())})
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"])


def ask_for_effect(own: World, browser: TestClient[Litestar], page: str, month: Month = MAY) -> str:
    """Press the button of the preview, and wait for its run; the page then."""
    kind = re.findall(r'name="kind" value="([^"]+)"', browser.get(page).text)[0]
    form = {"csrf": own.csrf_of("olga"), "kind": kind, "month": str(month)}
    answer = browser.post(f"{page.partition('?')[0]}/effect", data=form)
    assert answer.status_code == 303, answer.text
    wait_until(lambda: not any(each.is_open for each in own.store.read(list_asked)), "the what-if run")
    return browser.get(page).text


def effect_in(page: str) -> list[list[str]]:
    """The rows of the effect by plant, as a reader sees them, and what is paid more in all."""
    part = page.partition('id="effect"')[2].partition("</section>")[0]
    if "</table>" not in part:
        return []
    total = re.findall(r'<b class="n">([^<]+)</b>', part)
    rows = [
        re.findall(r"<td.*?</td>", row, re.DOTALL)[1:] for row in re.findall(r"<tr>(.*?)</tr>", part, re.DOTALL)[1:]
    ]
    return [[re.sub(r"<[^>]+>|\s", "", cell) for cell in row] for row in (total, *rows)]


GONE = [
    ["-80000.00"],
    ["一厂P1", "40000.00", "0.00", "-80000.00", "-40000.00", "-40000.00"],
    ["二厂P2", "-40000.00", "0.00", "0.00", "-40000.00", "+40000.00"],
]
SHARED = [
    ["0.00"],
    ["一厂P1", "40000.00", "20000.00", "0.00", "+20000.00", "-20000.00"],
    ["二厂P2", "-40000.00", "-20000.00", "0.00", "-20000.00", "+20000.00"],
]


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("revenue.csv", MORE_REVENUE, SHARED),
        ("register.toml", NO_BLACK_START, GONE),
        ("exclusions.csv", EXCLUSION, GONE),
        ("month.e", SEVERAL, GONE),
        ("revenue.csv", REVENUE, []),
    ],
)
def test_the_yuan_by_plant_are_told_before_the_import_and_are_what_the_import_brings(
    own: World, name: str, text: str, expected: list[list[str]]
) -> None:
    imports = own.store.read(list_imports)
    with own.browser("olga", "en") as browser:
        page = look_at(own, browser, name, text)
        told = ask_for_effect(own, browser, page)
        assert effect_in(told) == expected
        assert ("amount changes." in told) == (expected == [])
        assert f"2026-05, on the inputs of run {own.run_id}" in told
        # Nothing in force is touched, and the month stands on the run it stood on.
        assert own.store.read(list_imports) == imports
        assert changes_since(own.store, own.store.read(lambda c: run_by_id(c, own.run_id)), rulebook=RULES) == []
        browser.cookies.set("collector_language", "zh")
        chinese = browser.get(page).text
        assert f"2026-05，以运行 {own.run_id} 的输入为准" in chinese
        assert "<span>月份</span>" in chinese
    kinds = ["register", "revenue"] if text == SEVERAL else [name.partition(".")[0]]
    file = delivered_of(name, text.encode())
    deliver_tables(own.store, kinds, file, actor=own.actor("olga"), replace=True, rules=None)
    after = settle_month(own.store, MAY, rulebook=RULES, actor=own.actor("olga"))
    statement = {row[0]: row[2] for row in expected[1:]}
    for row in open_run(own.store, after.id).plants if statement else ():
        assert str(row.net_yuan) == statement[f"{own.store.read(plant_names)[row.plant]}{row.plant}"]


def test_a_try_that_fails_says_why_in_the_readers_language(own: World) -> None:
    """The file is right beside the register in force; beside the one of the run it has an unknown plant."""
    new = REGISTER[REGISTER.index("[[plant]]") : REGISTER.index("[[unit]]")].replace('"P', '"P9')
    take(own.store, "register", REGISTER + new, replace=True)
    with own.browser("olga", "zh") as browser:
        page = look_at(own, browser, "revenue.csv", HEAD + "P91,2026-05,energy,5\n")
        assert "没有完成" in ask_for_effect(own, browser, page)


def test_what_can_not_be_said_is_said_not_to_be(own: World) -> None:
    with own.browser("olga", "en") as browser:
        # Records: a day is joined with what the gateway sent, and sealed, after the import only.
        page = look_at(own, browser, "records.csv", RECORDS)
        told = browser.get(page).text
        assert "What records come to is not known before they are imported" in told
        assert "/effect" not in told
        form = {"csrf": own.csrf_of("olga"), "kind": "records", "month": "2026-05"}
        assert browser.post(f"{page.partition('?')[0]}/effect", data=form).status_code == 409
        # June is not settled: there is nothing that the file could be compared with.
        page = look_at(own, browser, "june.csv", HEAD + "P1,2026-06,energy,900\n")
        told = browser.get(page).text
        assert "No month that the file touches on is settled yet" in told
        assert "/effect" not in told
        assert own.store.read(list_asked)[-1].id == own.run_id


def test_only_who_may_settle_asks_and_only_of_an_own_file(own: World) -> None:
    with own.browser("olga") as browser:
        page = look_at(own, browser, "revenue.csv", MORE_REVENUE)
    for name in ("anna", "aldo", "paul", "admin"):
        with own.browser(name) as browser:
            form = {"csrf": own.csrf_of(name), "kind": "revenue", "month": "2026-05"}
            assert browser.post(f"{page.partition('?')[0]}/effect", data=form).status_code in (403, 404)
    assert own.store.read(list_asked)[-1].id == own.run_id
