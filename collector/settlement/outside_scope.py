# SPDX-License-Identifier: GPL-3.0-or-later
"""Time of a month outside a determinant's scope, with the reason: a class of its own beside the segments.

segments.csv covers exactly each scope, so time outside valley hours or orders is not in it. That time is computed here
from the same numbers as the complement, and shown where people ask why a minute was not paid: in explain and in the
table of unpaid time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import pyarrow as pa

from collector.settlement.rulebook.catalogue import SERVICES
from collector.settlement.statement import SEGMENT_SCHEMA, Statement

OUTSIDE: Final = "outside"
NOT_REGISTERED: Final = "not_registered"
_NOT_EQUIPPED: Final = "not_equipped"
_REASONS: Final = {
    "deep_peak": "outside_valley",
    "spinning_reserve": "outside_reserve",
    "hot_reserve": "outside_reserve",
    **dict.fromkeys(("agc_basic", "agc_up", "agc_down", "avc"), _NOT_EQUIPPED),
}

Span = tuple[int, int]


def outside_reason(service: str) -> str:
    """The reason code of registered time outside a service's scope."""
    return _REASONS.get(service, "outside_order")


def outside_ms(statement: Statement) -> Iterable[tuple[str, str, str, int]]:
    """(unit, service, reason, ms) of every line with a determinant; ms is the month less scope and exclusions."""
    month = statement.span
    order = {service: index for index, service in enumerate((*SERVICES, *sorted(statement.formulas)))}
    main: dict[tuple[str, str], int] = defaultdict(int)
    named: set[tuple[str, str, str, str]] = set()
    for d in statement.determinants:
        row = (d.unit, d.service, d.area, d.plant)
        if row not in named:  # the figures beside a determinant have the same times
            named.add(row)
            main[d.unit, d.service] += d.scope_ms + d.excluded_ms
    for (unit, service), inside in sorted(main.items(), key=lambda item: (item[0][0], order.get(item[0][1], 99))):
        spans = statement.registered.get(unit, ((month.start_ms, month.end_ms),))
        registered = sum(end - start for start, end in spans)
        for reason, duration in (
            (outside_reason(statement.formula_of(service)), registered - inside),
            (NOT_REGISTERED, month.end_ms - month.start_ms - registered),
        ):
            if duration > 0:
                yield unit, service, reason, duration


def with_outside(
    statement: Statement, unit: str, service: str, segments: pa.Table, part: Sequence[Span] | None = None
) -> pa.Table:
    """The segments of one determinant with the time outside its scope: the whole month in order of time.

    `part`: the spans of the month that the segments are of; then these alone.
    """
    month = statement.span
    whole = (month.start_ms, month.end_ms)
    registered = statement.registered.get(unit, (whole,)) if part is None else part
    inside = sorted(zip(segments.column("start").to_pylist(), segments.column("end").to_pylist(), strict=True))
    found = [(span, NOT_REGISTERED) for span in _holes(registered, whole)] if part is None else []
    found += [
        (hole, outside_reason(statement.formula_of(service))) for span in registered for hole in _holes(inside, span)
    ]
    rows = [
        {
            "unit": unit,
            "service": service,
            "start": start,
            "end": end,
            "class": OUTSIDE,
            "reason": reason,
            "value": 0,
            "value_unit": segments.column("value_unit")[0].as_py() if segments.num_rows else "h",
        }
        for (start, end), reason in found
    ]
    both = pa.concat_tables([segments, pa.Table.from_pylist(rows, SEGMENT_SCHEMA)])
    return both.unify_dictionaries().sort_by("start")


def _holes(spans: Sequence[Span], within: Span) -> list[Span]:
    """The parts of an interval that sorted, disjoint spans do not cover."""
    holes: list[Span] = []
    at = within[0]
    for start, end in spans:
        if end <= within[0] or start >= within[1]:
            continue
        if at < start:
            holes.append((at, start))
        at = max(at, end)
    if at < within[1]:
        holes.append((at, within[1]))
    return holes
