# SPDX-License-Identifier: GPL-3.0-or-later
"""A file is looked at before it is taken: its kind, what it changes, what is wrong; templates are taken as they are."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import openpyxl
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from collector.center.inputs.imports import IMPORT_KINDS, KINDS, list_imports, take_tables
from collector.center.inputs.preview import YuanChange, preview, recognise_kinds
from collector.center.inputs.service import deliver, delivered_of
from collector.center.web.inputs.import_templates import template
from collector.model.interval import Month
from tests.center.web.web_world import World, csrf_in, world

MARCH = Month(2026, 3)
REGISTER = """[[area]]
id = "jiangsu"
dispatch_mode = "annual_plan"
valley_hours = []
peak_hours = []
[[plant]]
id = "P0"
name = "海滨电厂"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
[[unit]]
id = "U0"
plant = "P0"
kind = "coal"
rated_mw = "330"
nominal_kv = "220"
avc = true
"""
REVENUE = "plant,month,kind,amount_yuan\nP0,2026-02,energy,{}\n"


@pytest.fixture
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("state")) as made:
        take_tables(
            made.store, ["register"], delivered_of("register.toml", REGISTER.encode()), who="li", replace=False,
            rules=None,
        )  # fmt: skip
        yield made


def look_at(own: World, browser: TestClient[Litestar], name: str, data: bytes, **form: str) -> Any:
    """Send a file to be looked at; the page it leads to."""
    answer = browser.post("/imports/check", data={"csrf": own.csrf_of("olga"), **form}, files={"file": (name, data)})
    assert answer.status_code == 303, answer.text
    return browser.get(answer.headers["location"])


def take(browser: TestClient[Litestar], page: Any, **form: str) -> Any:
    """Press the button of the preview."""
    kind = re.findall(r'name="kind" value="([^"]+)"', page.text)[0]
    address = page.url.path
    return browser.post(address, data={"csrf": csrf_in(page.text), "kind": kind, "do": "take", **form})


def imports(own: World) -> list[tuple[str, int, int, int]]:
    found = own.store.read(list_imports)
    return [(each["kind"], each["added"], each["same"], each["replaced"]) for each in found]


@pytest.mark.parametrize("kind", [kind for kind in IMPORT_KINDS if kind != "register"])
@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_a_template_has_headings_in_both_languages_and_is_taken_as_it_is(own: World, kind: str, form: str) -> None:
    with own.browser("olga") as browser:
        answer = browser.get(f"/imports/templates/{kind}.{form}")
        assert answer.status_code == 200
        if form == "csv":
            heads = answer.content.decode("utf-8-sig").splitlines()[0].split(",")
        else:
            heads = [cell.value for cell in openpyxl.load_workbook(io.BytesIO(answer.content)).active[1]]
        assert sum(bool(re.match(r"[\u4e00-\u9fff]+ [a-z_]+$", head)) for head in heads) >= len(heads) / 2
        page = look_at(own, browser, f"anything.{form}", answer.content)
        assert page.status_code == 200, page.text
        assert take(browser, page).status_code == 303
    assert imports(own)[1:] == [(kind, 1, 0, 0)]


def test_the_template_of_the_register_is_taken_where_there_is_none(tmp_path_factory: pytest.TempPathFactory) -> None:
    with world(tmp_path_factory.mktemp("bare")) as bare, bare.browser("olga") as browser:
        data = browser.get("/imports/templates/register.toml").content
        page = look_at(bare, browser, "register.toml", data)
        assert all(name in page.text for name in ("jiangsu", "P1", "U1"))
        assert take(browser, page).status_code == 303
        assert [each["kind"] for each in bare.store.read(list_imports)] == ["register"]


def test_nothing_is_stored_before_it_is_taken_and_yuan_are_said(own: World) -> None:
    deliver(
        own.store, "revenue", delivered_of("a.csv", REVENUE.format("1000.00").encode()), actor=own.actor("olga"),
        replace=False, rules=None,
    )  # fmt: skip
    before = imports(own)
    with own.browser("olga", "en") as browser:
        page = look_at(own, browser, "corrected.csv", REVENUE.format("1500.50").encode())
        shown = re.sub(r"<[^>]+>|\u202f", " ", page.text)
        assert "海滨电厂" in shown
        for amount in ("1 000.00", "1 500.50", "500.50"):
            assert amount in shown, amount
        assert "conflicts with import 2 row 2" in shown
        assert imports(own) == before
        # The box must be ticked: without it nothing is taken.
        assert take(browser, page).status_code == 422
        assert imports(own) == before
        done = take(browser, page, replace="1")
        assert done.headers["location"] == "/imports?done=3"
        assert "Import 3 is taken: 1 rows added, 1 replaced, 0 there already." in browser.get("/imports?done=3").text
        # It is taken once: what waited is gone.
        assert take(browser, page, replace="1").status_code == 404
    assert imports(own) == [*before, ("revenue", 1, 0, 1)]


def test_the_yuan_of_a_plant_are_not_counted_twice_where_one_side_names_the_area(own: World) -> None:
    deliver(
        own.store, "revenue", delivered_of("a.csv", REVENUE.format("1000.00").encode()), actor=own.actor("olga"),
        replace=False, rules=None,
    )  # fmt: skip
    text = "plant,month,kind,amount_yuan,area\nP0,2026-02,energy,1500.50,jiangsu\n"
    found = preview(own.store, "revenue", delivered_of("b.csv", text.encode()), None)
    assert (found.added, found.replaced) == (1, 1)
    assert found.yuan == [YuanChange("P0", "2026-02", Decimal("1000.00"), Decimal("1500.50"))]
    assert "an empty area is jiangsu here" in found.conflicts[0].message


def test_the_refused_cells_come_back_marked_and_the_mended_file_is_taken(own: World) -> None:
    text = "unit,kind,start,end,power_mw\nU0,spinning,2026-03-01T08:00:00+08:00,2026-03-01T09:00:00+08:00,20\n"
    text += "U9,warm,2026-03-02T08:00:00+08:00,yesterday,=1+1\n"
    with own.browser("olga", "zh") as browser:
        page = look_at(own, browser, "reserve.csv", text.encode())
        assert "U9" in page.text
        address = re.findall(r'href="(/imports/pending/[^"]+marked[^"]+)"', page.text)[0].replace("&amp;", "&")
        book = openpyxl.load_workbook(io.BytesIO(browser.get(address).content))
        sheet = book.active
        marked = {cell.coordinate: cell.comment.text for row in sheet for cell in row if cell.comment}
        assert sorted(marked) == ["A3", "B3", "D3", "E3"]
        assert all(re.search("[\u4e00-\u9fff]", text) for text in marked.values())
        assert sheet["E3"].value == "=1+1"
        assert sheet["E3"].data_type == "s" or sheet["E3"].quotePrefix
        for place, value in {"A3": "U0", "B3": "hot", "D3": "2026-03-02T09:00:00+08:00", "E3": "30"}.items():
            sheet[place].value, sheet[place].comment = value, None
        mended = io.BytesIO()
        book.save(mended)
        again = look_at(own, browser, "mended.xlsx", mended.getvalue())
        assert take(browser, again).status_code == 303
    assert imports(own)[1:] == [("reserve", 2, 0, 0)]


def test_each_kind_is_known_by_its_columns_whatever_the_file_is_called() -> None:
    for kind in (*KINDS, "records"):
        made = template(kind, "csv", None, MARCH)
        assert made is not None
        assert recognise_kinds(delivered_of("x.csv", made.data))[0] == kind
    assert recognise_kinds(delivered_of("x.csv", b"a,b\n1,2\n")) == []


def test_a_file_that_waits_is_its_senders_alone(own: World) -> None:
    with own.browser("olga") as browser:
        page = look_at(own, browser, "a.csv", REVENUE.format("1.00").encode())
        address = page.url.path
    local = own.sessions.pop("olga")
    with own.browser("anna") as browser:
        assert browser.get(address).status_code == 403
    own.sessions["olga"] = local
    with own.browser("olga") as browser:
        assert browser.get("/imports/pending/" + "0" * 32).status_code == 404
        assert browser.get("/imports/pending/..%2F..%2Fcenter.db").status_code == 404
        gone = browser.post(address, data={"csrf": own.csrf_of("olga"), "do": "forget"})
        assert gone.status_code == 303
        assert browser.get(address).status_code == 404
