# SPDX-License-Identifier: GPL-3.0-or-later
"""The money of a month: what is filed, carried to bills, changed by a correction. By hand: month_workings.md."""

from __future__ import annotations

import csv
import io
import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.base.errors import CollectorError, ConfigError, Denied, InvariantBroken, Missing, StoreError
from collector.center.db.store import CenterStore
from collector.center.db.verified import Altered
from collector.center.month.transitions import propose_step
from collector.center.papers.bill_documents import bill_csv, bill_json, bill_xlsx, totals_by_counterparty
from collector.center.papers.bills import (
    BillRow,
    Carry,
    SchemeRow,
    bill_month_of,
    bills_carried_to,
    bills_of,
    compute_carry,
)
from collector.center.papers.corrections import correction_csv, correction_of
from collector.center.papers.filing_documents import FilingName
from collector.center.papers.filings import hand_out_filing, list_filings, make_filings, read_filing
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.runs.month_state import MonthStage
from collector.center.runs.run_list import runs_folder
from collector.center.runs.run_statement import load_run_statement
from collector.model.interval import Month
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import (
    AUDITOR,
    AVC,
    BLACK_START,
    DAYS,
    DEEP_PEAK,
    FIRST,
    LI,
    MAY,
    PLANT_1,
    PLANT_2,
    REVENUE,
    SECOND,
    WANG,
    add_run,
    on,
    step,
    take_through,
)
from tests.patience import HANG_S

JUNE, JULY = Month(2026, 6), Month(2026, 7)
IN_JULY = (on(8, month=7), on(17, month=7), on(20, month=7), on(24, month=7))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state", FixedClock(on(1))) as opened:
        yield opened


def bills(store: CenterStore, actor: Actor = AUDITOR) -> list[BillRow]:
    return store.read(lambda c: bills_of(c, MAY, actor=actor))


def carried(store: CenterStore, edition: int) -> dict[str, tuple[str, str | None]]:
    """Plant -> (direction, signed amount) of an edition."""
    return {
        row.carry.plant: (row.carry.direction, None if row.carry.amount_yuan is None else str(row.carry.amount_yuan))
        for row in bills(store)
        if row.edition == edition
    }


def correct(store: CenterStore, run_id: int, *, opened: int = on(3, month=7), reason: str = "") -> None:
    step(store, MonthStage.CORRECTION, at=opened, reason="更正")
    take_through(store, run_id, at=IN_JULY, reason=reason)


@pytest.fixture
def either(tmp_path: Path, database_url: str) -> Iterator[CenterStore]:
    """On both databases in turn."""
    with new_store(tmp_path / "state", FixedClock(on(1)), database_url=database_url) as opened:
        yield opened


def test_two_editions_worked_by_hand_are_billed_once_each(either: CenterStore) -> None:
    store = either
    take_through(store, add_run(store, FIRST))
    assert carried(store, 1) == {
        "P1": ("payable", "-4200.00"),
        "P2": ("receivable", "27600.00"),
        "P3": ("payable", "-23400.00"),
    }
    assert {str(row.bill_month) for row in bills(store)} == {"2026-06"}
    correct(store, add_run(store, SECOND, kind="correction"))
    assert carried(store, 2) == {
        "P1": ("receivable", "50.01"),
        "P2": ("payable", "-20.00"),
        "P3": ("payable", "-30.01"),
    }
    second = [row for row in bills(store) if row.edition == 2]
    assert {str(row.bill_month) for row in second} == {"2026-07"}
    assert [str(row.carry.net_yuan) for row in second] == ["-4149.99", "27580.00", "-23430.01"]
    assert [str(row.carry.before_yuan) for row in second] == ["-4200.00", "27600.00", "-23400.00"]
    # The first edition's rows are what they were.
    assert carried(store, 1)["P1"] == ("payable", "-4200.00")
    july = store.read(lambda c: bills_carried_to(c, JULY, actor=AUDITOR))
    assert [row.carry.plant for row in july] == ["P1", "P2", "P3"]


