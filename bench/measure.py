# SPDX-License-Identifier: GPL-3.0-or-later
"""Measuring a month over day files of the lake, plant by plant in processes: 10, 100 and 1 000 units, each measured.

The floor is DuckDB decoding every column of the same files. Both are CPU seconds, inside processes that are already
there: reading, all services and segments are in them, starting Python is not.
"""

from __future__ import annotations

import multiprocessing
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from bench.figure import Figure, curve
from bench.month_folder import MONTH, UNITS_PER_PLANT, write_folder, write_lake
from bench.process import peak_mb
from collector.base.resources import config_path
from collector.settlement.inputs import Inputs
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure_units import MeasuringContext, plan_batches
from collector.settlement.measure_units import measure as measure_batch
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import prepare
from collector.sheets.findings import Findings
from collector.tables.folder import load_folder
from collector.tables.records import read_records

PLANTS: Final = (2, 20, 200)
PROCESSES: Final = 2
TIMES: Final = 3


def measure() -> list[Figure]:
    """CPU seconds of measuring, how they grow, and the memory of a measuring process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_folder(folder / "data", PLANTS[-1], _write_apart)
        measured_s, scan_s, peak = _measure(folder / "data")
    units = PLANTS[-1] * UNITS_PER_PLANT
    what, floor = f"measure {units} units x 31 days over the lake, CPU", "DuckDB decodes the same files"
    return [
        Figure(what, measured_s[units], "s", floor, scan_s, 3.5, of_ratio=True),
        curve("measuring by units", measured_s, "s", 1.1),
        Figure.absolute("memory of a measuring process", peak, "MB", 250.0),
    ]


def _write_apart(records: Path, plant: int, table: pa.Table) -> None:
    """Day files in a folder for each plant, as the lake has them."""
    own = records / f"{plant:03d}"
    own.mkdir()
    write_lake(own, plant, table)


def _measure(data: Path) -> tuple[dict[int, float], float, float]:
    """Median CPU seconds of measuring by number of units, of DuckDB's scan of all; the largest process, MB."""
    lake = data.rename(data.with_name("lake"))
    (data / "records").mkdir(parents=True)
    for file in lake.glob("*.*"):
        file.rename(data / file.name)
    plants = sorted((lake / "records").iterdir())
    taken: dict[int, list[float]] = {count: [] for count in PLANTS}
    scanned: list[float] = []
    largest_mb = 0.0
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, spawn, _start, (load_folder(data),)) as pool:
        list(pool.map(_measure_plant, plants[:PROCESSES]))  # processes are there, libraries loaded
        for _ in range(TIMES):
            for count, seconds in taken.items():
                found = list(pool.map(_measure_plant, plants[:count]))
                seconds.append(sum(cpu_s for cpu_s, _ in found))
                largest_mb = max(largest_mb, *(mb for _, mb in found))
            begun_s = time.process_time()
            duckdb.execute(f"select max(columns(*)) from read_parquet('{lake}/records/*/*.parquet')").fetchall()
            scanned.append(time.process_time() - begun_s)
    medians = {count * UNITS_PER_PLANT: statistics.median(seconds) for count, seconds in taken.items()}
    return medians, statistics.median(scanned), largest_mb


def measure_folder(data: Path, records: Path) -> None:
    """Measure a month of day files, all services and segments, in this process; `data` has the tables alone."""
    pa.set_cpu_count(1)
    _start(load_folder(data))
    _measure_plant(records)


_shared: list[MeasuringContext] = []  # of a worker: what all its plants share


def _start(inputs: Inputs) -> None:
    pa.set_cpu_count(1)
    _shared.append(prepare(MONTH, inputs, load_rulebook(config_path("rules/east-china-trial"))))


def _measure_plant(folder: Path) -> tuple[float, float]:
    """CPU seconds to read and measure a plant, and the peak memory of this process, MB."""
    begun_s = time.process_time()
    records = read_records(folder, None, Findings())
    assert records is not None
    context = replace(_shared[0], columns_of=records.unit_columns)
    policy = context.policy
    rows = RecordBook(records.table, tail_ms=tail_of(policy.settle_ms, policy.hold_ms))
    units = sorted(records.unit_columns)
    for batch in plan_batches(context, rows, MONTH.first_day, len(MONTH.days), units=units, segments=True):
        measure_batch(context, batch)
    return time.process_time() - begun_s, peak_mb()
