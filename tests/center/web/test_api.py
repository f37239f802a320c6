# SPDX-License-Identifier: GPL-3.0-or-later
"""The REST interface: what it says is what the center knows; a plant gets its own; files are safe to open."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
import openpyxl
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from collector.center.people import audit
from collector.center.runs.rulebooks import rulebook_path
from collector.center.runs.settle_month import settle_month
from collector.center.runs.stored_run import open_run
from collector.center.web.paging import as_file, as_row
from collector.center.web.session import SESSION_COOKIE
from collector.model.interval import Month
from tests.center.web.web_world import World, routes_of, world


@pytest.fixture(scope="module")
def browser(worked: World) -> Iterator[TestClient[Litestar]]:
    with worked.browser() as made:
        yield made


@pytest.fixture(scope="module")
def tokens(worked: World) -> dict[str, dict[str, str]]:
    return {name: worked.token_of(name) for name in ("olga", "paul", "petra", "aldo", "admin")}


JUNE = Month(2026, 6)
Tokens = dict[str, dict[str, str]]


def get(browser: TestClient[Litestar], path: str, headers: dict[str, str], code: int = 200) -> Any:
    answer = browser.get(f"/api/v1{path}", headers=headers)
    assert answer.status_code == code, answer.text
    return answer.json()


def test_lines_are_those_of_the_run_and_pages_join_to_the_whole(
    worked: World, browser: TestClient[Litestar], tokens: Tokens
) -> None:
    run = open_run(worked.store, worked.run_id)
    rows: list[dict[str, Any]] = []
    cursor: int | None = 0
    while cursor is not None:
        page = get(browser, f"/runs/{worked.run_id}/lines?limit=7&cursor={cursor}", tokens["olga"])
        rows += page["items"]
        cursor = page["next"]
    assert page["total"] == len(rows) == len(run.lines)
    assert [(r["unit"], r["service"]) for r in rows] == [(line.unit, line.service) for line in run.lines]
    amounts = [None if line.amount_yuan is None else str(line.amount_yuan) for line in run.lines]
    assert [r["amount_yuan"] for r in rows] == amounts


def test_an_explanation_leads_from_the_line_to_records(
    worked: World, browser: TestClient[Litestar], tokens: Tokens
) -> None:
    base = f"/runs/{worked.run_id}"
    lines = get(browser, f"{base}/lines?limit=1000", tokens["olga"])["items"]
    line = next(row for row in lines if row["status"] == "paid")
    told = get(browser, f"{base}/units/{line['unit']}/explanation/{line['service']}", tokens["olga"])
    assert told["line"] == line
    assert told["steps"]
    assert told["rules"]
    segments = get(browser, f"{base}/units/{line['unit']}/segments?service={line['service']}", tokens["olga"])
    start = segments["items"][0]["start_ms"]
    records = get(
        browser, f"{base}/units/{line['unit']}/records?from_ms={start}&to_ms={start + 7 * 86_400_000}", tokens["olga"]
    )
    assert records["items"]
    assert records["items"][0]["values"][0].keys() == {"quantity", "value", "quality"}


def test_a_units_day_and_the_ledger_are_those_of_the_run(
    worked: World, browser: TestClient[Litestar], tokens: Tokens
) -> None:
    run, base = open_run(worked.store, worked.run_id), f"/runs/{worked.run_id}"
    day = get(browser, f"{base}/units/U2/days/2026-06-10", tokens["paul"])
    told = run.unit_day("U2", date(2026, 6, 10))
    assert [step["power_kw"] for step in day["plan"]] == [step.power_kw for step in told.plan]
    assert day["registered"] is (told.state is not None)
    postings = get(browser, f"{base}/ledger", tokens["olga"])["items"]
    assert sum(Decimal(p["debit_yuan"]) - Decimal(p["credit_yuan"]) for p in postings) == 0
    assert len(postings) == len(run.ledger)


def test_a_plant_sees_its_own_lines_and_the_totals_of_all(
    worked: World, browser: TestClient[Litestar], tokens: Tokens
) -> None:
    base = f"/runs/{worked.run_id}"
    assert {r["plant"] for r in get(browser, f"{base}/lines?limit=1000", tokens["paul"])["items"]} == {"P1"}
    assert {r["plant"] for r in get(browser, f"{base}/plants", tokens["paul"])["items"]} == {"P1"}
    assert get(browser, f"{base}/areas", tokens["paul"]) == get(browser, f"{base}/areas", tokens["olga"])
    assert get(browser, f"{base}/units/U0/determinants", tokens["paul"], 404)["code"] == "missing"
    assert get(browser, f"{base}/units/U2/determinants", tokens["paul"])["total"] > 0


def test_no_table_tells_a_plant_of_another(worked: World, browser: TestClient[Litestar], tokens: Tokens) -> None:
    asked = 0
    for route in routes_of(worked.app):
        if route.method != "GET" or route.needs is None or not (route.needs.own or route.needs.plant):
            continue
        path = route.path.replace("999999", str(worked.run_id)).replace("2026-03", "2026-06")
        for form in ("", "?format=csv"):
            answer = browser.get(path + (form if route.api else ""), headers=tokens["paul"])
            if answer.status_code == 200 and "text" in answer.headers["content-type"] + "json":
                asked += 1
                found = re.search(r"\b(P0|U0|U1)\b", answer.text) if "xlsx" not in path else None
                assert found is None, (path, answer.text[max(0, found.start() - 200) : found.end() + 50])
    assert asked > 20


def test_a_plant_is_told_of_disclosed_runs_only(worked: World, browser: TestClient[Litestar], tokens: Tokens) -> None:
    assert get(browser, "/runs", tokens["paul"])["total"] == 1
    missing = get(browser, "/runs/999", tokens["paul"], 404)
    assert missing["code"] == "missing"
    # That there is one that is not disclosed is not told either.
    hidden = settle_month(worked.store, JUNE, rulebook=rulebook_path(worked.settings), actor=worked.actor("olga")).id
    assert get(browser, f"/runs/{hidden}", tokens["olga"])["id"] == hidden
    for part in ("", "/lines", "/areas", "/readings", "/units/U2/segments", "/units/U2/explanation/agc_basic"):
        told = get(browser, f"/runs/{hidden}{part}", tokens["paul"], 404)
        assert told["message"].replace(str(hidden), "999") == missing["message"]
    assert get(browser, "/runs", tokens["paul"])["total"] == 1


def test_a_table_as_a_file_holds_the_same_and_no_formula(
    worked: World, browser: TestClient[Litestar], tokens: Tokens
) -> None:
    path = f"/api/v1/runs/{worked.run_id}/lines"
    rows = browser.get(f"{path}?limit=1000", headers=tokens["olga"]).json()["items"]
    text = browser.get(f"{path}?format=csv", headers=tokens["olga"])
    assert 'filename="lines-run-1.csv"' in text.headers["content-disposition"]
    told = list(csv.DictReader(io.StringIO(text.content.decode("utf-8-sig"))))
    assert [r["amount_yuan"] for r in told] == [r["amount_yuan"] or "" for r in rows]
    book = openpyxl.load_workbook(io.BytesIO(browser.get(f"{path}?format=xlsx", headers=tokens["olga"]).content))
    sheet = book.worksheets[0]
    assert sheet.max_row == len(rows) + 3
    # Numbers are numbers, so that SUM works; an empty cell stays empty, and is no 0.
    heads = [cell.value for cell in sheet[3]]
    for name in ("quantity", "coverage", "amount_yuan", "low_yuan"):
        column = [sheet.cell(row, heads.index(name) + 1).value for row in range(4, sheet.max_row + 1)]
        assert column == [None if row[name] is None else pytest.approx(float(row[name]), abs=5e-7) for row in rows]
    assert all(isinstance(sheet.cell(4, heads.index(name) + 1).value, str) for name in ("unit", "article", "month"))


def test_without_a_broker_nothing_was_asked(worked: World, browser: TestClient[Litestar], tokens: Tokens) -> None:
    asked = {"unit": "U2", "from_ms": 1_780_000_000_000, "to_ms": 1_780_000_060_000}
    answer = browser.post("/api/v1/asks", json=asked, headers=tokens["olga"])
    assert (answer.status_code, answer.json()["code"]) == (502, "broker")
    assert get(browser, "/asks", tokens["olga"])["total"] == 0
    assert worked.store.read(lambda c: audit.list_entries(c, subject="U2"))[0]["action"] == "records.ask_not_sent"
    empty = browser.post("/api/v1/asks", json=asked | {"to_ms": asked["from_ms"]}, headers=tokens["olga"])
    assert empty.status_code == 409


def test_a_token_of_ones_own_is_made_in_a_session_and_revoked_by_a_program(
    worked: World, browser: TestClient[Litestar], tokens: Tokens
) -> None:
    browser.cookies.set(SESSION_COOKIE, worked.session_of("paul"))
    form = {"x-csrf-token": worked.csrf_of("paul")}
    made = browser.post("/api/v1/tokens", json={"name": "夜间", "days": 3}, headers=form).json()["token"]
    browser.cookies.clear()
    mine = {"authorization": f"Bearer {made}"}
    assert get(browser, "/me", mine)["plant"] == "P1"
    number = get(browser, "/tokens?limit=1000", mine)["items"][-1]["id"]
    others = browser.post(f"/api/v1/tokens/{number}/revoke", headers=tokens["petra"])
    assert others.status_code == 403
    assert browser.post(f"/api/v1/tokens/{number}/revoke", headers=mine).json() == {"done": True}
    assert get(browser, "/me", mine, 401)["code"] == "not_logged_in"
    assert worked.store.read(lambda c: audit.list_entries(c, limit=1))[0]["action"] == "token.revoke"


class Hostile(msgspec.Struct, frozen=True):
    name: str
    amount_yuan: str
    at_ms: int
    detail: dict[str, str]


def test_text_never_becomes_a_formula_and_numbers_stay_numbers() -> None:
    row = Hostile('=HYPERLINK("http://evil")', "-12.50", 0, {"x": "=1"})
    text = as_file([row], Hostile, "csv", "t").content.decode("utf-8-sig")
    cells = next(csv.reader([text.split("\r\n")[1]]))
    assert cells == ["'" + row.name, "-12.50", "1970-01-01T08:00:00+08:00", '{"x": "=1"}']
    book = openpyxl.load_workbook(io.BytesIO(as_file([row], Hostile, "xlsx", "t").content))
    written = list(book.worksheets[0][4])
    assert [cell.data_type for cell in written] == ["s", "n", "s", "s"]
    assert written[0].quotePrefix or written[0].style


def test_a_row_takes_the_shape_of_the_interface() -> None:
    assert as_row(Hostile, {"name": "n", "amount_yuan": "1", "at_ms": 5, "detail": {}}, name="m").name == "m"


def test_an_import_is_not_undone_where_what_it_replaced_can_t_be_by_the_rulebook(tmp_path: Any) -> None:
    # 720 MW are 1.2 × 600, which the register allowed; now the unit has 500 MW, whose plans end at 600.
    def register(rated: str) -> bytes:
        text = '[[area]]\nid = "jiangsu"\ndispatch_mode = "annual_plan"\nvalley_hours = []\npeak_hours = []\n'
        text += '[[plant]]\nid = "P1"\narea = "jiangsu"\nrevenue_basis = "on_grid"\nshares = true\n'
        return f'{text}[[unit]]\nid = "U2"\nplant = "P1"\nkind = "coal"\nrated_mw = "{rated}"\n'.encode()

    def plan(mw: str) -> bytes:
        return f"unit,start,end,power_mw\nU2,2026-03-01T00:00:00+08:00,2026-03-02T00:00:00+08:00,{mw}\n".encode()

    with world(tmp_path) as own, own.browser() as client:
        head = own.token_of("olga")
        files = (
            ("register", register("600")),
            ("plan", plan("720")),
            ("plan", plan("300")),
            ("register", register("500")),
        )
        for kind, data in files:
            name = "register.toml" if kind == "register" else "plan.csv"
            taken = client.post(f"/api/v1/imports/{kind}?name={name}&replace=true", content=data, headers=head)
            assert taken.status_code == 200, taken.text
        refused = client.post("/api/v1/imports/3/undo", json={"reason": "wrong day"}, headers=head)
        assert refused.status_code == 409
        assert "at most 600 MW" in refused.text
        (row,) = client.get("/api/v1/inputs/plan", headers=head).json()["items"]
        assert "300" in str(row)


def test_a_file_is_imported_undone_and_found_in_the_audit_log(tmp_path: Any) -> None:
    register = b'[[area]]\nid = "jiangsu"\ndispatch_mode = "annual_plan"\nvalley_hours = []\npeak_hours = []\n'
    register += b'[[plant]]\nid = "P1"\narea = "jiangsu"\nrevenue_basis = "on_grid"\nshares = true\n'
    register += b'[[unit]]\nid = "U2"\nplant = "P1"\nkind = "coal"\nrated_mw = "660"\n'
    plan = b"unit,start,end,power_mw\nU2,2026-03-01T00:00:00+08:00,2026-03-02T00:00:00+08:00,300\n"
    with world(tmp_path) as own, own.browser() as client:
        head = own.token_of("olga")
        taken = client.post("/api/v1/imports/register?name=register.toml", content=register, headers=head)
        assert (taken.status_code, taken.json()["import_id"]) == (200, 1), taken.text
        wrong = client.post("/api/v1/imports/plan?name=plan.csv", content=b"unit,start\nU9,x\n", headers=head)
        assert wrong.status_code == 422
        assert {p["file"] for p in wrong.json()["problems"]} == {"plan.csv"}
        assert client.post("/api/v1/imports/plan?name=plan.csv", content=plan, headers=head).json()["added"] == 1
        # What curl --data-binary says of a file unless told otherwise.
        as_form = head | {"Content-Type": "application/x-www-form-urlencoded"}
        again = client.post("/api/v1/imports/plan?name=plan.csv", content=plan, headers=as_form).json()
        assert (again["import_id"], again["same"]) == (None, 1)
        assert client.get("/api/v1/imports/2/file", headers=head).content == plan
        assert client.get("/api/v1/inputs/plan", headers=head).json()["total"] == 1
        undone = client.post("/api/v1/imports/2/undo", json={"reason": "wrong day"}, headers=head)
        assert undone.json()["undone_by"] == "olga"
        assert client.post("/api/v1/imports/2/undo", json={"reason": "again"}, headers=head).status_code == 409
        told = client.get("/api/v1/audit?subject=import 2", headers=own.token_of("aldo")).json()["items"]
        assert [entry["action"] for entry in told] == ["import.undo", "import.take"]
        assert told[0]["detail"] == {"reason": "wrong day"}
        chain = client.get("/api/v1/audit/chain", headers=own.token_of("aldo")).json()
        assert chain["wrong"] == []
