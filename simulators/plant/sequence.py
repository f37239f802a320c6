# SPDX-License-Identifier: GPL-3.0-or-later
"""Start-up and shut-down of a unit: synchronise at a first load, hold it, load up; unload, hold, open the breaker.

Between the sequences a unit moves with its own ramp. The numbers are only typical values by kind of unit; a scenario
may override them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from simulators.plant.scenario_model import Unit

_MINUTE_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages of start-up. `sync_ratio`: first load after closing and last before opening, share of P_N, held for
    some minutes; from there to `stable_ratio` the unit loads up with a slower ramp.
    """

    sync_ratio: float
    hold_min: float
    ramp_ratio_per_min: float
    stable_ratio: float


_STAGES: Final = {
    "coal": Stages(0.05, 20, 0.008, 0.35),
    "gas": Stages(0.08, 6, 0.03, 0.40),
    "hydro": Stages(0.10, 1, 0.40, 0.20),
    "pumped_storage": Stages(0.10, 1, 0.40, 0.20),
}


def stages_of(unit: Unit) -> Stages:
    """The stages of a unit: numbers of the scenario, else those of its kind."""
    usual, moves = _STAGES.get(unit.kind, _STAGES["coal"]), unit.moves
    return Stages(
        usual.sync_ratio if moves.sync_ratio is None else moves.sync_ratio,
        usual.hold_min if moves.sync_hold_min is None else moves.sync_hold_min,
        usual.ramp_ratio_per_min if moves.start_ramp_ratio_per_min is None else moves.start_ramp_ratio_per_min,
        usual.stable_ratio if moves.stable_ratio is None else moves.stable_ratio,
    )


def unloading_ms(unit: Unit) -> int:
    """Time from the start of unloading to the opening of the breaker, ms, for a unit at full load."""
    stages = stages_of(unit)
    minutes = (1 - stages.sync_ratio) / unit.moves.ramp_ratio_per_min + min(stages.hold_min, 5)
    return round(minutes * _MINUTE_MS)


class Sequence:
    """The progress of one unit's sequence. Powers in kW; `ramp_kw` per tick."""

    def __init__(self, unit: Unit, step_s: int) -> None:
        stages = stages_of(unit)
        rated_kw = round(float(unit.rated_mw) * 1000)
        self.sync_kw = round(rated_kw * stages.sync_ratio)
        self._stable_kw = round(rated_kw * stages.stable_ratio)
        self._start_ramp_kw = round(rated_kw * stages.ramp_ratio_per_min * step_s / 60)
        self._ramp_kw = round(rated_kw * unit.moves.ramp_ratio_per_min * step_s / 60)
        self._hold_ms = round(stages.hold_min * _MINUTE_MS)
        self._closed_ms: int | None = None

    def close(self, time_ms: int) -> None:
        """Start the sequence: the breaker has closed."""
        self._closed_ms = time_ms

    def move(self, time_ms: int, power_kw: int, aim_kw: int) -> int:
        """The power one tick later, on its way from `power_kw` to `aim_kw`."""
        ramp_kw = self._ramp_kw
        if self._closed_ms is not None:
            if aim_kw < 0:
                self._closed_ms = None  # a condenser is driven by the grid and does not load up
            elif time_ms - self._closed_ms < self._hold_ms or power_kw <= 0 or aim_kw <= self.sync_kw:
                return self.sync_kw
            elif power_kw < self._stable_kw:
                ramp_kw = self._start_ramp_kw
            else:
                self._closed_ms = None
        return min(max(aim_kw, power_kw - ramp_kw), power_kw + ramp_kw)
