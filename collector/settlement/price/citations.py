# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebook rows that measuring a line used, besides those that priced it: limits, gates, bands, data policy.

Pricing records the rows it uses (`pricing.Priced`). Measuring handles many units at once and records none, so the
values each service reads are listed here; a test changes each value and checks that every affected service lists it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from collector.settlement.rulebook.catalogue import AREA, KIND, MODE, VALUES
from collector.settlement.rulebook.constant_days import ConstantDays
from collector.settlement.services import ServiceDef
from collector.settlement.services.pricing import Account
from collector.settlement.statement import RuleUse

_AVC_BANDS: Final = (
    *("policy.settle", "policy.order_min_ratio", "avc.high_class", "avc.middle_class"),
    *("avc.high_band", "avc.middle_band", "avc.low_band_ratio"),
)
READ_BY: Final[Mapping[str, tuple[str, ...]]] = {
    "deep_peak": ("deep_peak.lower_limit_ratio", "deep_peak.gate_ratio"),
    "coal_start_stop": ("start_stop.max_gap", "policy.min_stop"),
    "gas_start_stop": ("start_stop.max_gap", "policy.min_stop"),
    "hydro_start_stop": ("start_stop.max_gap", "policy.min_stop"),
    "condenser_start": ("policy.min_stop",),
    "reactive_lag": ("reactive.free_ratio_lag", "policy.at_limit_tolerance"),
    "reactive_lead": ("reactive.free_ratio_lead", "policy.at_limit_tolerance"),
    "avc": _AVC_BANDS,
}
_GATED: Final = ("policy.min_coverage", "policy.provisional_coverage")
# Values that a folder's [policy] may override: then the rulebook row was not used.
_OVERRIDES: Final[Mapping[str, str]] = {
    "policy.hold_limit": "hold_limit_s",
    "policy.min_coverage": "min_coverage",
    "policy.provisional_coverage": "provisional_coverage",
    "policy.at_limit_tolerance": "at_limit_tolerance_mvar",
    "policy.settle": "settle_s",
    "policy.min_stop": "min_stop_s",
    "policy.order_min_ratio": "order_min_ratio",
    "policy.plausible_ratio": "plausible_ratio",
}


def rules_read(account: Account, definition: ServiceDef, stretches: Sequence[ConstantDays]) -> tuple[RuleUse, ...]:
    """The rulebook rows used to measure a line, each once, in the order of the stretches."""
    values = _values_of(account, definition)
    # The parts of a stretch that look-ups depend on: most units of a month share them, and so their citations.
    places = tuple((s.first_day, s.area.id, s.area.dispatch_mode, s.unit.kind) for s in stretches)
    cited = account.case.cited.get((values, places))
    if cited is None:
        read = [value_id for value_id in values if _OVERRIDES.get(value_id) not in account.case.policy.overridden]
        uses = dict.fromkeys(_use(account, value_id, stretch) for value_id in read for stretch in stretches)
        cited = account.case.cited[values, places] = tuple(uses)
    return cited


def _values_of(account: Account, definition: ServiceDef) -> tuple[str, ...]:
    if definition.id == "black_start":
        return ()
    values = (*READ_BY.get(definition.formula, ()), "policy.hold_limit")
    if "on_grid" not in account.case.columns_of.get(account.unit, frozenset()):
        values += ("policy.on_grid_ratio",)
    return values + _GATED if definition.gated else values


def _use(account: Account, value_id: str, stretch: ConstantDays) -> RuleUse:
    keys = {
        AREA: stretch.area.id,
        MODE: str(stretch.area.dispatch_mode),
        KIND: str(stretch.unit.kind),
    }
    key = keys.get(VALUES[value_id].key, "")
    return account.case.rules.rule(value_id, stretch.first_day, stretch.area.id, key).use
