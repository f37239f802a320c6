# SPDX-License-Identifier: GPL-3.0-or-later
"""Reserve planned against the least of its area (Art. 10(2)), and when called reserve came (Art. 7(5)(6)).

A statistic and evidence: nothing is deducted. Planned is the sum of the day-ahead rows of both kinds, at any hour, of
the units that lie in the area then, as planned. A called reserve has come with the first record at or after the call
whose output is at least that at the call plus the power called, looked for to the end of the next local day and inside
the month; after a hole that may be later than it was. No instant where it did not come, where the power called is empty
or where the output at the call is missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from collector.model.dispatch import ReserveCall
from collector.model.interval import local_day, local_midnight_ms
from collector.settlement.inputs import Inputs
from collector.settlement.measure.results import CalledPower
from collector.settlement.rulebook.constant_days import ConstantDays
from collector.settlement.statement import ReserveStatistic

Stretches = Mapping[str, Sequence[ConstantDays]]
_Row = tuple[int, int, int | None]  # start, end, kW


def reserve_statistics(
    inputs: Inputs,
    stretches: Stretches,
    called: Mapping[tuple[str, int], Sequence[CalledPower]],
    start_ms: int,
    end_ms: int,
) -> Iterator[ReserveStatistic]:
    """The areas with planned or least reserve in [start, end), interval by interval; then the calls inside it."""
    planned, least = _planned(inputs, stretches, start_ms, end_ms), defaultdict[str, list[_Row]](list)
    for row in inputs.reserve_minimum or ():
        if max(row.start_ms, start_ms) < min(row.end_ms, end_ms):
            least[row.area].append((max(row.start_ms, start_ms), min(row.end_ms, end_ms), row.power_kw))
    for area in sorted({*planned, *least}):
        yield from _of_area(area, planned[area], least[area], delivered=inputs.reserves is not None)
    for call in sorted(inputs.reserve_calls or (), key=lambda c: (c.unit, c.called_ms, c.kind)):
        day = local_day(call.called_ms)
        at = next((s for s in stretches.get(call.unit, ()) if s.first_day <= day < s.until_day), None)
        if at is not None and start_ms <= call.called_ms < end_ms:
            arrived = _arrived(call, called.get((call.unit, call.called_ms), ()), end_ms)
            yield ReserveStatistic(
                at.area.id,
                call.called_ms,
                unit=call.unit,
                kind=str(call.kind),
                power_kw=call.power_kw,
                arrived_ms=arrived,
            )


def _planned(inputs: Inputs, stretches: Stretches, start_ms: int, end_ms: int) -> dict[str, list[_Row]]:
    """The rows of reserve.csv by the area their unit lies in, cut to where it does."""
    found: dict[str, list[_Row]] = defaultdict(list)
    for row in inputs.reserves or ():
        for stretch in stretches.get(row.unit, ()):
            start = max(row.start_ms, start_ms, local_midnight_ms(stretch.first_day))
            end = min(row.end_ms, end_ms, local_midnight_ms(stretch.until_day))
            if start < end:
                found[stretch.area.id].append((start, end, row.power_kw))
    return found


def _of_area(
    area: str, planned: Iterable[_Row], least: Iterable[_Row], *, delivered: bool
) -> Iterator[ReserveStatistic]:
    """Intervals over which neither the planned nor the least reserve changes."""
    # What changes at an instant: planned rows, those of them without a power, their kW; rows of the least reserve.
    changes: dict[int, list[int]] = defaultdict(lambda: [0] * 4)
    minimum: dict[int, int | None] = {}
    for rows, places in ((planned, (0, 1, 2)), (least, (3,))):
        for start, end, power in rows:
            told = dict(zip(places, (1, power is None, power or 0), strict=False))
            for place, number in told.items():
                changes[start][place] += number
                changes[end][place] -= number
            if places == (3,):
                minimum[start] = power
    last: ReserveStatistic | None = None
    sums = [0] * 4
    least_kw: int | None = None
    for start, end in pairwise(sorted(changes)):
        sums = [a + b for a, b in zip(sums, changes[start], strict=True)]
        count, unknown, power_kw, bounded = sums
        least_kw = minimum.get(start, least_kw) if bounded else None
        if not count and not bounded:
            continue
        planned_kw = power_kw if delivered and not unknown else None
        if last is not None and (last.end_ms, last.planned_kw, last.minimum_kw) == (start, planned_kw, least_kw):
            last = replace(last, end_ms=end)
            continue
        if last is not None:
            yield last
        last = ReserveStatistic(area, start, end, planned_kw, least_kw)
    if last is not None:
        yield last


def _arrived(call: ReserveCall, days: Iterable[CalledPower], end_ms: int) -> int | None:
    """When the output had first risen by the power called, UTC ms."""
    days = sorted(days, key=lambda day: day.day_ordinal)
    before = next((day.before_kw for day in days if day.before_kw is not None), None)
    if before is None or call.power_kw is None:
        return None
    rises = [(call.called_ms, before), *(rise for day in days for rise in day.rises)]
    return next((at for at, kw in rises if kw >= before + call.power_kw and at < end_ms), None)
