# SPDX-License-Identifier: GPL-3.0-or-later
"""The running month at the center: cut at the last day sealed for all units, pins nothing, goes after a while."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from collector.base.errors import StoreError
from collector.center.db.store import CenterStore
from collector.center.month.books_integrity import check_months
from collector.center.month.transitions import propose_step
from collector.center.runs.keeping.expired_runs import expire_runs
from collector.center.runs.month_state import MonthStage, visible_run
from collector.center.runs.run_list import list_asked, pinned_files
from collector.center.runs.stored_run import open_run
from collector.center.runs.variants.running_month import ask_to_settle_running
from collector.model.interval import DAY_MS, local_midnight_ms
from collector.model.record import Quality, UnitLayout, UnitRecord
from tests.center.center_batches import FixedClock
from tests.center.made_month import DAYS
from tests.center.runs.center_months import JUNE, LI, RULES, Gateway, settled, take

REGISTER = """
[policy]
hold_limit_s = 90000

[[area]]
id = "jiangsu"
name = "江苏"
dispatch_mode = "annual_plan"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00"]
hours_filing = "filed"
""" + "".join(
    f"""
[[plant]]
id = "P{n}"
name = "P{n}"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
settles_with = "grid"

[[unit]]
id = "U{n}"
plant = "P{n}"
kind = "coal"
rated_mw = "600"
"""
    for n in (1, 2)
)


def at(day: int, hour: float = 0) -> int:
    return local_midnight_ms(date(2026, 6, day)) + round(hour * 3_600_000)


def send(store: CenterStore, number: int, days: range, power_mw: int) -> None:
    """A record at the start of each day: on grid at an output."""
    gateway = Gateway(store, f"P{number}", [f"U{number}"])
    layout = [UnitLayout(f"U{number}", ("active_power_mw", "on_grid"))]
    for day in days:
        record = UnitRecord(f"U{number}", at(day), (power_mw * 1000, 1), (Quality.GOOD, Quality.GOOD))
        gateway.send(layout, [record])


@pytest.fixture
def store(tmp_path: Path) -> CenterStore:
    """On the 20th at noon: U1 sent up to that day, U2 up to the 12th; revenue is that of May."""
    made = CenterStore.open(tmp_path / "state", clock=FixedClock(at(20, 12)))
    take(made, "register", REGISTER)
    take(made, "revenue", "plant,month,kind,amount_yuan\nP1,2026-05,energy,3\nP2,2026-05,energy,1\n")
    send(made, 1, range(1, 21), 200)
    send(made, 2, range(1, 13), 300)
    return made


def test_it_is_cut_at_the_last_day_sealed_for_all_units_and_shares_by_the_last_month(store: CenterStore) -> None:
    made = ask_to_settle_running(store, JUNE, rulebook=RULES, actor=LI).carry_out()
    assert made.statement.running is not None
    assert (made.statement.running.cut_ms, made.statement.running.revenue_month) == (at(13), "2026-05")
    (line,) = [x for x in made.statement.lines if (x.unit, x.service) == ("U1", "deep_peak")]
    assert str(line.amount_yuan) == "147840.00"  # 12 nights of 8 h, (354 − 200) MW at 10 yuan
    assert {p.plant: str(p.allocation_yuan) for p in made.statement.plants} == {"P1": "110880.00", "P2": "36960.00"}
    (row,) = [y for y in made.statement.running.yesterday if y.unit == "U1"]
    assert str(row.change_yuan) == "12320.00"
    assert made.row.status == "provisional"


def test_it_pins_no_day_file_is_not_the_month_s_run_and_can_t_be_disclosed(store: CenterStore) -> None:
    trial = settled(store).row
    made = ask_to_settle_running(store, JUNE, rulebook=RULES, actor=LI).carry_out()
    assert store.read(lambda c: pinned_files(c, made.row.id)) == []
    assert not (store.directory / "runs" / made.row.folder / "data" / "records").exists()
    assert store.read(lambda c: visible_run(c, JUNE, LI)) == trial.id
    with pytest.raises(StoreError, match="never final"):
        store.write(
            lambda c: propose_step(
                c, JUNE, MonthStage.DISCLOSED, actor=LI, now_ms=at(20), days=DAYS, run_id=made.row.id
            )
        ).result()
    assert open_run(store, made.row.id).lines  # its pages read as any run's
    assert check_months(store) == []


def test_it_expires_with_its_row(store: CenterStore) -> None:
    trial = settled(store).row
    made = ask_to_settle_running(store, JUNE, rulebook=RULES, actor=LI).carry_out()
    assert expire_runs(store, keep_days=30) == 0
    store.clock = FixedClock(at(20, 12) + 31 * DAY_MS)
    assert expire_runs(store, keep_days=30) == 2
    assert not (store.directory / "runs" / made.row.folder).exists()
    assert [row.id for row in store.read(list_asked)] == [trial.id]  # one is made every night


def test_a_month_without_a_sealed_day_is_refused(store: CenterStore) -> None:
    with pytest.raises(StoreError, match="no day of it is sealed yet"):
        ask_to_settle_running(store, JUNE.next(), rulebook=RULES, actor=LI).carry_out()
