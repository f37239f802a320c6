# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps 7 and 8, one file per service, its article in our own words: what is measured and how it is priced.

`measure` reads facts of a batch and writes integers per unit and day; `price` turns a unit's month into a draft line.
Each line has its own scope, exclusions and coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from collector.model.dispatch import OrderKind, ReserveKind
from collector.model.register import UnitKind
from collector.settlement.measure import meter, reserve_calls, spacing
from collector.settlement.measure.facts import Facts
from collector.settlement.measure.status_runs import measure_runs
from collector.settlement.rulebook.constant_days import ConstantDays, Policy
from collector.settlement.rulebook.rules import Rulebook
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

    `rows`: the dispatch rows without which a unit has no line. `places`: area and plant of its lines, where they are
    not those of its parts. `gated`: whether low coverage blocks the line. `formula`: the service by whose formula the
    line is priced: itself, but for one that the rulebook adds.
    `empty`: the reason of a line whose scope is empty. `divisor`: measured integer ÷ `divisor` = value in `value_unit`.
    """

    id: str
    price: Callable[[Account], Draft]
    applies: Callable[[ConstantDays], bool] = lambda _: True
    rows: OrderKind | ReserveKind | None = None
    gated: bool = True
    empty: str = "no_order"
    determinant: str = ""
    value_unit: str = ""
    divisor: int = 1
    beside: tuple[Beside, ...] = ()
    places: Callable[[Account], set[tuple[str, str]]] | None = None
    formula: str = ""

    def __post_init__(self) -> None:
        if not self.formula:
            object.__setattr__(self, "formula", self.id)


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
        partial(start_stop.price_by_capacity, service=start_stop.GAS),
        rows=OrderKind.START_STOP,
        gated=False,
        determinant="occurrences",
        value_unit="count",
    ),
    ServiceDef("hydro_spill", spill.price, rows=OrderKind.SPILL, determinant="spill_hours", value_unit="h", divisor=_H),
    ServiceDef(
        "hydro_start_stop",
        partial(start_stop.price_by_capacity, service=start_stop.HYDRO),
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
        partial(reserve.price, service=reserve.SPINNING),
        rows=ReserveKind.SPINNING,
        empty="no_reserve",
        determinant="spinning_reserve",
        value_unit="MWh",
        divisor=_MWH,
    ),
    ServiceDef(
        "hot_reserve",
        partial(reserve.price, service=reserve.HOT),
        rows=ReserveKind.HOT,
        empty="no_reserve",
        determinant="hot_reserve",
        value_unit="MWh",
        divisor=_MWH,
    ),
    ServiceDef("black_start", black_start.price, black_start.designated, gated=False, places=black_start.places),
)

# The formulas by which a rulebook may pay a service of its own (catalogue.FORMULAS), with that service's values.
_PRICE_OF: Final[Mapping[str, Callable[..., Draft]]] = {
    "gas_start_stop": start_stop.price_by_capacity,
    "hydro_start_stop": start_stop.price_by_capacity,
    "spinning_reserve": reserve.price,
    "hot_reserve": reserve.price,
}

# I-16: services not paid to pumped storage where it counts as a kind of its own.
HYDRO_ONLY: Final = frozenset({"hydro_spill", "hydro_start_stop"})


def definitions(rulebook: Rulebook) -> tuple[ServiceDef, ...]:
    """The services in the order of the statement; those that the rulebook adds stand behind the one they are like."""
    if not rulebook.formulas:
        return SERVICES
    found: list[ServiceDef] = []
    for definition in SERVICES:
        added = sorted(ident for ident, formula in rulebook.formulas.items() if formula == definition.id)
        found += [definition, *(_like(definition, ident) for ident in added)]
    return tuple(found)


def _like(definition: ServiceDef, ident: str) -> ServiceDef:
    price = partial(_PRICE_OF[definition.id], service=ident)
    return replace(definition, id=ident, price=price, formula=definition.id)


def applies(policy: Policy, rulebook: Rulebook) -> dict[str, Callable[[ConstantDays], bool]]:
    """Per service a test of the stretches it can apply to, besides the unit kinds that the rulebook names."""

    def hydro_proper(test: Callable[[ConstantDays], bool]) -> Callable[[ConstantDays], bool]:
        return lambda s: test(s) and s.unit.kind is not UnitKind.PUMPED_STORAGE

    own_kind = policy.adopts("I-16", "pumped_storage_is_its_own")
    return {
        s.id: hydro_proper(s.applies) if own_kind and s.id in HYDRO_ONLY else s.applies for s in definitions(rulebook)
    }


def measure_all(facts: Facts) -> None:
    """Measure every determinant of a batch."""
    facts.results.implausible += facts.plausible.events()
    paid_deep = deep_peak.measure(facts)
    measure_runs(facts, OrderKind.START_STOP)
    measure_runs(facts, OrderKind.CONDENSER)
    spill.measure(facts)
    agc.measure(facts, paid_deep)
    reactive.measure(facts)
    condenser.measure(facts)
    avc.measure(facts)
    reserve.measure(facts)
    primary_frequency.measure(facts)
    meter.measure(facts)
    reserve_calls.measure(facts)
    clock_state.measure(facts)
    spacing.measure(facts)
