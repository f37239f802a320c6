# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of plausible records: every limit of the validation, once, with its source.

None of these numbers moves money: a finding shows a person where to look. The one check that the rule itself has, meter
against telemetry (Art. 19), takes its tolerance from the rulebook's data policy, not from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

from collector.model.register import UnitKind


class Basis(Enum):
    """The unit of a limit: a limit is a multiple of it."""

    ABSOLUTE = "absolute"  # the quantity's own unit
    RATED = "rated"  # P_N of the unit, MW
    NOMINAL = "nominal"  # nominal voltage of the unit, kV


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Fastest plausible change of a quantity per second, `per_s` × basis.

    `least_s`: a change is averaged over at least this time, for quantities that move in steps. `on_grid`: only between
    two records that both show the breaker closed.
    """

    quantity: str
    per_s: Decimal
    basis: Basis
    least_s: int
    on_grid: bool
    why: str


RATES: Final = (
    RateLimit(
        "active_power_mw", Decimal("0.3"), Basis.RATED, 1, True,
        "the fastest sets, Pelton and Francis, take 5 s and more over their range; a trip opens the breaker",
    ),
    RateLimit(
        "reactive_power_mvar", Decimal("1.0"), Basis.RATED, 1, True,
        "static excitation swings over its whole range within about a second",
    ),
    RateLimit(
        "bus_voltage_kv", Decimal("0.3"), Basis.NOMINAL, 1, True,
        "a fault nearby dips and recovers within a second; a busbar transfer does not do more",
    ),
    RateLimit(
        "frequency_hz", Decimal(2), Basis.ABSOLUTE, 1, True,
        "twice the usual setting of rate-of-change protection; an interconnected grid stays far below",
    ),
    RateLimit(
        "energy_export_mwh", Decimal("1.2") / 3600, Basis.RATED, 900, False,
        "120 % of P_N all the time; over a quarter hour, because a register behind transformers moves in steps",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FrozenLimit:
    """The longest time that a value may stay equal to the last digit, on the grid, while another quantity moves."""

    quantity: str
    longest_s: int
    why: str


FROZEN: Final = (
    FrozenLimit("active_power_mw", 4 * 3600, "a base-load set behind a dead band may stand for an hour or two"),
    FrozenLimit("reactive_power_mvar", 4 * 3600, "as active power; a set at its limit stands there and is left out"),
    FrozenLimit("bus_voltage_kv", 12 * 3600, "held by AVC and shown in steps of 0.1 kV it may stand for a night"),
    FrozenLimit("frequency_hz", 1800, "grid frequency moves by millihertz every second"),
)

# Meter and telemetry of a day are compared over at least this time: a register is read rarely, and at both ends its
# reading may be five minutes old, which in a shorter time would alone exceed the tolerance.
METER_LEAST_S: Final = 12 * 3600

# |P| and |set-point| and |Q| of a unit, as a share of P_N: nameplate overload plus transducer range.
POWER_RATIO: Final = Decimal("1.2")

# Kinds that cannot draw power while generating; pumped storage pumps, `other` may be a store.
CANNOT_DRAW: Final = frozenset(UnitKind) - {UnitKind.PUMPED_STORAGE, UnitKind.OTHER}
# Negative power beyond this share of P_N is no zero error of a transducer (class 0.5, twice, and some drift).
DRAW_RATIO: Final = Decimal("0.02")

# SD 325-89: a plant's bus stays within -5 to +10 % of nominal, even when disturbed; beyond ±10 % is no mere dip.
VOLTAGE_LOW: Final = Decimal("0.9")
VOLTAGE_HIGH: Final = Decimal("1.1")

# Stretches listed per check, unit, quantity and day; the rest becomes one that covers and counts them.
MOST_STRETCHES: Final = 50
