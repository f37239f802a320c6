# SPDX-License-Identifier: GPL-3.0-or-later
"""Every stored file that money, or a page about money, is made from is damaged in turn: refused by name, or remade.

Three damages: one bit turned over, the end cut off, and other content of the very same form (fewer rows, other values),
which every reader takes for good.
"""

from __future__ import annotations

import hashlib
import json
import logging
import pickle
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from sqlalchemy import LargeBinary, Table, delete, select, update

from collector.base.errors import ConfigError, StoreError
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import imported, run
from collector.center.db.tables_receive import payload
from collector.center.db.tables_results import day_result, day_segments, file_facts
from collector.center.db.verified import Altered, altered
from collector.center.lake.seal import find_stale_days, seal_day
from collector.center.operate.integrity import check_store
from collector.center.receive.day_index import mark_resealed
from collector.center.runs.compare import compare_runs, effect_by_plant
from collector.center.runs.package import build_package
from collector.center.runs.run_list import page_hashes
from collector.center.runs.run_rows import ROWS_VERSION
from collector.center.runs.run_statement import load_run_statement
from collector.center.runs.settle_month import MadeRun, measure_month
from collector.center.runs.stored_run import OpenedRun
from collector.center.runs.variants.what_if import TableChange, what_if
from collector.model.interval import DAY_MS
from collector.sheets.files import Delivered
from tests.center.runs.center_months import JUNE, LI, RULES, new_store, settled
from tests.center.runs.kept_months import KeptMonth
from tests.center.runs.late_changes import at
from tests.size import in_turn

NO_ORDERS = TableChange("orders", Delivered("orders.csv", b"id,unit,kind,start,end\n", ""))
KINDS = ("plan", "orders", "reserve", "voltage_band", "exclusions", "revenue")


@pytest.fixture
def first(settled_june: KeptMonth) -> MadeRun:
    """The run of the settled month."""
    return settled_june.run


@pytest.fixture
def store(settled_june: KeptMonth, tmp_path: Path) -> Iterator[CenterStore]:
    with new_store(settled_june.copy_to(tmp_path / "state")) as opened:
        yield opened


# ---- damages -------------------------------------------------------------------------------------------------------


def flip(path: Path) -> None:
    """One bit in the middle."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    """The second half is gone."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def other(path: Path) -> None:
    """Other content that is read without complaint."""
    data = path.read_bytes()
    if path.suffix == ".csv":
        lines = data.splitlines(keepends=True)
        path.write_bytes(b"".join(lines[:2]) if len(lines) > 2 else lines[0])
    elif path.suffix == ".parquet":
        table = pq.read_table(path)
        name = next(n for n in ("active_power_mw", "power_kw", "value") if n in table.column_names)
        doubled = pc.add(table[name], table[name]).cast(table[name].type)
        pq.write_table(table.set_column(table.column_names.index(name), name, doubled), path)
    else:
        assert b"1000" in data  # P1's revenue
        path.write_bytes(data.replace(b"1000", b"3000", 1))


def gone(path: Path) -> None:
    """Not there."""
    path.unlink()


DAMAGES = (flip, cut, other, gone)
Damage = Callable[[Path], None]
DERIVED = ("plan-*.parquet", "plan-*.digests")
TABLES = (*(f"{kind}.csv" for kind in KINDS), "register.toml")
STATEMENT = ("lines.csv", "plants.csv", "ledger.csv", "statement.html")
every_damage = pytest.mark.parametrize("damage", DAMAGES)


def said(path: Path) -> str:
    """How a refusal names a file."""
    return f"{path}: is not the file the store lists: expected SHA-256 [0-9a-f]{{64}}, found "


