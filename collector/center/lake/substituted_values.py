# SPDX-License-Identifier: GPL-3.0-or-later
"""Substituted values inside a day file; the delivered ones stay beside them in the same file.

A substituted cell carries quality `substituted`, and `<quantity>_original` and `<quantity>_original_quality` hold the
delivered cell; the columns exist only in files that need them. Where a substitution fills missing time, records are
made: at the moment the last record's value ends (`fill_s` after it) and every `fill_s` from there, so that none is cut
short. Pure: the same records and substitutions give the same rows in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from collector.base.clock_state import ClockState
from collector.center.lake.pieces import DAY, HEAD, NOT_CARRIED, TAIL, Bools, Int64s, Origin, Piece, not_carried
from collector.model.interval import Interval
from collector.model.record import Quality
from collector.wire import QuantityColumn, UnitColumns

FILLED: Final = 2  # cause of a record made by a substitution; no gateway may send it (model.record.Cause)
FILL_ORIGIN: Final = Origin(1 << 30, "", 0, 0)  # after every gateway: a real record takes its instant


@dataclass(frozen=True, slots=True)
class Substitute:
    """A value in force: stored integer of `quantity`, in [start, end). `fill_s`: period of the records to be made."""

    unit: str
    quantity: str
    start_ms: int
    end_ms: int
    value: int
    fill_s: int | None = None


@dataclass(frozen=True, slots=True)
class Original:
    """The delivered values of substituted cells; `replaced`: the mask of these cells."""

    column: QuantityColumn
    replaced: Bools


def substitute_cells(
    time: Int64s, columns: dict[str, QuantityColumn], substitutes: Sequence[Substitute]
) -> tuple[dict[str, QuantityColumn], dict[str, Original]]:
    """The columns of one unit's records with substituted values, and the originals of changed cells."""
    changed, originals = dict(columns), dict[str, Original]()
    for each in substitutes:
        mask: Bools = (time >= each.start_ms) & (time < each.end_ms)
        if not mask.any():
            continue
        before = columns.get(each.quantity) or not_carried(len(time))
        now = changed.get(each.quantity, before)
        changed[each.quantity] = QuantityColumn(
            np.where(mask, each.value, now.values),
            now.present | mask,
            np.where(mask, np.uint8(Quality.SUBSTITUTED), now.qualities),
        )
        earlier = originals.get(each.quantity)
        originals[each.quantity] = Original(before, mask if earlier is None else earlier.replaced | mask)
    return changed, originals


def restore_cells(column: QuantityColumn, original: Original) -> QuantityColumn:
    """A column with its delivered values restored."""
    mask, before = original.replaced, original.column
    return QuantityColumn(
        np.where(mask, before.values, column.values),
        np.where(mask, before.present, column.present),
        np.where(mask, before.qualities, column.qualities),
    )


def fill_silence(
    pieces: Sequence[Piece], substitutes: Sequence[Substitute], day: Interval, tail_ms: int
) -> list[Piece]:
    """The pieces of a day file with records made by substitutions where there were none.

    A made record that is the last before the day replaces the real one as the head.
    """
    filling = [each for each in substitutes if each.fill_s]
    if not filling:
        return list(pieces)
    result = list(pieces)
    for unit in sorted({each.unit for each in filling}):
        mine = [p for p in pieces if p.records.unit == unit]
        real = np.unique(np.concatenate([p.records.time_utc_ms for p in mine])) if mine else np.zeros(0, dtype=np.int64)
        made = _instants(real.tolist(), [each for each in filling if each.unit == unit], day.end_ms + tail_ms)
        head = [t for t in made if t < day.start_ms][-1:]
        if head and (not len(real) or head[0] > int(real[0]) or int(real[0]) >= day.start_ms):
            result = [p for p in result if not (p.records.unit == unit and p.place == HEAD)]
            result.append(_piece(unit, HEAD, head, mine))
        for place, start_ms, end_ms in ((DAY, day.start_ms, day.end_ms), (TAIL, day.end_ms, day.end_ms + tail_ms)):
            inside = [t for t in made if start_ms <= t < end_ms]
            if inside:
                result.append(_piece(unit, place, inside, mine))
    return result


def _instants(real: Sequence[int], filling: Sequence[Substitute], until_ms: int) -> list[int]:
    """The instants of made records: in every gap longer than `fill_s`, from the end of the last value on."""
    made: set[int] = set()
    for each in filling:
        assert each.fill_s is not None
        step = each.fill_s * 1000
        bounds = [None, *real, None]
        for before, after in pairwise(bounds):
            first = each.start_ms if before is None else max(each.start_ms, before + step)
            last = min(each.end_ms, until_ms) if after is None else min(each.end_ms, until_ms, after)
            made.update(range(first, last, step))
    return sorted(made)


def _piece(unit: str, place: int, times: Sequence[int], mine: Sequence[Piece]) -> Piece:
    """Made records without a value of their own; the clock era is that of the record before them."""
    time = np.array(times, dtype=np.int64)
    zeros = np.zeros(len(time), dtype=np.int64)
    records = UnitColumns(
        unit=unit,
        time_utc_ms=time,
        era=_eras(time, mine),
        cause=zeros + FILLED,
        clock=zeros + int(ClockState.SYNCHRONISED),
        tagged=np.zeros(len(time), dtype=np.bool_),
        device_time_utc_ms=zeros,
        columns={},
    )
    return Piece(records, place, FILL_ORIGIN)


def _eras(time: Int64s, mine: Sequence[Piece]) -> Int64s:
    if not mine:
        return np.zeros(len(time), dtype=np.int64)
    known = np.concatenate([p.records.time_utc_ms for p in mine])
    eras = np.concatenate([p.records.era for p in mine])
    order = np.argsort(known, kind="stable")
    before = np.searchsorted(known[order], time, side="right") - 1
    return np.where(before < 0, 0, eras[order][np.maximum(before, 0)]).astype(np.int64)


def original_quality(original: Original) -> tuple[Int64s, Bools]:
    """Quality codes of the originals (NOT_CARRIED where a record did not have the quantity), and the null mask."""
    codes = np.where(original.replaced, original.column.qualities, np.uint8(NOT_CARRIED))
    return codes.astype(np.int64), ~original.replaced
