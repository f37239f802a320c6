# SPDX-License-Identifier: GPL-3.0-or-later
"""Record files are put into parts by the units at their ends; where those do not tell, all files are one part."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from collector.tables.record_parts import Extent, UnitRange, find_parts, unit_extent


def test_the_ends_of_a_csv_and_the_statistics_of_a_parquet_name_the_units(tmp_path: Path) -> None:
    table = pa.table({"time": [1, 2, 3], "unit": ["U2", "U9", "U1"]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1)
    (tmp_path / "a.csv").write_bytes("\ufefftime, unit\n1, 二\n2,U5\n3,U1\n\n".encode())
    assert unit_extent(tmp_path / "a.parquet") == ("U1", "U9")
    assert unit_extent(tmp_path / "a.csv") == ("U1", "二")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b""),
        ("a.csv", b"unit,time\n"),
        ("a.csv", b"unit,unit\nU1,U2\nU1,U2\n"),
        ("a.csv", b"unit,time\nU1,1\nU2\n"),
        ("a.csv", b'unit,time\nU1,1\n"U2,1\n'),
        ("a.csv", b"unit,time\n\xff\xfe,1\nU2,1\n"),
        ("a.csv", b"time\n1\n2\n"),
        ("a.csv", b"\0" * 100_000),
        ("a.parquet", b"PAR1 and no more"),
        ("a.xlsx", b"unit,time\nU1,1\nU2,2\n"),
    ],
)
def test_a_file_that_tells_nothing_is_left_to_whoever_reads_it(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert unit_extent(tmp_path / name) is None


def test_neither_a_link_nor_a_pipe_is_opened(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("unit,time\nU1,1\nU1,2\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    assert unit_extent(tmp_path / "link.csv") is None
    assert unit_extent(tmp_path / "pipe.csv") is None


def test_a_parquet_without_statistics_tells_nothing(tmp_path: Path) -> None:
    pq.write_table(pa.table({"unit": ["U1"], "time": [1]}), tmp_path / "a.parquet", write_statistics=False)
    assert unit_extent(tmp_path / "a.parquet") is None


def parted(extents: dict[str, Extent | None], *together: Extent) -> list[tuple[str, str, str | None]]:
    parts = find_parts([Path(name) for name in extents], list(extents.values()), together)
    return [(" ".join(path.name for path in part.paths), part.first, part.until) for part in parts]


def test_files_are_of_one_part_where_their_units_may_meet() -> None:
    files: dict[str, Extent | None] = {"a": ("U5", "U7"), "b": ("U1", "U2"), "c": ("U6", "U9"), "d": ("V1", "V1")}
    assert parted(files) == [("b", "", "U5"), ("a c", "U5", "V1"), ("d", "V1", None)]
    assert parted(files, ("U2", "U5")) == [("a b c", "", "V1"), ("d", "V1", None)]
    assert parted(files, ("U3", "U4")) == [("b", "", "U3"), ("", "U3", "U5"), ("a c", "U5", "V1"), ("d", "V1", None)]
    assert parted({**files, "e": None}) == [("a b c d e", "", None)]
    assert parted({}) == [("", "", None)]


def test_every_unit_is_of_one_part() -> None:
    parts = [UnitRange((), "", "U5"), UnitRange((), "U5", None)]
    assert [[part.holds(unit) for part in parts] for unit in ("A", "U4", "U5", "Z")] == [
        [True, False], [True, False], [False, True], [False, True],
    ]  # fmt: skip