def test_a_correction_shows_each_line_and_plant_that_changes_and_sums_to_zero(store: CenterStore) -> None:
    take_through(store, add_run(store, FIRST))
    step(store, MonthStage.CORRECTION, at=on(3, month=7), reason="更正")
    run = add_run(store, SECOND, kind="correction")
    found = correction_of(store, MAY, actor=AUDITOR, run_id=run)
    (line,) = found.lines
    assert (line.unit, line.service) == ("U1", "deep_peak")
    assert (str(line.before_yuan), str(line.after_yuan), str(line.delta_yuan)) == ("3600.00", "3660.01", "60.01")
    assert [(p.plant, str(p.compensation_yuan), str(p.allocation_yuan), str(p.net_yuan)) for p in found.plants] == [
        ("P1", "60.01", "10.00", "50.01"),
        ("P2", "0.00", "20.00", "-20.00"),
        ("P3", "0.00", "30.01", "-30.01"),
    ]
    assert correction_csv(found).decode("utf-8-sig").splitlines() == [
        "month,area,plant,unit,service,before_yuan,after_yuan,"
        "compensation_delta_yuan,allocation_delta_yuan,net_delta_yuan",
        "2026-05,jiangsu,P1,U1,deep_peak,3600.00,3660.01,60.01,,",
        "2026-05,jiangsu,P1,,,,,60.01,10.00,50.01",
        "2026-05,jiangsu,P2,,,,,0.00,20.00,-20.00",
        "2026-05,jiangsu,P3,,,,,0.00,30.01,-30.01",
    ]
    # A plant sees its own part, and that only once the run is disclosed.
    with pytest.raises(Denied, match="not disclosed"):
        correction_of(store, MAY, actor=PLANT_1, run_id=run)
    step(store, MonthStage.DISCLOSED, run, at=IN_JULY[0])
    mine = correction_of(store, MAY, actor=PLANT_2)
    assert ([line.plant for line in mine.lines], [p.plant for p in mine.plants]) == ([], ["P2"])


def test_there_is_no_correction_before_something_is_in_effect(store: CenterStore) -> None:
    run = add_run(store)
    with pytest.raises(StoreError, match="nothing is in effect yet"):
        correction_of(store, MAY, actor=AUDITOR, run_id=run)


def test_a_blocked_area_carries_nothing_until_an_edition_settles_it(store: CenterStore) -> None:
    first = add_run(
        store,
        {**FIRST, BLACK_START: "60000.00"},
        {**REVENUE, "shanghai": {"P4": "100", "P5": None}},
        status="provisional",
    )
    take_through(store, first, reason="P5 电费收入未提交")
    assert carried(store, 1)["P4"] == ("blocked", None)
    assert carried(store, 1)["P2"] == ("receivable", "27600.00")
    second = add_run(
        store,
        {**FIRST, BLACK_START: "60000.00"},
        {**REVENUE, "shanghai": {"P4": "100", "P5": "100"}},
        kind="correction",
    )
    correct(store, second)
    assert carried(store, 2) == {
        "P1": ("none", "0.00"),
        "P2": ("none", "0.00"),
        "P3": ("none", "0.00"),
        "P4": ("receivable", "30000.00"),
        "P5": ("payable", "-30000.00"),
    }


def test_an_area_blocked_later_leaves_what_was_carried(store: CenterStore) -> None:
    take_through(store, add_run(store, FIRST))
    blocked = add_run(store, SECOND, {"jiangsu": {"P1": "100", "P2": None, "P3": "300"}}, status="blocked")
    correct(store, blocked, reason="x")
    assert set(carried(store, 2).values()) == {("blocked", None)}
    step(store, MonthStage.CORRECTION, at=on(3, month=8), reason="更正")
    days = (on(7, month=8), on(17, month=8), on(20, month=8), on(24, month=8))
    take_through(store, add_run(store, SECOND, kind="correction"), at=days)
    # Against what was carried, not against the edition between.
    assert carried(store, 3) == {
        "P1": ("receivable", "50.01"),
        "P2": ("payable", "-20.00"),
        "P3": ("payable", "-30.01"),
    }


def test_a_plant_that_changed_its_grid_company_is_reversed_there_and_carried_here(store: CenterStore) -> None:
    take_through(store, add_run(store, FIRST))
    correct(store, add_run(store, SECOND, kind="correction", companies={"P3": "国网华东分部"}))
    rows = [row for row in bills(store) if row.edition == 2 and row.carry.plant == "P3"]
    assert {(row.carry.counterparty, str(row.carry.amount_yuan)) for row in rows} == {
        ("jiangsu电力公司", "23400.00"),
        ("国网华东分部", "-23430.01"),
    }
    assert sum(row.carry.amount_yuan or Decimal(0) for row in bills(store)) == 0


SHARES = st.dictionaries(st.sampled_from(["P1", "P2", "P3", "P4"]), st.integers(-(10**9), 10**9), min_size=1)
COMPANIES = st.dictionaries(st.sampled_from(["P1", "P2", "P3", "P4"]), st.sampled_from(["A", "B"]))


