# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows that the dispatching side delivers besides the records (formats.md, a settlement folder).

Plans and voltage bands are long tables and are held as columns (settlement/inputs.py); the tables here are short.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Final

from collector.model.interval import DAY_MS, Month, local_day


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
class MeterChange:
    """A meter taken out at its last register, and the one put in at its first; it joins the two registers (Art. 19)."""

    unit: str
    time_ms: int
    old_final_wh: int
    new_initial_wh: int
    document: str = ""


@dataclass(frozen=True, slots=True)
class ReserveCall:
    """A reserve that was called: evidence of Art. 7(5)(6). `power_kw` None: the cell was empty."""

    unit: str
    kind: ReserveKind
    called_ms: int
    power_kw: int | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReserveMinimum:
    """The least reserve of an area over [start, end) (Art. 10(2)); `power_kw` None: the cell was empty."""

    area: str
    start_ms: int
    end_ms: int
    power_kw: int | None


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


# The kinds of order that are matched with runs when a month is summed.
RUN_KINDS: Final = (OrderKind.START_STOP, OrderKind.CONDENSER)
HISTORY_DAYS: Final = 62  # days before the month that are searched for orders that began there
_RESTART_DAYS: Final = 2  # days after the month, if a stop counts in its own month: restarts follow within 24 hours


def looks_back_to_ms(kind: OrderKind, start_ms: int, min_stop_ms: int) -> int:
    """The first instant whose status an order may need: its start less the shortest stop, a day at most."""
    return start_ms - (min(max(min_stop_ms, 1), DAY_MS) if kind is OrderKind.START_STOP else 1)


def days_before(month: Month, kind: OrderKind, start_ms: int, end_ms: int, min_stop_ms: int) -> list[date]:
    """Days before a month whose runs an order that reaches into the month needs, the latest first.

    Runs are those of the breaker or the condenser.
    """
    begin_ms, first = month.interval.start_ms, month.first_day
    back_to_ms = looks_back_to_ms(kind, start_ms, min_stop_ms)
    if kind not in RUN_KINDS or not back_to_ms < begin_ms < end_ms:
        return []
    count = min((first - local_day(back_to_ms)).days, HISTORY_DAYS)
    return [first - timedelta(days=n) for n in range(1, count + 1)]


def days_after(month: Month, kind: OrderKind, start_ms: int, end_ms: int) -> list[date]:
    """Days after a month whose breaker runs an order begun in it needs (reading I-06, month of stop)."""
    if kind is not OrderKind.START_STOP or not start_ms < month.interval.end_ms < end_ms:
        return []
    return [month.next().first_day + timedelta(days=n) for n in range(_RESTART_DAYS)]
