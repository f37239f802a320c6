# SPDX-License-Identifier: GPL-3.0-or-later
"""`make demo` after installing: CPU of the month and of every process in it, against the same demo of version 0.1.0;
and how long a newcomer waits for the first lines, which is time on the clock and of a machine that does nothing else.

Both run in this environment, one after the other, compiled before; 0.1.0 is taken out of the repository's history.
"""

from __future__ import annotations

import compileall
import io
import subprocess
import sys
import tarfile
import tempfile
import time
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
        about = folder / "first" / "collector-0.1.0.dist-info"  # it asks for its own version, under its name of then
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: collector\nVersion: 0.1.0\n", "utf-8")
        for place in (_ROOT / "collector", _ROOT / "simulators", folder / "first"):
            compileall.compile_dir(place, quiet=1)
        begun_s = time.time()
        ours_s = _demo_s(_ROOT, folder / "ours")
        lines_s = (folder / "ours" / "first-day" / "statement" / "lines.csv").stat().st_mtime - begun_s
        first_s = _demo_s(folder / "first", folder / "theirs")
    return [
        Figure("make demo after installing, CPU", ours_s, "s", "version 0.1.0", first_s, 0.5, of_ratio=True),
        Figure.absolute("make demo, until the first lines of a statement", lines_s, "s", 20.0),
    ]


def _demo_s(source: Path, out: Path) -> float:
    # Without the safe path the folder this runs in, which is ours, would come before PYTHONPATH: ours twice.
    command = [sys.executable, "-c", _DEMO, "demo", "--out", str(out)]
    return ended_cpu_s(command, PYTHONPATH=str(source), PYTHONSAFEPATH="1")
