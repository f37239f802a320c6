# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs: whole or nothing, repeatable, comparable; what would be if; a package a stranger verifies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from collector.base.clock_state import ClockState
from collector.base.errors import ConfigError, Denied, RuleError, StoreError
from collector.center.db.store import CenterStore
from collector.center.lake.day_file import write_table
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.runs.compare import compare_runs, effect_by_plant
from collector.center.runs.measuring.measure_days import MonthMeasuring
from collector.center.runs.package import build_package, export_package
from collector.center.runs.run_list import list_asked, list_runs, pinned_files
from collector.center.runs.settle_month import MadeRun, measure_month, settle_month
from collector.center.runs.stored_run import open_run
from collector.center.runs.variants.what_if import TableChange, what_if
from collector.model.record import Quality, UnitLayout, UnitRecord
from collector.report.saved_statement import load_saved
from collector.settlement.rulebook.load import read_rulebook_files
from collector.sheets.files import Delivered
from tests.center.runs.center_months import JUNE, LI, RULES, Gateway, assert_as_offline, new_store, settled, take
from tests.center.runs.kept_months import KeptMonth
from tests.center.runs.late_changes import PLAN, at, register, rules_with
from tests.patience import HANG_S

OPERATOR = Actor("li", Role.OPERATOR)
AUDITOR = Actor("wang", Role.AUDITOR)


@pytest.fixture
def made(settled_june: KeptMonth) -> MadeRun:
    """The run of the settled month."""
    return settled_june.run


@pytest.fixture
def store(settled_june: KeptMonth, tmp_path: Path) -> Iterator[CenterStore]:
    settled_june.copy_to(tmp_path / "state")
    with new_store(tmp_path / "state") as opened:
        yield opened


def delivered(kind: str, text: str) -> Delivered:
    return Delivered(f"{kind}.csv", text.encode(), "")


# ---- settling ------------------------------------------------------------------------------------------------------


def test_a_run_and_its_entry_in_the_audit_log_are_there_together(store: CenterStore) -> None:
    row = settle_month(store, JUNE, rulebook=RULES, actor=OPERATOR, note="second look")
    assert (row.kind, row.who, row.note, row.base_run_id) == ("trial", "li", "second look", None)
    [entry] = store.read(lambda c: audit.list_entries(c, subject=f"run {row.id}"))
    assert (entry["action"], entry["who"], entry["role"]) == ("run.settle", "li", "operator")
    assert entry["detail"]["result_hash"] == row.result_hash
    assert store.read(audit.verify) == []
    manifest = load_saved(store.directory / "runs" / row.folder / "statement").manifest
    assert (manifest["result_hash"], manifest["rulebook"]["hash"]) == (row.result_hash, row.rulebook_hash)
    assert len(store.read(lambda c: pinned_files(c, row.id))) == 60


def test_nothing_is_left_of_a_run_that_was_refused(store: CenterStore, tmp_path: Path) -> None:
    folders, runs = sorted((store.directory / "runs").iterdir()), store.read(list_runs)
    with pytest.raises(Denied):
        settle_month(store, JUNE, rulebook=RULES, actor=AUDITOR)
    late = '  value = 0.40\n  from = 2026-06-25\n  state = "nonsense"\n  cite = "notice"'
    broken = rules_with(tmp_path / "broken", "article-13.toml", "deep_peak.gate_ratio", late)
    with pytest.raises(ConfigError, match="state"):
        settle_month(store, JUNE, rulebook=broken, actor=OPERATOR)
    ended = '  from = 2026-06-25\n  state = "unknown"\n  cite = "notice"'
    without = rules_with(tmp_path / "without", "article-13.toml", "deep_peak.gate_ratio", ended)
    with pytest.raises(RuleError, match="gate_ratio"):
        settle_month(store, JUNE, rulebook=without, actor=OPERATOR)
    take(store, "plan", PLAN + f"V1,{at(3, 6)},{at(3, 12)},9999,\n")  # what can't be was not asked of the rulebook
    with pytest.raises(ConfigError, match="9999 MW can't be: V1"):
        settle_month(store, JUNE, rulebook=RULES, actor=OPERATOR)
    assert sorted((store.directory / "runs").iterdir()) == folders
    assert store.read(list_runs) == runs
    # Who may not settle asked for nothing; of the others there is a row, and an entry in the audit log.
    rows = store.read(list_asked)[1:]
    assert [(row.state, row.folder, len(row.problems)) for row in rows] == [
        ("failed", "", 2), ("failed", "", 0), ("failed", "", 1),
    ]  # fmt: skip
    assert [e["action"] for e in store.read(audit.list_entries)] == ["run.fail"] * 3 + ["run.settle"]


