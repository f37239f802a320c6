# SPDX-License-Identifier: GPL-3.0-or-later
"""A unit's day out of a run as things to draw: curves, limits, hours, states, orders, and what each service made of it.

Only for the eye. Times are ms after 00:00 local; powers kW and kvar as stored. A record holds until the next one,
at most for the hold limit, as in the measuring; a step at the edge of the day is cut there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from collector.center.runs.run_rows import RegisteredState
from collector.center.runs.stored_run import OpenedRun
from collector.model.interval import DAY_MS, local_midnight_ms
from collector.model.record import USABLE_BELOW
from collector.report.timeline.drawing import Block, Step, fewer_steps
from collector.settlement.rulebook.load import Rulebook

STATES: Final = ("on_grid", "agc_in_service", "avc_in_service", "condenser", "spilling")
CURVES: Final = {"power": "active_power_mw", "reactive": "reactive_power_mvar", "setpoint": "agc_setpoint_mw"}


@dataclass(frozen=True, slots=True)
class Lane:
    """A row of blocks below the curves. `kind`: state, dispatch or service; `name`: the status, kind or service.

    A block is (start, end, class or status, words that say more).
    """

    kind: str
    name: str
    blocks: tuple[tuple[int, int, str, str], ...]


@dataclass(frozen=True, slots=True)
class DayDrawing:
    """Everything of one day. `limits`: name and kW. `curves`: by name of `CURVES`, and `plan`."""

    day: date
    curves: Mapping[str, list[Step]]
    limits: tuple[tuple[str, int], ...]
    valley: tuple[Block, ...]
    peak: tuple[Block, ...]
    lanes: tuple[Lane, ...]


def draw_day(run: OpenedRun, unit: str, day: date) -> DayDrawing:
    """The drawing of a unit's day.

    Raises:
        StoreError: the run does not speak of the unit.
    """
    begin = local_midnight_ms(day)
    hold_ms = int(run.policy["hold_limit_s"] * 1000)
    said = run.unit_day(unit, day)
    table = run.record_table(unit, begin - hold_ms, begin + DAY_MS)
    curves = {name: fewer_steps(_steps(table, column, begin, hold_ms)) for name, column in CURVES.items()}
    plan = [
        (max(s.start_ms - begin, 0), min(s.end_ms - begin, DAY_MS), s.power_kw)
        for s in said.plan
        if s.power_kw is not None
    ]
    states = [Lane("state", name, _on(_steps(table, name, begin, hold_ms))) for name in STATES]
    lanes = [lane for lane in states if lane.blocks]
    lanes += _dispatch(run, unit, day)
    lanes += _services(run, unit, day)
    return DayDrawing(
        day=day,
        curves=curves | {"plan": plan},
        limits=() if said.state is None else tuple(_limits(said.state, run.rulebook, day)),
        valley=() if said.state is None else tuple(_hours(said.state.valley_hours)),
        peak=() if said.state is None else tuple(_hours(said.state.peak_hours)),
        lanes=tuple(lanes),
    )


def _steps(table: pa.Table, name: str, begin: int, hold_ms: int) -> list[Step]:
    """What a column says over the day; equal neighbours are one step."""
    if name not in table.column_names or not len(table):
        return []
    start: npt.NDArray[np.int64] = table["time"].to_numpy()
    end = np.minimum(np.append(start[1:], np.iinfo(np.int64).max), start + hold_ms)
    quality = table[f"{name}_quality"].fill_null(USABLE_BELOW).to_numpy()
    known = ~table[name].is_null().to_numpy() & (quality < USABLE_BELOW) & (end > begin)
    values: npt.NDArray[np.int64] = table[name].fill_null(0).to_numpy()
    # Where a stretch of equal values without a hole begins.
    first = known.copy()
    first[1:] &= ~(known[:-1] & (values[1:] == values[:-1]) & (end[:-1] == start[1:]))
    starts = np.flatnonzero(first)
    group = np.cumsum(first) - 1
    ends = np.zeros(len(starts), dtype=np.int64)
    np.maximum.at(ends, group[known], end[known])
    begins = np.maximum(start[starts] - begin, 0)
    return list(zip(begins.tolist(), np.minimum(ends - begin, DAY_MS).tolist(), values[starts].tolist(), strict=True))


def _on(steps: Sequence[Step]) -> tuple[tuple[int, int, str, str], ...]:
    return tuple((a, b, "on", "") for a, b, value in steps if value == 1)


def _dispatch(run: OpenedRun, unit: str, day: date) -> list[Lane]:
    """Orders, reserves, exclusions and voltage bands that touch the day."""
    begin = local_midnight_ms(day)
    said = run.unit_day(unit, day).dispatch

    blocks = {
        "orders": [(a, b, "on", f"{kind} {name}") for name, kind, a, b in said.orders],
        "reserve": [(a, b, "on", f"{kind} {'' if kw is None else kw / 1000} MW") for kind, a, b, kw in said.reserves],
        "exclusions": [(a, b, "excluded", f"{service} {why} {note}") for service, a, b, why, note in said.exclusions],
        "voltage_band": [(a, b, "on", f"{_kv(low)} – {_kv(high)} kV") for a, b, low, high in said.bands],
    }
    return [
        Lane(
            "dispatch",
            name,
            tuple((max(a - begin, 0), min(b - begin, DAY_MS), what, text) for a, b, what, text in rows),
        )
        for name, rows in blocks.items()
        if rows
    ]


def _kv(volts: int | None) -> str:
    return "" if volts is None else f"{volts / 1000:g}"


def _services(run: OpenedRun, unit: str, day: date) -> Iterator[Lane]:
    """What each service made of the day: its segments, by class; `text` is the reason's code."""
    begin = local_midnight_ms(day)
    lanes: dict[str, list[tuple[int, int, str, str]]] = {}
    for row in run.segments(unit, day=day).to_pylist():
        a, b = max(row["start"] - begin, 0), min(row["end"] - begin, DAY_MS)
        lanes.setdefault(row["service"], []).append((a, b, row["class"], row["reason"]))
    for service, blocks in lanes.items():
        yield Lane("service", service, tuple(_joined(blocks)))


