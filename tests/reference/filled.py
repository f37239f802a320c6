# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder with its missing time filled by something admissible: what is known stays, what is missing becomes anything.

Used to hold the bounds of a line: whatever the missing time turns out to be, the amount lies between them. Admissible:

- P from 0 to P_N, inside the AGC limits while AGC is in service; Q inside its registered limits, else inside P_N;
- a breaker in a hole shorter than min_stop_s has one edge between two different known states, none between equal ones;
  without a breaker column output and condenser status are such as to show it;
- a record that lacks only the AVC target or a voltage stays so: an order there is not judged, and that is known;
- where no record holds there may have been one per hold limit.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

from .edges import known_status
from .exact_numbers import round_half_away
from .measured import Case
from .model import BandRow, Folder, PowerRow, Record, UnitRecords
from .register import Register, State
from .regulation import ON_GRID_RATIO
from .slices import cut_month
from .times import Span, month_span

Spans = list[tuple[int, int]]


def fill(data: Folder, month: str, rng: random.Random) -> Folder:
    """Fills records, plan, reserve powers and voltage bands of a folder without implausible cells.

    Args:
        data: Implausible cells are empty already; they are missing.
        rng: Draws what was missing.
    """
    register, span = Register(data), month_span(month)
    records = dict(data.records)
    for unit in register.unit_ids():
        if register.stretches(unit, span):
            records[unit] = _fill_records(Case(data, register, month, span, unit, {}), rng)
    data = replace(data, records=records)
    return replace(
        data,
        plan=(*data.plan, *_plan(data, register, span, rng)),
        reserve=tuple(_reserve(data, register, rng)),
        bands=tuple(_bands(data, register, span, rng)),
    )


def _limits(case: Case, time: int) -> State | None:
    return case.state_at(min(max(time, case.span.start), case.span.end - 1))


def _fill_records(case: Case, rng: random.Random) -> UnitRecords:
    mine, policy, span = case.records(), case.folder.policy, case.span
    stretches = case.register.stretches(case.unit, span)
    first = stretches[0].start
    end = stretches[-1].end + policy.settle_ms + policy.hold_ms  # what lies about its registration is nobody's
    times = [record.time for record in mine.records]
    found = list(mine.records)
    # Holes between what records hold, before the first and after the last of them.
    edges = [(first, times[0] if times else end)] if not times or times[0] > first else []
    edges += [(one + policy.hold_ms, two) for one, two in pairwise(times) if one + policy.hold_ms < two]
    if times and times[-1] + policy.hold_ms < end:
        edges.append((times[-1] + policy.hold_ms, end))
    for start, until in edges:
        found += [Record(time=at) for at in range(start, until, policy.hold_ms)]
    found.sort(key=lambda record: record.time)
    switches = _breaker(case, rng)
    mood = rng.choice((0.02, 0.5, 0.98))  # how often a missing status is 1
    states: dict[str, bool] = {}
    filled = []
    for record in found:
        state = _limits(case, record.time)
        untold = state is not None and case.on_at(record) is None
        on = _on_at(record.time, switches) if untold else None
        filled.append(record if state is None else _fill_one(record, state, mine, on, states, mood, rng))
    return UnitRecords(mine.columns, tuple(filled))


def _breaker(case: Case, rng: random.Random) -> dict[tuple[int, int], list[tuple[int, bool]]]:
    """For each hole of the breaker status: from when it is what."""
    found: dict[tuple[int, int], list[tuple[int, bool]]] = {}
    far = 1 << 60
    known = known_status(case, case.on_at)
    stretches = [(-far, -far, None), *((k.start, k.end, k.state) for k in known), (far, far, None)]
    for (_, start, before), (end, _, after) in pairwise(stretches):
        if start >= end:
            continue
        low, high = max(start, case.span.start - 48 * 3_600_000), min(end, case.span.end + 48 * 3_600_000)
        if end - start < case.folder.policy.min_stop_ms:
            first = bool(before)
            changes = [(start, first)]
            if before is not after and after is not None:
                changes.append((rng.choice((start, end, rng.randrange(start, end))), after))
        else:
            changes = [(start, rng.choice((bool(before), bool(after), rng.random() < 0.5)))]
            for at in sorted(rng.randrange(low, max(high, low + 1)) for _ in range(rng.choice((0, 0, 1, 2, 2, 3)))):
                changes.append((at, not changes[-1][1]))
        found[start, end] = changes
    return found


def _on_at(time: int, switches: dict[tuple[int, int], list[tuple[int, bool]]]) -> bool | None:
    for (start, end), changes in switches.items():
        if start <= time < end:
            return [state for at, state in changes if at <= time][-1]
    return None


