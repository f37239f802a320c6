# SPDX-License-Identifier: GPL-3.0-or-later
"""The meter check of the telemetry (Art. 19): ∫P against the growth of the export register, per unit and day.

The two are compared between the first and the last register reading of the local day, both midnights included, where
the output between them is known throughout; only output to the grid counts on both sides. The register grows piece by
piece, from one reading to the next. A piece across a meter change is joined: what the old meter still grew, and what
the new one did; a reading at the very instant is the new meter's. A piece over which the register runs back, also
beside a change, is no energy: it counts on neither side. Nothing here changes an amount. Days on which the unit is not
registered are not compared (Art. 3).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from collector.model.dispatch import MeterChange
from collector.model.interval import DAY_MS
from collector.settlement.measure.facts import Facts
from collector.settlement.measure.logic import Bools, Ints

METER = "meter"
COLUMN = "energy_export_mwh"
_KWMS_PER_WH = 3_600


def measure(facts: Facts) -> None:
    """Columns of each registered day.

    meter.register (Wh grown), meter.telemetry (kWms between the same instants), meter.days (1: compared), meter.hole
    (1: readings, and output unknown between them), meter.pieces (how many of them are energies), meter.changed (those
    across a meter change), meter.ran_back (those that are none), and the ends of the first and last of these, ms after
    the day's 00:00.
    """
    column = facts.rows.columns.get(COLUMN)
    if column is None or not any(facts.has_column(COLUMN)):
        return
    registered = facts.per_day(lambda _: 1).valid
    reading, cells, first, last = _readings(facts, column.valid)
    at = facts.timeline.piece_of_row[reading]
    grown, odd = _pieces(facts, reading, column.values)
    power = facts.power
    exported = np.append(0, np.cumsum(np.maximum(power.values, 0) * facts.timeline.length * power.valid))[at]
    unknown = np.append(0, np.cumsum(~power.valid))
    known = unknown[at[first]] == unknown[at[last]]
    comparable = registered[cells] & known

    def put(name: str, values: Ints, where: Bools = comparable) -> None:
        result = np.zeros(facts.axis.cells, dtype=np.int64)
        result[cells[where]] = values[where]
        facts.results.put(METER, name, result)

    odd_first, odd_last = np.searchsorted(odd.piece, first), np.searchsorted(odd.piece, last)

    def total(values: Ints) -> Ints:
        """Sums over the odd pieces of each cell."""
        before = np.append(0, np.cumsum(values))
        return np.asarray(before[odd_last] - before[odd_first])

    good, whole = ~odd.ran_back, column.values[reading]
    backwards = total(odd.ran_back.astype(np.int64))
    seen = exported[odd.piece + 1] - exported[odd.piece]
    put("register", whole[last] - whole[first] + total(np.where(good, odd.grown, 0) - grown[odd.piece]))
    put("telemetry", exported[last] - exported[first] - total(seen * odd.ran_back))
    put("days", np.ones(len(cells), dtype=np.int64))
    put("hole", np.ones(len(cells), dtype=np.int64), registered[cells] & ~known)
    put("pieces", last - first - backwards)
    put("changed", total(odd.changed.astype(np.int64)))
    put("ran_back", backwards)
    if backwards.any():
        origin = facts.axis.start_utc_ms[cells // facts.axis.days] + cells % facts.axis.days * DAY_MS
        ends = facts.rows.time_utc_ms[reading[1:]]
        back = odd.piece[odd.ran_back]
        places = {"ran_back_first": np.searchsorted(back, first), "ran_back_last": np.searchsorted(back, last) - 1}
        for name, place in places.items():
            put(name, ends[back[np.clip(place, 0, len(back) - 1)]] - origin, comparable & (backwards > 0))


@dataclass(frozen=True, slots=True)
class _OddPieces:
    """The pieces that are not what one meter grew: their places, Wh grown, if across a change, if it ran back."""

    piece: Ints
    grown: Ints
    changed: Bools
    ran_back: Bools


def _pieces(facts: Facts, reading: Ints, values: Ints) -> tuple[Ints, _OddPieces]:
    """By what the register differs from each reading to the next, Wh, and the odd ones among these pieces."""
    between = np.diff(values[reading])
    grown, changed, ran_back = between.copy(), np.zeros(len(between), np.bool_), between < 0
    lanes = np.searchsorted(reading, facts.places.lane_rows)
    for index, lane in enumerate(facts.axis.lanes):
        changes = facts.dispatch.meter_changes.get(lane.unit, ())
        mine = reading[lanes[index] : lanes[index + 1]]
        if not changes or len(mine) < 2:
            continue
        times = facts.rows.time_utc_ms[mine]
        by_piece: dict[int, list[MeterChange]] = {}
        for change in changes:
            place = int(np.searchsorted(times, change.time_ms))
            if 0 < place < len(times):
                by_piece.setdefault(int(lanes[index]) + place - 1, []).append(change)
        for piece, within in by_piece.items():
            parts = _joined(int(values[reading[piece]]), within, int(values[reading[piece + 1]]))
            grown[piece], changed[piece], ran_back[piece] = sum(parts), True, min(parts) < 0
    odd = np.flatnonzero(changed | ran_back).astype(np.int64)
    return between, _OddPieces(odd, grown[odd], changed[odd], ran_back[odd])


def _joined(first_wh: int, changes: list[MeterChange], last_wh: int) -> list[int]:
    """The energy in Wh that each meter counted between two readings, in order of time.

    Example: with one meter change in between, the result is [old final - first reading, last reading - new initial].
    """
    starts = [first_wh, *(change.new_initial_wh for change in changes)]
    ends = [*(change.old_final_wh for change in changes), last_wh]
    return [end - start for start, end in zip(starts, ends, strict=True)]


def _readings(facts: Facts, valid: Bools) -> tuple[Ints, Ints, Ints, Ints]:
    """Find all readings, and the days that have two or more.

    Returns the rows of all readings, the cells (unit and day) with at least two of them, and for each such cell the
    places of its first and last reading among all readings. A reading at midnight belongs to both days.
    """
    midnights = np.arange(facts.axis.days + 1, dtype=np.int64) * DAY_MS
    begin, until = facts.places.midnight_rows[:, :-1], facts.places.rows_at(midnights[1:], after=True)
    reading = np.flatnonzero(valid)
    a, b = np.searchsorted(reading, begin.ravel()), np.searchsorted(reading, until.ravel())
    cells = np.flatnonzero(b - a >= 2).astype(np.int64)
    return reading, cells, a[cells], b[cells] - 1


def differs(register_wh: int, telemetry_kwms: int, tolerance_ratio: Fraction) -> bool:
    """True if the two energies differ by more than the tolerance, which is a share of the meter's energy."""
    register_kwms = register_wh * _KWMS_PER_WH
    difference = abs(telemetry_kwms - register_kwms) * tolerance_ratio.denominator
    return difference > abs(register_kwms) * tolerance_ratio.numerator
