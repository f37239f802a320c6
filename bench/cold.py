# SPDX-License-Identifier: GPL-3.0-or-later
"""A region settled cold: `collector center settle` of 1 000 units × 31 d × 1 min, from sealed day files and imported
tables to a run that is listed, every hash verified. CPU seconds of the process and the processes it measures with.

The floor is DuckDB decoding every column of the same day files, a process too. Each round settles a store of its own.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from bench.center_month import fill_store
from bench.figure import Figure
from bench.month_folder import MONTH, UNITS_PER_PLANT
from bench.process import ended_cpu_s

PLANTS: Final = 200
TIMES: Final = 3
_SETTLE: Final = "from collector.cli.main import main; main()"
_SCAN: Final = "import duckdb, sys; duckdb.execute('create table t as select max(columns(*)) from ' + sys.argv[1])"


def measure() -> list[Figure]:
    """CPU of a month from nothing measured to a run, and against the decoding."""
    settled_s, scanned_s = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fill_store(folder, PLANTS)
        lake = f"read_parquet('{folder}/state/lake/**/*.parquet')"
        for number in range(TIMES):
            state = folder / f"state-{number}"
            shutil.copytree(folder / "state", state)
            settle = [sys.executable, "-c", _SETTLE, "center", "settle", str(MONTH), "--state", str(state)]
            settled_s.append(ended_cpu_s(settle))
            shutil.rmtree(state)
            scanned_s.append(ended_cpu_s([sys.executable, "-c", _SCAN, lake]))
    what = f"settle {PLANTS * UNITS_PER_PLANT} units x 31 days at the center, cold to a listed run, CPU"
    floor = "DuckDB decodes the same files"
    return [
        Figure(what, statistics.median(settled_s), "s", floor, statistics.median(scanned_s), 5.0, of_ratio=True),
    ]  # fmt: skip