def _fill_one(
    record: Record,
    state: State,
    mine: UnitRecords,
    on: bool | None,
    states: dict[str, bool],
    mood: float,
    rng: random.Random,
) -> Record:
    """Empty cells of the columns that the unit has, by what is registered then. `on`: where its record is silent."""
    unit, columns = state.unit, mine.columns
    rated = int(unit.rated_mw * 1000)
    change: dict[str, object] = {}

    def status(name: str, column: str | None = None) -> bool | None:
        value = getattr(record, name)
        if value is None and (column or name) in columns:
            if name not in states or rng.random() < 0.2:
                states[name] = rng.random() < mood
            value = change[name] = states[name]
        return value  # type: ignore[no-any-return]

    if record.on_grid is None and "on_grid" in columns:
        change["on_grid"] = on
    derived = on if "on_grid" not in columns else None  # then output and condenser are such as to show it
    threshold = round_half_away(ON_GRID_RATIO * unit.rated_mw * 1000)
    if derived is not None and record.condenser is None and "condenser" in columns:
        running = derived and (record.active_kw is not None or rng.random() < 0.3)
        record = replace(record, condenser=running)
    avc_missing = record.avc_in_service is None or on is not None
    agc = status("agc_in_service")
    status("avc_in_service")
    status("condenser")
    status("spilling")
    if avc_missing:
        status("avc_at_limit")
        nominal = unit.nominal_kv
        if nominal is not None and "avc_target_kv" in columns and record.avc_target_v is None:
            change["avc_target_v"] = int(nominal * rng.choice((1000, 1003, 1010, 1017)))
        target = record.avc_target_v if record.avc_target_v is not None else change.get("avc_target_v")
        if isinstance(target, int) and "bus_voltage_kv" in columns and record.voltage_v is None:
            change["voltage_v"] = target + rng.choice((0, 0, 400, -700, 2500))
    elif record.voltage_v is None and "bus_voltage_kv" in columns and "voltage_v" not in change and not unit.avc:
        change["voltage_v"] = int((unit.nominal_kv or 500) * rng.choice((1000, 1010, 1020)))
    if record.active_kw is None and "active_power_mw" in columns:
        low, high = 0, rated
        if agc and unit.agc_range_kw is not None:
            low, high = unit.agc_lower_kw or 0, (unit.agc_lower_kw or 0) + unit.agc_range_kw
        if derived is False:
            low, high = 0, threshold
        elif derived and not record.condenser:
            low = max(low, threshold + 1)
        change["active_kw"] = rng.choice((low, high, rng.randint(low, high)))
    if record.reactive_kvar is None and "reactive_power_mvar" in columns:
        low = -rated if unit.q_min_kvar is None else unit.q_min_kvar
        high = rated if unit.q_max_kvar is None else unit.q_max_kvar
        change["reactive_kvar"] = rng.choice((low, high, rng.randint(low, high)))
    return replace(record, **change)  # type: ignore[arg-type]


def _plan(data: Folder, register: Register, span: Span, rng: random.Random) -> Iterator[PowerRow]:
    """Where no row says a plan, one inside the AGC limits, last issued of all."""
    for unit in register.unit_ids():
        for piece in cut_month(data, register, [unit], span)[unit]:
            state = piece.state
            if state is None or state.unit.agc_range_kw is None or piece.planned_kw() is not None:
                continue
            low = state.unit.agc_lower_kw or 0
            power = rng.choice((low, low + state.unit.agc_range_kw, low + state.unit.agc_range_kw // 2))
            yield (
                PowerRow(unit, piece.start, piece.end, power, issued=-1)
                if piece.plan
                else PowerRow(unit, piece.start, piece.end, power)
            )


def _reserve(data: Folder, register: Register, rng: random.Random) -> Iterator[PowerRow]:
    for row in data.reserve:
        rated = min((unit.rated_mw for unit in register.units if unit.id == row.unit), default=None)
        if row.power_kw is None and rated is not None:
            power = rng.choice((0, int(rated * 1000), rng.randint(0, int(rated * 1000))))
            yield replace(row, power_kw=power)
        else:
            yield row


def _bands(data: Folder, register: Register, span: Span, rng: random.Random) -> Iterator[BandRow]:
    """Every unit a curve where it has none; an edge that is empty becomes one."""
    for row in data.bands:
        low, high = row.low_v, row.high_v
        if low is None:
            low = (high or 500_000) - rng.choice((0, 2000, 400_000))
        if high is None:
            high = low + rng.choice((0, 2000, 400_000))
        yield replace(row, low_v=low, high_v=high)
    for unit in register.unit_ids():
        mine = sorted((row.start, row.end) for row in data.bands if row.unit == unit)
        at = span.start
        for start, end in [*mine, (span.end, span.end)]:
            if at < start:
                low, high = rng.choice(((0, 1_000_000), (0, 1)))
                yield BandRow(unit, at, start, low, high)
            at = max(at, end)
