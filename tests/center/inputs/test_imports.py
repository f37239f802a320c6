# SPDX-License-Identifier: GPL-3.0-or-later
"""Imports are versions: nothing twice, nothing replaced silently, everything can be undone; and runs made of them."""

from __future__ import annotations

import csv
import hashlib
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from collector import wire
from collector.base.clock_state import ClockState
from collector.base.errors import ConfigError, StoreError
from collector.center.db.store import CenterStore
from collector.center.inputs.imports import Imported, list_imports, rows_in_force, take_tables
from collector.center.inputs.service import take_back
from collector.center.operate.backup import create_backup, restore_backup
from collector.center.people.access import Actor
from collector.cli.center.commands import app
from collector.model.interval import Month
from collector.model.record import Quality, UnitLayout, UnitRecord
from collector.sheets.files import Delivered
from tests.center.center_batches import NOON, FixedClock, deliver, new_store
from tests.center.inputs.small_tables import HOUR, PLAN, REGISTER, plan_row, powers, take
from tests.patience import HANG_S

pytestmark = pytest.mark.usefixtures("on_both")


@pytest.fixture
def store(tmp_path: Path):  # type: ignore[no-untyped-def]
    with new_store(tmp_path / "state") as opened:
        take(opened, "register", REGISTER)
        yield opened


def test_the_same_file_again_changes_nothing(store: CenterStore) -> None:
    text = PLAN + plan_row(1, "300") + plan_row(2, "310")
    assert take(store, "plan", text) == Imported(2, 2, 0, 0)
    assert take(store, "plan", text) == Imported(None, 0, 2, 0)
    other_notation = PLAN + "U1,2026-03-09T17:00:00Z,2026-03-09T18:00:00Z,300\n"  # the first row, said in UTC
    assert take(store, "plan", other_notation) == Imported(None, 0, 1, 0)
    assert take(store, "register", REGISTER) == Imported(None, 0, 1, 0)
    assert len(store.read(list_imports)) == 2


def test_a_row_that_claims_anothers_place_is_refused_and_named(store: CenterStore) -> None:
    take(store, "plan", PLAN + plan_row(1, "300") + plan_row(2, "310"))
    with pytest.raises(ConfigError) as caught:
        take(store, "plan", PLAN + plan_row(5, "350") + plan_row(1, "333", until=3))
    assert [(p.row, "conflicts with import 2" in p.message) for p in caught.value.problems] == [(3, True), (3, True)]
    assert powers(store) == ["300", "310"]  # also the row without conflict: whole or not at all


def test_replaced_rows_are_kept_and_come_back_when_the_import_is_undone(store: CenterStore) -> None:
    take(store, "plan", PLAN + plan_row(1, "300") + plan_row(2, "310") + plan_row(3, "320"))
    second = take(store, "plan", PLAN + plan_row(1, "333", until=3) + plan_row(3, "320"), replace=True)
    assert second == Imported(3, 1, 1, 2)
    assert powers(store) == ["333", "320"]
    with pytest.raises(StoreError, match="import 3 replaced rows of it"):
        take_back(store, 2, actor=Actor.at_command_line("li"), reason="wrong")
    take_back(store, 3, actor=Actor.at_command_line("wang"), reason="wrong")
    assert powers(store) == ["300", "310", "320"]
    with pytest.raises(StoreError, match="undone already"):
        take_back(store, 3, actor=Actor.at_command_line("wang"), reason="wrong")
    assert store.read(list_imports)[-1]["undone_by"] == "wang"


def test_an_undo_that_would_bring_back_a_conflict_is_refused(store: CenterStore) -> None:
    take(store, "plan", PLAN + plan_row(1, "300", until=3))
    take(store, "plan", PLAN + plan_row(1, "333"), replace=True)
    take(store, "plan", PLAN + plan_row(2, "310"))  # takes the hour that the replacement left free
    with pytest.raises(StoreError, match="conflicts with import 4"):
        take_back(store, 3, actor=Actor.at_command_line("li"), reason="wrong")
    assert powers(store) == ["333", "310"]


