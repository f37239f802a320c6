# SPDX-License-Identifier: GPL-3.0-or-later
"""Closing a month of 1 000 units at one minute whose days are measured: `MonthMeasuring.statement()` over a store.

Every closing is timed in a process of its own that has loaded its libraries and nothing else: reading the folder, the
keys of all days, their results out of the store, adding up, pricing, allocating. The folder is as a run lays it out;
that its tables came by an import is left out, and so is writing the statement's files. The floor is reading the very
bytes of those results out of SQLite, in the same process.

`python -m bench.close FOLDER [PLANTS]` makes the month in FOLDER where it is not there yet, and closes it once.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from bench.figure import Figure
from bench.month_folder import MONTH, UNITS_PER_PLANT, write_folder, write_lake
from collector.base.clock import SystemClock
from collector.base.resources import config_path
from collector.center.db.store import CenterStore
from collector.center.runs.input_folder import PinnedFile
from collector.center.runs.measuring.measure_days import MonthMeasuring
from collector.settlement.rulebook.load import load_rulebook

PLANTS: Final = 200
TIMES: Final = 5
_PINNED: Final = "pinned.json"


def measure() -> list[Figure]:
    """Median seconds of a closing, and of the CPU it takes: on a busy machine the second says how much work it is."""
    with tempfile.TemporaryDirectory() as name:
        make_month(Path(name), PLANTS)
        command = [sys.executable, "-m", "bench.close", name]
        runs = [json.loads(subprocess.check_output(command, text=True)) for _ in range(TIMES)]
    names = ("closed_s", "closed_cpu_s", "floor_s")
    closed_s, cpu_s, floor_s = (statistics.median(run[name] for run in runs) for name in names)
    what, floor = (
        f"close a measured month of {PLANTS * UNITS_PER_PLANT} units",
        "reading the stored results from SQLite",
    )
    return [
        Figure(what, closed_s, "s", floor, floor_s, 6.0, of_ratio=True),
        Figure(f"CPU to {what}", cpu_s, "s", floor, floor_s, 6.0, of_ratio=True),
    ]


def make_month(folder: Path, plants: int) -> None:
    """A settlement folder, a list of its day files, and a store in which all its days are measured."""
    write_folder(folder / "data", plants, write_lake)
    files = sorted((folder / "data" / "records").iterdir())
    pinned = [(path.name, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]
    (folder / _PINNED).write_text(json.dumps(pinned), "utf-8")
    with CenterStore.open(folder / "state", clock=SystemClock()) as store:
        (store.directory / "laid-out").mkdir()  # where a run that had laid out the folder keeps digests of the plan
        measuring_of(store, folder).measure()


def measuring_of(store: CenterStore, folder: Path) -> MonthMeasuring:
    """The month as a run would close it."""
    data = folder / "data"
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in data.iterdir() if path.is_file()}
    pinned = [
        PinnedFile(name[:4], name[5:15], name[5:], data / "records" / name, sha256)
        for name, sha256 in json.loads((folder / _PINNED).read_text("utf-8"))
    ]
    rulebook = load_rulebook(config_path("rules/east-china-trial"))
    return MonthMeasuring(store, MONTH, data, rulebook, pinned, hashes=hashes)


def _close_once(folder: Path) -> dict[str, float | str]:
    """Seconds of one closing and of its floor."""
    with CenterStore.open(folder / "state", clock=SystemClock()) as store:
        measuring = measuring_of(store, folder)
        start, cpu = time.perf_counter(), time.process_time()
        statement, progress = measuring.statement()
        closed_s, closed_cpu_s = time.perf_counter() - start, time.process_time() - cpu
    assert not progress.measured, "the days were to be measured before"
    start = time.perf_counter()
    with sqlite3.connect(folder / "state" / "center.sqlite") as connection:
        connection.execute("select key, results from day_result").fetchall()
    floor_s = time.perf_counter() - start
    return {
        "closed_s": closed_s,
        "closed_cpu_s": closed_cpu_s,
        "floor_s": floor_s,
        "result_hash": statement.result_hash(),
    }


if __name__ == "__main__":
    target = Path(sys.argv[1])
    if not (target / _PINNED).exists():
        make_month(target, int(sys.argv[2]) if len(sys.argv) > 2 else PLANTS)
    print(json.dumps(_close_once(target)))
