# SPDX-License-Identifier: GPL-3.0-or-later
"""The reactive power of a unit: its voltage regulator (AVR), the AVC that sets its reference, and the machine's limits.

The AVR reaches its reference within a tick, with reactive compensation: Q = (reference − E) ÷ (x + c). The AVC moves
the reference until the bus has its target voltage, no faster than `_RATE` and not inside its dead band. Where a limit
of the machine cuts Q, the voltage stays off target, the reference follows it (no wind-up) and AVC reports its limit.
"""

from __future__ import annotations

from typing import Final

from simulators.plant.grid import Bus
from simulators.plant.scenario_model import Unit

_COMPENSATION: Final = 0.1  # of the grid's reactance
_RATE: Final = 0.004  # of nominal per minute, at most
_DEAD_BAND: Final = 0.0004  # of nominal
_RESOLUTION_V: Final = 100  # of the bus's voltage transducer


class Excitation:
    """One unit's voltage loop. `voltage_v`: as its transducer shows it, `reactive_kvar`, `at_limit`: 0 or 1."""

    def __init__(self, unit: Unit, bus: Bus, target_v: int, step_s: int) -> None:
        nominal_v = float(unit.nominal_kv) * 1000
        self._bus = bus
        self._low_kvar, self._high_kvar = (float(v) * 1000 for v in (unit.q_min_mvar, unit.q_max_mvar))
        self._stiffness = bus.volts_per_kvar * (1 + _COMPENSATION)
        self._rate_v = nominal_v * _RATE * step_s / 60
        self._dead_v = max(nominal_v * _DEAD_BAND, float(_RESOLUTION_V))
        self._reference_v = float(target_v)
        self.voltage_v = target_v
        self.reactive_kvar = 0
        self.at_limit = 0
        self.begin(target_v)

    def begin(self, target_v: int) -> None:
        """Start in the steady state at this voltage."""
        wanted_kvar = (target_v - self._bus.source_v) / self._bus.volts_per_kvar
        self._reference_v = self._bus.source_v + self._stiffness * self._within(wanted_kvar)
        self.step(on=1, avc=0, aim_v=target_v)

    def step(self, *, on: int, avc: int, aim_v: int) -> None:
        """Advance one tick after the bus has moved; `aim_v`: the voltage AVC aims at."""
        source_v, per_kvar = self._bus.source_v, self._bus.volts_per_kvar
        if not on:
            self._rest(source_v)
            return
        kvar = (self._reference_v - source_v) / self._stiffness
        if avc:
            short_v = aim_v - (source_v + per_kvar * self._within(kvar))
            if abs(short_v) > self._dead_v:
                wanted_v = short_v * self._stiffness / per_kvar
                self._reference_v += min(max(wanted_v, -self._rate_v), self._rate_v)
                kvar = (self._reference_v - source_v) / self._stiffness
        borne = self._within(kvar)
        self.at_limit = 0
        if borne != kvar:
            self._reference_v = source_v + self._stiffness * borne
            self.at_limit = int(avc and abs(aim_v - source_v - per_kvar * borne) > self._dead_v)
        self.reactive_kvar = round(borne)
        self._show(source_v + per_kvar * borne)

    def _rest(self, source_v: float) -> None:
        """Rest off the grid: no reactive power, and the reference at the bus's own voltage."""
        self._reference_v, self.reactive_kvar, self.at_limit = source_v, 0, 0
        self._show(source_v)

    def open(self) -> None:
        """Handle the opening of the breaker: the unit stops acting on the bus at once."""
        self._rest(self._bus.source_v)

    def _within(self, kvar: float) -> float:
        return min(max(kvar, self._low_kvar), self._high_kvar)

    def _show(self, volts: float) -> None:
        """Update the transducer, which moves only by whole steps of its resolution."""
        if abs(volts - self.voltage_v) >= _RESOLUTION_V:
            self.voltage_v = round(volts / _RESOLUTION_V) * _RESOLUTION_V
