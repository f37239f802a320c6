# SPDX-License-Identifier: GPL-3.0-or-later
"""A comparison of two runs of the store: the lines that differ with their causes, and the effect on every plant."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.report.compare import RunComparison, compare
from collector.report.saved_statement import Saved, load_saved
from collector.settlement.statement import PlantRow

_KEPT = 16


@dataclass(frozen=True, slots=True)
class PlantEffect:
    """A plant in an area, before and after.

    A row is None where the run has no such plant; a change that can't be stated (an area is blocked in one of the runs)
    is None.
    """

    area: str
    plant: str
    before: PlantRow | None
    after: PlantRow | None
    compensation_change_yuan: Decimal
    allocation_change_yuan: Decimal | None
    net_change_yuan: Decimal | None

    @property
    def changed(self) -> bool:
        """True if anything that a reader sees differs."""
        return self.before != self.after


def compare_runs(store: CenterStore, a: int, b: int) -> RunComparison:
    """Lines and plants that differ between two runs of a month, each with what can have caused it.

    Raises:
        StoreError: there is no such run, or they are of different months.
        ConfigError: a statement is not the one its manifest names.
    """
    before, after = _both(store, a, b)
    return _compared(*((run.statement_folder, run.manifest_text) for run in (before, after)))


@functools.lru_cache(maxsize=_KEPT)
def _compared(before: tuple[Path, str], after: tuple[Path, str]) -> RunComparison:
    """The comparison of two runs, cached, as runs never change. A run is given by its statement folder and manifest."""
    return compare(_saved(*before), _saved(*after))


@functools.lru_cache(maxsize=4)
def _saved(folder: Path, manifest: str) -> Saved:
    return load_saved(folder, json.loads(manifest))


def effect_by_plant(store: CenterStore, a: int, b: int) -> tuple[PlantEffect, ...]:
    """Every plant of two runs of a month, by area and plant, also those without a change.

    Raises:
        StoreError: there is no such run, or they are of different months.
    """
    before, after = ({(row.area, row.plant): row for row in run.plants} for run in _both(store, a, b))
    return tuple(_effect(*key, before.get(key), after.get(key)) for key in sorted({*before, *after}))


def _effect(area: str, plant: str, before: PlantRow | None, after: PlantRow | None) -> PlantEffect:
    nothing = Decimal("0.00")

    def change(name: str) -> Decimal | None:
        old = nothing if before is None else getattr(before, name)
        new = nothing if after is None else getattr(after, name)
        return None if old is None or new is None else new - old

    compensation = change("compensation_yuan")
    assert compensation is not None  # a compensation is never None
    return PlantEffect(area, plant, before, after, compensation, change("allocation_yuan"), change("net_yuan"))


def _both(store: CenterStore, a: int, b: int) -> tuple[OpenedRun, OpenedRun]:
    before, after = open_run(store, a), open_run(store, b)
    if before.month != after.month:
        message = tr(
            "is of {month}, run {other} of {other_month}; compare runs of one month",
            month=after.month,
            other=a,
            other_month=before.month,
        )
        raise StoreError(message, subject=tr("run {number}", number=b))
    return before, after