@given(st.lists(st.tuples(SHARES, COMPANIES, st.booleans()), min_size=1, max_size=6))
def test_whatever_editions_follow_a_plant_ends_with_the_net_of_the_last_and_areas_balance(
    editions: list[tuple[dict[str, int], dict[str, str], bool]],
) -> None:
    carried: list[Carry] = []
    expected: dict[str, Decimal] = {}
    for nets, companies, blocked in editions:
        rest = -sum(nets.values())  # one more plant, so that the area balances
        fen = {**nets, "P9": rest}
        rows = [
            SchemeRow(
                area="jiangsu",
                plant=plant,
                plant_name=plant,
                counterparty=companies.get(plant, "A"),
                compensation_yuan=Decimal(0),
                revenue_yuan=None,
                allocation_yuan=None,
                net_yuan=None if blocked else Decimal(amount).scaleb(-2),
                status="final",
                reason="",
            )
            for plant, amount in fen.items()
        ]
        carried += compute_carry(rows, carried)
        if not blocked:
            expected = {plant: Decimal(amount).scaleb(-2) for plant, amount in fen.items()}
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for row in carried:
        totals[row.plant] += row.amount_yuan or Decimal(0)
    assert {plant: total for plant, total in totals.items() if total} == {p: t for p, t in expected.items() if t}


def test_of_two_who_make_the_filings_at_once_both_get_the_same(either: CenterStore) -> None:
    run = add_run(either)
    outcomes: list[list[int]] = []
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait(HANG_S)
        outcomes.append([f.id for f in make_filings(either, run, actor=LI)])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(HANG_S)
    assert len(outcomes) == 2
    assert outcomes[0] == outcomes[1]


def test_what_takes_effect_late_goes_with_the_bill_of_that_month() -> None:
    assert bill_month_of(MAY, on(22)) == JUNE
    assert bill_month_of(MAY, on(2, month=7)) == JULY
    assert bill_month_of(Month(2026, 12), on(20, month=1, year=2027)) == Month(2027, 1)


def test_nothing_is_billed_before_it_takes_effect(store: CenterStore) -> None:
    run = add_run(store)
    step(store, MonthStage.DISCLOSED, run, at=on(10))
    make_filings(store, run, actor=LI)
    step(store, MonthStage.FILED, at=on(20))
    assert bills(store) == []


def test_a_plant_sees_its_own_bill_only(store: CenterStore) -> None:
    take_through(store, add_run(store))
    assert {row.carry.plant for row in bills(store, PLANT_1)} == {"P1"}
    assert {row.carry.plant for row in bills(store, PLANT_2)} == {"P2"}
    assert bills(store, Actor("x", Role.PLANT, "P9")) == []


def test_the_bill_as_csv_json_and_xlsx_says_the_same_and_balances(store: CenterStore) -> None:
    take_through(store, add_run(store))
    rows = bills(store)
    table = list(csv.DictReader(bill_csv(rows).decode("utf-8-sig").splitlines()))
    first = table[0]
    assert (first["plant"], first["direction"], first["amount_yuan"]) == ("P1", "payable", "4200.00")
    assert (first["signed_yuan"], first["bill_month"], first["schema"]) == ("-4200.00", "2026-06", "2")
    assert (first["tax_number"], first["vat_rate"], first["bank"]) == ("91320000P1", "0.13", "工行 P1")
    assert (first["plant_name"], first["counterparty"]) == ("P1电厂", "jiangsu电力公司")
    assert first["document"].startswith("华东监能市场")
    document = json.loads(bill_json(rows))
    assert (document["schema"], document["sum_yuan"]) == (2, "0.00")
    assert [row["signed_yuan"] for row in document["rows"]] == [row["signed_yuan"] for row in table]
    assert document["counterparties"] == totals_by_counterparty(rows)
    # The grid company pays 27 600.00 and collects 4 200.00 + 23 400.00.
    assert document["counterparties"] == [
        {
            "bill_month": "2026-06",
            "counterparty": "jiangsu电力公司",
            "pays_yuan": "27600.00",
            "collects_yuan": "27600.00",
            "balance_yuan": "0.00",
        }
    ]
    assert bill_csv(rows) == bill_csv(bills(store))
    assert bill_xlsx(rows, title="x") == bill_xlsx(bills(store), title="x")
    book = openpyxl.load_workbook(io.BytesIO(bill_xlsx(rows, title="x")))
    amounts = [book["结转电费"].cell(row, 9).value for row in (4, 5, 6)]
    assert amounts == [-4200, 27600, -23400]


