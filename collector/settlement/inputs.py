# SPDX-License-Identifier: GPL-3.0-or-later
"""The checked inputs that a month is computed from. Long tables are Arrow tables with 64-bit integer columns.

records: unit (dictionary<string>), time (int64 UTC ms), one int64 column per quantity present, stored integers of
    model/quantity.py, null where missing or of unusable quality. (unit, time) is unique; any order.
plan: unit, start, end, power_kw (nullable), issued (nullable; null is first). None: plan.csv was not delivered.
voltage_band: unit, start, end, low_v, high_v (nullable). None: not delivered.
unit_columns: quantities each unit has in any of its record files (an absent column is not a missing value).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from collector.model.dispatch import (
    Exclusion,
    MeterChange,
    Order,
    Rate,
    Reserve,
    ReserveCall,
    ReserveMinimum,
    Revenue,
    StartStopRow,
)
from collector.model.register import Register


@dataclass(frozen=True)
class Inputs:
    """A settlement folder in memory. None: that file was not delivered, so the statement is provisional and says so.

    `sources`: SHA-256 of each input file by its name in the folder, for the manifest. `notes`: how a file was read,
    where there was a choice: (file, words).
    """

    register: Register
    records: pa.Table
    unit_columns: Mapping[str, frozenset[str]]
    plan: pa.Table | None = None
    orders: tuple[Order, ...] | None = None
    reserves: tuple[Reserve, ...] | None = None
    voltage_band: pa.Table | None = None
    exclusions: tuple[Exclusion, ...] | None = None
    revenue: tuple[Revenue, ...] | None = None
    rates: tuple[Rate, ...] | None = None
    start_stop_table: tuple[StartStopRow, ...] | None = None
    meter_changes: tuple[MeterChange, ...] | None = None
    reserve_calls: tuple[ReserveCall, ...] | None = None
    reserve_minimum: tuple[ReserveMinimum, ...] | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[tuple[str, str], ...] = ()
