# SPDX-License-Identifier: GPL-3.0-or-later
"""One measured figure, held against a floor or a peer measured in the same run."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """`ratio` = value ÷ floor_value. `target` is the bound the value, or with `of_ratio` the ratio, must hold.

    `at_most` tells on which side of the target is good. What must hold on any machine, as memory must, has no floor.
    """

    name: str
    value: float
    unit: str
    floor: str | None
    floor_value: float | None
    target: float
    of_ratio: bool = False
    at_most: bool = True

    @classmethod
    def absolute(cls, name: str, value: float, unit: str, target: float, *, at_most: bool = True) -> Figure:
        """A figure whose target holds on any machine."""
        return cls(name, value, unit, None, None, target, at_most=at_most)

    @property
    def ratio(self) -> float | None:
        """The figure against its floor; None: it has none."""
        if self.floor_value is None:
            return None
        return self.value / self.floor_value if self.floor_value else math.inf

    @property
    def ok(self) -> bool:
        """Whether the target is held."""
        measured = self.ratio if self.of_ratio and self.ratio is not None else self.value
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


def median_cpu_s(run: Callable[[], object], times: int = 3) -> float:
    """Median CPU seconds of `run` in this process, after one warm-up: what else the machine does matters little."""
    run()
    seconds = []
    for _ in range(times):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def exponent(cost_of: Mapping[int, float]) -> float:
    """How cost grows with size: the e of cost ∝ size^e, by least squares over the logarithms."""
    return statistics.linear_regression(
        [math.log(size) for size in cost_of], [math.log(cost) for cost in cost_of.values()]
    ).slope


def curve(what: str, cost_of: Mapping[int, float], unit: str, target: float) -> Figure:
    """The exponent of a cost curve as a figure; its name tells what was measured at each size."""
    points = ", ".join(f"{size}: {cost:.3g} {unit}" for size, cost in sorted(cost_of.items()))
    return Figure.absolute(f"{what} ({points})", exponent(cost_of), "exponent", target)
