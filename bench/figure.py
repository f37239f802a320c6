# SPDX-License-Identifier: GPL-3.0-or-later
"""One measured figure, held against a floor or a peer measured in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` = value ÷ floor_value. `target` is the bound the value (or the ratio, where `unit` is "ratio") must hold.

    `at_most` tells on which side of the target is good.
    """

    name: str
    value: float
    unit: str
    floor: str
    floor_value: float
    target: float
    of_ratio: bool = False
    at_most: bool = True

    @property
    def ratio(self) -> float:
        """The figure against its floor."""
        return self.value / self.floor_value if self.floor_value else float("inf")

    @property
    def ok(self) -> bool:
        """Whether the target is held."""
        measured = self.ratio if self.of_ratio else self.value
        return measured <= self.target if self.at_most else measured >= self.target

    def row(self) -> dict[str, Any]:
        """As `make bench OUT=FILE` writes it."""
        row = asdict(self)
        del row["of_ratio"], row["at_most"]
        return {**row, "ratio": self.ratio, "ok": self.ok}


def median_s(run: Callable[[], object], times: int = 3) -> float:
    """Median wall seconds of `run`, after one warm-up."""
    run()
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)
