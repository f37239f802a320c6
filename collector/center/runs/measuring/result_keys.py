# SPDX-License-Identifier: GPL-3.0-or-later
"""What measuring a day reads beside its records, unit by unit, as digests: the part of a day result's key.

A slice holds what touches the day and its edges and nothing else, so that a change moves the keys of exactly the days
it can reach: rows are clipped to the day, register states stand as what is in force, rulebook values only those that
are measured with. Prices, revenue, rates, dates of states and documents are not in it.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from collector.base.errors import RuleError
from collector.center.runs.measuring.result_codec import STORED_VERSION
from collector.model.dispatch import ExclusionReason, OrderKind
from collector.model.interval import DAY_MS, LOCAL_OFFSET_MS, local_midnight_ms
from collector.settlement.inputs import Inputs
from collector.settlement.measure.dispatch_side import Steps, compute_steps
from collector.settlement.measure_units import KERNEL_VERSION
from collector.settlement.rulebook.catalogue import AREA, KIND, VALUES
from collector.settlement.rulebook.constant_days import Policy, Stretch
from collector.settlement.rulebook.rules import Rulebook

# The rulebook values the kernel reads (a test watches it read); a policy value or a price is none of them.
MEASURING_VALUES: Final = (
    "deep_peak.lower_limit_ratio",
    "deep_peak.gate_ratio",
    "reactive.free_ratio_lag",
    "reactive.free_ratio_lead",
    "avc.high_class",
    "avc.middle_class",
    "avc.high_band",
    "avc.middle_band",
    "avc.low_band_ratio",
    "primary_frequency.dead_band",
    "primary_frequency.nominal",
)
PLAN_VALUES: Final = ("power_kw",)
BAND_VALUES: Final = ("low_v", "high_v")
_UNIT_FIELDS: Final = (
    "kind",
    "rated_mw",
    "agc_lower_mw",
    "agc_upper_mw",
    "avc",
    "nominal_kv",
    "q_max_mvar",
    "q_min_mvar",
    "peak_group",
)
StepDigests = Mapping[str, Mapping[int, bytes]]  # by unit, then local day as ordinal


def digest_of(*parts: Any) -> bytes:
    """A digest of plain values; texts, numbers, lists and maps of them."""
    return hashlib.blake2b(msgspec.msgpack.encode(parts), digest_size=32).digest()


def step_digests(table: pa.Table | None, names: Sequence[str], *, edges: bool) -> dict[str, dict[int, bytes]]:
    """Plan or voltage band: per unit and local day, the digest of the rows in force that touch the day.

    Rows are taken after overlaps were resolved (the first issued counts), as the kernel takes them. `edges`: also rows
    that end where the day begins or begin where it ends, which a line between points (I-08d) runs to.
    """
    steps = compute_steps(table, names)
    columns = [steps.start_utc_ms, steps.end_utc_ms]
    for name in names:
        found = steps.columns[name]
        columns += [np.where(found.valid, found.values, 0), found.valid.astype(np.int64)]
    rows = np.ascontiguousarray(np.stack(columns, axis=1) if len(steps.start_utc_ms) else np.zeros((0, 2), np.int64))
    ranges = {unit: span for unit, span in steps.range_of.items() if span[0] < span[1]}
    return {unit: _by_day(steps, rows, span, edges=edges) for unit, span in ranges.items()}


def _by_day(steps: Steps, rows: np.ndarray[Any, Any], span: tuple[int, int], *, edges: bool) -> dict[int, bytes]:
    first, last = span
    start, end = steps.start_utc_ms[first:last], steps.end_utc_ms[first:last]
    days = range(_ordinal(int(start[0]) - 1), _ordinal(int(end[-1])) + 1)
    begin = np.array([local_midnight_ms(date.fromordinal(day)) for day in days])
    # Rows never overlap, so their ends are sorted as their starts are.
    a = np.searchsorted(end, begin, side="left" if edges else "right").tolist()
    b = np.searchsorted(start, begin + DAY_MS, side="right" if edges else "left").tolist()
    return {
        day: hashlib.blake2b(rows[first + i : first + j].data, digest_size=16).digest()
        for day, i, j in zip(days, a, b, strict=True)
        if i < j
    }


_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


def _ordinal(time_utc_ms: int) -> int:
    """The local day of an instant as an ordinal."""
    return _EPOCH_ORDINAL + (time_utc_ms + LOCAL_OFFSET_MS) // DAY_MS


class DaySlices:
    """The slices of a month's units. `plan`, `band`: their digests, which can be kept from an earlier run."""

    def __init__(
        self,
        *,
        inputs: Inputs,
        rulebook: Rulebook,
        policy: Policy,
        stretches: Mapping[str, Sequence[Stretch]],
        plan: StepDigests,
        band: StepDigests,
    ) -> None:
        self._plan, self._band, self._rulebook = plan, band, rulebook
        self._values = cache(self._rulebook_values)
        self._states = {
            unit: [(s.first_day.toordinal(), s.until_day.toordinal(), self._state(s)) for s in parts]
            for unit, parts in stretches.items()
        }
        self._rows: dict[tuple[str, int], list[tuple[Any, ...]]] = defaultdict(list)
        self.ordered: set[tuple[str, int]] = set()  # units and days that a start-stop order touches
        self._add_rows(inputs)
        self.common = digest_of(
            KERNEL_VERSION,
            STORED_VERSION,
            [policy.hold_ms, policy.settle_ms, policy.at_limit_kvar, str(policy.on_grid_ratio)],
            sorted(policy.readings.items()),
        )

    def of(self, unit: str, day: int) -> bytes:
        """The slice of a unit and local day (as an ordinal)."""
        rows, state = self._rows.get((unit, day)), b"-"
        for first, until, found in self._states.get(unit, ()):
            if first <= day < until:
                state = found
        return b"".join(
            (
                state,
                self._plan.get(unit, {}).get(day, b"-"),
                self._band.get(unit, {}).get(day, b"-"),
                digest_of(sorted(set(rows))) if rows else b"-",
            )
        )

    def _state(self, stretch: Stretch) -> bytes:
        """What is registered, and the values measured with, while both stay the same."""
        unit, area, day = stretch.unit, stretch.area, stretch.first_day
        fields = [str(getattr(unit, name)) for name in _UNIT_FIELDS]
        hours = [[(s.start_min, s.end_min) for s in spans] for spans in (area.valley_hours, area.peak_hours)]
        values = self._values(day, area.id, str(unit.kind))
        return digest_of(unit.id, stretch.plant.id, area.id, fields, hours, values)

    def _rulebook_values(self, day: date, area: str, kind: str) -> list[str]:
        """The values measured with, of all units of an area and kind."""

        def value(name: str) -> str:
            key = {AREA: area, KIND: kind}.get(VALUES[name].key, "")
            try:
                return str(self._rulebook.row(name, day, area=area, key=key).value)
            except RuleError:
                return "?"  # measuring will say what is wrong

        return [value(name) for name in MEASURING_VALUES]

    def _add_rows(self, inputs: Inputs) -> None:
        for order in inputs.orders or ():
            # The breaker's state just before an order, and at its end, may be what makes an occurrence.
            edges = order.kind is OrderKind.START_STOP
            for day, span in _days(order.start_ms, order.end_ms, edges=edges):
                self._rows[order.unit, day].append(("order", str(order.kind), *span))
                if edges:
                    self.ordered.add((order.unit, day))
        for reserve in inputs.reserves or ():
            for day, span in _days(reserve.start_ms, reserve.end_ms):
                power = "" if reserve.power_kw is None else str(reserve.power_kw)
                self._rows[reserve.unit, day].append(("reserve", str(reserve.kind), *span, power))
        for row in inputs.exclusions or ():
            own = row.reason is ExclusionReason.OWN_FAULT
            for day, span in _days(row.start_ms, row.end_ms):
                self._rows[row.unit, day].append(("exclusion", row.service, *span, own))


def _days(start_ms: int, end_ms: int, *, edges: bool = False) -> Iterable[tuple[int, tuple[int, int]]]:
    """Each local day a span touches, with the part of it on the day, ms after 00:00; `edges`: midnights count too."""
    first, last = (start_ms - 1, end_ms) if edges else (start_ms, end_ms - 1)
    for day in range(_ordinal(first), _ordinal(last) + 1):
        begin = (day - _EPOCH_ORDINAL) * DAY_MS - LOCAL_OFFSET_MS
        yield day, (max(start_ms - begin, 0), min(end_ms - begin, DAY_MS))
