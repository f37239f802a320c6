# SPDX-License-Identifier: GPL-3.0-or-later
"""A plant opens its statement: its own figures, files of its own rows only, what a correction changed, a review."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import openpyxl
import pytest

from collector.center.month.review_log import review_by_id
from collector.center.papers.filings import make_filings
from collector.center.runs.month_state import MonthStage
from collector.center.runs.run_list import CORRECTION
from collector.center.runs.settle_month import settle_month
from collector.center.runs.stored_run import open_run
from collector.model.interval import local_midnight_ms
from collector.report.pdf import why_no_pdf
from tests.center.made_month import LI, step
from tests.center.runs.center_months import RULES, take
from tests.center.web.conftest import JUNE, june_world
from tests.center.web.web_world import World, csrf_in

PLANTS = {"petra": "P0", "paul": "P1"}
UNITS = {"P0": {"U0", "U1"}, "P1": {"U2"}}


@dataclass
class Corrected:
    """June 2026 in its second edition. `before`, `run_id`: its two disclosed runs."""

    own: World
    before: int
    run_id: int

    @property
    def here(self) -> str:
        return f"/months/{JUNE}/runs/{self.run_id}"


@pytest.fixture(scope="module")
def june(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corrected]:
    """June, in effect, then corrected: P1 is said to have earned half as much again."""
    with june_world(tmp_path_factory.mktemp("corrected")) as own:
        store, before = own.store, own.run_id

        def at(day: int) -> int:
            return local_midnight_ms(date(2026, 7, day)) + 36_000_000

        make_filings(store, before, actor=LI)
        for day, stage in ((20, MonthStage.FILED), (22, MonthStage.EFFECTIVE), (24, MonthStage.PUBLISHED)):
            step(store, stage, at=at(day), month=JUNE, reason="有区域待定")
        step(store, MonthStage.CORRECTION, at=at(27), month=JUNE, reason="电费收入更正")
        head, *rows = (open_run(store, before).data / "revenue.csv").read_text("utf-8-sig").splitlines()
        place = head.split(",").index("amount_yuan")
        changed = [row.split(",") for row in rows if row.startswith("P1,")]
        for row in changed:
            row[place] = f"{Decimal(row[place]) * 3 / 2:.2f}"
        take(store, "revenue", "\n".join([head, *map(",".join, changed), ""]), replace=True)
        own.clock.now_ms = at(28)
        run = settle_month(store, JUNE, rulebook=RULES, actor=LI, kind=CORRECTION, base_run_id=before).id
        step(store, MonthStage.DISCLOSED, run, at=at(29), month=JUNE, reason="有区域待定")
        own.clock.now_ms = at(30)
        yield Corrected(own, before, run)


def files_of(june: Corrected, who: str) -> dict[str, bytes]:
    """Every file that a plant's page offers."""
    with june.own.browser(who) as browser:
        page = browser.get(june.here).text
        names = sorted(set(re.findall(rf"{june.here}/own/([\w.]+)", page)))
        assert {"statement.xlsx", "lines.csv", "segments.csv", "orders.csv", "bill.csv", "bill.xlsx"} <= set(names)
        assert ("statement.pdf" in names) is (why_no_pdf() == "")
        found = {}
        for name in names:
            answer = browser.get(f"{june.here}/own/{name}")
            assert answer.status_code == 200, name
            assert PLANTS[who] in answer.headers["content-disposition"], name
            found[name] = answer.content
    return found


