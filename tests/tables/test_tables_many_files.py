# SPDX-License-Identifier: GPL-3.0-or-later
"""Record files that are read and converted together still answer for themselves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from collector.sheets.findings import Findings
from collector.tables.records import read_records

START_MS = 1_772_294_400_000


def _write(folder: Path, name: str, first: int, power_mw: Sequence[float]) -> None:
    times = [START_MS + (first + n) * 60_000 for n in range(len(power_mw))]
    units = ["U1"] * len(power_mw)
    pq.write_table(pa.table({"unit": units, "time": times, "active_power_mw": power_mw}), folder / f"{name}.parquet")


def test_small_files_in_any_order_of_time_become_one_ordered_table(tmp_path: Path) -> None:
    _write(tmp_path, "a", 4, [5.0, 6.0])
    _write(tmp_path, "b", 0, [1.0, 2.0])
    _write(tmp_path, "c", 2, [3.0, 4.0])
    findings = Findings()
    records = read_records(tmp_path, ["U1"], findings)
    assert records is not None
    assert not findings
    assert records.table["active_power_mw"].to_pylist() == [1000, 2000, 3000, 4000, 5000, 6000]
    assert records.table["time"].to_pylist() == [START_MS + n * 60_000 for n in range(6)]


def test_a_bad_value_among_small_files_is_found_in_its_file(tmp_path: Path) -> None:
    _write(tmp_path, "a", 0, [1.0, 2.0])
    _write(tmp_path, "b", 2, [3.0, float("nan")])
    _write(tmp_path, "c", 4, [5.0, 6.0])
    findings = Findings()
    read_records(tmp_path, ["U1"], findings)
    assert [(p.file, p.row, p.key) for p in findings.problems()] == [("records/b.parquet", 0, "active_power_mw")]
