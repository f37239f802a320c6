# SPDX-License-Identifier: GPL-3.0-or-later
"""The known minutes of a month or day: bits of the unit_day table, extended by the hold limit.

A minute is known when a record is within it, or within the hold limit (the rulebook's data policy) before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from typing import Final

from collector.center.receive.day_index import MINUTE_MS, MINUTES
from collector.model.interval import Interval, day_interval, local_day

_DAY_BYTES: Final = MINUTES // 8
_NOTHING: Final = bytes(_DAY_BYTES)  # a day without records


def held_minutes(minutes_of_day: Mapping[str, bytes], span: Interval, hold_limit_s: int) -> int:
    """One bit for each whole minute of `span`, its first the most significant, set where known.

    `minutes_of_day`: by local day (ISO text), as in the unit_day table; records of the day before the span count within
    the hold limit.
    """
    size = (span.end_ms - span.start_ms) // MINUTE_MS
    days, behind = _days_around(span)
    # Join the days as bytes: shifting each into its place takes three times as long for a month.
    known = int.from_bytes(b"".join([minutes_of_day.get(day, _NOTHING) for day in days]), "big") >> behind
    held_min = max(hold_limit_s // 60, 1)
    done = 1
    while done < held_min:  # doubling: the limit may be an hour
        step = min(done, held_min - done)
        known |= known >> step
        done += step
    return known & ((1 << size) - 1)


@lru_cache(maxsize=8)  # the same span is used for every unit
def _days_around(span: Interval) -> tuple[list[str], int]:
    """Local days from the one before the span's first to its last (ISO text), and the minutes after the span's end."""
    first, last = local_day(span.start_ms) - timedelta(days=1), local_day(max(span.end_ms - 1, span.start_ms))
    days = [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]
    return days, -((span.end_ms - day_interval(last).end_ms) // MINUTE_MS)


def count_by_day(known: int, span: Interval) -> list[int]:
    """Known minutes of each local day that a span from a local midnight touches, from the bits of the span."""
    size = (span.end_ms - span.start_ms) // MINUTE_MS
    days = -(-size // MINUTES)
    bits = (known << (days * MINUTES - size)).to_bytes(days * _DAY_BYTES, "big")
    return [int.from_bytes(bits[at : at + _DAY_BYTES], "big").bit_count() for at in range(0, len(bits), _DAY_BYTES)]


def count_in(known: int, span: Interval, part: Interval) -> tuple[int, int]:
    """Known and all whole minutes of the part of `part` that is within `span`, from the bits of the span."""
    start_ms, end_ms = max(part.start_ms, span.start_ms), min(part.end_ms, span.end_ms)
    if start_ms >= end_ms:
        return 0, 0
    size = (end_ms - start_ms) // MINUTE_MS
    below = (span.end_ms - start_ms) // MINUTE_MS - size
    return ((known >> below) & ((1 << size) - 1)).bit_count(), size


def elapsed_part(span: Interval, now_ms: int) -> Interval:
    """The part of a span that is over, in whole minutes from its start."""
    end_ms = max(span.start_ms, min(now_ms, span.end_ms))
    return Interval(span.start_ms, end_ms - (end_ms - span.start_ms) % MINUTE_MS)
