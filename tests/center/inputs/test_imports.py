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
from collector.center.operate.backup import create_backup
from collector.center.operate.restore import restore_backup
from collector.center.people.access import Actor
from collector.cli.center.commands import app
from collector.model.interval import Month
from collector.model.record import Quality, UnitLayout, UnitRecord
from collector.sheets.files import Delivered
from collector.tables.limits import InputRules
from tests.center.center_batches import NOON, FixedClock, deliver, new_store
from tests.center.inputs.small_tables import HOUR, MOVING, PLAN, REGISTER, plan_row, powers, take
from tests.patience import HANG_S
from tests.settlement.small_month import shipped_rulebook

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
    first, second = (
        f"U1, {HOUR.format(hour)}, {HOUR.format(hour + 1)}, {power})" for hour, power in ((1, 300), (2, 310))
    )
    assert first in caught.value.problems[0].message  # in the words of the file, no milliseconds
    assert second in caught.value.problems[1].message
    assert powers(store) == ["300", "310"]  # also the row without conflict: whole or not at all


def test_replaced_rows_are_kept_and_come_back_when_the_import_is_undone(store: CenterStore) -> None:
    take(store, "plan", PLAN + plan_row(1, "300") + plan_row(2, "310") + plan_row(3, "320"))
    second = take(store, "plan", PLAN + plan_row(1, "333", until=3) + plan_row(3, "320"), replace=True)
    assert second == Imported(3, 1, 1, 2)
    assert powers(store) == ["333", "320"]
    with pytest.raises(StoreError, match="import 3 replaced rows of it"):
        take_back(store, 2, actor=Actor.at_command_line("li"), reason="wrong", rules=None)
    take_back(store, 3, actor=Actor.at_command_line("wang"), reason="wrong", rules=None)
    assert powers(store) == ["300", "310", "320"]
    with pytest.raises(StoreError, match="undone already"):
        take_back(store, 3, actor=Actor.at_command_line("wang"), reason="wrong", rules=None)
    assert store.read(list_imports)[-1]["undone_by"] == "wang"


def test_an_undo_that_would_bring_back_a_conflict_is_refused(store: CenterStore) -> None:
    take(store, "plan", PLAN + plan_row(1, "300", until=3))
    take(store, "plan", PLAN + plan_row(1, "333"), replace=True)
    take(store, "plan", PLAN + plan_row(2, "310"))  # takes the hour that the replacement left free
    with pytest.raises(StoreError, match="conflicts with import 4"):
        take_back(store, 3, actor=Actor.at_command_line("li"), reason="wrong", rules=None)
    assert powers(store) == ["333", "310"]


def test_an_undone_import_can_be_made_again(store: CenterStore) -> None:
    text = PLAN + plan_row(1, "300")
    take(store, "plan", text)
    take_back(store, 2, actor=Actor.at_command_line("li"), reason="wrong", rules=None)
    assert store.read(lambda c: rows_in_force(c, store.imported, "plan")) is None  # not delivered
    assert take(store, "plan", text) == Imported(3, 1, 0, 0)


def test_plans_issued_at_other_times_stand_beside_each_other(store: CenterStore) -> None:
    header = "unit,start,end,power_mw,issued\n"
    first = f"U1,{HOUR.format(1)},{HOUR.format(2)},300,\n"
    later = f"U1,{HOUR.format(1)},{HOUR.format(2)},320,{HOUR.format(0)}\n"
    take(store, "plan", header + first)
    assert take(store, "plan", header + later).added == 1


@pytest.mark.parametrize("written", ["300", "300.0", "3e2", "300.000", "+300"])
def test_a_number_is_one_number_however_it_is_written(store: CenterStore, written: str) -> None:
    take(store, "plan", PLAN + plan_row(1, "300.00"))
    assert take(store, "plan", PLAN + plan_row(1, written)).same == 1
    with pytest.raises(ConfigError, match="conflicts with import"):
        take(store, "plan", PLAN + plan_row(1, written.replace("3", "4", 1)))
    prices = "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from\n{},600,0,8,40,2026-01-01\n"
    take(store, "start_stop_table", prices.format("300.00"))
    assert take(store, "start_stop_table", prices.format(written)).same == 1


