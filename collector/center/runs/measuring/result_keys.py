# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests of everything but records that measuring a day reads, unit by unit: a part of the key of a day result.

A slice holds exactly the inputs that touch the day and its edges, so that a change moves the keys of exactly the days
it can affect: rows are clipped to the day, register states are those in force, rulebook values only those used in
measuring. Prices, revenue, rates, dates of states and documents are not included.
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
from collector.model.dispatch import RUN_KINDS, ExclusionReason, OrderKind, looks_back_to_ms
from collector.model.interval import DAY_MS, LOCAL_OFFSET_MS, local_midnight_ms
from collector.settlement.inputs import Inputs
from collector.settlement.measure.dispatch_side import DisjointRows, compute_steps
from collector.settlement.measure_units import KERNEL_VERSION
from collector.settlement.rulebook.catalogue import AREA, KIND, VALUES
from collector.settlement.rulebook.constant_days import ConstantDays, Policy
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.services.avc import order_min_v

# The rulebook values that the kernel reads (a test observes its reads); no policy value or price is among them.
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
    "agc_command.min_step_ratio",
    "agc_command.band_ratio",
    "agc_command.record_gap",
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
    """A digest of plain values: texts, numbers, lists and maps of them."""
    return hashlib.blake2b(msgspec.msgpack.encode(parts), digest_size=32).digest()


def step_digests(table: pa.Table | None, names: Sequence[str], *, edges: bool) -> dict[str, dict[int, bytes]]:
    """Digests of a plan or voltage band, per unit and local day: over the rows in force that touch the day.

    Rows are taken after overlaps were resolved (the first issued counts), as the kernel takes them. `edges`: also rows
    that end at the day's begin or begin at its end, which an interpolated line (I-08d) reaches.
    """
    steps = compute_steps(table, names)
    columns = [steps.start_utc_ms, steps.end_utc_ms]
    for name in names:
        found = steps.columns[name]
        columns += [np.where(found.valid, found.values, 0), found.valid.astype(np.int64)]
    rows = np.ascontiguousarray(np.stack(columns, axis=1) if len(steps.start_utc_ms) else np.zeros((0, 2), np.int64))
    ranges = {unit: span for unit, span in steps.range_of.items() if span[0] < span[1]}
    return {unit: _by_day(steps, rows, span, edges=edges) for unit, span in ranges.items()}


