# SPDX-License-Identifier: GPL-3.0-or-later
"""Row groups of a file that was verified whole: those wanted are hashed at each use, and a change in them is found."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.center.db.verified import Altered
from collector.center.runs.row_groups import HashedGroups, keep_groups, known_groups

UNITS = ("U1", "U2", "U3")
ROWS = 400


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Three units, a row group each."""
    found = tmp_path / "units.parquet"
    table = pa.table({"unit": ["U1"], "time": [0], "value": [0.0]})
    with pq.ParquetWriter(found, table.schema, compression="zstd") as writer:
        for number, unit in enumerate(UNITS):
            times = [number * 1000 + n for n in range(ROWS)]
            writer.write_table(pa.table({"unit": [unit] * ROWS, "time": times, "value": [t / 7 for t in times]}))
    return found


def group_of(path: Path, number: int) -> tuple[int, int]:
    """Where a row group's bytes begin and end: its first column's first page to its last column's last."""
    facts = pq.read_metadata(path).row_group(number)
    first, last = facts.column(0), facts.column(facts.num_columns - 1)
    begin = first.dictionary_page_offset if first.has_dictionary_page else first.data_page_offset
    end = last.dictionary_page_offset if last.has_dictionary_page else last.data_page_offset
    return begin, end + last.total_compressed_size


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("unit", UNITS)
def test_a_units_rows_are_those_of_the_whole_file(path: Path, unit: str) -> None:
    groups = HashedGroups(path.read_bytes())
    assert groups.read_unit(path, unit).equals(pq.read_table(path, filters=[("unit", "=", unit)]))
    few = groups.read_unit(path, unit, ("unit", "time"))
    assert few.column_names == ["unit", "time"]
    assert few.num_rows == ROWS


def test_a_unit_that_is_not_in_it_has_no_rows(path: Path) -> None:
    found = HashedGroups(path.read_bytes()).read_unit(path, "U9")
    assert (found.num_rows, found.column_names) == (0, ["unit", "time", "value"])


def test_every_byte_of_a_units_groups_is_held_against_its_hash(path: Path) -> None:
    whole = path.read_bytes()
    groups = HashedGroups(whole)
    begin, end = group_of(path, 1)
    for at in (begin, begin + 1, (begin + end) // 2, end - 1):
        path.write_bytes(whole)
        flip(path, at)
        with pytest.raises(Altered, match=r"units\.parquet"):
            groups.read_unit(path, "U2")
        assert groups.read_unit(path, "U1").num_rows == ROWS
        assert groups.read_unit(path, "U3").num_rows == ROWS


def test_a_file_that_is_shorter_or_gone_is_found(path: Path) -> None:
    whole = path.read_bytes()
    groups = HashedGroups(whole)
    path.write_bytes(whole[: group_of(path, 2)[1] - 1])
    with pytest.raises(Altered):
        groups.read_unit(path, "U3")
    path.unlink()
    with pytest.raises(Altered, match="no file"):
        groups.read_unit(path, "U1")


def test_groups_are_known_by_the_hash_of_the_whole_only(path: Path) -> None:
    assert known_groups(path, "one") is None
    kept = keep_groups(path, "one", path.read_bytes())
    assert known_groups(path, "one") is kept
    assert known_groups(path, "another") is None