def test_what_cant_be_is_refused_by_the_rulebook_and_how_a_file_was_read_is_said(store: CenterStore) -> None:
    rules = InputRules.of(shipped_rulebook())
    text = (PLAN + plan_row(1, "792.001")).replace(",", ";")  # 1.2 × 660 MW = 792 MW
    with pytest.raises(ConfigError, match=r"792\.001 MW can't be: U1 has at most 792 MW"):
        take(store, "plan", text, rules=rules)
    taken = take(store, "plan", text.replace("792.001", "792"), rules=rules)
    assert (taken.added, taken.notes) == (1, ("cells are separated by semicolons, as the header shows",))
    with pytest.raises(ConfigError, match="'jiangus' is none of anhui"):
        take(store, "register", REGISTER.replace("jiangsu", "jiangus"), rules=rules, name="register.toml", replace=True)


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


REVENUE = "plant,month,kind,amount_yuan,area\n"


@pytest.mark.parametrize(("first", "second"), [("", "jiangsu"), ("jiangsu", "")])
def test_revenue_without_an_area_is_for_the_plants_own_and_meets_what_names_it(
    store: CenterStore, first: str, second: str
) -> None:
    take(store, "revenue", REVENUE + f"P1,2026-03,energy,100,{first}\n")
    text = REVENUE + f"P1,2026-02,energy,90,{second}\nP1,2026-03,energy,101,{second}\n"
    with pytest.raises(ConfigError) as caught:
        take(store, "revenue", text)
    (problem,) = caught.value.problems
    assert (problem.file, problem.row, problem.key) == ("revenue.csv", 3, "area")
    stored = ", ".join(filter(None, ("P1", "2026-03", "energy", "100", first)))
    assert f"conflicts with import 2 row 2 ({stored}), for an empty area is jiangsu here" in problem.message
    assert take(store, "revenue", REVENUE + f"P1,2026-03,energy,100,{second}\n").same == 1  # said otherwise
    assert take(store, "revenue", text, replace=True) == Imported(3, 2, 0, 1)
    take_back(store, 3, actor=Actor.at_command_line("li"), reason="wrong", rules=None)
    rows = store.read(lambda c: list(rows_in_force(c, store.imported, "revenue") or ()))
    assert rows == [("P1", "2026-03", "energy", "100", first)]


def test_an_undo_that_would_bring_revenue_back_beside_its_like_is_refused(store: CenterStore) -> None:
    take(store, "revenue", REVENUE + "P1,2026-03,energy,100,\n")
    take(store, "revenue", REVENUE + "P1,2026-03,energy,101,jiangsu\n", replace=True)
    take(store, "register", MOVING, name="register.toml", replace=True)
    take(store, "revenue", REVENUE + "P1,2026-03,energy,102,shanghai\n")  # where the first row would count now
    with pytest.raises(StoreError, match="conflicts with import 5"):
        take_back(store, 3, actor=Actor.at_command_line("li"), reason="wrong", rules=None)


def test_revenue_is_compared_by_the_register_of_its_own_file(store: CenterStore) -> None:
    """P1 moves on the 15th: without an area its revenue is for the last area of the month."""
    take(store, "revenue", REVENUE + "P1,2026-03,energy,100,jiangsu\n")
    take(store, "register", MOVING, name="register.toml", replace=True)
    take(store, "revenue", REVENUE + "P1,2026-03,energy,50,\n")
    with pytest.raises(ConfigError, match=r"conflicts with import 4 row 2 .* an empty area is shanghai here"):
        take(store, "revenue", REVENUE + "P1,2026-03,energy,51,shanghai\n")
    text = """<! System=OMS TimeZone='+08:00' !>
<区域::华东>
@ 编号 名称 调度方式 低谷时段 高峰时段
# jiangsu 江苏 annual_plan 00:00-08:00 08:00-11:00
# shanghai 上海 annual_plan 00:00-08:00 08:00-11:00
</区域::华东>
<电厂::华东>
@ 编号 名称 区域 电费口径 参与分摊
# P1 某电厂 shanghai on_grid 1
</电厂::华东>
<机组::华东>
@ 编号 电厂 机组类型 额定容量
# U1 P1 coal 660
</机组::华东>
<revenue::华东>
@ plant month kind amount_yuan area
# P1 2026-02 energy 51 ''
</revenue::华东>
"""
    take(store, "revenue", REVENUE + "P1,2026-02,energy,50,shanghai\n")
    data = text.encode()
    delivered = Delivered("month.e", data, hashlib.sha256(data).hexdigest())
    done = take_tables(store, ["register", "revenue"], delivered, who="li", replace=True, rules=None)
    assert [(each.added, each.replaced) for each in done] == [(1, 1), (1, 1)]