def test_days_measured_ahead_leave_a_closing_nothing_to_measure(store: CenterStore) -> None:
    take(store, "plan", PLAN + f"V1,{at(3, 6)},{at(3, 12)},333,\n")
    folders = sorted((store.directory / "runs").iterdir())
    (store.directory / "runs" / ".measuring-2026-05" / "data").mkdir(parents=True)  # by one that was killed
    assert measure_month(store, JUNE, rulebook=RULES) == 1
    assert measure_month(store, JUNE, rulebook=RULES) == 0
    assert sorted((store.directory / "runs").iterdir()) == folders
    assert settled(store).progress.measured == ()


def test_processes_measure_what_one_process_does(store: CenterStore) -> None:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    from collector.center.runs.data_policy import reach_of
    from collector.center.runs.input_folder import lay_out_folder, pin_month
    from collector.center.runs.measuring.measure_plant import measure_apart
    from collector.settlement.rulebook.load import load_rulebook

    book = load_rulebook(RULES)
    pinned = pin_month(store, JUNE, store.read(lambda c: reach_of(c, JUNE, book)))
    data = store.directory / "data"
    hashes = store.read(lambda c: lay_out_folder(c, store, JUNE, pinned, data))
    measuring = MonthMeasuring(store, JUNE, data, book, pinned, hashes=hashes)
    measuring.measure()
    jobs = list(measuring.jobs(measuring.cells))
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        apart = list(pool.map(measure_apart, jobs[::-1]))[::-1]
    assert apart == [measure_apart(job) for job in jobs]


def test_a_stop_before_the_month_and_the_restart_in_it_are_one_occurrence(tmp_path: Path) -> None:
    """Art. 13(5), I-06: off at 22:00 on 31 May, on at 05:00 on 1 June, inside one order: 260 元/MW × 600 MW."""
    layout = [UnitLayout("U1", ("active_power_mw", "on_grid"))]
    unit = '[[unit]]\nid = "U1"\nplant = "P1"\nkind = "gas"\nrated_mw = "600"\n'
    with new_store(tmp_path / "state") as store:
        gateway = Gateway(store, "P1", ["U1"])
        minutes = range(12 * 60, 48 * 60, 5)  # from noon of 31 May to midnight of 2 June
        off = range(22 * 60, 29 * 60)
        records = [
            UnitRecord("U1", at(0) + m * 60_000, (0 if m in off else 500_000, int(m not in off)),
                       (Quality.GOOD,) * 2, clock=ClockState.SYNCHRONISED)
            for m in minutes
        ]  # fmt: skip
        gateway.send(layout, records)
        head = register().split("[[unit]]")[0]
        take(store, "register", head + unit)
        take(store, "orders", f"id,unit,kind,start,end\no1,U1,start_stop,{at(0, 21)},{at(1, 12)}\n")
        run = settled(store)
        assert_as_offline(store, run, tmp_path)
        [line] = [line for line in run.statement.lines if line.service == "gas_start_stop"]
        assert (line.quantity, line.amount_yuan) == (Fraction(1), Decimal("156000.00"))
        assert [cell.first_day.isoformat() for cell in run.progress.cells if cell.runs_only] == ["2026-05-31"]
        names = [name for _, name in store.read(lambda c: pinned_files(c, run.row.id))]
        assert sorted(name[:10] for name in names) == ["2026-05-31", "2026-06-01"]


