# SPDX-License-Identifier: GPL-3.0-or-later
"""The grid around the units: the frequency common to all, and the bus of each.

Both move slowly at random from the seed, and both have events. Steps are ticks of the scenario (`step_s`); the spread
of a random walk over an hour does not depend on the length of a tick.
"""

from __future__ import annotations

import random
from typing import Final

from collector.model.interval import DAY_MS, HOUR_MS, LOCAL_OFFSET_MS, parse_time_ms
from simulators.plant.scenario import Scenario
from simulators.plant.scenario_model import Unit

_MINUTE_MS: Final = 60_000
_RECOVERY_MS: Final = 4 * _MINUTE_MS  # after an event the deviation halves in this time
_FORGOTTEN_MS: Final = 7 * _RECOVERY_MS
# Load of the surrounding network by local hour: +1 light (voltage high), -1 heavy.
_DAY: Final = (
    0.9, 1.0, 1.0, 0.9, 0.7, 0.5, 0.1, -0.4, -0.8, -1.0, -1.0, -0.8, -0.4, -0.3, -0.5, -0.6, -0.8, -1.0, -1.0, -0.8,
    -0.4, 0.0, 0.4, 0.7,
)  # fmt: skip


class GridFrequency:
    """The grid frequency: 50 Hz, a slow random walk of about 15 mHz, and events, each with its recovery."""

    def __init__(self, scenario: Scenario) -> None:
        settings = scenario.settings
        self._dice = random.Random(f"{settings.seed}/grid")
        self._minutes = settings.step_s / 60
        self._spread_mhz = 6.0 * self._minutes**0.5
        self._events = [(parse_time_ms(e.start), parse_time_ms(e.end), e.deviation_mhz) for e in settings.frequency]
        self._events += _drawn_events(scenario)
        self._events.sort()
        self._deviation_mhz = 0.0
        self.frequency_uhz = 50_000_000

    def step(self, time_ms: int) -> None:
        """Advance one tick."""
        self._deviation_mhz += -0.08 * self._minutes * self._deviation_mhz + self._dice.gauss(0, self._spread_mhz)
        event_mhz = sum(_share(mhz, end, time_ms) for start, end, mhz in self._events if start <= time_ms)
        while self._events and self._events[0][1] + _FORGOTTEN_MS < time_ms:
            del self._events[0]
        self.frequency_uhz = 50_000_000 + (round(self._deviation_mhz) + event_mhz) * 1000


def _share(deviation_mhz: int, end_ms: int, time_ms: int) -> int:
    """Remaining deviation of an event: all of it until its end, half of it four minutes later, and so on."""
    if time_ms < end_ms:
        return deviation_mhz
    return int(deviation_mhz * 2.0 ** -((time_ms - end_ms) / _RECOVERY_MS))


def _drawn_events(scenario: Scenario) -> list[tuple[int, int, int]]:
    """Random events, such as the loss of a large unit or load: a few times a month, for some minutes."""
    dice = random.Random(f"{scenario.settings.seed}/grid/events")
    events, span = [], scenario.month.interval
    for midnight in range(span.start_ms, span.end_ms, DAY_MS):
        if dice.random() < scenario.settings.frequency_events_per_day:
            start = midnight + dice.randrange(DAY_MS)
            size_mhz = dice.choice((-1, -1, 1)) * dice.randint(45, 110)
            events.append((start, start + dice.randint(3, 12) * _MINUTE_MS, size_mhz))
    return events


class Bus:
    """A high-voltage bus: a source behind a reactance (Thévenin), whose voltage swings with day and chance.

    U = E + x·Q. x follows from the short-circuit power: x = U_nominal ÷ S_sc, in V per kvar.
    """

    def __init__(self, scenario: Scenario, unit: Unit) -> None:
        self._dice = random.Random(f"{scenario.settings.seed}/{unit.id}/bus")
        self._minutes = scenario.settings.step_s / 60
        nominal_v = float(unit.nominal_kv) * 1000
        short_circuit_kva = float(unit.rated_mw) * unit.moves.grid_strength * 1000
        self.volts_per_kvar = nominal_v / short_circuit_kva
        self._middle_v = nominal_v * 1.012
        self._swing_v = nominal_v * unit.moves.grid_swing_ratio
        self._wander_v = self._swing_v * 0.07 * self._minutes**0.5
        self._away_v = 0.0
        self.source_v = self._middle_v

    def step(self, time_ms: int) -> None:
        """Advance one tick: the daily curve plus a random walk that decays over an hour and a half."""
        self._away_v += -self._away_v * self._minutes / 90 + self._dice.gauss(0, self._wander_v)
        hour, part = divmod((time_ms + LOCAL_OFFSET_MS) % DAY_MS, HOUR_MS)
        now, later = _DAY[hour], _DAY[(hour + 1) % 24]
        self.source_v = self._middle_v + self._swing_v * (now + (later - now) * part / HOUR_MS) + self._away_v