def test_the_three_filings_are_named_numbered_and_the_same_when_made_again(store: CenterStore, tmp_path: Path) -> None:
    run = add_run(store)
    step(store, MonthStage.DISCLOSED, run, at=on(10))
    made = make_filings(store, run, actor=LI)
    assert [(f.name, f.format) for f in made] == [(name, kind) for name in FilingName for kind in ("xlsx", "csv")]
    assert [f.id for f in make_filings(store, run, actor=LI)] == [f.id for f in made]
    step(store, MonthStage.FILED, at=on(20))
    step(store, MonthStage.EFFECTIVE, at=on(22))
    listed = store.read(lambda c: list_filings(c, MAY, actor=AUDITOR))
    assert {(f.filed_ms, f.approved_ms, f.approved_by) for f in listed} == {(on(20), on(22), "jianguan")}
    assert {f.approval_document for f in listed} == {"华东监能市场〔2026〕3号"}
    # Made in another store of the same run: the same tables; a workbook also names the head of its store's audit log.
    with new_store(tmp_path / "twin", FixedClock(on(9))) as twin:
        again = make_filings(twin, add_run(twin), actor=WANG_AS_OPERATOR)
    tables = [[f.sha256 for f in of if f.format == "csv"] for of in (made, again)]
    assert tables[0] == tables[1]


WANG_AS_OPERATOR = Actor("wang", Role.OPERATOR)


def table_of(store: CenterStore, name: FilingName, run: int) -> list[dict[str, str]]:
    (found,) = [
        f
        for f in store.read(lambda c: list_filings(c, MAY, actor=AUDITOR))
        if (f.name, f.format, f.run_id) == (name, "csv", run)
    ]
    _, file = store.read(lambda c: read_filing(c, found.id, actor=AUDITOR))
    return list(csv.DictReader(file.data.decode("utf-8-sig").splitlines()))


def test_filings_say_what_the_run_says(store: CenterStore) -> None:
    run = add_run(store)
    make_filings(store, run, actor=LI)
    detail = table_of(store, FilingName.DETAIL, run)
    assert [(r["机组 unit"], r["服务 service"], r["补偿费用(元) compensation"]) for r in detail] == [
        ("U1", "深度调峰 deep peak shaving", "3600.00"),
        ("U2", "AVC automatic voltage control", "43200.00"),
    ]
    allocation = table_of(store, FilingName.ALLOCATION, run)
    assert [(r["电厂 plant"], r["占比 share"], r["分摊费用 A(元) allocation"]) for r in allocation] == [
        ("P1", "16.66 %", "7800.00"),
        ("P2", "33.33 %", "15600.00"),
        ("P3", "50.00 %", "23400.00"),
    ]
    scheme = table_of(store, FilingName.SCHEME, run)
    assert [(r["结算费用 K=R-A(元) net"], r["本次结转(元) carried now"], r["方向 direction"]) for r in scheme] == [
        ("-4200.00", "-4200.00", "应付"),
        ("27600.00", "27600.00", "应收"),
        ("-23400.00", "-23400.00", "应付"),
    ]


def test_the_scheme_of_a_correction_shows_what_was_carried_and_what_is_carried_now(store: CenterStore) -> None:
    take_through(store, add_run(store, FIRST))
    step(store, MonthStage.CORRECTION, at=on(3, month=7), reason="更正")
    run = add_run(store, SECOND, kind="correction")
    make_filings(store, run, actor=LI)
    rows = table_of(store, FilingName.SCHEME, run)
    assert [(r["此前已结转(元) carried before"], r["本次结转(元) carried now"]) for r in rows] == [
        ("-4200.00", "50.01"),
        ("27600.00", "-20.00"),
        ("-23400.00", "-30.01"),
    ]


def test_the_workbook_has_totals_of_the_run_and_no_text_becomes_a_formula(store: CenterStore) -> None:
    run = add_run(store, companies={"P1": '=HYPERLINK("http://x","y")', "P2": "＝1+1"})
    made = {(f.name, f.format): f.id for f in make_filings(store, run, actor=LI)}
    _, file = store.read(lambda c: read_filing(c, made[FilingName.SCHEME, "xlsx"], actor=AUDITOR))
    sheet = openpyxl.load_workbook(io.BytesIO(file.data))["结算方案"]
    cell = sheet.cell(4, 4)
    assert (cell.value, cell.data_type, cell.quotePrefix) == ('=HYPERLINK("http://x","y")', "s", True)
    assert sheet.cell(7, 5).value == "=SUM(E4:E6)"
    computed = openpyxl.load_workbook(io.BytesIO(file.data), data_only=True)["结算方案"]
    assert [computed.cell(7, column).value for column in (5, 6, 7, 9)] == [46800, 46800, 0, 0]
    _, text = store.read(lambda c: read_filing(c, made[FilingName.SCHEME, "csv"], actor=AUDITOR))
    assert "'=HYPERLINK" in text.data.decode("utf-8-sig")
    assert "'＝1+1" in text.data.decode("utf-8-sig")


