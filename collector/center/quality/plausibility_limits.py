# SPDX-License-Identifier: GPL-3.0-or-later
"""What is plausible in records: every limit of the validation, once, with where it comes from.

None of these numbers moves money: a finding says where a person should look. The one check that the rule itself knows,
meter against telemetry (Art. 19), takes its tolerance from the rulebook's data policy and stands not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Final

from collector.model.register import UnitKind


class Basis(Enum):
    """What a limit is a multiple of."""

    ABSOLUTE = "absolute"  # the quantity's own unit
    RATED = "rated"  # P_N of the unit, MW
    NOMINAL = "nominal"  # nominal voltage of the unit, kV


@dataclass(frozen=True, slots=True)
class RateLimit:
    """Fastest plausible change of a quantity per second, `per_s` × basis.

    `least_s`: a change is taken over at least so long, for what moves in steps. `on_grid`: only between two records
    that both show the breaker closed.
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
    """How long a value may stay the same to the last digit while the unit is on the grid and another one moves."""

    quantity: str
    longest_s: int
    why: str


FROZEN: Final = (
    FrozenLimit("active_power_mw", 4 * 3600, "a base-load set behind a dead band may stand for an hour or two"),
    FrozenLimit("reactive_power_mvar", 4 * 3600, "as active power; a set at its limit stands there and is left out"),
    FrozenLimit("bus_voltage_kv", 12 * 3600, "held by AVC and shown in steps of 0.1 kV it may stand for a night"),
    FrozenLimit("frequency_hz", 1800, "grid frequency moves by millihertz every second"),
)

# Meter and telemetry of a day are compared over at least so long: a register is read rarely, and at both ends its
# reading may be five minutes old, which over less than this is more than the tolerance by itself.
METER_LEAST_S: Final = 12 * 3600

# |P| and |set-point| and |Q| of a unit, as a share of P_N: nameplate overload plus transducer range.
POWER_RATIO: Final = Decimal("1.2")

# Kinds that cannot draw power while generating; pumped storage pumps, `other` may be a store.
CANNOT_DRAW: Final = frozenset(UnitKind) - {UnitKind.PUMPED_STORAGE, UnitKind.OTHER}
# Below this share of P_N, negative, it is no transducer's zero error (class 0.5, twice, and some drift).
DRAW_RATIO: Final = Decimal("0.02")

# SD 325-89: a plant's bus stays within -5 to +10 % of nominal, disturbed states included; 10 % either way is no dip.
VOLTAGE_LOW: Final = Decimal("0.9")
VOLTAGE_HIGH: Final = Decimal("1.1")

# Of one check, unit, quantity and day so many stretches are listed; the rest becomes one that spans them and counts.
MOST_STRETCHES: Final = 50
