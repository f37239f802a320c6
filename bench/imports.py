# SPDX-License-Identifier: GPL-3.0-or-later
"""A region's plan for a month into a store that plants are sending to: 1 250 units × 31 d × 96 = 3.72 million rows.

`collector center import` as a process, while this one commits a plant's batch twenty times a second as a receiver does.
The floor is Arrow's own reading of the same CSV file and its writing of it as Parquet: no check of anything, no
comparison, no text kept as it was written. Then the same file comes again, nothing of which is new.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Final

import collector.wire as wire
from bench.figure import Figure
from bench.process import peak_mb
from bench.signals import WIDE, layouts, ticks
from collector.base.clock import SystemClock
from collector.center.db.store import CenterStore
from collector.center.receive.admission import Admission, EnrolledPlant
from collector.center.receive.journal import commit_group

UNITS: Final = 1250
QUARTERS: Final = 31 * 96
ROWS: Final = UNITS * QUARTERS
IDLE_BATCHES: Final = 60
BATCH_EVERY_S: Final = 0.05
_IMPORT: Final = "from collector.cli.center.commands import app; app()"
_FLOOR: Final = """
import sys, pyarrow.csv, pyarrow.parquet
pyarrow.parquet.write_table(pyarrow.csv.read_csv(sys.argv[1]), sys.argv[2], compression="zstd")
"""


@dataclass(frozen=True, slots=True)
class Used:
    """What a process took."""

    wall_s: float
    cpu_s: float
    peak_mb: float


def measure() -> list[Figure]:
    """Seconds, memory and the longest wait for an acknowledgement, against the floor in the same run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_files(folder)
        floor = _floor(folder)
        with CenterStore.open(folder / "state", clock=SystemClock()) as store:
            plant = _Plant(store)
            _import(folder, "register", "register.toml", plant)
            idle_s = max(plant.commit() for _ in range(IDLE_BATCHES))
            first, longest_s = _import(folder, "plan", "plan.csv", plant)
            again, _ = _import(folder, "plan", "plan.csv", plant)
    what = f"plan of {ROWS} rows"
    bare = "Arrow reading it + writing Parquet"
    return [
        Figure(f"{what}, CPU", first.cpu_s, "s", bare, floor.cpu_s, 4.0, of_ratio=True),
        Figure(f"{what}, plants sending", first.wall_s, "s", bare, floor.wall_s, 60.0),
        Figure(f"{what}, again: nothing new, CPU", again.cpu_s, "s", bare, floor.cpu_s, 4.0, of_ratio=True),
        Figure.absolute(f"{what}, memory", max(first.peak_mb, again.peak_mb), "MB", 400.0),
        Figure("longest wait for an acknowledgement meanwhile", longest_s, "s", "longest when idle", idle_s, 2.0),
    ]


def _write_files(folder: Path) -> None:
    write_plan(folder / "plan.csv", UNITS)
    (folder / "register.toml").write_text(register_of(UNITS), "utf-8")


def write_plan(path: Path, units: int) -> None:
    """A plan of a value every quarter of an hour for a month."""
    local = timezone(timedelta(hours=8))
    begun = datetime(2026, 3, 1, tzinfo=local)
    times = [(begun + timedelta(minutes=15 * n)).isoformat() for n in range(QUARTERS + 1)]
    with path.open("w", encoding="utf-8") as file:
        file.write("unit,start,end,power_mw\n")
        for unit in range(units):
            spans = enumerate(itertools.pairwise(times))
            file.writelines(f"U{unit},{a},{b},{300 + (n * 7 + unit) % 300}.{n % 10}\n" for n, (a, b) in spans)


def register_of(count: int) -> str:
    """A register of so many units of one plant."""
    units = (f'[[unit]]\nid = "U{n}"\nplant = "P1"\nkind = "coal"\nrated_mw = "660"\n' for n in range(count))
    head = """
[[area]]
id = "jiangsu"
name = "江苏"
dispatch_mode = "annual_plan"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00"]
[[plant]]
id = "P1"
name = "P1"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
"""
    return head + "".join(units)


def _floor(folder: Path) -> Used:
    """The file read by Arrow and written as Parquet, in a process of its own."""
    command = [sys.executable, "-c", _FLOOR, str(folder / "plan.csv"), str(folder / "floor.parquet")]
    return _used(command)[0]


class _Plant:
    """A plant whose batches are committed as a receiver commits them, past the broker."""

    def __init__(self, store: CenterStore) -> None:
        units = layouts(4)
        plants = {"P1": EnrolledPlant(frozenset(layout.unit for layout in units), {})}
        self._admission = Admission(root="collector", plants=plants, limits=WIDE, clock=SystemClock())
        self._store, self._units, self._numbers = store, units, itertools.count(1)
        self._records = tuple(record for tick in ticks(60, units=4) for record in tick)

    def commit(self) -> float:
        """One batch; seconds until it could be acknowledged."""
        stream = wire.Stream("P1", "g1", 1)
        payload = wire.encode_batch(wire.Batch(stream, next(self._numbers), self._units, self._records), None)
        arrivals = self._admission.admit_all([(wire.topic("collector", "P1", "g1", "batch"), payload)])
        now_ms = self._store.clock.now_utc_ms()
        begun_s = time.perf_counter()
        self._store.write(lambda c: commit_group(c, arrivals, now_ms=now_ms, quarantine_max_bytes=1)).result()
        return time.perf_counter() - begun_s


def _import(folder: Path, kind: str, name: str, plant: _Plant) -> tuple[Used, float]:
    """What the verb takes, and the longest a batch waited meanwhile."""
    command = [sys.executable, "-c", _IMPORT, "import", kind, str(folder / name), "--state", str(folder / "state")]
    return _used(command, plant)


def _used(command: list[str], plant: _Plant | None = None) -> tuple[Used, float]:
    """What a process takes, and the longest a batch of a plant waited meanwhile."""
    begun_s, longest_s, most_mb = time.perf_counter(), 0.0, 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    while True:
        with contextlib.suppress(OSError, ValueError):  # ended already: what was seen last counts
            most_mb = peak_mb(process.pid)
        found, status, usage = os.wait4(process.pid, os.WNOHANG)
        if found:
            process.returncode = os.waitstatus_to_exitcode(status)
            break
        longest_s = max(longest_s, plant.commit() if plant else 0.0)
        time.sleep(BATCH_EVERY_S)
    if process.returncode:
        raise AssertionError(f"{command} failed")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Used(time.perf_counter() - begun_s, cpu_s, most_mb), longest_s
