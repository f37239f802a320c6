# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of day files: units whole and in order however the file is cut, and no other file than the one listed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select, update

from collector.center.db.store import CenterStore
from collector.center.db.tables_receive import lake_file
from collector.center.db.verified import Altered
from collector.center.lake.day_file import HEAD, count_rows, read_unit_tables, read_units
from collector.center.lake.pieces import NOT_CARRIED
from collector.center.lake.seal import count_records, seal_month_of
from collector.center.operate.integrity import check_store
from collector.center.quality.gap_map import find_gaps
from collector.center.quality.validation import list_findings, validate_due
from collector.center.runs.measuring.file_facts import read_facts
from collector.model.interval import day_interval, local_day
from tests.center.center_batches import EPOCH, NOON, deliver, minutes, new_store, open_admission, payload_of, record
from tests.center.lake.sealed_days import MARCH, deliver_from_both, seal
from tests.center.quality.validated_days import policy_of, take_register
from tests.size import sized


def one_day(tmp_path: Path) -> tuple[Path, str]:
    """A file with units of 5, 700 and 3 records, and its SHA-256; of U2 there is one before the day."""
    records = [*minutes("U1", NOON, 5), record("U2", NOON - 86_400_000), *minutes("U2", NOON - 36_000_000, 700)]
    with new_store(tmp_path) as store:
        deliver(
            store,
            [payload_of(1, [*records, *minutes("U3", NOON, 3)])],
            admission=open_admission(units=("U1", "U2", "U3")),
        )
        path = seal(store)["2026-03-10"]
        return path, _listed(store, path)


@pytest.mark.parametrize("rows", [1, 5, 300, 4, 6, 1000][: sized(3, 6)])
def test_units_come_whole_and_in_order_however_the_file_is_cut_into_row_groups(tmp_path: Path, rows: int) -> None:
    path, sha256 = one_day(tmp_path)
    cut = tmp_path / "cut.parquet"
    pq.write_table(pq.read_table(path), cut, row_group_size=rows)
    hashed = _sha256(cut)
    names = [unit for unit, _ in read_unit_tables(cut, hashed)]
    assert names == ["U1", "U2", "U3"]
    for whole, parts in zip(read_units(path, sha256), read_units(cut, hashed), strict=True):
        assert whole.unit == parts.unit
        assert whole.time_utc_ms.tolist() == parts.time_utc_ms.tolist()
        assert {n: c.values.tolist() for n, c in whole.columns.items()} == {
            n: c.values.tolist() for n, c in parts.columns.items()
        }
    assert [len(each.time_utc_ms) for each in read_units(cut, hashed)] == [5, 700, 3]
    assert [each.unit for each in read_units(cut, hashed, units=("U2", "none"))] == ["U2"]
    assert [len(each.time_utc_ms) for each in read_units(cut, hashed, units=("U3",), to_ms=NOON + 60_001)] == [2]
    assert [(each.unit, len(each.time_utc_ms)) for each in read_units(cut, hashed, place=HEAD)] == [("U2", 1)]
    assert count_rows(cut, hashed) == (708, 708)
    assert read_facts(cut, hashed, "2026-03-10") == read_facts(path, sha256, "2026-03-10")


def test_a_quantity_that_only_some_records_carry_says_of_which(tmp_path: Path) -> None:
    path, _ = one_day(tmp_path)
    table = pq.read_table(path)
    at = table.column_names.index("frequency_hz_quality")
    quality = table["frequency_hz_quality"].to_pylist()
    quality[:3] = [None] * 3  # of the five records of U1
    quality[-3:] = [None] * 3  # all of U3
    some = tmp_path / "some.parquet"
    pq.write_table(table.set_column(at, "frequency_hz_quality", pa.array(quality, pa.uint8())), some)
    of = {each.unit: each.columns for each in read_units(some, _sha256(some))}
    assert of["U1"]["frequency_hz"].qualities.tolist() == [*[NOT_CARRIED] * 3, 0, 0]
    assert of["U1"]["frequency_hz"].usable.tolist() == [*[False] * 3, True, True]
    assert "frequency_hz" not in of["U3"]
    assert np.all(of["U2"]["frequency_hz"].usable)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _gaps(store: CenterStore, _: Path) -> object:
    day = local_day(NOON)
    span_end = day_interval(day).end_ms
    return store.read(lambda c: find_gaps(c, store.lake, "U1", "P1", day, now_ms=span_end, hold_limit_s=60))


READERS: dict[str, Callable[[CenterStore, Path], object]] = {
    "gap map": _gaps,
    "count": lambda _, path: count_records([path]),
    "hash of the list": lambda store, path: list(read_units(path, _listed(store, path))),
}


def _listed(store: CenterStore, path: Path) -> str:
    query = select(lake_file.c.sha256).where(lake_file.c.name == path.name)
    return store.read(lambda c: str(c.execute(query).scalar_one()))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("fault", ["another value", "cut short", "gone"])
def test_nobody_reads_a_file_that_is_not_the_one_listed(tmp_path: Path, reader: str, fault: str) -> None:
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, minutes("U1", NOON, 5))])
        path = seal(store)["2026-03-10"]
        READERS[reader](store, path)
        spoil(path, fault)
        with pytest.raises(Altered, match=path.name):
            READERS[reader](store, path)
        expected = "listed and not there" if fault == "gone" else "is not the file the store lists"
        [line] = [line for line in check_store(store) if path.name in line]
        assert line.startswith(f"{path}: {expected}")


def spoil(path: Path, fault: str) -> None:
    """Another good Parquet file with other values, the first half of this one, or none."""
    if fault == "gone":
        path.unlink()
    elif fault == "cut short":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        table = pq.read_table(path)
        at = table.column_names.index("on_grid")
        pq.write_table(table.set_column(at, "on_grid", pa.array([0] * len(table), pa.int8())), path)


@pytest.mark.parametrize("which", ["the file", "the records that lost their instants"])
@pytest.mark.parametrize("fault", ["another value", "cut short", "gone"])
def test_a_day_whose_file_was_altered_is_not_validated_and_stays_due(tmp_path: Path, which: str, fault: str) -> None:
    with new_store(tmp_path) as store:
        take_register(store)
        one = payload_of(1, [record("U1", NOON, 300_000)], gateway="first")
        deliver_from_both(store, [one, payload_of(1, [record("U1", NOON, 310_000)], gateway="second", epoch=EPOCH - 1)])
        [path] = seal_month_of(store, MARCH)
        [others] = (store.directory / "lake-others" / "P1").iterdir()
        spoiled = store.lake / "P1" / path.name if which == "the file" else others
        assert isinstance(spoiled, Path)
        good = spoiled.read_bytes()
        spoil(spoiled, fault)
        assert validate_due(store, policy_of=policy_of) == 0
        assert store.read(list_findings) == []
        spoiled.write_bytes(good)
        assert validate_due(store, policy_of=policy_of) == 1
        assert [row["code"] for row in store.read(list_findings)] == ["conflicting_records"]


def test_a_listed_hash_counts_and_not_the_files_name(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        deliver(store, [payload_of(1, minutes("U1", NOON, 5))])
        path = seal(store)["2026-03-10"]
        store.write(lambda c: c.execute(update(lake_file).values(sha256="0" * 64))).result()
        with pytest.raises(Altered):
            _gaps(store, path)
