# SPDX-License-Identifier: GPL-3.0-or-later
"""A month of real runs: a review's remedy tried on every plant, granted, imported, settled, disclosed again, billed.

By hand: U1 is designated for black start, 80 000.00 (coal). F: P1 100, P2 100: each bears 40 000.00, net +40 000.00 and
−40 000.00. P1 says its own revenue was 300: P1 bears 60 000.00, P2 20 000.00, net +20 000.00 and −20 000.00.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from collector.base.errors import Denied, StoreError
from collector.base.resources import config_path
from collector.center.db.store import CenterStore
from collector.center.inputs.imports import take_tables
from collector.center.month.review_effect import effect_of_review, try_review
from collector.center.month.review_files import attach, carry_out
from collector.center.month.review_log import review_by_id
from collector.center.month.reviews import (
    ReviewRequest,
    decide_review,
    propose_decision,
    submit_review,
)
from collector.center.papers.bills import bills_of
from collector.center.papers.corrections import correction_of
from collector.center.papers.filings import make_filings
from collector.center.runs.month_state import MonthStage
from collector.center.runs.settle_month import settle_month
from collector.sheets.files import Delivered
from tests.center.center_batches import FixedClock, new_store
from tests.center.made_month import AUDITOR, DAYS, LI, MAY, PLANT_1, WANG, on, step

RULES = config_path("rules/east-china-trial")
REGISTER = """
[[area]]
id = "jiangsu"
name = "江苏"
dispatch_mode = "annual_plan"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00"]
hours_filing = "x"
[[plant]]
id = "P1"
name = "一厂"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
settles_with = "江苏省电力公司"
[[plant]]
id = "P2"
name = "二厂"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
settles_with = "江苏省电力公司"
[[unit]]
id = "U1"
plant = "P1"
kind = "coal"
rated_mw = "600"
black_start = true
black_start_document = "预案"
"""
HEAD = "plant,month,kind,amount_yuan\n"
REVENUE = HEAD + "P1,2026-05,energy,100\nP2,2026-05,energy,100\n"
REMEDY = HEAD + "P1,2026-05,energy,300\n"


@pytest.fixture
def store(tmp_path: Path, database_url: str) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state", FixedClock(on(1)), database_url=database_url) as opened:
        take(opened, "register", REGISTER)
        take(opened, "revenue", REVENUE)
        yield opened


def take(store: CenterStore, kind: str, text: str, *, replace: bool = False) -> int:
    data = text.encode()
    delivered = Delivered(f"{kind}.{'toml' if kind == 'register' else 'csv'}", data, hashlib.sha256(data).hexdigest())
    number = take_tables(store, [kind], delivered, who="li", replace=replace, rules=None)[0].import_id
    assert number is not None
    return number


def act(store: CenterStore, what: Any, number: int, actor: Any, **more: Any) -> Any:
    return store.write(lambda c: what(c, number, actor=actor, now_ms=on(15), **more)).result()


def test_the_effect_of_a_review_on_every_plant_is_seen_before_it_is_granted_and_is_what_happens(
    store: CenterStore,
) -> None:
    first = settle_month(store, MAY, rulebook=RULES, actor=LI).id
    step(store, MonthStage.DISCLOSED, first, at=on(10), reason="本月无计划、指令")
    asked = ReviewRequest(first, "U1", "black_start", on(1, 0, 5), on(2, 0, 5), "yuan", "80000.00", "电费收入有误")
    number = submit_review(store, asked, actor=PLANT_1, days=DAYS, now_ms=on(12))
    with pytest.raises(StoreError, match="attach the inputs"):
        try_review(store, number, actor=LI)
    act(store, attach, number, LI, name="revenue.csv", data=REMEDY.encode(), input_kind="revenue")
    tried = try_review(store, number, actor=LI)
    assert (tried.kind, tried.base_run_id) == ("what_if", first)
    expected = [("P1", "0.00", "20000.00", "-20000.00"), ("P2", "0.00", "-20000.00", "20000.00")]
    effects = effect_of_review(store, number, actor=AUDITOR)
    assert [
        (e.plant, str(e.compensation_change_yuan), str(e.allocation_change_yuan), str(e.net_change_yuan))
        for e in effects
    ] == expected
    with pytest.raises(Denied):
        effect_of_review(store, number, actor=PLANT_1)
    # Nothing of the trial is in force: settling again gives the first result.
    again = settle_month(store, MAY, rulebook=RULES, actor=LI)
    assert again.result_hash != tried.result_hash
    with pytest.raises(StoreError, match="no remedy that waits"):
        carry_out(store, number, actor=LI, rules=None, now_ms=on(15))
    proposal = act(store, propose_decision, number, LI, granted=True, text="准予")
    act(store, decide_review, proposal, WANG, approved=True)
    with pytest.raises(Denied):
        carry_out(store, number, actor=WANG, rules=None, now_ms=on(15))
    (imported,) = carry_out(store, number, actor=LI, rules=None, now_ms=on(15))
    second = settle_month(store, MAY, rulebook=RULES, actor=LI)
    assert second.result_hash == tried.result_hash
    (done,) = [e for e in store.read(lambda c: review_by_id(c, number, actor=AUDITOR)).events if e.link_import_id]
    assert done.link_import_id == imported
    step(store, MonthStage.IN_REVIEW, second.id, at=on(16), reason="复核申请 1")
    make_filings(store, second.id, actor=LI)
    # Plans, orders … were not delivered: provisional, filed with a reason.
    step(store, MonthStage.FILED, at=on(19), reason="本月无计划、指令")
    step(store, MonthStage.EFFECTIVE, at=on(22))
    bills = store.read(lambda c: bills_of(c, MAY, actor=AUDITOR))
    assert [(b.carry.plant_name, b.carry.direction, str(b.carry.amount_yuan)) for b in bills] == [
        ("一厂", "receivable", "20000.00"),
        ("二厂", "payable", "-20000.00"),
    ]
    assert store.read(lambda c: review_by_id(c, number, actor=AUDITOR)).carried_out


def test_a_correction_of_real_runs_is_a_delta_of_what_was_billed(store: CenterStore) -> None:
    first = settle_month(store, MAY, rulebook=RULES, actor=LI).id
    step(store, MonthStage.DISCLOSED, first, at=on(10), reason="本月无计划、指令")
    make_filings(store, first, actor=LI)
    step(store, MonthStage.FILED, at=on(19), reason="本月无计划、指令")
    for state, day in ((MonthStage.EFFECTIVE, 22), (MonthStage.PUBLISHED, 25)):
        step(store, state, at=on(day), reason="本月无计划、指令")
    step(store, MonthStage.CORRECTION, at=on(3, month=7), reason="电费收入更正")
    take(store, "revenue", REMEDY, replace=True)
    second = settle_month(store, MAY, rulebook=RULES, actor=LI, kind="correction", base_run_id=first).id
    found = correction_of(store, MAY, actor=AUDITOR, run_id=second)
    assert found.lines == ()
    assert [(p.plant, str(p.net_yuan)) for p in found.plants] == [("P1", "-20000.00"), ("P2", "20000.00")]
