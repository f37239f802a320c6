# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of rulebook values the computation needs: names, units and keys, and the readings it supports.

No number of the law stands here. The loader refuses a rulebook that declares another unit or key, omits a value (except
those of the calendar), or adds a value that is not in the catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.base.text import Text, tr
from collector.model.register import DispatchMode, UnitKind

AREA: Final = "area"
MODE: Final = "dispatch_mode"
KIND: Final = "unit_kind"


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """A value the computation reads: its unit, and the key (one of area, dispatch_mode, unit_kind) or none.

    No value is below 0. `share`: a part of a whole, so at most 1; 57 would be a percentage.
    """

    id: str
    unit: str
    key: str = ""
    share: bool = False


VALUES: Final[dict[str, ValueSpec]] = {
    spec.id: spec
    for spec in (
        ValueSpec("deep_peak.lower_limit_ratio", "1", AREA, share=True),
        ValueSpec("deep_peak.gate_ratio", "1", share=True),
        ValueSpec("deep_peak.price", "yuan/MWh", MODE),
        ValueSpec("start_stop.max_gap", "h"),
        ValueSpec("coal_start_stop.price", "10000 yuan"),
        ValueSpec("gas_start_stop.price", "yuan/MW"),
        ValueSpec("hydro_spill.ratio", "1"),
        ValueSpec("hydro_start_stop.price", "yuan/MW"),
        ValueSpec("agc_basic.price", "yuan/MW"),
        ValueSpec("agc_up.price", "yuan/MWh", MODE),
        ValueSpec("agc_down.price", "yuan/MWh", MODE),
        ValueSpec("agc_command.min_step_ratio", "1"),
        ValueSpec("agc_command.band_ratio", "1"),
        ValueSpec("agc_command.record_gap", "s"),
        ValueSpec("reactive.free_ratio_lag", "1"),
        ValueSpec("reactive.free_ratio_lead", "1"),
        ValueSpec("reactive_lag.price", "yuan/Mvarh"),
        ValueSpec("reactive_lead.price", "yuan/Mvarh"),
        ValueSpec("condenser_start.price", "yuan/MW"),
        ValueSpec("condenser_run.price", "yuan/MWh"),
        ValueSpec("avc.price", "yuan/MWh"),
        ValueSpec("avc.high_class", "kV"),
        ValueSpec("avc.middle_class", "kV"),
        ValueSpec("avc.high_band", "kV"),
        ValueSpec("avc.middle_band", "kV"),
        ValueSpec("avc.low_band_ratio", "1"),
        ValueSpec("spinning_reserve.price", "yuan/MWh", MODE),
        ValueSpec("hot_reserve.price", "yuan/MWh", MODE),
        ValueSpec("black_start.price", "yuan/month", KIND),
        ValueSpec("primary_frequency.dead_band", "Hz", KIND),
        ValueSpec("primary_frequency.nominal", "Hz"),
        ValueSpec("policy.hold_limit", "s"),
        ValueSpec("policy.settle", "s"),
        ValueSpec("policy.min_coverage", "1", share=True),
        ValueSpec("policy.provisional_coverage", "1", share=True),
        ValueSpec("policy.at_limit_tolerance", "Mvar"),
        ValueSpec("policy.on_grid_ratio", "1"),
        ValueSpec("policy.meter_difference_ratio", "1"),
        ValueSpec("policy.min_stop", "s"),
        ValueSpec("policy.order_min_ratio", "1"),
        ValueSpec("policy.plausible_ratio", "1"),
        ValueSpec("policy.plausible_voltage_low", "1"),
        ValueSpec("policy.plausible_voltage_high", "1"),
    )
}

# Values by which inputs are judged before anything is computed: without one there is no such limit.
INPUT_VALUES: Final[dict[str, ValueSpec]] = {
    spec.id: spec
    for spec in (
        ValueSpec("policy.plan_limit_ratio", "1"),
        ValueSpec("policy.reserve_limit_ratio", "1"),
        ValueSpec("policy.agc_limit_ratio", "1"),
        ValueSpec("policy.tariff_limit", "yuan/MWh"),
    )
}

