# SPDX-License-Identifier: GPL-3.0-or-later
"""The first day of the demo's month, settled as soon as the center has stored it, while the other days still run.

A newcomer sees lines of a statement after seconds, not after the month. They are lines of a running settlement
(`collector settle --until`), which is never final; the month's own statement comes at the end.
"""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Any

from collector.base.resources import config_path
from collector.model.interval import DAY_MS
from simulators.plant.inputs import write_inputs
from simulators.plant.scenario import Scenario

Lines = list[dict[str, str]]
_MINUTES = DAY_MS // 60_000


class FirstDay:
    """Settles the first day once.

    Args:
        folder: where its data and statement are left.
        lake: the folder of the center's day files.
    """

    def __init__(self, folder: Path, lake: Path, scenario: Scenario) -> None:
        self._folder, self._lake, self._scenario = folder, lake, scenario
        self.is_settled = False
        self._short: set[Path] = set()

    def look(self, now_utc_ms: int) -> Lines:
        """The lines of the first day's statement, once: when the day files of all plants are complete; else none."""
        if self.is_settled or now_utc_ms < self._end_ms:
            return []
        files = [self._file_of(plant.id) for plant in self._scenario.settings.plant]
        if None in files:
            return []
        self.is_settled = True
        return self._settle([file for file in files if file is not None])

    def _file_of(self, plant: str) -> Path | None:
        """The day file of a plant with every minute of each unit, and the first minute after the day.

        An incomplete file is sealed again later: a batch may arrive late, and later batches before it.
        """
        import pyarrow.parquet as pq

        units = {unit.id for unit in self._scenario.settings.unit if unit.plant == plant}
        for path in self._lake.glob(f"{plant}/{self._day}-*.parquet"):
            if path not in self._short:
                rows = pq.read_table(path, columns=["unit", "time"])
                minutes = set(zip(rows["unit"].to_pylist(), self._minutes(rows["time"]), strict=True))
                if all({(unit, minute) for minute in range(_MINUTES + 1)} <= minutes for unit in units):
                    return path
                self._short.add(path)
        return None

    def _minutes(self, times: Any) -> list[int]:
        """Minutes since the day's begin; the first minute after the day is `_MINUTES`."""
        found: list[int] = [(time_ms - self._end_ms) // 60_000 + _MINUTES for time_ms in times.to_pylist()]
        return found

    @property
    def _end_ms(self) -> int:
        return self._scenario.month.interval.start_ms + DAY_MS

    @property
    def _day(self) -> str:
        return self._scenario.month.first_day.isoformat()

    def _settle(self, files: list[Path]) -> Lines:
        from collector.cli.settle.command import RULEBOOK, settle_folder

        data, out = self._folder / "data", self._folder / "statement"
        write_inputs(self._scenario, data)
        records = data / "records"
        records.mkdir(parents=True, exist_ok=True)
        for file in files:
            link_or_copy(file, records / f"{file.parent.name}-{file.name}")
        month = self._scenario.month
        settle_folder(month, data, out, config_path(RULEBOOK), last_day=month.first_day)
        with (out / "lines.csv").open(encoding="utf-8", newline="") as rows:
            return list(csv.DictReader(rows))


def link_or_copy(file: Path, target: Path) -> None:
    """A hard link to a file, or a copy where the file system has no links."""
    try:
        os.link(file, target)
    except OSError:
        shutil.copyfile(file, target)
