# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo` after installing: CPU of the month and of every process in it, against the same demo of version 0.1.0.

Both run in this environment, one after the other; 0.1.0 is taken out of the repository's history.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from bench.figure import Figure
from bench.process import ended_cpu_s

FIRST: Final = "7fe02f0"  # the commit of 0.1.0
_ROOT: Final = Path(__file__).parents[1]
_DEMO: Final = "from collector.cli.main import main; main()"


def measure() -> list[Figure]:
    """CPU seconds of both."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        archive = subprocess.run(["git", "archive", FIRST], cwd=_ROOT, stdout=subprocess.PIPE, check=True).stdout
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(folder / "first", filter="data")
        taken = [_demo_s(source, folder / f"out-{source.name}") for source in (_ROOT, folder / "first")]
    return [Figure("make demo after installing, CPU", taken[0], "s", "version 0.1.0", taken[1], 0.5, of_ratio=True)]


def _demo_s(source: Path, out: Path) -> float:
    return ended_cpu_s([sys.executable, "-c", _DEMO, "demo", "--out", str(out)], PYTHONPATH=str(source))