# Values that only the calendar of Art. 26-28 reads: a rulebook without them can settle every month. Each is a whole
# number of days and the same for all areas.
CALENDAR_VALUES: Final[dict[str, ValueSpec]] = {
    spec.id: spec
    for spec in (
        ValueSpec("disclosure.day", "day_of_month"),
        ValueSpec("review.day", "day_of_month"),
        ValueSpec("answer.working_days", "working_day"),
        ValueSpec("filing.day", "day_of_month"),
        ValueSpec("publication.day", "day_of_month"),
    )
}
CALENDAR_DAYS: Final = range(1, 32)

# The choices of each reading that the computation supports; rules.md adopts the first.
READINGS: Final[dict[str, tuple[str, ...]]] = {
    "I-01": ("unknown_is_pending",),
    "I-02": ("dispatching_authority",),
    "I-03": ("from_lower_limit", "from_gate_line"),
    "I-04": ("unit_or_group", "plant", "all_members"),
    "I-05": ("per_record", "quarter_hour_mean"),
    "I-06": ("month_of_restart", "month_of_stop"),
    "I-07": ("on_grid_hours", "calendar_hours"),
    "I-08a": ("measured_output", "set_point"),
    "I-08b": ("netted_by_quarter_hour", "per_record"),
    "I-08c": ("paid_for_both", "deep_peak_first"),
    "I-08d": ("step", "linear"),
    "I-09": ("per_record", "quarter_hour_mean", "voltage_curve_is_order"),
    "I-10": ("not_paid_here",),
    "I-11": ("settled_in_band",),
    "I-12": ("planned_verified", "planned_as_is", "capped_by_headroom"),
    "I-13": ("same_month",),
    "I-14": ("only_disclosure_moves",),
    "I-15": ("full_month", "by_days"),
    "I-16": ("pumped_storage_is_hydro", "pumped_storage_is_its_own"),
    "I-17": ("counted", "missing"),
    "I-18": ("ramps_not_paid", "ramps_paid"),
    "I-19": ("known_unpaid", "leaves_scope"),
    "I-20": ("certain_is_paid", "any_hole_blocks"),
    "I-21": ("tenth_of_band", "every_change"),
    "I-22": ("machine_by_breaker",),
    "I-23": ("at_start", "at_stop"),
    "I-24": ("any_mode",),
    "I-25": ("day_included",),
}

# Choices of the text that no reading can adopt, each with what to do in its place (docs/decisions/0031).
REFUSED: Final[Mapping[str, Mapping[str, Text]]] = {
    "I-22": {
        "entered_by_hand": tr(
            "stops entered by hand are records: import them with the breaker's status (records, substituted)"
        )
    },
    "I-24": {
        "listed_modes": tr(
            "which modes of AGC are in service is said where the signal is read: list them in the point table's map"
        )
    },
}

# The members of each key but area, which the rulebook lists: a keyed value needs a row for every one of them.
KEY_DOMAINS: Final[dict[str, tuple[str, ...]]] = {
    MODE: tuple(str(m) for m in DispatchMode),
    KIND: tuple(str(k) for k in UnitKind),
}

# Services in the order of the statement; each has its own scope, exclusions and coverage.
SERVICES: Final[tuple[str, ...]] = (
    "deep_peak",
    "coal_start_stop",
    "gas_start_stop",
    "hydro_spill",
    "hydro_start_stop",
    "agc_basic",
    "agc_up",
    "agc_down",
    "reactive_lag",
    "reactive_lead",
    "condenser_start",
    "condenser_run",
    "avc",
    "spinning_reserve",
    "hot_reserve",
    "black_start",
    "primary_frequency",
)

# Services whose formula a rulebook may pay another service by, with that service's own price and kinds of unit: P_N for
# each start-stop on order, and planned reserve in peak hours.
FORMULAS: Final[tuple[str, ...]] = ("gas_start_stop", "hydro_start_stop", "spinning_reserve", "hot_reserve")
