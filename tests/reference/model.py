# SPDX-License-Identifier: GPL-3.0-or-later
"""What a settlement folder holds, as frozen data. Powers are kW and kvar, voltages V, times UTC ms, spans half-open.

None is *missing* in a measurement and *not registered* in a register value.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from .times import DailyHours

FOREVER = 1 << 62
OUTSIDE_REASONS = frozenset({"test", "dispatch", "grid"})


@dataclass(frozen=True, slots=True)
class Policy:
    """The data policy: rules.md, section 2, with its defaults."""

    hold_ms: int = 60_000
    min_coverage: Fraction = Fraction("0.5")
    provisional_coverage: Fraction = Fraction("0.95")
    settle_ms: int = 60_000
    at_limit_tolerance_kvar: int = 1000
    min_stop_ms: int = 300_000
    order_min_ratio: Fraction = Fraction("0.1")
    plausible_ratio: Fraction = Fraction("1.2")


@dataclass(frozen=True, slots=True)
class AreaState:
    """A settlement area as registered from `start` to `end`."""

    id: str
    start: int
    end: int
    dispatch_mode: str
    valley: tuple[DailyHours, ...]
    peak: tuple[DailyHours, ...]
    hours_filing: str | None


@dataclass(frozen=True, slots=True)
class PlantState:
    """A plant as registered from `start` to `end`."""

    id: str
    start: int
    end: int
    area: str
    revenue_basis: str
    shares: bool


@dataclass(frozen=True, slots=True)
class UnitState:
    """A unit as registered from `start` to `end`. Numbers are exact, in the unit of their name."""

    id: str
    start: int
    end: int
    plant: str
    kind: str
    rated_mw: Fraction
    agc_range_kw: int | None
    avc: bool
    nominal_kv: Fraction | None
    area: str | None
    q_max_kvar: int | None
    q_min_kvar: int | None
    tariff_yuan_per_mwh: Fraction | None
    black_start: bool
    black_start_document: str | None
    peak_group: str | None
    droop_ratio: Fraction | None = None
    evidence: str | None = None
    agc_lower_kw: int | None = None
    has_limits: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """One record of a unit; None is missing."""

    time: int
    active_kw: int | None = None
    reactive_kvar: int | None = None
    voltage_v: int | None = None
    on_grid: bool | None = None
    agc_in_service: bool | None = None
    agc_setpoint_kw: int | None = None
    avc_in_service: bool | None = None
    avc_target_v: int | None = None
    avc_at_limit: bool | None = None
    condenser: bool | None = None
    spilling: bool | None = None
    frequency_uhz: int | None = None
    primary_frequency: bool | None = None
    energy_export_wh: int | None = None


@dataclass(frozen=True, slots=True)
class UnitRecords:
    """All records of a unit in order of time, and the columns that any of its files has."""

    columns: frozenset[str] = frozenset()
    records: tuple[Record, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """A dispatch order; start_stop: stop allowed from `start`, restart still on order before `end`."""

    id: str
    unit: str
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PowerRow:
    """A row of plan.csv (`issued`) or of reserve.csv (`kind`)."""

    unit: str
    start: int
    end: int
    power_kw: int | None
    kind: str = ""
    issued: int | None = None


@dataclass(frozen=True, slots=True)
class BandRow:
    """The voltage curve of a unit's bus."""

    unit: str
    start: int
    end: int
    low_v: int | None
    high_v: int | None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Time of a unit that a service (or "*") does not count, with the reason."""

    unit: str
    service: str
    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class RevenueRow:
    """A plant's revenue of a month; `area` None means not said."""

    plant: str
    month: str
    kind: str
    amount_yuan: Fraction | None
    area: str | None


@dataclass(frozen=True, slots=True)
class MeterChange:
    """A meter taken out and its successor; a reading at the instant is the new one's. Wh."""

    unit: str
    time: int
    old_final_wh: int
    new_initial_wh: int


@dataclass(frozen=True, slots=True)
class ReserveCall:
    """A reserve called of a unit (Art. 7(5)(6))."""

    unit: str
    kind: str
    called: int
    power_kw: int | None


@dataclass(frozen=True, slots=True)
class ReserveMinimum:
    """The least reserve of an area over a span (Art. 10(2))."""

    area: str
    start: int
    end: int
    power_kw: int | None


@dataclass(frozen=True, slots=True)
class TablePrice:
    """A row of the table of Art. 13(4), half-open in both directions."""

    capacity_from_mw: Fraction
    capacity_to_mw: Fraction
    gap_from_h: Fraction
    gap_to_h: Fraction
    amount_wan_yuan: Fraction
    start: int


@dataclass(frozen=True, slots=True)
class Folder:
    """Everything delivered for a settlement; `absent` names the optional files that are not there."""

    policy: Policy
    areas: tuple[AreaState, ...]
    plants: tuple[PlantState, ...]
    units: tuple[UnitState, ...]
    records: dict[str, UnitRecords] = field(default_factory=dict)
    plan: tuple[PowerRow, ...] = ()
    orders: tuple[Order, ...] = ()
    reserve: tuple[PowerRow, ...] = ()
    bands: tuple[BandRow, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    revenue: tuple[RevenueRow, ...] = ()
    pass_rates: dict[tuple[str, str], Fraction] = field(default_factory=dict)
    price_table: tuple[TablePrice, ...] = ()
    meter_changes: tuple[MeterChange, ...] = ()
    reserve_calls: tuple[ReserveCall, ...] = ()
    reserve_minimum: tuple[ReserveMinimum, ...] = ()
    absent: tuple[str, ...] = ()
    cut: int = FOREVER
    revised: int = FOREVER  # from when the example revision of the rule holds (regulation.py)

    def records_of(self, unit: str) -> UnitRecords:
        """A unit's records; none at all if no file names it."""
        return self.records.get(unit, UnitRecords())
