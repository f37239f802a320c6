# SPDX-License-Identifier: GPL-3.0-or-later
"""The account (Art. 20): posted once when a result takes effect, reversed entry by entry, equal to the bills."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from collector.base.errors import Denied
from collector.center.db.store import CenterStore
from collector.center.month.books_integrity import check_months
from collector.center.papers.bills import bills_of
from collector.center.papers.books import PlantAccount, account_csv, accounts_of, check_books, entries_of
from collector.center.papers.filings import make_filings
from collector.center.papers.summaries import summary_of_year
from collector.center.people import audit
from collector.center.runs.month_state import MonthStage
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import AUDITOR, LI, MAY, PLANT_1, SECOND, add_run, on, step, take_through

# FIRST: R = 46 800.00, F = 100, 200, 300 of 600: shares 7 800, 15 600, 23 400.
# SECOND: R = 46 860.01: a sixth is 7 810.0016…, two 15 620.0033…, three 23 430.005: the fen left over is P3's.
FIRST_POSTED = [
    (1, None, "", "3600.00", "0.00"), (2, None, "P1", "0.00", "3600.00"),
    (3, None, "P1", "7800.00", "0.00"), (4, None, "", "0.00", "7800.00"),
    (5, None, "", "43200.00", "0.00"), (6, None, "P2", "0.00", "43200.00"),
    (7, None, "P2", "15600.00", "0.00"), (8, None, "", "0.00", "15600.00"),
    (9, None, "P3", "23400.00", "0.00"), (10, None, "", "0.00", "23400.00"),
]  # fmt: skip
SECOND_POSTED = [
    (21, None, "", "3660.01", "0.00"), (22, None, "P1", "0.00", "3660.01"),
    (23, None, "P1", "7810.00", "0.00"), (24, None, "", "0.00", "7810.00"),
    (25, None, "", "43200.00", "0.00"), (26, None, "P2", "0.00", "43200.00"),
    (27, None, "P2", "15620.00", "0.00"), (28, None, "", "0.00", "15620.00"),
    (29, None, "P3", "23430.01", "0.00"), (30, None, "", "0.00", "23430.01"),
]  # fmt: skip


@pytest.fixture
def store(tmp_path: Path, database_url: str) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state", FixedClock(on(1)), database_url=database_url) as opened:
        yield opened


def posted(store: CenterStore) -> list[tuple[int, int | None, str, str, str]]:
    entries = store.read(entries_of)
    return [(e.entry, e.reverses, e.plant, str(e.debit_yuan), str(e.credit_yuan)) for e in entries]


def correct(store: CenterStore, run: int, reason: str = "") -> None:
    """Open a correction of May in July and take its run through to publication."""
    step(store, MonthStage.CORRECTION, at=on(3, month=7), reason="复核申请 1 的裁决")
    days = (on(10, month=7), on(20, month=7), on(22, month=7), on(25, month=7))
    take_through(store, run, at=days, reason=reason)


def account(store: CenterStore, plant: str, **span: int) -> PlantAccount:
    (found,) = store.read(lambda c: accounts_of(c, actor=AUDITOR, plant=plant, **span))
    return found


def test_nothing_is_posted_before_a_result_takes_effect_and_then_once(store: CenterStore) -> None:
    run, _ = add_run(store), add_run(store, kind="what_if")
    step(store, MonthStage.DISCLOSED, run, at=on(10))
    make_filings(store, run, actor=LI)
    step(store, MonthStage.FILED, at=on(20))
    assert posted(store) == []
    step(store, MonthStage.EFFECTIVE, at=on(22))
    assert posted(store) == FIRST_POSTED
    step(store, MonthStage.PUBLISHED, at=on(25))
    assert posted(store) == FIRST_POSTED
    assert {(e.month, e.edition, e.run_id, e.area, e.posted_ms) for e in store.read(entries_of)} == {
        ("2026-05", 1, run, "jiangsu", on(22))
    }
    (noted,) = [e for e in store.read(lambda c: audit.list_entries(c)) if e["action"] == "books.post"]
    assert (noted["detail"]["entries"], noted["detail"]["reversed"]) == ([1, 10], 0)
    assert check_months(store) == []


def test_a_correction_takes_back_each_entry_by_its_number_and_posts_its_own(store: CenterStore) -> None:
    take_through(store, add_run(store))
    correct(store, add_run(store, SECOND, kind="correction"))
    reversals = [(n + 10, n, plant, credit, debit) for n, _, plant, debit, credit in FIRST_POSTED]
    assert posted(store) == [*FIRST_POSTED, *reversals, *SECOND_POSTED]
    mine = account(store, "P1")
    assert [(row.entry.entry, str(row.balance_yuan)) for row in mine.rows] == [
        (2, "3600.00"), (3, "-4200.00"), (12, "-7800.00"), (13, "0.00"), (22, "3660.01"), (23, "-4149.99"),
    ]  # fmt: skip
    assert (mine.opening_yuan, mine.closing_yuan) == (Decimal(0), Decimal("-4149.99"))
    later = account(store, "P1", from_ms=on(1, month=7))
    assert (later.opening_yuan, len(later.rows), later.closing_yuan) == (
        Decimal("-4200.00"), 4, Decimal("-4149.99")
    )  # fmt: skip
    june = account(store, "P1", until_ms=on(1, month=7))
    assert (june.opening_yuan, june.closing_yuan) == (Decimal(0), Decimal("-4200.00"))
    for plant, balance in (("P2", "27580.00"), ("P3", "-23430.01")):
        bills = store.read(lambda c: bills_of(c, MAY, actor=AUDITOR))
        carried = sum((row.carry.amount_yuan or Decimal(0) for row in bills if row.carry.plant == plant), Decimal(0))
        assert account(store, plant).closing_yuan == Decimal(balance) == carried
    assert check_months(store) == []


def test_where_an_area_is_blocked_the_account_stands_as_the_bills_do(store: CenterStore) -> None:
    take_through(store, add_run(store))
    lost = {"jiangsu": {"P1": "100", "P2": None, "P3": "300"}}
    correct(store, add_run(store, SECOND, lost, kind="correction", status="blocked"), reason="电费收入缺失")
    assert posted(store) == FIRST_POSTED
    assert account(store, "P1").closing_yuan == Decimal("-4200.00")
    assert check_months(store) == []


def test_a_plant_sees_its_own_account_and_the_file_has_the_columns_of_the_format(store: CenterStore) -> None:
    take_through(store, add_run(store))
    own = store.read(lambda c: accounts_of(c, actor=PLANT_1))
    assert [found.plant for found in own] == ["P1"]
    assert account_csv(own).decode("utf-8-sig").splitlines() == [
        "plant,area,posted,entry,month,edition,debit_yuan,credit_yuan,balance_yuan",
        "P1,jiangsu,2026-06-22T12:00:00+08:00,2,2026-05,1,0.00,3600.00,3600.00",
        "P1,jiangsu,2026-06-22T12:00:00+08:00,3,2026-05,1,7800.00,0.00,-4200.00",
    ]


def test_the_regulators_summary_holds_what_is_in_effect_by_month_quarter_and_year(store: CenterStore) -> None:
    take_through(store, add_run(store))
    correct(store, add_run(store, SECOND, kind="correction"))
    months, rows = summary_of_year(store, 2026, actor=AUDITOR)
    assert months == [MAY]
    # The correction is in effect: 3 660.01 and 43 200.00, all of it shared.
    assert [(r.period, r.service, str(r.compensation_yuan), str(r.allocation_yuan), r.units) for r in rows] == [
        (period, *sums)
        for period in ("2026-05", "2026-Q2", "2026")
        for sums in (("deep_peak", "3660.01", "3660.01", 1), ("avc", "43200.00", "43200.00", 1))
    ]
    assert summary_of_year(store, 2025, actor=AUDITOR) == ([], [])
    with pytest.raises(Denied):
        summary_of_year(store, 2026, actor=PLANT_1)


def test_an_entry_can_neither_be_changed_nor_removed(store: CenterStore) -> None:
    take_through(store, add_run(store))
    for change in ("UPDATE ledger_entry SET debit_yuan = '0.00'", "DELETE FROM ledger_entry"):
        with pytest.raises(DBAPIError, match="append-only"):
            store.write(lambda c, sql=change: c.execute(text(sql))).result()  # type: ignore[misc]


def test_whatever_is_wrong_in_the_books_is_named(store: CenterStore) -> None:
    take_through(store, add_run(store))
    entries, bills = store.read(entries_of), store.read(lambda c: bills_of(c, MAY, actor=AUDITOR))
    assert list(check_books(entries, bills)) == []
    more = replace(entries[1], credit_yuan=Decimal("3600.01"))
    assert list(check_books([entries[0], more, *entries[2:]], bills)) == [
        "the entries of jiangsu in 2026-05 sum to 0.01, expected 0",
        "the account of P1 is 0.01 more than its bills",
    ]
    assert list(check_books(entries[:-2], bills)) == ["the account of P3 is 23400.00 more than its bills"]
    assert "gap" in next(iter(check_books(entries[2:], bills)))
    wrong = replace(entries[0], entry=11, reverses=2)
    assert "entry 11 does not take back entry 2" in list(check_books([*entries, wrong], bills))