def _by_day(steps: DisjointRows, rows: np.ndarray[Any, Any], span: tuple[int, int], *, edges: bool) -> dict[int, bytes]:
    first, last = span
    start, end = steps.start_utc_ms[first:last], steps.end_utc_ms[first:last]
    days = range(_ordinal(int(start[0]) - 1), _ordinal(int(end[-1])) + 1)
    begin = np.array([local_midnight_ms(date.fromordinal(day)) for day in days])
    # Rows never overlap, so their ends are in the same order as their starts.
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
    """The slices of a month's units. `plan`, `band`: their digests, which may come from an earlier run."""

    def __init__(
        self,
        *,
        inputs: Inputs,
        rulebook: Rulebook,
        policy: Policy,
        stretches: Mapping[str, Sequence[ConstantDays]],
        around: Mapping[str, Sequence[ConstantDays]],
        with_avc: frozenset[str],
        plan: StepDigests,
        band: StepDigests,
    ) -> None:
        self._plan, self._band, self._rulebook, self._with_avc = plan, band, rulebook, with_avc
        self._values = cache(self._rulebook_values)
        self._states = {
            unit: [(s.first_day.toordinal(), s.until_day.toordinal(), self._state(s)) for s in parts]
            for unit, parts in stretches.items()
        }
        self._near = {
            unit: [(s.first_day.toordinal(), s.until_day.toordinal(), self._numbers(s, policy)) for s in around[unit]]
            for unit in stretches
        }
        self._rows: dict[tuple[str, int], list[tuple[Any, ...]]] = defaultdict(list)
        self.ordered: set[tuple[str, int, OrderKind]] = set()  # units and days whose runs an order may need
        self._add_rows(inputs, policy)
        self.common = digest_of(
            KERNEL_VERSION,
            STORED_VERSION,
            [policy.hold_ms, policy.settle_ms, policy.at_limit_kvar, str(policy.on_grid_ratio)],
            [str(policy.order_min_ratio), str(policy.plausible_ratio), *map(str, policy.plausible_voltage)],
            sorted(policy.readings.items()),
            *([sorted(rulebook.formulas.items())] if rulebook.formulas else []),
        )

    def of(self, unit: str, day: int) -> bytes:
        """The slice of a unit and local day (as an ordinal)."""
        rows = self._rows.get((unit, day))
        # A record of the day before or after may hold into this day; its own day's numbers decide if it is plausible.
        near = [b"-"] * 3
        for place, held in ((0, self._near), (1, self._states), (2, self._near)):
            for first, until, part in held.get(unit, ()):
                if first <= day + place - 1 < until:
                    near[place] = part
        return b"".join(
            (
                *near,
                self._plan.get(unit, {}).get(day, b"-"),
                self._band.get(unit, {}).get(day, b"-"),
                digest_of(sorted(set(rows))) if rows else b"-",
                b"avc" if unit in self._with_avc else b"-",
            )
        )

    def _state(self, stretch: ConstantDays) -> bytes:
        """The register state and the values used in measuring, while both stay the same."""
        unit, area, day = stretch.unit, stretch.area, stretch.first_day
        fields = [str(getattr(unit, name)) for name in _UNIT_FIELDS]
        hours = [[(s.start_min, s.end_min) for s in spans] for spans in (area.valley_hours, area.peak_hours)]
        values = self._values(day, area.id, str(unit.kind))
        return digest_of(unit.id, stretch.plant.id, area.id, fields, hours, values)

    def _numbers(self, stretch: ConstantDays, policy: Policy) -> bytes:
        """The numbers that make a record's value implausible, or its AVC target no order."""
        try:
            least = order_min_v(self._rulebook, policy, stretch) if stretch.unit.id in self._with_avc else 0
        except RuleError:
            least = -1  # measuring will report the error
        return f"{stretch.unit.rated_mw} {stretch.unit.nominal_kv} {least}".encode()

    def _rulebook_values(self, day: date, area: str, kind: str) -> list[str]:
        """The values used in measuring, and the paid services, for all units of an area and kind."""

        def value(name: str) -> str:
            key = {AREA: area, KIND: kind}.get(VALUES[name].key, "")
            try:
                return str(self._rulebook.row(name, day, area=area, key=key).value)
            except RuleError:
                return "?"  # measuring will report the error

        values = [value(name) for name in MEASURING_VALUES]
        return values + [s for s in self._rulebook.services if self._rulebook.pays(s, kind, day, area)]

    def _add_rows(self, inputs: Inputs, policy: Policy) -> None:
        for order in inputs.orders or ():
            for day, span in _days(order.start_ms, order.end_ms):
                self._rows[order.unit, day].append(("order", str(order.kind), *span))
            if order.kind in RUN_KINDS:
                # An occurrence may depend on the state just before an order, and at its end.
                back = order.start_ms - looks_back_to_ms(order.kind, order.start_ms, policy.min_stop_ms)
                for day, _ in _days(order.start_ms - back, order.end_ms + 1):
                    self.ordered.add((order.unit, day, order.kind))
                    self._rows[order.unit, day].append(("runs", str(order.kind)))
        for reserve in inputs.reserves or ():
            for day, span in _days(reserve.start_ms, reserve.end_ms):
                power = "" if reserve.power_kw is None else str(reserve.power_kw)
                self._rows[reserve.unit, day].append(("reserve", str(reserve.kind), *span, power))
        for row in inputs.exclusions or ():
            own = row.reason is ExclusionReason.OWN_FAULT
            for day, span in _days(row.start_ms, row.end_ms):
                self._rows[row.unit, day].append(("exclusion", row.service, *span, own))
        for change in inputs.meter_changes or ():  # a change at midnight belongs to both days, as a reading does
            for day, _ in _days(change.time_ms - 1, change.time_ms + 1):
                registers = change.old_final_wh, change.new_initial_wh
                self._rows[change.unit, day].append(("meter", change.time_ms, *registers))

        for call in inputs.reserve_calls or ():  # the answer to a call is searched on its day and the next one
            for day in range(_ordinal(call.called_ms), _ordinal(call.called_ms) + 2):
                self._rows[call.unit, day].append(("called", call.called_ms))


def _days(start_ms: int, end_ms: int) -> Iterable[tuple[int, tuple[int, int]]]:
    """Each local day that a span touches, with its part on the day, ms after 00:00."""
    for day in range(_ordinal(start_ms), _ordinal(end_ms - 1) + 1):
        begin = (day - _EPOCH_ORDINAL) * DAY_MS - LOCAL_OFFSET_MS
        yield day, (max(start_ms - begin, 0), min(end_ms - begin, DAY_MS))
