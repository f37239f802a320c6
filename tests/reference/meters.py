# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of power telemetry against the energy meter, day by day. Nothing here is paid.

Source: Art. 19; rules.md, section 2, "Meter energy"; formats.md, meter_days.csv.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from . import regulation as rule
from .model import Folder, UnitRecords
from .register import Register
from .slices import Held, held_records
from .times import HOUR_MS, Span, days_of, local_midnight

KW_MS_PER_MWH = 1000 * HOUR_MS


@dataclass(slots=True)
class MeterDay:
    """A registered day of a unit with a meter. Energies in MWh, None where nothing was compared.

    Attributes:
        differs: By more than the tolerance, whatever the verdict is called.
    """

    unit: str
    start: int
    verdict: str
    reason: str = ""
    telemetry: Fraction | None = None
    meter: Fraction | None = None
    ratio: Fraction | None = None
    differs: bool = False


def meter_days(folder: Folder, register: Register, span: Span) -> Iterator[MeterDay]:
    """Every registered day of every unit that has a register in its records.

    Between the first and the last reading of the day, 00:00 and 24:00 included, if P is known all between. A stretch
    from one reading to the next over which the register runs back counts on neither side.
    """
    for unit in register.unit_ids():
        records = folder.records_of(unit)
        if "energy_export_mwh" not in records.columns:
            continue
        for day in days_of(span):
            start = local_midnight(day)
            if register.at(unit, start) is not None:
                yield _check(folder, unit, records, start)


def _check(folder: Folder, unit: str, records: UnitRecords, start: int) -> MeterDay:
    read = [
        (record.time, record.energy_export_wh)
        for record in records.records
        if start <= record.time <= start + 24 * HOUR_MS and record.energy_export_wh is not None
    ]
    if len(read) < 2:
        return MeterDay(unit, start, "not_compared", "no_reading")
    held = [
        one
        for one in held_records(records.records, folder.policy.hold_ms)
        if one.start < read[-1][0] and one.end > read[0][0]
    ]
    if exported(held, read[0][0], read[-1][0]) is None:
        return MeterDay(unit, start, "not_compared", "hole")
    power = meter = compared = 0
    changed = ran_back = False
    for (first, low), (last, high) in pairwise(read):
        joined = _joined(folder, unit, (first, low), (last, high))
        changed |= len(joined) > 1
        if any(after < before for before, after in joined):
            ran_back = True
            continue
        compared += 1
        power += exported(held, first, last) or 0
        meter += sum(after - before for before, after in joined) * HOUR_MS // 1000  # Wh -> kW·ms, exact
    verdict = "ran_back" if ran_back else "changed" if changed else "agrees"
    if not compared:
        return MeterDay(unit, start, verdict)
    differs = abs(power - meter) > rule.METER_DIFFERENCE_RATIO * abs(meter)
    return MeterDay(
        unit,
        start,
        "differs" if differs and not ran_back else verdict,
        "differs" if differs and ran_back else "",
        Fraction(power, KW_MS_PER_MWH),
        Fraction(meter, KW_MS_PER_MWH),
        Fraction(abs(power - meter), abs(meter)) if meter else None,
        differs,
    )


def _joined(folder: Folder, unit: str, low: tuple[int, int], high: tuple[int, int]) -> list[tuple[int, int]]:
    """What each meter counted between two readings: from, to."""
    found, value = [], low[1]
    for change in sorted(folder.meter_changes, key=lambda change: change.time):
        if change.unit == unit and low[0] < change.time <= high[0]:
            found.append((value, change.old_final_wh))
            value = change.new_initial_wh
    return [*found, (value, high[1])]


def exported(held: list[Held], start: int, end: int) -> int | None:
    """∫P over a stretch where P > 0, kW·ms; None where P is missing anywhere in it."""
    total = known = 0
    for one in held:
        length = min(one.end, end) - max(one.start, start)
        if length > 0 and one.record.active_kw is not None:
            total += max(one.record.active_kw, 0) * length
            known += length
    return total if known == end - start else None
