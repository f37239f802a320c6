# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector settle` of 100 units over a month at one minute, against DuckDB reading the same record files.

Both are whole processes, from start to exit, in turn, three times each after one that is not timed; wall seconds,
medians. Our modules have their bytecode, as installed ones have, also where the environment asks Python to write none.
DuckDB decodes every column of every row (the greatest value of each) and keeps nothing; the settlement reads, checks,
measures, prices and writes the statement with its segments. CSV, Parquet with binary floats, and day files of the lake.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from bench.figure import Figure
from bench.month_folder import MONTH, Writer, write_csv, write_folder, write_lake, write_parquet

PLANTS: Final = 20
TIMES: Final = 3
_SETTLE: Final = "from collector.cli.main import main; main()"
_SCAN: Final = "import duckdb, sys; duckdb.execute('create table t as select max(columns(*)) from ' + sys.argv[1])"


def measure() -> list[Figure]:
    """Wall seconds of the whole command, and against DuckDB."""
    forms: tuple[tuple[str, Writer, str, float], ...] = (
        ("csv", write_csv, "read_csv('{}/*.csv')", 2.0),
        ("parquet", write_parquet, "read_parquet('{}/*.parquet')", 5.0),
        ("lake", write_lake, "read_parquet('{}/*.parquet')", 4.0),
    )
    figures = []
    for form, write_records, source, target in forms:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_folder(folder / "data", PLANTS, write_records)
            scan = [_SCAN, source.format(folder / "data" / "records")]
            settle = [_SETTLE, "settle", str(MONTH), "--data", str(folder / "data"), "--out", str(folder / "out")]
            settle_s, scan_s = _in_turn(folder / "bytecode", settle, scan)
        what = f"settle 100 units, 4.46 M records as {form}"
        floor = f"DuckDB reads the same {form} files"
        figures.append(Figure(what, settle_s, "s", floor, scan_s, target, of_ratio=True))
    return figures


def _in_turn(bytecode: Path, *commands: Sequence[str]) -> list[float]:
    """Median wall seconds of each command, run one after the other so that a busy machine is busy for all."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(bytecode)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    seconds: list[list[float]] = [[] for _ in commands]
    for _ in range(1 + TIMES):
        for command, taken in zip(commands, seconds, strict=True):
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", *command], check=True, stdout=subprocess.DEVNULL, env=environment)
            taken.append(time.perf_counter() - start)
    return [statistics.median(taken[1:]) for taken in seconds]