def test_where_day_files_do_not_fit_together_the_month_is_measured_from_all_of_them(
    store: CenterStore, tmp_path: Path
) -> None:
    """A file that lost its head: its day alone would not know what holds into it; offline settling does."""
    import pyarrow.parquet as pq
    from sqlalchemy import update

    from collector.center.db.tables_receive import lake_file

    query = lake_file.select().where((lake_file.c.plant == "P1") & (lake_file.c.day == "2026-06-10"))
    row = store.read(lambda c: c.execute(query).one())
    table = pq.read_table(store.lake / "P1" / row.name)
    headless = table.filter([place != -1 for place in table["place"].to_pylist()])
    path, sha256, _ = write_table(headless, store.lake / "P1", "2026-06-10")
    change = update(lake_file).where(lake_file.c.id == row.id).values(name=path.name, sha256=sha256)
    store.write(lambda c: c.execute(change)).result()
    run = settled(store)
    assert [(cell.plant, cell.days) for cell in run.progress.measured] == [("P1", 30)]
    assert_as_offline(store, run, tmp_path)


# ---- comparing, and what would be if -------------------------------------------------------------------------------


def test_two_runs_differ_in_what_changed_between_them_and_say_why(store: CenterStore, made: MadeRun) -> None:
    first = made.row.id
    assert compare_runs(store, first, settled(store).row.id).lines == ()
    take(store, "plan", PLAN + f"U1,{at(12, 6)},{at(12, 12)},300,\n", replace=True)
    later = settled(store).row.id
    found = compare_runs(store, first, later)
    assert found.changed == ("dispatch inputs: plan",)
    assert {(d.subject, d.service) for d in found.lines} == {("U1", "agc_up"), ("U1", "agc_down")}
    assert all(d.causes == ("dispatch inputs: plan",) for d in found.lines)
    effects = effect_by_plant(store, first, later)
    assert [(e.plant, e.changed) for e in effects] == [("P1", True), ("P2", True)]  # the pool is shared
    assert sum(e.net_change_yuan or 0 for e in effects) == 0
    before, after = ({(line.unit, line.service): line for line in open_run(store, n).lines} for n in (first, later))
    gained = sum((d.amount_yuan or 0) - (before[key].amount_yuan or 0) for key, d in after.items())
    assert gained > 0  # 100 MW less to go down for, as much more to go up from, for two and four hours
    assert [e.compensation_change_yuan for e in effects] == [gained, 0]


def test_a_remedy_is_tried_before_it_is_granted_and_nothing_in_force_changes(store: CenterStore, made: MadeRun) -> None:
    first = made.row
    text = PLAN + f"U1,{at(12, 6)},{at(12, 12)},300,\n"
    tried = what_if(
        store, first.id, changes=[TableChange("plan", delivered("plan", text))], actor=OPERATOR, note="review 7"
    )
    assert (tried.kind, tried.base_run_id, tried.note) == ("what_if", first.id, "review 7")
    assert settled(store).row.result_hash == first.result_hash  # what is in force is as it was
    take(store, "plan", text, replace=True)
    granted = settled(store)
    assert granted.row.result_hash == tried.result_hash
    assert granted.progress.measured == ()  # the day was measured when it was tried
    assert [e.plant for e in effect_by_plant(store, first.id, tried.id)] == ["P1", "P2"]
    careful = TableChange("plan", delivered("plan", text), replace=False)
    with pytest.raises(ConfigError, match="conflicts with a row in force"):
        what_if(store, first.id, changes=[careful], actor=OPERATOR)
    wrong = delivered("plan", text.replace("U1", "U9"))
    with pytest.raises(ConfigError, match="unknown unit"):
        what_if(store, first.id, changes=[TableChange("plan", wrong)], actor=OPERATOR)
    with pytest.raises(Denied):
        what_if(store, first.id, actor=AUDITOR)


