# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of one batch: the window of its times, its days, gaps and units (center.toml [receiver]).

The writer's work for a batch grows with these numbers and not with its bytes: 216 bytes can hold 100 000 records of as
many days. All of these refusals are curable: the same bytes pass once the window or the limit allows them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from collector.base.errors import Garbled
from collector.base.text import tr
from collector.center.settings import ReceiverSettings
from collector.model.interval import DAY_MS, LOCAL_OFFSET_MS, format_time
from collector.wire import BatchTimes

_SECOND_MS: Final = 1000


def check_bounds(found: BatchTimes, limits: ReceiverSettings, now_ms: int) -> None:
    """Check a batch against the limits at the center's time `now_ms`, UTC ms.

    Raises:
        Garbled: codes time_out_of_range, too_many_days, too_many_gaps, over_share (too many units).
    """
    times = [unit.time_utc_ms for unit in found.units if len(unit.time_utc_ms)]
    _check_window(found, limits, now_ms)
    days = len(np.unique((np.concatenate(times) + LOCAL_OFFSET_MS) // DAY_MS)) if times else 0
    if days > limits.max_days_per_batch:
        message = tr(
            "records of {days} days, at most {max_days_per_batch} taken (receiver.max_days_per_batch)",
            days=days,
            max_days_per_batch=limits.max_days_per_batch,
        )
        raise Garbled(message, code="too_many_days")
    # A gap that names only sequences counts as one.
    gaps = sum(max(1, len(gap.units)) for gap in found.gaps)
    if gaps > limits.max_gaps_per_batch:
        message = tr(
            "{gaps} gaps of units, at most {max_gaps_per_batch} taken (receiver.max_gaps_per_batch)",
            gaps=gaps,
            max_gaps_per_batch=limits.max_gaps_per_batch,
        )
        raise Garbled(message, code="too_many_gaps")
    units = {unit.unit for unit in found.units}.union(*(gap.units for gap in found.gaps))
    if len(units) > limits.max_units_per_batch:
        message = tr(
            "{count} units, at most {max_units_per_batch} taken (receiver.max_units_per_batch)",
            count=len(units),
            max_units_per_batch=limits.max_units_per_batch,
        )
        raise Garbled(message, code="over_share")


def _check_window(found: BatchTimes, limits: ReceiverSettings, now_ms: int) -> None:
    first_ms = now_ms - limits.max_age_days * DAY_MS
    last_ms = now_ms + round(limits.max_future_s * _SECOND_MS)
    # A gap without units has no time: it only closes a hole in the sequences.
    ends = [end for gap in found.gaps if gap.units for end in (gap.from_ms, gap.to_ms)]
    for unit in found.units:
        if len(unit.time_utc_ms):
            ends += [int(unit.time_utc_ms.min()), int(unit.time_utc_ms.max())]
    if outside := [
        end for end in (min(ends, default=now_ms), max(ends, default=now_ms)) if not first_ms <= end <= last_ms
    ]:
        message = tr(
            "a time of {time}, taken from {first} to {last} (receiver.max_age_days, max_future_s)",
            time=format_time(outside[0]),
            first=format_time(first_ms),
            last=format_time(last_ms),
        )
        raise Garbled(message, code="time_out_of_range")
