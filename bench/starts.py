# SPDX-License-Identifier: GPL-3.0-or-later
"""How long somebody waits for the program to be there: `center run` until it is ready, and the help of every verb.

CPU seconds of the process, medians, in turn with the floor. A center is ready when /readyz says so, over a new store.
The floor is Python that imports the same third-party modules in the same order, as `-X importtime` names them. Of the
verbs' help each is run, the slowest counts; its floor is Python that does nothing.
"""

from __future__ import annotations

import http.client
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

from bench.center_process import PATIENCE_S, free_port
from bench.figure import Figure
from bench.process import cpu_s, ended_cpu_s
from collector.cli.main import app

TIMES: Final = 5
_MAIN: Final = "from collector.cli.main import main; main()"
# What a compiled package has made inside it is named as a module, and can't be asked for.
_IMPORTING: Final = """
import contextlib, importlib
for name in {}:
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
"""
_OURS: Final = ("collector", "simulators")


def measure() -> list[Figure]:
    """A start of the center; the slowest help."""
    with tempfile.TemporaryDirectory() as name, environment(Path(name)):
        return _measure()


@contextmanager
def environment(folder: Path) -> Iterator[None]:
    """What is imported is kept as byte code, as it is where the program is installed."""
    before = dict(os.environ)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _measure() -> list[Figure]:
    with tempfile.TemporaryDirectory() as name:
        center_s, floor_s = _center(Path(name))
    verbs = [("--help",), *((*words, "--help") for words in each_verb(get_command(app), ()))]
    taken = {words: ended_cpu_s([sys.executable, "-c", _MAIN, *words]) for words in verbs}
    slowest = sorted(verbs, key=lambda words: -taken[words])[:TIMES]
    bare_s: list[float] = []
    again: dict[Sequence[str], list[float]] = {words: [] for words in slowest}
    for _ in range(TIMES):
        bare_s.append(ended_cpu_s([sys.executable, "-c", "pass"]))
        for words, seconds in again.items():
            seconds.append(ended_cpu_s([sys.executable, "-c", _MAIN, *words]))
    most, words = max((statistics.median(seconds), words) for words, seconds in again.items())
    what = f"slowest help of {len(verbs)}: collector {' '.join(words)}, CPU"
    return [
        Figure("center run to ready, CPU", center_s, "s", "importing the same packages", floor_s, 1.5, of_ratio=True),
        Figure(what, most, "s", "Python's start", statistics.median(bare_s), 6.0, of_ratio=True),
    ]


def each_verb(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The words of each verb and each group of verbs."""
    for name, verb in sorted(command.commands.items()):
        yield (*words, name)
        if hasattr(verb, "commands"):
            yield from each_verb(verb, (*words, name))


def _center(folder: Path) -> tuple[float, float]:
    """Median CPU seconds of a start to ready, and of importing what it imported."""
    port = free_port()
    center = f'[center]\nstate_dir = "state"\nlisten = "127.0.0.1:{port}"\n'
    plant = '[[plant]]\nid = "P1"\nunits = ["U1"]\nunsigned = true\n'
    (folder / "center.toml").write_text(f"schema = 1\n{center}{plant}", "utf-8")
    _start(folder, port)  # the store is there, and bytes of what is imported
    seen = folder / "imports.log"
    _start(folder, port, "-X", "importtime", log=seen)
    floor = folder / "floor.py"
    floor.write_text(_IMPORTING.format(third_party(seen.read_text("utf-8", "replace"))), "utf-8")
    ready_s, floor_s = [], []
    for _ in range(TIMES):
        ready_s.append(_start(folder, port))
        floor_s.append(ended_cpu_s([sys.executable, str(floor)]))
    return statistics.median(ready_s), statistics.median(floor_s)


def third_party(importtime: str) -> list[str]:
    """The modules that are neither ours nor Python's own, in the order in which they were imported."""
    names = [line.rpartition("|")[2].strip() for line in importtime.splitlines() if line.startswith("import time:")]
    kept = [n for n in dict.fromkeys(names) if n.partition(".")[0] not in {*sys.stdlib_module_names, *_OURS, "site"}]
    return [name for name in kept if name.replace(".", "").isidentifier() and not name.startswith("__")]


def _start(folder: Path, port: int, *options: str, log: Path | None = None) -> float:
    """CPU seconds of a center until it is ready."""
    command = [sys.executable, *options, "-c", _MAIN, "center", "run", f"{folder}/center.toml"]
    command += ["--broker", f"127.0.0.1:{free_port()}"]
    with (log or Path(os.devnull)).open("wb") as output:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=output)
        try:
            until_s = time.monotonic() + PATIENCE_S
            while not _is_ready(port):
                if process.poll() is not None or time.monotonic() > until_s:
                    raise AssertionError("the center did not start")
                time.sleep(0.005)
            return cpu_s(process.pid)
        finally:
            process.terminate()
            process.wait()


def _is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