def statement_of(store: CenterStore, settled_run: MadeRun) -> dict[str, bytes]:
    """The statement's files without its papers, which name the run; so the manifest without their hashes."""
    folder = store.directory / "runs" / settled_run.row.folder / "statement"
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix not in (".html", ".xlsx")}
    lines = files["manifest.json"].splitlines()
    told = [line for line in lines if not re.match(rb'\s*"(statement_hash|statement\.(html|xlsx))"', line)]
    assert len(told) == len(lines) - 3
    return files | {"manifest.json": b"\n".join(told)}


def opened(store: CenterStore, first: MadeRun) -> OpenedRun:
    """The first run, opened by somebody who has read nothing of it yet."""
    return OpenedRun(store, first.row)


def shown(read: OpenedRun) -> list[object]:
    """Everything that pages, REST and explanations say of a run but its records."""
    found: list[object] = [read.lines, read.plants, read.areas, read.findings, read.ledger]
    for unit in ("U1", "U2", "V1"):
        found += [read.lines_of(unit), read.determinants(unit), read.unpaid(unit), read.primary_frequency(unit)]
        found += [read.segments(unit).to_pylist(), [read.unit_day(unit, date(2026, 6, n)) for n in (1, 3, 5)]]
    return found


def one_file(folder: Path, pattern: str) -> Path:
    [path] = folder.glob(pattern)
    return path


