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
import pyarrow.compute as pc

from collector.base.text import Text, both, full_width, join, tr, tr_in
from collector.center.runs.run_rows import RegisteredState, UnitDispatch
from collector.center.runs.stored_run import OpenedRun
from collector.model.interval import DAY_MS, local_midnight_ms
from collector.model.quantity import BY_NAME
from collector.model.record import USABLE_BELOW, Quality
from collector.report import words
from collector.report.timeline.drawing import Block, Step, fewer_steps
from collector.settlement.rulebook.load import Rulebook

STATES: Final = ("on_grid", "agc_in_service", "avc_in_service", "condenser", "spilling")
ORDER_WORDS: Final[Mapping[str, Text]] = {
    "start_stop": tr_in("order", "start-stop"),
    "spill": tr_in("order", "spill"),
    "reactive": tr_in("order", "reactive"),
    "condenser": tr_in("order", "condenser"),
}
EXCLUSION_WORDS: Final[Mapping[str, Text]] = {
    "own_fault": tr_in("exclusion", "own fault"),
    "test": tr_in("exclusion", "test"),
    "dispatch": tr_in("exclusion", "dispatch"),
    "grid": tr_in("exclusion", "grid"),
}
CURVES: Final = {"power": "active_power_mw", "reactive": "reactive_power_mvar", "setpoint": "agc_setpoint_mw"}


@dataclass(frozen=True, slots=True)
class BlockRow:
    """A row of blocks below the curves. `kind`: state, dispatch, service or substituted; `name`: which of them.

    A block is (start, end, class or status, words that say more).
    """

    kind: str
    name: str
    blocks: tuple[tuple[int, int, str, str], ...]


@dataclass(frozen=True, slots=True)
class PutIn:
    """A stretch of a day in which a quantity uses a substituted value.

    The lowest and highest stored value, substituted and delivered; `delivered` is None if no usable value was
    delivered.
    """

    quantity: str
    start_ms: int
    end_ms: int
    delivered: tuple[int, int] | None
    put_in: tuple[int, int]


@dataclass(frozen=True, slots=True)
class DayDrawing:
    """The drawing of one day. `limits`: name and kW. `curves`: by name of `CURVES`, and `plan`.

    `substitutes` and `originals` hold both versions of a curve, only over the stretches with substituted values. The
    original is empty where nothing was delivered.
    """

    day: date
    curves: Mapping[str, list[Step]]
    substitutes: Mapping[str, list[Step]]
    originals: Mapping[str, list[Step]]
    put_in: tuple[PutIn, ...]
    limits: tuple[tuple[str, int], ...]
    valley: tuple[Block, ...]
    peak: tuple[Block, ...]
    lanes: tuple[BlockRow, ...]


def draw_day(run: OpenedRun, unit: str, day: date) -> DayDrawing:
    """The drawing of a unit's day.

    Raises:
        StoreError: the run does not speak of the unit.
    """
    begin = local_midnight_ms(day)
    hold_ms = int(run.policy["hold_limit_s"] * 1000)
    said = run.unit_day(unit, day)
    table = run.record_table(unit, begin - hold_ms, begin + DAY_MS)
    whole = {name: _steps(table, column, begin, hold_ms) for name, column in CURVES.items()}
    replaced = _substituted(table, begin, hold_ms)
    delivered = run.original_table(unit, begin - hold_ms, begin + DAY_MS) if replaced else table
    stretches = {name: replaced[column] for name, column in CURVES.items() if column in replaced}
    before = {name: _steps(_without_substitutes(delivered, name), name, begin, hold_ms) for name in replaced}
    plan = [
        (max(s.start_ms - begin, 0), min(s.end_ms - begin, DAY_MS), s.power_kw)
        for s in said.plan
        if s.power_kw is not None
    ]
    states = [BlockRow("state", name, _on(_steps(table, name, begin, hold_ms))) for name in STATES]
    lanes = [lane for lane in states if lane.blocks]
    lanes += [
        BlockRow("substituted", name, tuple((a, b, "substituted", "") for a, b in found))
        for name, found in replaced.items()
    ]
    lanes += _dispatch(said.dispatch, begin)
    lanes += _services(run, unit, day)
    return DayDrawing(
        day=day,
        curves={name: fewer_steps(steps) for name, steps in whole.items()} | {"plan": plan},
        substitutes={name: fewer_steps(_inside(whole[name], found)) for name, found in stretches.items()},
        originals={name: fewer_steps(_inside(before[CURVES[name]], found)) for name, found in stretches.items()},
        put_in=tuple(
            PutIn(name, a, b, _range(_inside(before[name], [(a, b)])), _range(_inside(steps, [(a, b)])) or (0, 0))
            for name, found in replaced.items()
            for steps in [_steps(table, name, begin, hold_ms)]
            for a, b in found
        ),
        limits=() if said.state is None else tuple(limits_on(said.state, run.rulebook, day)),
        valley=() if said.state is None else tuple(_hours(said.state.valley_hours)),
        peak=() if said.state is None else tuple(_hours(said.state.peak_hours)),
        lanes=tuple(lanes),
    )