def _joined(blocks: Sequence[tuple[int, int, str, str]]) -> Iterator[tuple[int, int, str, str]]:
    """Neighbours of one class and reason as one block: a quarter-hour's netting is not for the eye."""
    held: tuple[int, int, str, str] | None = None
    for a, b, cause, reason in sorted(blocks):
        if held is not None and held[1] == a and held[2:] == (cause, reason):
            held = (held[0], b, cause, reason)
            continue
        if held is not None:
            yield held
        held = (a, b, cause, reason)
    if held is not None:
        yield held


def _limits(state: RegisteredState, rulebook: Rulebook, day: date) -> Iterator[tuple[str, int]]:
    yield "rated", round(state.rated_mw * 1000)
    if state.kind == "coal":
        for name, value_id, key in (
            ("lower_limit", "deep_peak.lower_limit_ratio", state.area),
            ("gate", "deep_peak.gate_ratio", ""),
        ):
            ratio = rulebook.value(value_id, day, area=state.area, key=key)
            if ratio is not None:
                yield name, round(ratio * Fraction(state.rated_mw) * 1000)
    for name, limit in (("agc_upper", state.agc_upper_mw), ("agc_lower", state.agc_lower_mw)):
        if limit is not None:
            yield name, round(limit * 1000)


def _hours(spans: Sequence[tuple[int, int]]) -> Iterator[Block]:
    for first_min, last_min in spans:
        a, b = first_min * 60_000, last_min * 60_000
        for start, end in [(a, b)] if a < b else [(a, DAY_MS), (0, b)]:
            if start < end:
                yield start, end, ""