def test_prices_that_overlap_those_of_another_import_are_refused(store: CenterStore) -> None:
    header = "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from\n"
    take(store, "start_stop_table", header + "0,300,0,24,10,2026-01-01\n300,600,0,24,40,2026-01-01\n")
    for beside in ("600,900,0,24", "0,600,24,48.5"):  # half-open: they touch
        assert take(store, "start_stop_table", header + f"{beside},50,2026-01-01\n").added == 1
    assert take(store, "start_stop_table", header + "0,600,0,24,50,2026-02-01\n").added == 1  # another date
    with pytest.raises(ConfigError) as caught:
        take(store, "start_stop_table", header + "900,1000,0,24,60,2026-01-01\n299.5,300.5,23,24,60,2026-01-01\n")
    assert [(p.row, p.message.split("(")[0]) for p in caught.value.problems] == [
        (3, "conflicts with import 2 row 2 "),
        (3, "conflicts with import 2 row 3 "),
    ]


NEW_KINDS = {
    "meter_changes": (
        "unit,time,old_final_mwh,new_initial_mwh,document\n",
        (f"U1,{HOUR.format(1)},1500.5,0,换表单", f"U1,{HOUR.format(1)},1500.6,0,换表单", f"U1,{HOUR.format(2)},9,0,"),
    ),
    "reserve_calls": (
        "unit,kind,called,power_mw,note\n",
        (f"U1,hot,{HOUR.format(1)},50,", f"U1,hot,{HOUR.format(1)},51,", f"U1,spinning,{HOUR.format(1)},50,"),
    ),
    "reserve_minimum": (
        "area,start,end,power_mw\n",
        (
            f"jiangsu,{HOUR.format(1)},{HOUR.format(3)},500",
            f"jiangsu,{HOUR.format(2)},{HOUR.format(4)},500",
            f"jiangsu,{HOUR.format(3)},{HOUR.format(4)},500",
        ),
    ),
}


@pytest.mark.parametrize("kind", NEW_KINDS)
def test_evidence_and_statistics_are_versions_as_all_tables_are(store: CenterStore, kind: str) -> None:
    header, (first, claiming, beside) = NEW_KINDS[kind]
    taken = take(store, kind, header + first + "\n")
    assert (taken.added, take(store, kind, header + first + "\n").same) == (1, 1)
    with pytest.raises(ConfigError, match="conflicts with import"):
        take(store, kind, header + claiming + "\n")
    assert take(store, kind, header + beside + "\n").added == 1
    other = take(store, kind, header + claiming + "\n", replace=True)
    assert other.replaced >= 1
    take_back(store, other.import_id or 0, actor=Actor.at_command_line("li"), reason="wrong", rules=None)
    rows = store.read(lambda c: list(rows_in_force(c, store.imported, kind) or ()))
    assert sorted(row[-2:] for row in rows) == sorted(
        tuple(line.split(",")[-2:]) if kind != "reserve_minimum" else (str(row[-2]), "500")
        for line, row in zip((first, beside), rows, strict=True)
    )


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
        take_tables(store, ["plan"], delivered, who="li", replace=False, rules=None, finish=wait_before_the_commit)

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
