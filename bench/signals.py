# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeded signals of generating units as a gateway sees them: what the wire and the buffer are measured on.

Resolutions are those of usual telemetry: 0.01 MW, 0.01 Mvar, 0.01 kV, 1 mHz, 1 kWh; `finer` gives ten times as many
steps of the first four, as transducers with floating-point registers have. Power follows an AGC set-point at
1.5 % of capacity a minute with a slow noise of 0.3 MW; voltage and frequency wander; an AVC target moves every quarter
of an hour; statuses hold.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from collector.base.clock_state import ClockState
from collector.center.settings import ReceiverSettings
from collector.model.quantity import QUANTITIES
from collector.model.record import Quality, UnitLayout, UnitRecord

START_MS = 1_772_294_400_000  # 2026-03-01 00:00 local
QUANTITY_NAMES = tuple(q.name for q in QUANTITIES)
WIDE = ReceiverSettings(max_age_days=36_500)  # these signals are of a month of their own, whenever they are measured
_GOOD = (Quality.GOOD,) * len(QUANTITY_NAMES)


@dataclass
class Unit:
    """State of one simulated unit; MW, Mvar, kV, Hz, MWh as floats: a signal, not an account."""

    name: str
    rated_mw: float
    rng: random.Random
    power_mw: float = 0.0
    setpoint_mw: float = 0.0
    noise_mw: float = 0.0
    reactive_mvar: float = 40.0
    voltage_kv: float = 525.0
    target_kv: float = 525.0
    frequency_hz: float = 50.0
    energy_mwh: float = field(default=1_234_567.0)
    finer: int = 1

    def __post_init__(self) -> None:
        self.power_mw = self.setpoint_mw = self.rated_mw * 0.75

    def step(self, second: int) -> tuple[int, ...]:
        """One second on; the values of `QUANTITIES` as stored integers."""
        rng = self.rng
        if rng.random() < 1 / 40:
            self.setpoint_mw = min(self.rated_mw, max(self.rated_mw * 0.5, self.setpoint_mw + rng.gauss(0, 8)))
        if second % 900 == 0:
            self.target_kv += rng.choice((-0.5, 0.0, 0.5))
        ramp = self.rated_mw * 0.015 / 60
        self.power_mw += min(ramp, max(-ramp, self.setpoint_mw - self.power_mw))
        self.noise_mw = 0.9 * self.noise_mw + rng.gauss(0, 0.13)
        self.reactive_mvar += 0.02 * (40 - self.reactive_mvar) + rng.gauss(0, 0.15)
        self.voltage_kv += 0.05 * (self.target_kv - self.voltage_kv) + rng.gauss(0, 0.03)
        self.frequency_hz += 0.03 * (50 - self.frequency_hz) + rng.gauss(0, 0.0015)
        power_mw = self.power_mw + self.noise_mw
        self.energy_mwh += power_mw / 3600
        return (
            round(power_mw * 100 * self.finer) * (10 // self.finer),
            round(self.reactive_mvar * 100 * self.finer) * (10 // self.finer),
            round(self.voltage_kv * 100 * self.finer) * (10 // self.finer),
            round(self.frequency_hz * 1000 * self.finer) * (1000 // self.finer),
            1,
            1,
            round(self.setpoint_mw * 10) * 100,
            1,
            round(self.target_kv * 10) * 100,
            0,
            0,
            0,
            1,
            int(self.energy_mwh * 1000) * 1000,
        )


def layouts(units: int = 4) -> tuple[UnitLayout, ...]:
    """`units` units with all 14 quantities each."""
    return tuple(UnitLayout(f"unit-{i + 1}", QUANTITY_NAMES) for i in range(units))


def ticks(seconds: int, *, units: int = 4, seed: int = 20260301, finer: int = 1) -> Iterator[list[UnitRecord]]:
    """One list of records, one per unit, for every second. `finer`: 1 or 10."""
    plant = [Unit(layout.unit, 660.0, random.Random(seed + i), finer=finer) for i, layout in enumerate(layouts(units))]
    for second in range(seconds):
        time_utc_ms = START_MS + second * 1000
        yield [
            UnitRecord(unit.name, time_utc_ms, unit.step(second), _GOOD, clock=ClockState.SYNCHRONISED)
            for unit in plant
        ]
