# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine a bench ran on: what it is, how busy it was, and two yardsticks measured on the spot."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

_STEPS = 10_000_000
_COMMITS = 50


def describe() -> dict[str, str]:
    """Rows of a table, name and text."""
    return {
        "processor": _line_of("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{int(_line_of('/proc/meminfo', 'MemTotal').split()[0]) / 1e6:.1f} GB",
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "a bare loop of 10 million steps": f"{_loop_s():.2f} s of CPU",
        "a SQLite commit, synchronous FULL": f"{_commit_s() * 1000:.2f} ms, median of {_COMMITS}",
    }


def _line_of(path: str, name: str) -> str:
    for line in Path(path).read_text("utf-8").splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return ""


def _loop_s() -> float:
    begun_s = time.process_time()
    for _ in range(_STEPS):
        pass
    return time.process_time() - begun_s


def _commit_s() -> float:
    with tempfile.TemporaryDirectory() as name:
        database = sqlite3.connect(Path(name) / "yardstick.sqlite", isolation_level=None)
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute("create table t (payload blob)")
        taken = []
        for _ in range(_COMMITS):
            begun_s = time.perf_counter()
            database.execute("insert into t values (randomblob(1000))")
            taken.append(time.perf_counter() - begun_s)
        database.close()
    return statistics.median(taken)