# ---- tables and what is derived from them --------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "damage"), in_turn(KINDS, DAMAGES))
def test_a_cached_table_is_laid_out_again(
    store: CenterStore, first: MadeRun, kind: str, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    path = one_file(store.directory / "laid-out", f"{kind}-2026-06-*.csv")
    before = path.read_bytes()
    damage(path)
    again = settled(store)
    assert again.row.result_hash == first.row.result_hash
    assert statement_of(store, again)["manifest.json"] == statement_of(store, first)["manifest.json"]
    assert path.read_bytes() == before
    assert (f"{path}: is not the file the store lists" in caplog.text) is (damage is not gone)


# Any other digests are bytes turned over.
@pytest.mark.parametrize(("pattern", "damage"), in_turn(DERIVED, DAMAGES, {("plan-*.digests", other)}))
def test_what_is_derived_from_the_plan_is_made_again(
    store: CenterStore, first: MadeRun, pattern: str, damage: Damage
) -> None:
    path, expected = one_file(store.directory / "laid-out", pattern), shown(opened(store, first))
    before = path.read_bytes()
    damage(path)
    assert settled(store).row.result_hash == first.row.result_hash
    assert shown(opened(store, first)) == expected
    assert path.read_bytes() == before


# A register has no revenue in it.
@pytest.mark.parametrize(("name", "damage"), in_turn(TABLES, DAMAGES, {("register.toml", other)}))
def test_a_table_of_a_runs_own_is_refused_and_no_other_run_has_it(
    store: CenterStore, first: MadeRun, name: str, damage: Damage, tmp_path: Path
) -> None:
    read = opened(store, first)
    damage(read.data / name)
    refused = said(read.data / name)
    with pytest.raises(Altered, match=refused):
        what_if(store, first.row.id, changes=[NO_ORDERS], actor=LI)
    with pytest.raises(Altered, match=refused):
        build_package(store, read, tmp_path / "a.zip")
    if name != "plan.csv":  # a drawing takes the plan from its copy by unit
        with pytest.raises(Altered, match=refused):
            read.inputs_of("U1")
    again = settled(store)
    assert again.row.result_hash == first.row.result_hash
    assert not compare_runs(store, first.row.id, again.row.id).lines
    assert len(list((store.directory / "runs").iterdir())) == 2


def test_a_table_put_beside_those_of_a_run_is_refused(store: CenterStore, first: MadeRun) -> None:
    """It would be settled with, as a table that was delivered."""
    extra = opened(store, first).data / "start_stop_table.csv"
    extra.write_text("kind,rated_mw_from,rated_mw_to,price_yuan\n", "utf-8")
    with pytest.raises(Altered, match=r"start_stop_table\.csv.*expected SHA-256 no such file"):
        opened(store, first).inputs_of("U1")
    assert what_if(store, first.row.id, actor=LI).result_hash == first.row.result_hash  # it was not taken over


def test_a_register_is_the_one_that_was_imported(store: CenterStore) -> None:
    wrong = update(imported).where(imported.c.kind == "register").values(sha256="0" * 64)
    store.write(lambda c: c.execute(wrong)).result()
    with pytest.raises(Altered, match=r"import 1: is not the file the store lists: expected SHA-256 0{64}"):
        settled(store)


# ---- day files -----------------------------------------------------------------------------------------------------


def forget_measured(store: CenterStore) -> None:
    for table in (day_result, day_segments, file_facts):
        store.write(lambda c, t=table: c.execute(delete(t))).result()  # type: ignore[misc]


@pytest.mark.parametrize(("known", "damage"), in_turn([True, False], DAMAGES))
def test_a_damaged_day_file_is_not_measured(
    store: CenterStore, first: MadeRun, damage: Damage, known: bool, tmp_path: Path
) -> None:
    """`known`: what units it has was read while it was whole."""
    path = one_file((store.directory / "lake") / "P1", "2026-06-03-*.parquet")
    forget_measured(store)
    if known:
        measure_month(store, JUNE, rulebook=RULES)
        store.write(lambda c: c.execute(delete(day_result))).result()
    damage(path)
    folders = sorted((store.directory / "runs").iterdir())
    with pytest.raises(Altered, match=said(path)):
        settled(store)
    assert sorted((store.directory / "runs").iterdir()) == folders
    if damage is gone:
        return  # the run has a name of its own for it
    read = opened(store, first)
    pinned = read.data / "records" / f"P1-{path.name}"
    with pytest.raises(Altered, match=said(pinned)):
        read.records("U1", at(3), at(3) + DAY_MS)
    with pytest.raises(Altered, match=said(pinned)):
        read.inputs_of("U1")
    with pytest.raises(Altered, match=said(pinned)):
        what_if(store, first.row.id, changes=[NO_ORDERS], actor=LI)
    with pytest.raises(Altered, match=said(pinned)):
        build_package(store, read, tmp_path / "a.zip")
    assert len(read.records("U1", at(4), at(5))) == 24


@pytest.mark.parametrize("damage", [flip, cut, other])
def test_what_was_measured_of_a_day_file_stands(store: CenterStore, first: MadeRun, damage: Damage) -> None:
    damage(one_file((store.directory / "lake") / "P1", "2026-06-03-*.parquet"))
    again = settled(store)
    assert (again.row.result_hash, again.progress.measured) == (first.row.result_hash, ())


@every_damage
def test_a_day_is_not_sealed_anew_from_a_damaged_file(store: CenterStore, damage: Damage) -> None:
    """Where payloads are gone the file is all there is of the day."""
    path = one_file((store.directory / "lake") / "P1", "2026-06-03-*.parquet")
    store.write(lambda c: c.execute(delete(payload))).result()
    store.write(lambda c: mark_resealed(c, "P1", ["2026-06-03"])).result()
    damage(path)
    stale = store.read(lambda c: find_stale_days(c, days=[date(2026, 6, 3)]))
    assert len(stale) == 1
    with pytest.raises(Altered, match=said(path)):
        seal_day(store, stale[0])


def test_a_refusal_comes_whole_out_of_another_process() -> None:
    told = altered(Path("lake/P1/2026-06-03.parquet"), "a" * 64, "b" * 64)
    again = pickle.loads(pickle.dumps(told))
    assert (type(again), str(again), again.subject) == (Altered, str(told), "lake/P1/2026-06-03.parquet")
    assert again.difference == told.difference
    assert "put this file back" not in told.difference  # what is remade is said without a remedy


# ---- what was measured ---------------------------------------------------------------------------------------------


def _other_row(rows: dict[bytes, bytes], key: bytes) -> bytes:
    return next(content for content in rows.values() if content != rows[key])


ROW_DAMAGES: dict[str, Callable[[dict[bytes, bytes], bytes], bytes]] = {
    "a bit": lambda rows, key: rows[key][:20] + bytes([rows[key][20] ^ 1]) + rows[key][21:],
    "cut": lambda rows, key: rows[key][: len(rows[key]) // 2],
    "another row's": _other_row,
}


@pytest.mark.parametrize(
    ("table", "damage"), in_turn([day_result, day_segments, file_facts], list(ROW_DAMAGES)), ids=str
)
def test_a_stored_result_that_is_not_as_it_was_stored_is_made_again(
    store: CenterStore, first: MadeRun, table: Table, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    key = next(iter(table.primary_key))
    content = next(c for c in table.c if isinstance(c.type, LargeBinary) and c is not key)
    rows = dict(store.read(lambda c: [tuple(row) for row in c.execute(select(key, content))]))
    chosen = min(rows, key=lambda k: (-len(rows[k]), k))  # of P1: more units
    damaged = ROW_DAMAGES[damage](rows, chosen)
    store.write(lambda c: c.execute(update(table).where(key == chosen).values({content: damaged}))).result()
    again = settled(store)
    assert statement_of(store, again) == statement_of(store, first)
    name = chosen if isinstance(chosen, str) else chosen.hex()
    assert f"{table.name} {name}: is not as it was stored: expected SHA-256" in caplog.text
    assert dict(store.read(lambda c: [tuple(row) for row in c.execute(select(key, content))])) == rows


def test_lost_segments_are_measured_again(store: CenterStore, first: MadeRun) -> None:
    store.write(lambda c: c.execute(delete(day_segments))).result()
    assert statement_of(store, settled(store)) == statement_of(store, first)


# ---- what pages read -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "damage"), in_turn(["rows.msgpack", "segments.parquet"], DAMAGES))
def test_what_pages_read_is_made_again_from_what_the_run_pinned(
    store: CenterStore, first: MadeRun, name: str, damage: Damage, caplog: pytest.LogCaptureFixture
) -> None:
    read = opened(store, first)
    expected, before = shown(read), (read.folder / name).read_bytes()
    damage(read.folder / name)
    caplog.set_level(logging.WARNING)
    assert shown(opened(store, first)) == expected
    assert f"{read.folder / name}: is not the file the store lists" in caplog.text
    assert (read.folder / name).read_bytes() == before
    again = settled(store)
    assert not [row for row in effect_by_plant(store, first.row.id, again.row.id) if row.changed]
    assert sorted(p.name for p in (store.directory / "runs").iterdir()) == sorted([read.folder.name, again.row.folder])


def test_rows_of_another_form_are_made_again(store: CenterStore, first: MadeRun) -> None:
    """An older program wrote them down, hash and all."""
    read = opened(store, first)
    path, expected = read.folder / "rows.msgpack", shown(read)
    data = path.read_bytes()
    assert data[1] == ROWS_VERSION  # after the head of the array
    path.write_bytes(data[:1] + b"\x00" + data[2:])
    hashes = store.read(lambda c: page_hashes(c, 1)) | {path.name: hashlib.sha256(path.read_bytes()).hexdigest()}
    store.write(lambda c: c.execute(update(run).values(page_files=json.dumps(hashes)))).result()
    assert shown(opened(store, first)) == expected
    assert path.read_bytes() == data


def test_a_run_and_results_of_a_program_that_kept_no_hashes(store: CenterStore, first: MadeRun) -> None:
    expected = shown(opened(store, first))
    store.write(lambda c: c.execute(update(run).values(page_files=None))).result()
    for table in (day_result, day_segments, file_facts):
        store.write(lambda c, t=table: c.execute(update(t).values(content_sha256=None))).result()  # type: ignore[misc]
    other(opened(store, first).folder / "rows.msgpack")
    assert shown(opened(store, first)) == expected
    assert set(store.read(lambda c: page_hashes(c, 1))) == {"rows.msgpack", "segments.parquet"}
    assert settled(store).progress.measured == ()  # the rows needed them, and they were measured then
    assert check_store(store) == []


@pytest.mark.parametrize("name", ["data/revenue.csv", "data/plan.csv", "rulebook/article-13.toml"])
def test_rows_are_not_made_from_what_was_not_pinned(store: CenterStore, first: MadeRun, name: str) -> None:
    read = opened(store, first)
    flip(read.folder / "rows.msgpack")
    flip(read.folder / name)
    for path in (store.directory / "laid-out").iterdir():
        path.unlink()
    listed = read.folder / name if name.startswith("data") else read.folder / "rulebook"
    with pytest.raises(Altered, match=said(listed)):
        shown(opened(store, first))
    assert load_run_statement(store, 1).result_hash == first.row.result_hash  # what was settled stands


def test_rows_that_come_out_otherwise_are_not_taken(store: CenterStore, first: MadeRun) -> None:
    read = opened(store, first)
    flip(read.folder / "rows.msgpack")
    damaged = (read.folder / "rows.msgpack").read_bytes()
    store.write(lambda c: c.execute(update(run).values(result_hash="0" * 64))).result()
    with pytest.raises(StoreError, match="run 1: its rows can't be made again"):
        shown(OpenedRun(store, replace(read.facts, result_hash="0" * 64)))
    assert (read.folder / "rows.msgpack").read_bytes() == damaged


# ---- statement and rulebook ----------------------------------------------------------------------------------------


# Of a page, cut says what another would say.
@pytest.mark.parametrize(("name", "damage"), in_turn(STATEMENT, DAMAGES, {("statement.html", other)}))
def test_a_statement_file_is_the_one_the_store_knows(
    store: CenterStore, first: MadeRun, name: str, damage: Damage, tmp_path: Path
) -> None:
    again = settled(store)
    read = opened(store, first)
    path = read.statement_folder / name
    damage(path)
    with pytest.raises(Altered, match=said(path)):
        read.statement_file(name)
    with pytest.raises(Altered, match=said(path)):
        build_package(store, read, tmp_path / "a.zip")
    if name in ("lines.csv", "plants.csv"):
        with pytest.raises(ConfigError, match=f"{path}: "):
            compare_runs(store, first.row.id, again.row.id)
    if name != "statement.html":
        with pytest.raises((ConfigError, StoreError), match=f"{path}: "):
            load_run_statement(store, first.row.id)


def test_a_manifest_that_was_changed_with_its_file_is_not_believed(store: CenterStore, first: MadeRun) -> None:
    again = settled(store)
    path = opened(store, first).statement_folder / "plants.csv"
    manifest = path.with_name("manifest.json")
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes().replace(b"1000.00", b"3000.00"))
    after = hashlib.sha256(path.read_bytes()).hexdigest()
    assert after != before
    manifest.write_text(manifest.read_text("utf-8").replace(before, after), "utf-8")
    with pytest.raises(ConfigError, match=f"{path}: is not the file the manifest names"):
        compare_runs(store, first.row.id, again.row.id)


@every_damage
def test_a_runs_rulebook_is_the_one_it_was_priced_with(
    store: CenterStore, first: MadeRun, damage: Damage, tmp_path: Path
) -> None:
    read = opened(store, first)
    path = read.folder / "rulebook" / "article-13.toml"
    if damage is other:
        path.write_bytes(path.read_bytes() + b"\n")
    else:
        damage(path)
    for use in (
        lambda: read.rulebook,
        lambda: build_package(store, read, tmp_path / "a.zip"),
        lambda: what_if(store, first.row.id, changes=[NO_ORDERS], actor=LI),
    ):
        with pytest.raises(Altered, match=said(read.folder / "rulebook")):
            use()
