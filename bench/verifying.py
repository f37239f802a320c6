# SPDX-License-Identifier: GPL-3.0-or-later
"""What it costs that stored bytes are hashed where they are used: the share of SHA-256 in reading a day, in closing.

A plant-day of 4 units at one second, as sealing makes it, is read whole by the one reader of day files; and a measured
month of 100 units is closed. In the same process SHA-256 is timed wherever it is called, and alone over bytes that lie
in memory: the floor is the time which the same number of bytes takes at that speed, so that a ratio above 1 is what
calling it costs beside.

`python -m bench.verifying FOLDER` closes the month that lies there, once.
"""

from __future__ import annotations

import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench.close import make_month, measuring_of
from bench.figure import Figure, median_s
from bench.region import _fill_day
from bench.signals import START_MS
from collector.base.clock import SystemClock
from collector.center.db.store import CenterStore
from collector.center.lake.read_records import read_record_table
from collector.center.lake.seal import find_stale_days, seal_day
from collector.model.interval import DAY_MS

PLANTS: Final = 8
TIMES: Final = 3
MEMORY_BYTES: Final = 64_000_000


def measure() -> list[Figure]:
    """Shares of the time, 0 to 1, and how much of it is SHA-256 itself."""
    with tempfile.TemporaryDirectory() as name:
        day = _day_file(Path(name))
    with tempfile.TemporaryDirectory() as name:
        make_month(Path(name), PLANTS)
        command = [sys.executable, "-m", "bench.verifying", name]
        runs = [json.loads(subprocess.check_output(command, text=True)) for _ in range(TIMES)]
    hashed_s, taken_s, floor_s, size = (statistics.median(run[key] for run in runs) for key in runs[0])
    closing = f"share of hashing in closing a month of {PLANTS * 5} units ({size / 1e6:.0f} MB hashed)"
    return [
        day,
        Figure(closing, hashed_s / taken_s, "of 1", "the same bytes by SHA-256 alone", floor_s / taken_s, 0.25),
    ]


class Stopwatch:
    """Times SHA-256 wherever this process calls it."""

    def __init__(self) -> None:
        self.seconds, self.bytes = 0.0, 0
        self._sha256, self._file_digest = hashlib.sha256, hashlib.file_digest

    def __enter__(self) -> Stopwatch:
        hashlib.sha256, hashlib.file_digest = self.sha256, self.file_digest  # type: ignore[assignment]
        return self

    def __exit__(self, *_: object) -> None:
        hashlib.sha256, hashlib.file_digest = self._sha256, self._file_digest

    def sha256(self, data: Any = b"", **named: Any) -> TimedHash:
        """As hashlib's."""
        return TimedHash(self, self._sha256(**named), data)

    def file_digest(self, file: Any, name: str) -> Any:
        """As hashlib's; reading the file is in it."""
        begin = time.perf_counter()
        found = self._file_digest(file, name)
        self.seconds += time.perf_counter() - begin
        self.bytes += os.fstat(file.fileno()).st_size
        return found

    def floor_s(self) -> float:
        """How long SHA-256 alone takes for as many bytes."""
        data = bytes(MEMORY_BYTES)
        return median_s(lambda: self._sha256(data)) * self.bytes / MEMORY_BYTES


class TimedHash:
    """A hash under way."""

    def __init__(self, watch: Stopwatch, under_way: Any, data: Any) -> None:
        self._watch, self._under_way = watch, under_way
        self.digest, self.hexdigest = under_way.digest, under_way.hexdigest
        self.update(data)

    def update(self, data: Any) -> None:
        """As hashlib's."""
        begin = time.perf_counter()
        self._under_way.update(data)
        self._watch.seconds += time.perf_counter() - begin
        self._watch.bytes += memoryview(data).nbytes


def _day_file(folder: Path) -> Figure:
    with CenterStore.open(folder, clock=SystemClock()) as store:
        _fill_day(store, 0)
        [stale] = [day for day in store.read(find_stale_days) if day.plant == "P0"][:1]
        path = seal_day(store, stale)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    first_ms = START_MS

    def read() -> None:
        for unit in range(1, 5):
            read_record_table([(path, sha256)], f"unit-{unit}", first_ms, first_ms + DAY_MS)

    taken_s = median_s(read)
    with Stopwatch() as watch:
        read()
    what = f"share of hashing in reading a plant-day of 4 units at 1 s ({len(path.read_bytes()) / 1e6:.1f} MB)"
    floor = "the same bytes by SHA-256 alone"
    return Figure(what, watch.seconds / taken_s, "of 1", floor, watch.floor_s() / taken_s, 0.25)


def _close_once(folder: Path) -> dict[str, float]:
    with CenterStore.open(folder / "state", clock=SystemClock()) as store:
        measuring_of(store, folder).statement()  # libraries are loaded
        measuring, begin = measuring_of(store, folder), time.perf_counter()
        measuring.statement()
        taken_s = time.perf_counter() - begin
        again = measuring_of(store, folder)
        with Stopwatch() as watch:
            again.statement()
    return {"hashed_s": watch.seconds, "taken_s": taken_s, "floor_s": watch.floor_s(), "bytes": watch.bytes}


if __name__ == "__main__":
    print(json.dumps(_close_once(Path(sys.argv[1]))))
