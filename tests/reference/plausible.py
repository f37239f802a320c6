# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that can't be are missing: P or Q beyond a multiple of P_N, U of a running unit far from nominal.

Source: rules.md, section 2, "Implausible is missing".
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from .exact_numbers import round_half_away
from .model import Folder, Record, UnitRecords
from .register import Register
from .slices import on_grid

VOLTAGE_FROM, VOLTAGE_TO = Fraction("0.5"), Fraction("1.5")  # of nominal_kv


def without_implausible(data: Folder, register: Register) -> Folder:
    """The folder with implausible cells empty."""
    records = {
        unit: UnitRecords(mine.columns, tuple(_checked(data, register, unit, mine, r) for r in mine.records))
        for unit, mine in data.records.items()
        if unit in register.unit_ids()
    }
    return replace(data, records=records)


def _checked(data: Folder, register: Register, unit_id: str, mine: UnitRecords, record: Record) -> Record:
    """By the register at the record's own time; exactly at a limit is a value."""
    state = register.at(unit_id, record.time)
    if state is None:
        return record
    limit = round_half_away(data.policy.plausible_ratio * state.unit.rated_mw * 1000)
    if record.active_kw is not None and abs(record.active_kw) > limit:
        record = replace(record, active_kw=None)
    if record.reactive_kvar is not None and abs(record.reactive_kvar) > limit:
        record = replace(record, reactive_kvar=None)
    nominal_kv, volts = state.unit.nominal_kv, record.voltage_v
    if nominal_kv is None or volts is None or on_grid(record, mine.columns, state.unit) is not True:
        return record
    if VOLTAGE_FROM * nominal_kv * 1000 <= volts <= VOLTAGE_TO * nominal_kv * 1000:
        return record
    return replace(record, voltage_v=None)