def test_who_may_read_filings(store: CenterStore) -> None:
    run = add_run(store)
    step(store, MonthStage.DISCLOSED, run, at=on(10))
    ids = {f.name: f.id for f in make_filings(store, run, actor=LI)}
    assert store.read(lambda c: list_filings(c, MAY, actor=PLANT_1)) == []
    with pytest.raises(Missing, match="there is none with this number"):
        store.read(lambda c: read_filing(c, ids[FilingName.SCHEME], actor=PLANT_1))
    for to, at in ((MonthStage.FILED, 20), (MonthStage.EFFECTIVE, 22), (MonthStage.PUBLISHED, 25)):
        step(store, to, at=on(at))
    # Published is the scheme, for all; detail and allocation are the regulator's.
    assert {f.name for f in store.read(lambda c: list_filings(c, MAY, actor=PLANT_1))} == {FilingName.SCHEME}
    with pytest.raises(Missing):
        store.read(lambda c: read_filing(c, ids[FilingName.DETAIL], actor=PLANT_1))
    with pytest.raises(Denied, match="no permission prepare"):
        make_filings(store, run, actor=WANG)


def test_who_was_given_a_filing_stands_in_the_audit_log(store: CenterStore) -> None:
    run = add_run(store)
    step(store, MonthStage.DISCLOSED, run, at=on(10))
    made = make_filings(store, run, actor=LI)[0]
    head = store.read(audit.head)
    with pytest.raises(Missing):
        store.write(lambda c: hand_out_filing(c, made.id, actor=PLANT_1, now_ms=on(11))).result()
    assert store.read(audit.head) == head
    _, file = store.write(lambda c: hand_out_filing(c, made.id, actor=AUDITOR, now_ms=on(11))).result()
    entry = store.read(lambda c: audit.list_entries(c, limit=1))[0]
    assert (entry["action"], entry["who"], entry["subject"]) == ("filing.hand_out", AUDITOR.name, "2026-05")
    assert entry["detail"] == {"filing": made.id, "name": file.name, "sha256": made.sha256}


def test_a_what_if_run_is_never_filed(store: CenterStore) -> None:
    with pytest.raises(StoreError, match="what-if"):
        make_filings(store, add_run(store, kind="what_if"), actor=LI)


@pytest.mark.parametrize("name", ["lines.csv", "plants.csv", "ledger.csv", "manifest.json", "register.toml"])
def test_a_statement_touched_since_is_refused(store: CenterStore, name: str) -> None:
    run = add_run(store)
    (folder,) = runs_folder(store.directory).iterdir()
    path = folder / ("data" if name == "register.toml" else "statement") / name
    # The same number of bytes, one of them another.
    data = path.read_bytes()
    path.write_bytes(data.replace(b"1", b"7", 1))
    with pytest.raises((Altered, InvariantBroken, ConfigError)):
        make_filings(store, run, actor=LI)


def test_a_published_statement_keeps_its_bytes_through_a_correction(store: CenterStore) -> None:
    run = add_run(store)
    take_through(store, run)
    before = {p: p.read_bytes() for p in runs_folder(store.directory).rglob("*") if p.is_file()}
    filed = store.read(lambda c: [(f.id, f.sha256) for f in list_filings(c, MAY, actor=AUDITOR)])
    correct(store, add_run(store, SECOND, kind="correction"))
    assert {p: p.read_bytes() for p in before} == before
    assert store.read(lambda c: [(f.id, f.sha256) for f in list_filings(c, MAY, actor=AUDITOR)])[:6] == filed
    assert load_run_statement(store, run).plants[0].net_yuan == Decimal("-4200.00")


def test_the_run_is_not_filed_for_another_edition(store: CenterStore) -> None:
    """Filings made for edition 1 do not serve edition 2."""
    first, second = add_run(store), add_run(store, {DEEP_PEAK: "1.00", AVC: "2.00"})
    make_filings(store, second, actor=LI)
    take_through(store, first)
    step(store, MonthStage.CORRECTION, at=on(3, month=7), reason="x")
    step(store, MonthStage.DISCLOSED, second, at=IN_JULY[0])
    with pytest.raises(CollectorError, match="of edition 2"):
        store.write(lambda c: propose_step(c, MAY, MonthStage.FILED, actor=LI, now_ms=IN_JULY[1], days=DAYS)).result()
