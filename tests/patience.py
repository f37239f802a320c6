# SPDX-License-Identifier: GPL-3.0-or-later
"""How tests wait: for events, and never for what a machine should have done by some time.

A machine ten times slower must bring every test to the same outcome. So a test waits until what it wants has come
about, and a limit only guards it against a hang: it is long, it is one for all, and where many things happen one after
the other it begins anew with each of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

HANG_S: Final = 300.0
"""After so long without any progress something hangs; no test expects anything to take less."""

SILENCE_S: Final = 0.1
"""So long a test listens where nothing may come: on a slow machine it proves less, and never fails for it."""


class HangGuard:
    """Raises once nothing has moved for `HANG_S`; `progress` is whatever changes while there is hope."""

    def __init__(
        self, what: str, progress: Callable[[], object] = lambda: None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._what, self._progress, self._clock_s = what, progress, clock_s
        self._seen, self._since_s = progress(), clock_s()

    def check(self) -> None:
        """Look once.

        Raises:
            TimeoutError: nothing has moved for too long.
        """
        seen, now_s = self._progress(), self._clock_s()
        if seen != self._seen:
            self._seen, self._since_s = seen, now_s
        elif now_s - self._since_s > HANG_S:
            raise TimeoutError(f"nothing has moved for {HANG_S:g} s, waiting for {self._what}; last seen: {seen}")


def wait_until(
    reached: Callable[[], object], what: str, *, progress: Callable[[], object] = lambda: None, every_s: float = 0.05
) -> None:
    """Return when something has come about.

    Raises:
        TimeoutError: it has not, and nothing has moved for too long.
    """
    guard = HangGuard(what, progress)
    while not reached():
        guard.check()
        time.sleep(every_s)


async def until(
    reached: Callable[[], object], what: str = "", *, progress: Callable[[], object] = lambda: None,
    every_s: float = 0.02,
) -> None:  # fmt: skip
    """As `wait_until`, in a loop."""
    guard = HangGuard(what or f"{reached.__qualname__}, line {reached.__code__.co_firstlineno}", progress)
    while not reached():
        guard.check()
        await asyncio.sleep(every_s)


def run_watched(command: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a long command to its end in `folder`; it may take any time, as long as files below there go on changing.

    Raises:
        TimeoutError: nothing has changed for too long; the command was told to end.
    """
    out, errors = folder.with_name(f"{folder.name}.stdout"), folder.with_name(f"{folder.name}.stderr")
    with out.open("wb") as to, errors.open("wb") as errors_to:
        process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=to, stderr=errors_to)
    try:
        wait_until(lambda: process.poll() is not None, f"the end of {command}", progress=lambda: _newest(folder, out))
    finally:
        process.terminate()  # which lets it end its own children; nothing where it has ended
        process.wait()
    return subprocess.CompletedProcess(command, process.returncode, out.read_text("utf-8"), errors.read_text("utf-8"))


def _newest(folder: Path, out: Path) -> tuple[int, int]:
    """When anything below a folder last changed, and how much was printed."""
    newest = 0
    for place, _, names in os.walk(folder):  # which passes over folders that have gone meanwhile
        for name in names:
            with contextlib.suppress(OSError):
                newest = max(newest, (Path(place) / name).stat().st_mtime_ns)
    return newest, out.stat().st_size
