# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 7, measuring: records and dispatch inputs of some units over some days become integers per unit and day.

A batch is measured in one vectorised pass. Batches are independent: any split over processes or machines, and any
grouping of days, gives the same bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import Final

from collector.model.dispatch import OrderKind
from collector.settlement.evidence import Traces
from collector.settlement.measure.dispatch_side import DispatchSide
from collector.settlement.measure.facts import Facts
from collector.settlement.measure.records import RecordBook
from collector.settlement.measure.results import Results, SegmentSink
from collector.settlement.measure.status_runs import measure_runs
from collector.settlement.measure.timeline import Axis, Lane, LaneRecords
from collector.settlement.rulebook.constant_days import ConstantDays, Policy
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.services import measure_all
from collector.settlement.services.deep_peak import group_of

# 9: no voltage is no 0 V; 10: AGC untold; 11: behind a month or a cut, what is in force at the record's time
KERNEL_VERSION: Final = "15"
_BATCH_ROWS: Final = 100_000  # many enough to outweigh the cost of a call, few enough for the processor's cache


@dataclass(frozen=True)
class MeasuringContext:
    """The data that all batches of a run share.

    `with_avc`: units registered with AVC at some time of the month: the targets of all its days are followed, for a
    target of a day without AVC is the standing one of the next, and may supersede an order of the day before.
    `around`: as `stretches`, but also behind the month or its cut, where records are still looked at: a record is
    judged by what is in force at its own time.
    """

    rulebook: Rulebook
    policy: Policy
    dispatch: DispatchSide
    stretches: Mapping[str, Sequence[ConstantDays]]
    around: Mapping[str, Sequence[ConstantDays]]
    columns_of: Mapping[str, frozenset[str]]
    with_avc: frozenset[str]
    cut: date | None = None  # of a running month: the first day that is no longer part of it


@dataclass(frozen=True)
class LaneBatch:
    """Lanes to measure, their records, and the lanes that may form a peak group."""

    lanes: tuple[Lane, ...]
    days: int
    rows: LaneRecords
    together: tuple[tuple[int, ...], ...] = ()
    runs_only: bool = False
    segments: bool = False


def measure(context: MeasuringContext, batch: LaneBatch) -> tuple[Results, Traces | None]:
    """Measure every determinant of a batch; with segments and evidence if the batch asks for segments."""
    sink = SegmentSink() if batch.segments else None
    facts = Facts(
        axis=Axis(batch.lanes, batch.days),
        rows=batch.rows,
        columns_of=context.columns_of,
        with_avc=context.with_avc,
        stretches=context.stretches,
        around=context.around,
        dispatch=context.dispatch,
        policy=context.policy,
        rulebook=context.rulebook,
        sink=sink,
        together=batch.together,
    )
    if batch.runs_only:
        measure_runs(facts, OrderKind.START_STOP)
        measure_runs(facts, OrderKind.CONDENSER)
    else:
        measure_all(facts)
    if sink is None or facts.evidence is None:
        return facts.results, None
    return facts.results, Traces(sink.table(), facts.evidence.tables())


def plan_batches(
    context: MeasuringContext,
    book: RecordBook,
    first_day: date,
    days: int,
    *,
    units: Sequence[str],
    segments: bool = False,
) -> Iterator[LaneBatch]:
    """Batches of whole units over [first_day, first_day + days); units of one peak group stay together."""
    return (make() for make in plan(context, book, first_day, days, units=units, segments=segments))


def plan(
    context: MeasuringContext,
    book: RecordBook,
    first_day: date,
    days: int,
    *,
    units: Sequence[str],
    segments: bool = False,
) -> list[Callable[[], LaneBatch]]:
    """Functions that make the batches; a batch holds rows only once it is made."""
    shares: list[list[list[str]]] = []
    size = _BATCH_ROWS
    for members in clusters(context, units):
        count = sum(book.count(unit) for unit in members) + 1
        if size + count > _BATCH_ROWS:
            shares.append([])
            size = 0
        shares[-1].append(members)
        size += count
    return [partial(_batch, book, share, first_day, days, segments=segments) for share in shares]


def clusters(context: MeasuringContext, units: Sequence[str]) -> list[list[str]]:
    """Units that must be measured together, because a peak group joins them on some day."""
    leader: dict[str, str] = {unit: unit for unit in units}

    def root(unit: str) -> str:
        while leader[unit] != unit:
            unit = leader[unit]
        return unit

    first_of: dict[tuple[str, str, str], str] = {}
    for unit in units:
        for stretch in context.stretches.get(unit, ()):
            key = group_of(context.rulebook, context.policy, stretch)
            if key is not None:
                leader[root(unit)] = root(first_of.setdefault(key, unit))
    found: dict[str, list[str]] = defaultdict(list)
    for unit in units:
        found[root(unit)].append(unit)
    return list(found.values())


def _batch(book: RecordBook, members: list[list[str]], first_day: date, days: int, *, segments: bool) -> LaneBatch:
    lanes = tuple(Lane(unit, first_day) for cluster in members for unit in cluster)
    index = {lane.unit: i for i, lane in enumerate(lanes)}
    together = tuple(tuple(index[u] for u in cluster) for cluster in members if len(cluster) > 1)
    return LaneBatch(lanes, days, book.rows(Axis(lanes, days)), together, segments=segments)
