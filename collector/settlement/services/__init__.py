# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps 7 and 8, one file per service, its article in our own words: what is measured and how it is priced.

`measure` reads facts of a batch and writes integers per unit and day; `price` turns a unit's month into a draft line.
Each line has its own scope, exclusions and coverage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from collector.model.dispatch import OrderKind, ReserveKind
from collector.model.register import UnitKind
from collector.settlement.measure import meter
from collector.settlement.measure.facts import Facts
from collector.settlement.rulebook.constant_days import Policy, Stretch
from collector.settlement.services import (
    agc,
    avc,
    black_start,
    clock_state,
    condenser,
    deep_peak,
    primary_frequency,
    reactive,
    reserve,
    spill,
    start_stop,
)
from collector.settlement.services.pricing import Account, Draft


@dataclass(frozen=True, slots=True)
class Beside:
    """A figure shown beside a determinant: its name, measured column, unit and divisor."""

    determinant: str
    column: str
    value_unit: str
    divisor: int = 1


@dataclass(frozen=True, slots=True)
class ServiceDef:
    """The definition of one service.

    `rows`: the dispatch rows without which a unit has no line. `gated`: whether low coverage blocks the line.
    `empty`: the reason of a line whose scope is empty. `divisor`: measured integer ÷ `divisor` = value in `value_unit`.
    """

    id: str
    price: Callable[[Account], Draft]
    applies: Callable[[Stretch], bool] = lambda _: True
    rows: OrderKind | ReserveKind | None = None
    gated: bool = True
    empty: str = "no_order"
    determinant: str = ""
    value_unit: str = ""
    divisor: int = 1
    beside: tuple[Beside, ...] = ()


_MWH, _H = 3_600_000_000, 3_600_000

SERVICES: Final[tuple[ServiceDef, ...]] = (
    ServiceDef("deep_peak", deep_peak.price, empty="no_valley", determinant="E_deep", value_unit="MWh", divisor=_MWH),
    ServiceDef(
        "coal_start_stop",
        start_stop.price_coal,
        rows=OrderKind.START_STOP,
        gated=False,
        determinant="occurrences",
        value_unit="count",
    ),
    ServiceDef(
        "gas_start_stop",
        start_stop.price_gas,
        rows=OrderKind.START_STOP,
        gated=False,
        determinant="occurrences",
        value_unit="count",
    ),
    ServiceDef("hydro_spill", spill.price, rows=OrderKind.SPILL, determinant="spill_hours", value_unit="h", divisor=_H),
    ServiceDef(
        "hydro_start_stop",
        start_stop.price_hydro,
        rows=OrderKind.START_STOP,
        gated=False,
        determinant="occurrences",
        value_unit="count",
    ),
    ServiceDef(
        "agc_basic",
        agc.price_basic,
        agc.has_agc,
        empty="no_scope",
        determinant="t_AGC",
        value_unit="h",
        divisor=_H,
        beside=(Beside("t_on_grid", "on_grid", "h", _H),),
    ),
    ServiceDef(
        "agc_up", agc.price_up, agc.has_agc, empty="no_scope", determinant="E_up", value_unit="MWh", divisor=_MWH
    ),
    ServiceDef(
        "agc_down", agc.price_down, agc.has_agc, empty="no_scope", determinant="E_down", value_unit="MWh", divisor=_MWH
    ),
    ServiceDef(
        "reactive_lag",
        reactive.price_lag,
        rows=OrderKind.REACTIVE,
        determinant="E_q_lag",
        value_unit="Mvarh",
        divisor=_MWH,
    ),
    ServiceDef(
        "reactive_lead",
        reactive.price_lead,
        rows=OrderKind.REACTIVE,
        determinant="E_q_lead",
        value_unit="Mvarh",
        divisor=_MWH,
    ),
    ServiceDef(
        "condenser_start",
        condenser.price_start,
        rows=OrderKind.CONDENSER,
        determinant="condenser_starts",
        value_unit="count",
    ),
    ServiceDef(
        "condenser_run",
        condenser.price_run,
        rows=OrderKind.CONDENSER,
        determinant="condenser_hours",
        value_unit="h",
        divisor=_H,
    ),
    ServiceDef(
        "avc",
        avc.price,
        avc.has_avc,
        empty="no_scope",
        determinant="t_AVC",
        value_unit="h",
        divisor=_H,
        beside=tuple(
            Beside(f"avc_{name}", name, "count")
            for name in ("orders", "judged", "passed", *(f"not_judged_{cause}" for cause in avc.NOT_JUDGED))
        ),
    ),
    ServiceDef(
        "spinning_reserve",
        reserve.price_spinning,
        rows=ReserveKind.SPINNING,
        empty="no_reserve",
        determinant="spinning_reserve",
        value_unit="MWh",
        divisor=_MWH,
    ),
    ServiceDef(
        "hot_reserve",
        reserve.price_hot,
        rows=ReserveKind.HOT,
        empty="no_reserve",
        determinant="hot_reserve",
        value_unit="MWh",
        divisor=_MWH,
    ),
    ServiceDef("black_start", black_start.price, black_start.designated, gated=False),
)

# I-16: services not paid to pumped storage where it counts as a kind of its own.
HYDRO_ONLY: Final = frozenset({"hydro_spill", "hydro_start_stop", "black_start"})


def applies(policy: Policy) -> dict[str, Callable[[Stretch], bool]]:
    """Per service a test of the stretches it can apply to, besides the unit kinds that the rulebook names."""

    def hydro_proper(test: Callable[[Stretch], bool]) -> Callable[[Stretch], bool]:
        return lambda s: test(s) and s.unit.kind is not UnitKind.PUMPED_STORAGE

    own_kind = policy.adopts("I-16", "pumped_storage_is_its_own")
    return {s.id: hydro_proper(s.applies) if own_kind and s.id in HYDRO_ONLY else s.applies for s in SERVICES}


def measure_all(facts: Facts) -> None:
    """Measure every determinant of a batch."""
    paid_deep = deep_peak.measure(facts)
    start_stop.measure(facts)
    spill.measure(facts)
    agc.measure(facts, paid_deep)
    reactive.measure(facts)
    condenser.measure(facts)
    avc.measure(facts)
    reserve.measure(facts)
    primary_frequency.measure(facts)
    meter.measure(facts)
    clock_state.measure(facts)