def rows_of(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("who", PLANTS)
def test_every_file_has_all_own_rows_and_none_of_another_plant(june: Corrected, who: str) -> None:
    mine, run = PLANTS[who], open_run(june.own.store, june.run_id)
    (other,) = set(PLANTS.values()) - {mine}
    foreign = {other, *UNITS[other]}
    seen = 0
    for name, data in files_of(june, who).items():
        if not name.endswith(".csv"):
            continue
        rows = rows_of(data)
        seen += len(rows)
        assert not [row for row in rows if foreign & set(row.values())], name
        folder = run.statement_folder if (run.statement_folder / name).exists() else run.data
        if name != "bill.csv":
            whole = rows_of((folder / name).read_bytes())
            wanted = [r for r in whole if r.get("plant") == mine or ("plant" not in r and r["unit"] in UNITS[mine])]
            assert sorted(map(str, rows)) == sorted(map(str, wanted)), name
    assert seen > 100


@pytest.mark.parametrize("who", PLANTS)
def test_the_workbook_adds_up_to_the_plants_compensation(june: Corrected, who: str) -> None:
    mine = PLANTS[who]
    book = openpyxl.load_workbook(io.BytesIO(files_of(june, who)["statement.xlsx"]), read_only=True)
    cells = [str(cell) for sheet in book for row in sheet.iter_rows(values_only=True) for cell in row if cell]
    (other,) = set(PLANTS.values()) - {mine}
    assert not {other, *UNITS[other]} & set(cells)
    head, *rows = book["补偿明细"].iter_rows(min_row=3, values_only=True)
    place = head.index("金额(元) amount (yuan)")
    amounts = [row[place] for row in rows if row[place] is not None]
    assert all(isinstance(amount, int | float) for amount in amounts)
    total = next(p.compensation_yuan for p in open_run(june.own.store, june.run_id).plants if p.plant == mine)
    assert sum(Decimal(str(amount)) for amount in amounts) == total


def test_staff_and_other_plants_have_no_such_file(june: Corrected) -> None:
    for who, name, status in (("olga", "lines.csv", 404), ("petra", "findings.csv", 404), ("petra", "../x", 404)):
        with june.own.browser(who) as browser:
            assert browser.get(f"{june.here}/own/{name}").status_code == status, name


def test_the_page_says_what_is_got_what_changed_and_why(june: Corrected) -> None:
    before, after = open_run(june.own.store, june.before), open_run(june.own.store, june.run_id)
    net = {n: next(p.net_yuan for p in run.plants if p.plant == "P0") for n, run in (("a", before), ("b", after))}
    assert net["a"] is not None
    assert net["b"] is not None
    assert net["a"] != net["b"]
    with june.own.browser("petra", "en") as browser:
        page = re.sub(r"<[^>]+>|\u202f", "", browser.get(june.here).text)
    for shown in (net["a"], net["b"], net["b"] - net["a"]):
        assert f"{shown:.2f}" in page
    assert f"What changed since the disclosed run {june.before}" in page
    assert "delivered by dispatch: revenue" in page
    assert "edition 2" in page
    # Art. 27: only of the result that stands may be asked.
    assert "Ask for a review" in page
    with june.own.browser("petra", "en") as browser:
        old = browser.get(f"/months/{JUNE}/runs/{june.before}").text
    assert "a later run is disclosed since" in old
    assert "Ask for a review" not in old


def test_a_plant_begins_at_its_statement(worked: World) -> None:
    with worked.browser("paul") as browser:
        browser.follow_redirects = True
        assert browser.get("/").url.path == f"/months/2026-06/runs/{worked.run_id}"


def test_units_of_quantities_are_in_the_readers_language(june: Corrected) -> None:
    for language, unit, other in (("zh", "次", "count"), ("en", "count", "次"), ("zh", "兆瓦时", "MWh")):
        with june.own.browser("petra", language) as browser:
            for page in (june.here, f"{june.here}/lines"):
                cells = re.findall(r"<td[^>]*>([^<]*)</td>", browser.get(page).text)
                assert unit in cells
                assert other not in cells


def test_a_review_is_asked_with_its_evidence_in_one_form(june: Corrected) -> None:
    line = next(n for n in open_run(june.own.store, june.run_id).lines if n.unit == "U0" and n.amount_yuan)
    query = f"run={june.run_id}&unit=U0&service={line.service}"
    with june.own.browser("petra", "en") as browser:
        page = browser.get(f"/months/{JUNE}/reviews/new?{query}&day=2026-06-03").text
        assert f"{line.amount_yuan:.2f}" in re.sub("\u202f", "", page)
        assert 'value="2026-06-03T00:00"' in page
        assert "drawing-day-curve" in page
        form = {
            "csrf": csrf_in(page), "run": str(june.run_id), "unit": "U0", "service": line.service,
            "from": "2026-06-03T00:00", "to": "2026-06-04T00:00", "claim_kind": "yuan", "claim_value": "1",
            "text": "see the files",
        }  # fmt: skip

        def send(*files: tuple[str, bytes]) -> Any:
            return browser.post(f"/months/{JUNE}/reviews", data=form, files=[("file", each) for each in files])

        refused = send(("curve.csv", b"a,b\n1,2\n"), ("x.exe", b"MZ\x00\x01"))
        assert refused.status_code == 422, refused.text
        assert june.own.store.read(lambda c: c.exec_driver_sql("select count(*) from review").scalar()) == 0
        taken = send(("curve.csv", b"a,b\n1,2\n"), ("note.txt", b"see row 2\n"))
        assert taken.status_code == 303, taken.text
    number = int(re.findall(r"/reviews/(\d+)", taken.headers["location"])[0])
    found = june.own.store.read(lambda c: review_by_id(c, number, actor=june.own.actor("petra")))
    assert [each.name for each in found.attachments] == ["curve.csv", "note.txt"]


def test_nobody_opens_the_form_of_another_plants_line(june: Corrected) -> None:
    line = next(n for n in open_run(june.own.store, june.run_id).lines if n.plant == "P1")
    with june.own.browser("petra") as browser:
        query = f"run={june.run_id}&unit={line.unit}&service={line.service}"
        assert browser.get(f"/months/{JUNE}/reviews/new?{query}").status_code == 404
