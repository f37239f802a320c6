# SPDX-License-Identifier: GPL-3.0-or-later
"""Automatic voltage control, Art. 16.

In our words: pay = λ · P_N · 0.1 元/MWh · t, t the hours in service on grid, λ the share of voltage orders fulfilled.
The text does not say what fulfils an order; reading I-11: some seconds after the target changed, the bus voltage is
within a band around it that depends on the nominal voltage. Judging works on records, not on pieces of time.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from collector.model.interval import DAY_MS
from collector.settlement.measure.facts import Condition, Facts
from collector.settlement.measure.logic import Bools, Ints, Tri, Values
from collector.settlement.rulebook.constant_days import Stretch, scaled
from collector.settlement.services.pricing import Account, Bound, Draft, Priced
from collector.settlement.statement import LineStatus, Step

SERVICE = "avc"
RATE_KIND = "avc_pass"
# Reasons why an order was not judged, in the order of checking; each is counted and shown.
NOT_JUDGED = ("excluded", "no_record", "superseded", "avc_out", "off_grid", "no_voltage", "at_limit")
_MS_PER_HOUR = 3_600_000


def has_avc(stretch: Stretch) -> bool:
    """Whether AVC is registered on a stretch."""
    return stretch.unit.avc


def measure(facts: Facts) -> None:
    """Measure t_AVC, and count orders seen, judged and passed."""
    scope = facts.applies(has_avc)
    if scope is None:
        return
    avc = facts.status("avc_in_service")
    conditions = [Condition(facts.on, "off_grid", "no_breaker"), Condition(avc, "avc_off", "no_status")]
    tally = facts.tally(SERVICE, scope, conditions)
    facts.finish(tally, None, "h")
    if tally.missing.any():
        _put_hidden_orders(facts, tally.missing)
    orders = _Orders(facts)
    if orders.row is not None:
        _judge(facts, orders, scope)


def _put_hidden_orders(facts: Facts, missing: Bools) -> None:
    """Write the largest number of orders to be judged that missing time can hide.

    An order is judged only if no other comes within its settling time: a gap can hide one per settling time.
    """
    timeline, settle = facts.timeline, max(facts.policy.settle_ms, 1)
    first = timeline.runs(missing)
    time = np.add.reduceat(timeline.length * missing, first)
    facts.results.put(SERVICE, "hidden", timeline.add_by_cell(first, -(-time // settle)))


class _Orders:
    """Changes of the AVC target between consecutive records, both with a target, AVC and breaker on in the second."""

    def __init__(self, facts: Facts) -> None:
        rows, hold = facts.rows, facts.policy.hold_ms
        self.row: Ints | None = None
        target, avc = rows.columns.get("avc_target_kv"), rows.columns.get("avc_in_service")
        if target is None or avc is None or len(rows.lane) < 2:
            return
        changed = (target.values[1:] != target.values[:-1]) & target.valid[1:] & target.valid[:-1]
        second = np.flatnonzero(changed) + 1
        first = second - 1
        near = (rows.lane[first] == rows.lane[second]) & (rows.time_utc_ms[second] - rows.time_utc_ms[first] <= hold)
        second = second[near]
        on = row_on(facts, second)
        second = second[on.true & avc.valid[second] & (avc.values[second] == 1)]
        if not len(second):
            return
        self.row = second
        self.lane: Ints = rows.lane[second]
        self.time: Ints = rows.time_utc_ms[second]
        self.target: Ints = target.values[second]
        # The next order of the same lane, as a row; past all rows where there is none.
        following = np.append(second[1:], len(rows.lane))
        following[:-1][self.lane[1:] != self.lane[:-1]] = len(rows.lane)
        self.following: Ints = following


def row_on(facts: Facts, row: Ints) -> Tri:
    """On-grid state at single records, by the rule of `Facts.on`."""
    columns, lanes = facts.rows.columns, facts.rows.lane[row]

    def column(name: str) -> Values:
        found = columns.get(name)
        if found is None:
            return Values(np.zeros(len(row), dtype=np.int64), np.zeros(len(row), dtype=np.bool_))
        return Values(found.values[row], found.valid[row])

    breaker = column("on_grid")
    direct = Tri(breaker.valid & (breaker.values == 1), breaker.valid & (breaker.values == 0))
    has = np.array(facts.has_column("on_grid"))
    if has.all():
        return direct
    ratio = facts.policy.on_grid_ratio
    daily = facts.per_day(lambda s: scaled(ratio * 1000 * Fraction(s.unit.rated_mw)))
    offset = facts.rows.time_utc_ms[row] - facts.axis.start_utc_ms[lanes]
    cell = lanes * facts.axis.days + np.clip(offset // DAY_MS, 0, facts.axis.days - 1)
    power, condenser = column("active_power_mw"), column("condenser")
    size = Values(np.abs(power.values), power.valid & daily.valid[cell])
    running = Tri(condenser.valid & (condenser.values == 1), condenser.valid & (condenser.values == 0))
    absent = ~np.array(facts.has_column("condenser"))[lanes]
    running = Tri(running.true & ~absent, running.false | absent)
    return direct.where(has[lanes], size.above(daily.values[cell]) | running)


def _band_v(facts: Facts, stretch: Stretch) -> int | None:
    """I-11: half the band around the target, V; whole volts compare equally with 1 % and with its floor."""
    nominal = stretch.unit.nominal_kv
    if nominal is None:
        return None
    kv = Fraction(nominal)

    def number(name: str) -> Fraction:
        return facts.rulebook.number(f"avc.{name}", stretch.first_day, area=stretch.area.id)

    if kv >= number("high_class"):
        return int(number("high_band") * 1000)
    if kv >= number("middle_class"):
        return int(number("middle_band") * 1000)
    return int(number("low_band_ratio") * kv * 1000)


def _judge(facts: Facts, orders: _Orders, scope: Bools) -> None:
    """Judge each order on the first record at or after its settling time."""
    axis, rows, policy = facts.axis, facts.rows, facts.policy
    assert orders.row is not None  # measure() asked
    offset = orders.time - axis.start_utc_ms[orders.lane]
    mine = (offset >= 0) & (offset < axis.width)
    mine[mine] = scope[facts.timeline.at((orders.lane * axis.width + offset)[mine])]
    row, lane, time = orders.row[mine], orders.lane[mine], orders.time[mine]
    target, following, offset = orders.target[mine], orders.following[mine], offset[mine]
    piece = facts.timeline.at(lane * axis.width + offset)
    cell = lane * axis.days + offset // DAY_MS

    due = time + policy.settle_ms
    judge = _first_at_or_after(rows.lane, rows.time_utc_ms, row, lane, due)
    safe = np.minimum(judge, len(rows.lane) - 1)
    found = (judge < len(rows.lane)) & (rows.lane[safe] == lane)
    found &= rows.time_utc_ms[safe] - due <= policy.hold_ms
    leaves = facts.excluded(SERVICE, own_fault=False)
    avc, voltage = rows.columns["avc_in_service"], rows.columns.get("bus_voltage_kv")
    seen = np.zeros(len(row), dtype=np.bool_) if voltage is None else voltage.valid[safe]
    limited = _at_limit(facts, safe, lane)
    verdict = np.full(len(row), len(NOT_JUDGED), dtype=np.int64)
    causes = (
        leaves[piece] if leaves is not None else np.zeros(len(row), dtype=np.bool_),
        ~found,
        following <= judge,
        ~(avc.valid[safe] & (avc.values[safe] == 1)),
        ~row_on(facts, safe).true,
        ~seen,
        limited,
    )
    for index in reversed(range(len(causes))):
        verdict[causes[index]] = index
    judged = verdict == len(NOT_JUDGED)
    band = facts.per_day(lambda s: _band_v(facts, s) if s.unit.avc else None)
    off_target = np.zeros(len(row), dtype=np.int64) if voltage is None else np.abs(voltage.values[safe] - target)
    passed = judged & band.valid[cell] & (off_target <= band.values[cell])

    def count(name: str, mask: Bools) -> None:
        facts.results.put(SERVICE, name, np.bincount(cell[mask], minlength=axis.cells).astype(np.int64))

    # Orders whose result depends on missing time: with it they might be judged, or judged differently.
    unsure = (verdict != 0) & (~found | _unsure_after(facts, row, np.where(found, judge, row)))
    count("unsure", unsure)
    count("unsure_judged", unsure & judged)
    count("unsure_passed", unsure & passed)
    count("orders", np.ones(len(row), dtype=np.bool_))
    count("judged", judged)
    count("passed", passed)
    for index, name in enumerate(NOT_JUDGED):
        count(f"not_judged_{name}", verdict == index)


def _unsure_after(facts: Facts, row: Ints, judge: Ints) -> Bools:
    """Whether time in service is missing between an order and the record that judges it, that record included."""
    rows, avc = facts.rows, facts.rows.columns["avc_in_service"]
    length = judge - row
    window = np.repeat(row + 1 - (np.cumsum(length) - length), length) + np.arange(int(length.sum()))
    on = row_on(facts, window)
    out = on.false | (avc.valid[window] & (avc.values[window] == 0))
    known = out | (on.true & avc.valid[window])
    gap = rows.time_utc_ms[window] - rows.time_utc_ms[window - 1] > facts.policy.hold_ms
    bad = np.append(0, np.cumsum(~known | gap))
    ends = np.cumsum(length)
    return np.asarray(bad[ends] > bad[ends - length], dtype=np.bool_)


def _first_at_or_after(lane_of: Ints, time: Ints, row: Ints, lane: Ints, due: Ints) -> Ints:
    """The first row of each order's lane at or after its due time (the row after the lane's last, if none)."""
    result = np.empty(len(row), dtype=np.int64)
    for index in np.unique(lane).tolist():
        first, last = np.searchsorted(lane_of, (index, index + 1))
        which = lane == index
        result[which] = first + np.searchsorted(time[first:last], due[which])
    return result


def _at_limit(facts: Facts, row: Ints, lane: Ints) -> Bools:
    """Whether the equipment is at its limit, or its unit has that column but no value in it."""
    column = facts.rows.columns.get("avc_at_limit")
    has = np.array(facts.has_column("avc_at_limit"))[lane]
    if column is None:
        return has
    return np.asarray(has & ~(column.valid[row] & (column.values[row] == 0)), dtype=np.bool_)


def price(account: Account) -> Draft:
    """Price a month: λ × Σ over days of P_N × hours × price."""
    stretches = account.stretches_of(SERVICE)
    judged = sum(account.sum(f"{SERVICE}.judged", s) for s in stretches)
    passed = sum(account.sum(f"{SERVICE}.passed", s) for s in stretches)
    if not sum(account.measured(SERVICE, s) for s in stretches):
        return Draft(Fraction(0), Fraction(0), reason="rounded")
    ratio = Fraction(passed, judged) if judged else delivered_rate(account)
    if account.bound is not Bound.MEASURED:
        ratio = _bound_of_rate(account, judged, passed, ratio)
    if ratio is None:
        return Draft(None, None, LineStatus.BLOCKED, "no_judged_order")
    priced = Priced(account, SERVICE)
    origin = f"{passed} passed ÷ {judged} judged" if judged else "delivered rate"
    priced.steps.append(Step(f"λ = {origin}", ratio))
    for stretch in stretches:
        in_service = Fraction(account.measured(SERVICE, stretch), _MS_PER_HOUR)
        fulfilled = ratio * in_service
        weight = fulfilled * Fraction(stretch.unit.rated_mw)
        priced.add("avc.price", stretch, weight, unit="MWh (λ · P_N · t)", quantity=fulfilled)
    return priced.draft()


def _bound_of_rate(account: Account, judged: int, passed: int, measured: Fraction | None) -> Fraction:
    """λ if all orders that depend on missing time had failed, or passed. `measured`: λ without them, or None."""

    def total(name: str) -> int:
        return sum(account.sum(f"{SERVICE}.{name}", s) for s in account.stretches_of(SERVICE))

    high = account.bound is Bound.HIGH
    decided = total("unsure") + total("hidden")
    judged += decided - total("unsure_judged")
    passed += (decided if high else 0) - total("unsure_passed")
    if judged:
        return Fraction(passed, judged)
    return Fraction(int(high)) if measured is None else measured


def delivered_rate(account: Account) -> Fraction | None:
    """The pass rate delivered in rates.csv, where no order could be judged (I-11)."""
    for rate in account.case.rates:
        wanted = (account.unit, str(account.case.month), RATE_KIND)
        if (rate.unit, rate.month, rate.kind) == wanted and rate.value is not None:
            return Fraction(rate.value)
    return None