def _steps(table: pa.Table, name: str, begin: int, hold_ms: int) -> list[Step]:
    """The values of a column over the day as steps; equal neighbours are one step."""
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


def _substituted(table: pa.Table, begin: int, hold_ms: int) -> dict[str, list[tuple[int, int]]]:
    """The stretches of the day that use a substituted value, by quantity."""
    found = {}
    for name in BY_NAME:
        if name not in table.column_names:
            continue
        marked = pc.equal(table[f"{name}_quality"].fill_null(0), int(Quality.SUBSTITUTED))
        if pc.any(marked).as_py():
            # A record holds until the next one, whether that one is marked or not.
            mark = pa.table(
                {"time": table["time"], name: marked.cast(pa.int64()), f"{name}_quality": table[f"{name}_quality"]}
            )
            found[name] = [(a, b) for a, b, value in _steps(mark, name, begin, hold_ms) if value]
    return {name: stretches for name, stretches in found.items() if stretches}


def _without_substitutes(table: pa.Table, name: str) -> pa.Table:
    """The records whose value of a quantity is not a substituted one."""
    if name not in table.column_names:
        return table
    return table.filter(pc.not_equal(table[f"{name}_quality"].fill_null(0), int(Quality.SUBSTITUTED)))


def _inside(steps: Sequence[Step], stretches: Sequence[tuple[int, int]]) -> list[Step]:
    """Steps cut to stretches; both in the order of time."""
    return [
        (max(a, first), min(b, last), value)
        for first, last in stretches
        for a, b, value in steps
        if max(a, first) < min(b, last)
    ]


def _range(steps: Sequence[Step]) -> tuple[int, int] | None:
    values = [value for *_, value in steps]
    return (min(values), max(values)) if values else None


def _on(steps: Sequence[Step]) -> tuple[tuple[int, int, str, str], ...]:
    return tuple((a, b, "on", "") for a, b, value in steps if value == 1)


def _dispatch(said: UnitDispatch, begin: int) -> list[BlockRow]:
    """Orders, reserves, exclusions and voltage bands that touch the day that begins then."""
    blocks: dict[str, list[tuple[int, int, str, str]]] = {
        "orders": [(a, b, "on", join(" ", (ORDER_WORDS.get(kind, kind), name))) for name, kind, a, b in said.orders],
        "reserve": [
            (a, b, "on", join(" ", (_said(words.CODED["kind"], kind), "" if kw is None else f"{kw / 1000} MW")))
            for kind, a, b, kw in said.reserves
        ],
        "exclusions": [
            (a, b, "excluded", join(" ", (_said(words.SERVICES, service), EXCLUSION_WORDS.get(why, why), note)))
            for service, a, b, why, note in said.exclusions
        ],
        "voltage_band": [(a, b, "on", f"{_kv(low)} – {_kv(high)} kV") for a, b, low, high in said.bands],
    }
    return [
        BlockRow(
            "dispatch",
            name,
            tuple((max(a - begin, 0), min(b - begin, DAY_MS), what, text) for a, b, what, text in rows),
        )
        for name, rows in blocks.items()
        if rows
    ]


def _said(table: Mapping[str, words.Words], code: str) -> Text:
    chinese, english = words.of(table, code)
    return both(english or code, full_width(chinese)) if code != "*" else tr("every service")


def _kv(volts: int | None) -> str:
    return "" if volts is None else f"{volts / 1000:g}"


def _services(run: OpenedRun, unit: str, day: date) -> Iterator[BlockRow]:
    """The segments of each service on the day, by class; `text` is the code of the reason."""
    begin = local_midnight_ms(day)
    lanes: dict[str, list[tuple[int, int, str, str]]] = {}
    for row in run.segments(unit, day=day).to_pylist():
        a, b = max(row["start"] - begin, 0), min(row["end"] - begin, DAY_MS)
        lanes.setdefault(row["service"], []).append((a, b, row["class"], row["reason"]))
    for service, blocks in lanes.items():
        yield BlockRow("service", service, tuple(_joined(blocks)))


def _joined(blocks: Sequence[tuple[int, int, str, str]]) -> Iterator[tuple[int, int, str, str]]:
    """Merge neighbours of the same class and reason: boundaries of quarter hours would only clutter the drawing."""
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


def limits_on(state: RegisteredState, rulebook: Rulebook, day: date) -> Iterator[tuple[str, int]]:
    """The limits of a unit on a day, by the register and the rulebook: name and kW."""
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