def test_a_draft_rulebook_is_tried_on_a_run_that_is_there(store: CenterStore, made: MadeRun, tmp_path: Path) -> None:
    first = made.row
    row = '  value = "480"\n  from = 2026-06-01\n  state = "in_force"\n  cite = "draft"'
    draft = rules_with(tmp_path / "draft", "article-14.toml", "agc_basic.price", row)
    tried = what_if(store, first.id, rulebook=read_rulebook_files(draft), actor=OPERATOR)
    assert tried.rulebook_hash != first.rulebook_hash
    before, after = (
        {(line.unit, line.service): line.amount_yuan for line in open_run(store, run).lines}
        for run in (first.id, tried.id)
    )
    for key, amount in before.items():
        if key[1] == "agc_basic":
            assert amount is not None
            assert abs((after[key] or 0) - 2 * amount) <= Decimal("0.01")
        else:
            assert after[key] == amount
    exclusion = f"unit,service,start,end,reason\nU1,avc,{at(2)},{at(3)},grid\n"
    register_too = Delivered("register.toml", register().replace('"660"', '"670"').encode(), "")
    both = [TableChange("exclusions", delivered("exclusions", exclusion)), TableChange("register", register_too)]
    again = what_if(store, tried.id, changes=both, actor=OPERATOR)  # a variant of a variant
    assert again.rulebook_hash == tried.rulebook_hash
    assert_as_offline(store, MadeRun(again, made.statement, made.progress), tmp_path)


# ---- packages ------------------------------------------------------------------------------------------------------


def test_a_stranger_verifies_a_package_offline(store: CenterStore, made: MadeRun, tmp_path: Path) -> None:
    first = made.row
    head = store.read(audit.head)
    path = export_package(store, first.id, tmp_path / "june.zip", actor=LI)
    clean = tmp_path / "clean"
    with zipfile.ZipFile(path) as package:
        assert all(not name.startswith(("/", "..")) for name in package.namelist())
        package.extractall(clean)
    assert json.loads((clean / "AUDIT.json").read_bytes())["hash"] == head[1]
    assert first.result_hash in (clean / "README.md").read_text("utf-8")
    subprocess.run(["sha256sum", "--quiet", "-c", "SHA256SUMS"], cwd=clean, check=True)
    listed = {line.split("  ")[1] for line in (clean / "SHA256SUMS").read_text().splitlines()}
    there = {p.relative_to(clean).as_posix() for p in clean.rglob("*") if p.is_file()}
    assert listed == there - {"SHA256SUMS"}
    _collector(clean, "settle", "2026-06", "--data", "data", "--rulebook", "rulebook", "--out", "check")
    _collector(clean, "compare", "statement", "check")
    assert json.loads((clean / "check" / "manifest.json").read_bytes())["result_hash"] == first.result_hash
    [entry] = [e for e in store.read(audit.list_entries) if e["action"] == "run.package"]
    assert entry["subject"] == f"run {first.id}"
    with pytest.raises(Denied):
        export_package(store, first.id, tmp_path / "other.zip", actor=Actor("p", Role.PLANT, "P1"))
    with pytest.raises(StoreError, match="is there already"):
        export_package(store, first.id, path, actor=LI)


def _collector(folder: Path, *arguments: str) -> None:
    code = "from collector.cli.main import main; main()"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_same_run_packs_into_the_same_bytes(store: CenterStore, made: MadeRun, tmp_path: Path) -> None:
    run = open_run(store, made.row.id)
    for name in ("a.zip", "b.zip"):
        build_package(store, run, tmp_path / name)
        for path in run.folder.rglob("*"):
            os.utime(path, (1, 1))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_run_whose_folder_is_not_whole_is_not_packed(store: CenterStore, made: MadeRun, tmp_path: Path) -> None:
    run = open_run(store, made.row.id)
    (run.folder / "statement" / "lines.csv").unlink()
    with pytest.raises(StoreError, match=r"lines\.csv: is not the file the store lists: .* found no file"):
        build_package(store, run, tmp_path / "a.zip")
    assert not list(tmp_path.glob("*.zip*"))
