# SPDX-License-Identifier: GPL-3.0-or-later
"""The sections of PLANT.toml, with the type and meaning of each key."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from collector.base.config import Section

DecimalText = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$")]
Ratio = Annotated[float, Field(ge=0, le=1)]


class Rule(Section):
    """`[rule]`: numbers of the regulation for the simulators' own books, each with its article in the file."""

    reactive_free_lag: DecimalText = "0.75"
    reactive_free_lead: DecimalText = "0.328684105"
    at_limit_tolerance_mvar: DecimalText = "1"
    deep_lower_ratio: dict[str, DecimalText]
    deep_gate_ratio: DecimalText
    start_stop_gap_h: int
    avc_settle_s: int
    avc_band_500_kv: DecimalText
    avc_band_220_kv: DecimalText
    avc_band_low_ratio: DecimalText


class Area(Section):
    """`[[area]]` as in register.toml."""

    id: str
    name: str
    dispatch_mode: Literal["energy_saving", "annual_plan"]
    valley_hours: list[str]
    peak_hours: list[str]
    hours_filing: str = ""


class Plant(Section):
    """`[[plant]]` as in register.toml, and its energy bill of the month, yuan."""

    id: str
    name: str
    area: str
    revenue_basis: Literal["on_grid"] = "on_grid"
    shares: bool = True
    settles_with: str = ""
    energy_bill_yuan: DecimalText


class Stop(Section):
    """A stop of the unit: `day` of the month on which the breaker opens, `hours` off grid, `order`: kind of order.

    `kept`: the restart lies inside the order; `late`: it comes after the order's end; `none`: there is no order.
    """

    day: Annotated[int, Field(ge=1, le=30)]
    hours: Annotated[float, Field(gt=0, le=72)]
    order: Literal["kept", "late", "none"]


class Moves(Section):
    """`[unit.moves]`: how a unit behaves.

    `day_ratio`: 24 hourly values of the plan as a share of P_N; `deep_night_ratio` replaces it in the valley of a
    share `deep_nights` of the nights; `regulation_ratio`: standard deviation of AGC's request around the plan. A
    pumped storage unit pumps where `day_ratio` is negative and is off the grid where it is 0. `grid_strength`:
    short-circuit power of its bus, MVA per MW of P_N; `grid_swing_ratio`: random swing of the bus, share of nominal.
    `sync_ratio`, `sync_hold_min`, `start_ramp_ratio_per_min`, `stable_ratio`: the start-up, see `sequence`;
    by default as usual for the kind of unit.
    """

    day_ratio: Annotated[list[float], Field(min_length=24, max_length=24)]
    deep_nights: Ratio = 0.0
    deep_night_ratio: Ratio = 0.0
    ramp_ratio_per_min: Annotated[float, Field(gt=0, le=1)]
    regulation_ratio: Ratio = 0.0
    agc_drops: Ratio = 0.0
    avc_orders_per_day: Annotated[int, Field(ge=0, le=20)] = 0
    avc_missed: Ratio = 0.0
    avc_drops: Ratio = 0.0
    grid_strength: Annotated[float, Field(ge=2, le=1000)] = 20.0
    grid_swing_ratio: Ratio = 0.005
    sync_ratio: Ratio | None = None
    sync_hold_min: Annotated[float, Field(ge=0, le=600)] | None = None
    start_ramp_ratio_per_min: Annotated[float, Field(gt=0, le=1)] | None = None
    stable_ratio: Ratio | None = None
    noise_ratio: Ratio = 0.0004
    plan_noise: bool = True
    energy_start_mwh: Annotated[int, Field(ge=0)] = 0
    stop: list[Stop] = []


class Unit(Section):
    """`[[unit]]` as in register.toml, and its behaviour."""

    id: str
    plant: str
    kind: Literal["coal", "coal_other", "gas", "hydro", "pumped_storage", "nuclear", "wind", "solar", "other"]
    rated_mw: DecimalText
    agc_lower_mw: DecimalText | None = None
    agc_upper_mw: DecimalText | None = None
    avc: bool = False
    nominal_kv: DecimalText = "220"
    droop_ratio: DecimalText | None = None
    dead_band_hz: DecimalText | None = None
    q_max_mvar: DecimalText
    q_min_mvar: DecimalText
    evidence: str | None = None
    black_start: bool = False
    black_start_document: str | None = None
    moves: Moves


class Event(Section):
    """`[[event]]`: at an instant a quantity of a unit becomes `value`, in the unit of the quantity's name.

    Statuses and the AVC target change at that instant; powers, voltage and avc_at_limit at the first tick from then on,
    and stay fixed until an event with an empty value releases them. An event before the run sets the initial state.
    """

    at: str
    unit: str
    quantity: Literal[
        "on_grid", "agc_in_service", "avc_in_service", "avc_at_limit", "avc_target_kv", "condenser", "spilling",
        "primary_frequency_in_service", "active_power_mw", "reactive_power_mvar", "bus_voltage_kv",
    ]  # fmt: skip
    value: str


class FrequencyEvent(Section):
    """`[[frequency]]`: over [start, end) the grid's frequency is off by `deviation_mhz`; then it recovers."""

    start: str
    end: str
    deviation_mhz: Annotated[int, Field(ge=-2000, le=2000)]


class OrderRow(Section):
    """`[[order]]` as in orders.csv."""

    id: str
    unit: str
    kind: Literal["start_stop", "spill", "reactive", "condenser"]
    start: str
    end: str


class ReserveRow(Section):
    """`[[reserve]]` as in reserve.csv."""

    unit: str
    kind: Literal["spinning", "hot"]
    start: str
    end: str
    power_mw: DecimalText


class BandRow(Section):
    """`[[voltage_band]]` as in voltage_band.csv."""

    unit: str
    start: str
    end: str
    low_kv: DecimalText
    high_kv: DecimalText


class Redundant(Section):
    """`[[redundant]]`: the second address of an IEC 104 device; only one of all its connections carries data."""

    device: str
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535)]


class Settings(Section):
    """The content of PLANT.toml. `step_s`: length of a tick, s.

    `quiet_hours`: local hours of the day without switches and orders. `frequency_events_per_day`: mean number of random
    frequency events, besides `[[frequency]]`.
    """

    schema_version: Literal[1] = Field(alias="schema")
    agent: str
    seed: int
    month: str
    step_s: Literal[1, 2, 5, 10, 15, 20, 30, 60] = 60
    lead_in_s: Annotated[int, Field(ge=0, le=86_400)] = 120
    lead_out_s: Annotated[int, Field(ge=0, le=86_400)] = 120
    hold_limit_s: Annotated[int, Field(ge=60, le=86_400)] = 180
    quiet_hours: tuple[int, int] = Field(default=(12, 14), strict=False)
    frequency_events_per_day: Ratio = 0.0
    time_listen: str = ""
    rule: Rule
    area: list[Area]
    plant: list[Plant]
    unit: list[Unit]
    event: list[Event] = []
    frequency: list[FrequencyEvent] = []
    order: list[OrderRow] = []
    reserve: list[ReserveRow] = []
    voltage_band: list[BandRow] = []
    redundant: list[Redundant] = []
