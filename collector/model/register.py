# SPDX-License-Identifier: GPL-3.0-or-later
"""The register: areas, plants and units as dated states (formats.md, register.toml).

A state holds from local 00:00 of `from_day` (included) to local 00:00 of `until_day` (excluded); None is unbounded.
States of one id never overlap; in a gap between two states the id is not registered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum


class DispatchMode(StrEnum):
    """Dispatch modes of an area; several prices depend on it."""

    ENERGY_SAVING = "energy_saving"
    ANNUAL_PLAN = "annual_plan"


class UnitKind(StrEnum):
    """Kinds of unit; `coal` is the conventional coal unit of Art. 13(3)."""

    COAL = "coal"
    COAL_OTHER = "coal_other"
    GAS = "gas"
    HYDRO = "hydro"
    PUMPED_STORAGE = "pumped_storage"
    NUCLEAR = "nuclear"
    WIND = "wind"
    SOLAR = "solar"
    OTHER = "other"


class RevenueBasis(StrEnum):
    """The revenue that a plant's F_i of Art. 22 is computed from."""

    ON_GRID = "on_grid"
    LEASE = "lease"
    TWO_PART = "two_part"


@dataclass(frozen=True, slots=True)
class LocalSpan:
    """A daily span of local time in minutes after 00:00; it crosses midnight where end ≤ start. 24:00 is 1440."""

    start_min: int
    end_min: int


@dataclass(frozen=True, slots=True)
class AreaState:
    """A settlement area as registered over a span of days. `regulator`: decides its disputes (Art. 29)."""

    id: str
    name: str
    dispatch_mode: DispatchMode
    valley_hours: tuple[LocalSpan, ...]
    peak_hours: tuple[LocalSpan, ...]
    hours_filing: str | None = None
    regulator: str = ""
    from_day: date | None = None
    until_day: date | None = None


@dataclass(frozen=True, slots=True)
class PlantState:
    """A plant as registered over a span of days.

    `settles_with`: its grid company (Art. 24). `tax_number`, `vat_rate` (ratio) and `bank` stand on its bills.
    """

    id: str
    name: str
    area: str
    revenue_basis: RevenueBasis
    shares: bool
    settles_with: str = ""
    tax_number: str = ""
    vat_rate: Decimal | None = None
    bank: str = ""
    from_day: date | None = None
    until_day: date | None = None


@dataclass(frozen=True, slots=True)
class RegisteredUnit:
    """A generating unit as registered over a span of days. Powers in MW, voltage in kV, exact decimals.

    `area` is None where the unit belongs to its plant's area (the dispatching authority decides, I-02).
    """

    id: str
    plant: str
    kind: UnitKind
    rated_mw: Decimal
    agc_lower_mw: Decimal | None = None
    agc_upper_mw: Decimal | None = None
    avc: bool = False
    nominal_kv: Decimal | None = None
    area: str | None = None
    droop_ratio: Decimal | None = None
    q_max_mvar: Decimal | None = None
    q_min_mvar: Decimal | None = None
    tariff_yuan_per_mwh: Decimal | None = None
    evidence: str | None = None
    black_start: bool = False
    black_start_document: str | None = None
    peak_group: str | None = None
    from_day: date | None = None
    until_day: date | None = None


@dataclass(frozen=True, slots=True)
class Register:
    """The content of register.toml. `policy`: overrides of the rulebook's data policy, exact decimals by key.

    `ignore_columns`: headings of columns that are ignored in every table.
    """

    policy: Mapping[str, Decimal]
    areas: tuple[AreaState, ...]
    plants: tuple[PlantState, ...]
    units: tuple[RegisteredUnit, ...]
    ignore_columns: tuple[str, ...] = ()
