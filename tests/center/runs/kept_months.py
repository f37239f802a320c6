# SPDX-License-Identifier: GPL-3.0-or-later
"""The month of `late_changes` in stores that are made once; every test that changes one has a copy."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from collector.center.runs.settle_month import MadeRun
from tests.center.runs.center_months import new_store, settled
from tests.center.runs.late_changes import fill
from tests.made_once import made_once


@dataclass(frozen=True)
class KeptMonth:
    """A state directory to copy from, never to be opened, and the run that its month was settled by."""

    state: Path
    run: MadeRun

    def copy_to(self, state: Path) -> Path:
        """A store of a test's own."""
        return copy_state(self.state, state)


def copy_state(state: Path, to: Path) -> Path:
    """Copy a state directory; names of one file are names of one file in the copy, too."""
    first: dict[tuple[int, int], str] = {}

    def copy(source: str, target: str) -> None:
        at = Path(source).stat()
        twin = first.setdefault((at.st_dev, at.st_ino), target)
        if twin == target:
            shutil.copy2(source, target)
        else:
            os.link(twin, target)

    return Path(shutil.copytree(state, to, copy_function=copy))


def filled_state() -> Path:
    """The state of a store that has everything of June, of which nothing is measured."""

    def make(folder: Path) -> None:
        with new_store(folder / "state") as store:
            fill(store)

    return made_once("june filled", make) / "state"


def settle_june(state: Path) -> KeptMonth:
    """A copy of the same whose June is settled; by each process, as a run is of the process that made it."""
    with new_store(copy_state(filled_state(), state)) as store:
        return KeptMonth(state, settled(store))
