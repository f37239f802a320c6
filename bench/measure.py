# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring a month over day files of the lake, plant by plant in processes.

100 units are measured; 1 000 are ten times as much, because plants are measured independently (the value is multiplied
by ten, the floor too). The floor is DuckDB decoding every column of the same files. Both run inside processes that are
already there: reading, all services and segments are in the time, starting Python is not.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from bench.figure import Figure
from bench.month_folder import MONTH, write_folder, write_lake
from collector.base.resources import config_path
from collector.settlement.inputs import Inputs
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure_units import Context, plan_batches
from collector.settlement.measure_units import measure as measure_batch
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import prepare
from collector.sheets.findings import Findings
from collector.tables.folder import load_folder
from collector.tables.records import read_records

PLANTS: Final = 20
TENFOLD: Final = 10
PROCESSES: Final = 2
TIMES: Final = 3


def measure() -> list[Figure]:
    """Seconds of measuring, and the memory of a measuring process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder / "data", PLANTS, _write_apart)
        measured_s, scan_s, peak_mb = _measure(folder / "data")
    return [
        Figure(
            "measure 1000 units x 31 days over the lake (10 x 100)",
            measured_s * TENFOLD,
            "s",
            "DuckDB decodes the same files",
            scan_s * TENFOLD,
            8.0,
            of_ratio=True,
        ),
        Figure("memory of a measuring process", peak_mb, "MB", "target", 300.0, 300.0),
    ]


def _write_apart(records: Path, plant: int, table: pa.Table) -> None:
    """Day files in a folder for each plant, as the lake has them."""
    own = records / f"{plant:03d}"
    own.mkdir()
    write_lake(own, plant, table)


def _measure(data: Path) -> tuple[float, float, float]:
    """Median seconds of measuring and of DuckDB's scan, in turn; the largest process, MB."""
    plants = sorted((data / "records").iterdir())
    apart = data.rename(data.with_name("lake")) / "records"
    plants = [apart / plant.name for plant in plants]
    (data / "records").mkdir(parents=True)
    for file in apart.parent.glob("*.*"):
        file.rename(data / file.name)
    taken: list[float] = []
    scanned: list[float] = []
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn, _start, (load_folder(data),)) as pool:
        list(pool.map(_measure_plant, plants[:PROCESSES]))  # processes are there, libraries loaded
        for _ in range(TIMES):
            start = time.perf_counter()
            found = list(pool.map(_measure_plant, plants))
            taken.append(time.perf_counter() - start)
            start = time.perf_counter()
            duckdb.execute(f"select max(columns(*)) from read_parquet('{apart}/*/*.parquet')").fetchall()
            scanned.append(time.perf_counter() - start)
    return statistics.median(taken), statistics.median(scanned), max(peak for _, peak in found)


_shared: list[Context] = []  # of a worker: what all its plants share


def _start(inputs: Inputs) -> None:
    pa.set_cpu_count(1)
    _shared.append(prepare(MONTH, inputs, load_rulebook(config_path("rules/east-china-trial"))))


def _measure_plant(folder: Path) -> tuple[int, float]:
    """How many segments a plant has, and the peak memory of this process, MB."""
    records = read_records(folder, None, Findings())
    assert records is not None
    context = replace(_shared[0], columns_of=records.unit_columns)
    policy = context.policy
    rows = RecordBook(records.table, tail_ms=tail_of(policy.settle_ms, policy.hold_ms))
    segments = 0
    units = sorted(records.unit_columns)
    for batch in plan_batches(context, rows, MONTH.first_day, len(MONTH.days), units=units, segments=True):
        _, table = measure_batch(context, batch)
        segments += 0 if table is None else len(table)
    return segments, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