def test_an_undone_import_can_be_made_again(store: CenterStore) -> None:
    text = PLAN + plan_row(1, "300")
    take(store, "plan", text)
    take_back(store, 2, actor=Actor.at_command_line("li"), reason="wrong")
    assert store.read(lambda c: rows_in_force(c, store.imported, "plan")) is None  # not delivered
    assert take(store, "plan", text) == Imported(3, 1, 0, 0)


def test_plans_issued_at_other_times_stand_beside_each_other(store: CenterStore) -> None:
    header = "unit,start,end,power_mw,issued\n"
    first = f"U1,{HOUR.format(1)},{HOUR.format(2)},300,\n"
    later = f"U1,{HOUR.format(1)},{HOUR.format(2)},320,{HOUR.format(0)}\n"
    take(store, "plan", header + first)
    assert take(store, "plan", header + later).added == 1


def test_each_kind_has_its_own_notion_of_the_same_place(store: CenterStore) -> None:
    at = f"{HOUR.format(1)},{HOUR.format(2)}"
    take(store, "orders", f"id,unit,kind,start,end\no1,U1,start_stop,{at}\n")
    for row in (f"o1,U2,start_stop,{at}", f"o2,U1,start_stop,{at}"):  # the id; the unit and kind
        with pytest.raises(ConfigError, match="conflicts with import"):
            take(store, "orders", f"id,unit,kind,start,end\n{row}\n")
    take(store, "orders", f"id,unit,kind,start,end\no2,U2,start_stop,{at}\n")
    take(store, "revenue", "plant,month,kind,amount_yuan\nP1,2026-03,energy,100\n")
    with pytest.raises(ConfigError, match="conflicts with import"):
        take(store, "revenue", "plant,month,kind,amount_yuan\nP1,2026-03,energy,101\n")
    take(store, "revenue", "plant,month,kind,amount_yuan\nP1,2026-04,energy,101\n")
    exclusion = f"unit,service,start,end,reason\nU1,*,{at},test\n"
    take(store, "exclusions", exclusion)
    assert take(store, "exclusions", exclusion.replace("test", "grid")).added == 1  # they may overlap
    assert take(store, "exclusions", exclusion).same == 1


def test_a_file_with_only_its_header_is_delivered_and_empty(store: CenterStore) -> None:
    assert store.read(lambda c: rows_in_force(c, store.imported, "plan")) is None
    take(store, "plan", PLAN)
    assert store.read(lambda c: list(rows_in_force(c, store.imported, "plan") or ["absent"])) == []


