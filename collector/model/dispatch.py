# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows that the dispatching side delivers besides the records (formats.md, a settlement folder).

Plans and voltage bands are long tables and are held as columns (settlement/inputs.py); the tables here are short.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum


class OrderKind(StrEnum):
    """Kinds of dispatch order."""

    START_STOP = "start_stop"
    SPILL = "spill"
    REACTIVE = "reactive"
    CONDENSER = "condenser"


class ReserveKind(StrEnum):
    """Kinds of reserve of Art. 17."""

    SPINNING = "spinning"
    HOT = "hot"


class ExclusionReason(StrEnum):
    """Reasons of an exclusion: time taken out (test, dispatch, grid), or the plant's own fault (I-19)."""

    OWN_FAULT = "own_fault"
    TEST = "test"
    DISPATCH = "dispatch"
    GRID = "grid"


class RevenueKind(StrEnum):
    """Kinds of revenue of Art. 22."""

    ENERGY = "energy"
    CAPACITY = "capacity"
    LEASE = "lease"


@dataclass(frozen=True, slots=True)
class Order:
    """A dispatch order over [start, end)."""

    id: str
    unit: str
    kind: OrderKind
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Reserve:
    """Reserve of the day-ahead plan over [start, end); `power_kw` None: the cell was empty."""

    unit: str
    kind: ReserveKind
    start_ms: int
    end_ms: int
    power_kw: int | None


@dataclass(frozen=True, slots=True)
class Exclusion:
    """Time excluded from one service (`*`: from all services)."""

    unit: str
    service: str
    start_ms: int
    end_ms: int
    reason: ExclusionReason
    note: str = ""


@dataclass(frozen=True, slots=True)
class Revenue:
    """One row of revenue.csv; `amount_yuan` None: the cell was empty (missing, not zero)."""

    plant: str
    month: str
    kind: RevenueKind
    amount_yuan: Decimal | None
    area: str | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """A compliance rate delivered by the dispatching side, used where the records allow no judgement (I-11)."""

    unit: str
    month: str
    kind: str
    value: Decimal | None
    source: str = ""


@dataclass(frozen=True, slots=True)
class StartStopRow:
    """A row of the table of Art. 13(4), half-open in capacity and gap; amount in 万元."""

    capacity_from_mw: Decimal
    capacity_to_mw: Decimal
    gap_from_h: Decimal
    gap_to_h: Decimal
    amount_wan_yuan: Decimal
    from_day: date
    document: str
