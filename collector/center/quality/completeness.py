# SPDX-License-Identifier: GPL-3.0-or-later
"""Which minutes of a month or day are known: bits of the unit_day table, held for as long as a record counts.

A minute is known when a record lies in it, or within the hold limit (the rulebook's data policy) after one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from collector.center.receive.day_index import MINUTE_MS, MINUTES
from collector.model.interval import Interval, day_interval


def held_minutes(minutes_of_day: Mapping[str, bytes], span: Interval, hold_limit_s: int) -> int:
    """One bit for each whole minute of `span`, its first the most significant, set where known.

    `minutes_of_day`: by local day (ISO text), as the unit_day table has them; a day before the span is held into it.
    """
    size = (span.end_ms - span.start_ms) // MINUTE_MS
    held_min = max(hold_limit_s // 60, 1)
    # Room in front for what holds into the span.
    known = 0
    for day, minutes in minutes_of_day.items():
        after = (day_interval(date.fromisoformat(day)).start_ms - span.start_ms) // MINUTE_MS + MINUTES
        bits = int.from_bytes(minutes, "big")
        known |= bits << (size - after) if after <= size else bits >> (after - size)
    done = 1
    while done < held_min:  # doubling: the limit may be an hour
        step = min(done, held_min - done)
        known |= known >> step
        done += step
    return known & ((1 << size) - 1)


def count_in(known: int, span: Interval, part: Interval) -> tuple[int, int]:
    """Known and all whole minutes of `part`, as far as it lies in `span`, from the bits of the span."""
    start_ms, end_ms = max(part.start_ms, span.start_ms), min(part.end_ms, span.end_ms)
    if start_ms >= end_ms:
        return 0, 0
    size = (end_ms - start_ms) // MINUTE_MS
    below = (span.end_ms - start_ms) // MINUTE_MS - size
    return ((known >> below) & ((1 << size) - 1)).bit_count(), size


def elapsed_part(span: Interval, now_ms: int) -> Interval:
    """As much of a span as is over, in whole minutes from its start."""
    end_ms = max(span.start_ms, min(now_ms, span.end_ms))
    return Interval(span.start_ms, end_ms - (end_ms - span.start_ms) % MINUTE_MS)