def test_what_the_readers_refuse_is_refused_here_too(store: CenterStore, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown unit 'U9'"):
        take(store, "plan", PLAN + plan_row(1, "300", unit="U9"))
    with pytest.raises(ConfigError, match="offset"):
        take(store, "plan", PLAN + "U1,2026-03-10T01:00:00,2026-03-10T02:00:00,300\n")
    with pytest.raises(ConfigError, match="amount of money in exponent form"):
        take(store, "revenue", "plant,month,kind,amount_yuan\nP1,2026-03,energy,1e30\n")
    with pytest.raises(ConfigError, match="another register is in force"):
        take(store, "register", REGISTER.replace('"660"', '"600"'), name="register.toml")
    with new_store(tmp_path / "empty") as empty, pytest.raises(StoreError, match="no register yet"):
        take(empty, "plan", PLAN)
    assert len(store.read(list_imports)) == 1


def _march_of_u1() -> list[UnitRecord]:
    """A minute's step through a deep valley on 10 March: 00:00-04:00 at 200 MW, then 500 MW to 06:00."""
    midnight = NOON - 12 * 3_600_000
    good = (Quality.GOOD,) * 2
    return [
        UnitRecord(
            "U1", midnight + m * 60_000, (200_000 if m < 240 else 500_000, 1), good, clock=ClockState.SYNCHRONISED
        )
        for m in range(361)
    ]


@pytest.mark.parametrize("on_both", ["sqlite"], indirect=True)
def test_a_run_on_the_store_gives_the_lines_of_the_same_folder_settled_offline(tmp_path: Path) -> None:
    """By way of journal and lake, and by way of a CSV written here: the same statement. The run can be repeated."""
    records = _march_of_u1()
    layout = (UnitLayout("U1", ("active_power_mw", "on_grid")),)
    payload = wire.encode_batch(wire.Batch(wire.Stream("P1", "g1", 1), 1, layout, tuple(records)), None)
    state, folder = tmp_path / "state", tmp_path / "folder"
    with new_store(state) as store:
        deliver(store, [payload])
    (folder / "records").mkdir(parents=True)
    files = {
        "register.toml": '[policy]\nmin_coverage = "0.0001"\n' + REGISTER,
        "plan.csv": PLAN + plan_row(0, "400", until=6),
        "revenue.csv": "plant,month,kind,amount_yuan\nP1,2026-03,energy,1000000\n",
    }
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    rows = "".join(f"U1,{r.time_utc_ms},{Decimal(r.values[0] or 0) / 1000},1\n" for r in records)
    (folder / "records" / "u1.csv").write_text("unit,time,active_power_mw,on_grid\n" + rows, "utf-8")

    from collector.cli.main import app as whole

    runner = CliRunner()
    for name in files:
        arguments = ["import", name.split(".")[0], str(folder / name), "--state", str(state), "--who", "li"]
        assert runner.invoke(app, arguments).exit_code == 0
    settled = runner.invoke(app, ["settle", "2026-03", "--state", str(state), "--who", "li"])
    assert settled.exit_code == 0, settled.output
    offline = runner.invoke(whole, ["settle", "2026-03", "--data", str(folder), "--out", str(tmp_path / "out")])
    assert offline.exit_code == 0, offline.output
    [run] = json.loads(runner.invoke(app, ["runs", "--state", str(state), "--json"]).output)
    of_store = state / "runs" / run["folder"]
    lines = _lines(of_store / "statement")
    assert lines == _lines(tmp_path / "out")
    [deep_peak] = [row for row in lines if (row["unit"], row["service"]) == ("U1", "deep_peak")]
    # Jiangsu's lower limit is 59 % of 660 MW = 389.4 MW: (389.4 - 200) MW for 4 h.
    assert Decimal(deep_peak["quantity"]) == Decimal("757.6")
    with new_store(state, FixedClock()) as store:
        create_backup(store, tmp_path / "backup")
    restore_backup(tmp_path / "backup", tmp_path / "restored", clock=FixedClock())
    data = tmp_path / "restored" / "runs" / run["folder"] / "data"
    again = runner.invoke(whole, ["settle", "2026-03", "--data", str(data), "--out", str(tmp_path / "again")])
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "again" / "manifest.json").read_text("utf-8"))["result_hash"] == run["result_hash"]
    assert Month.parse(run["month"]) == Month(2026, 3)


def _lines(statement: Path) -> list[dict[str, str]]:
    with (statement / "lines.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_of_two_imports_at_once_the_second_sees_the_rows_of_the_first(tmp_path: Path) -> None:
    taken, go_on = threading.Event(), threading.Event()

    def wait_before_the_commit(*_: object) -> None:
        taken.set()
        go_on.wait(HANG_S)

    def take_first(store: CenterStore) -> None:
        data = (PLAN + plan_row(1, "300")).encode()
        delivered = Delivered("a.csv", data, hashlib.sha256(data).hexdigest())
        take_tables(store, ["plan"], delivered, who="li", replace=False, services=(), finish=wait_before_the_commit)

    with new_store(tmp_path / "state") as one, new_store(tmp_path / "state") as two, ThreadPoolExecutor(2) as pool:
        take(one, "register", REGISTER)
        first = pool.submit(take_first, one)
        assert taken.wait(HANG_S)
        second = pool.submit(take, two, "plan", PLAN + plan_row(1, "333"))
        time.sleep(0.3)  # so that the second would have looked, were it not kept waiting; where not, less is proven
        go_on.set()
        first.result()
        with pytest.raises(ConfigError, match="conflicts with import 2"):
            second.result()
        assert powers(one) == ["300"]
