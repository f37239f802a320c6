# SPDX-License-Identifier: GPL-3.0-or-later
"""Automatic voltage control, Art. 16.

In our words: pay = λ · P_N · 0.1 元/MWh · t, t the hours in service on grid, λ the share of voltage orders fulfilled.
The text does not say what fulfils an order; reading I-11: some seconds after the target changed, the bus voltage is
within a band around it that depends on the nominal voltage. A change of the target below a share of the band is no
order (I-21). Targets are measured here, orders are found among them when the month is added up (avc_orders).
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from collector.base.text import tr
from collector.settlement.measure.dispatch_side import no_flags
from collector.settlement.measure.facts import Condition, Facts
from collector.settlement.measure.logic import Bools, Ints
from collector.settlement.measure.results import NO_VOLTAGE, AvcTargets, TargetFlag, TargetKind
from collector.settlement.rulebook.constant_days import ConstantDays, Policy, scaled
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.services.pricing import Account, Bound, Draft, Priced
from collector.settlement.statement import FormulaStep, LineStatus

SERVICE = "avc"
RATE_KIND = "avc_pass"
# Reasons why an order was not judged, in the order of checking; each is counted and shown.
NOT_JUDGED = ("excluded", "no_record", "superseded", "avc_out", "off_grid", "no_voltage", "at_limit")
_AT_RECORD = NOT_JUDGED.index("avc_out")  # from here on: reasons of the judging record itself
_MS_PER_HOUR = 3_600_000
_CHUNK = 512  # records looked through at a time for the next change that counts


def has_avc(stretch: ConstantDays) -> bool:
    """Whether AVC is registered on a stretch."""
    return stretch.unit.avc


def band_v(rulebook: Rulebook, stretch: ConstantDays) -> Fraction | None:
    """I-11: half the band around the target, V; None where no nominal voltage is registered."""
    if stretch.unit.nominal_kv is None:
        return None
    kv = Fraction(stretch.unit.nominal_kv)

    def number(name: str) -> Fraction:
        return rulebook.number(f"avc.{name}", stretch.first_day, area=stretch.area.id)

    if kv >= number("high_class"):
        return number("high_band") * 1000
    if kv >= number("middle_class"):
        return number("middle_band") * 1000
    return number("low_band_ratio") * kv * 1000


def order_min_v(rulebook: Rulebook, policy: Policy, stretch: ConstantDays) -> int:
    """I-21: the least change of the target that is an order, V."""
    band = band_v(rulebook, stretch)
    if band is None or policy.adopts("I-21", "every_change"):
        return 1
    return max(scaled(policy.order_min_ratio * band), 1)


def measure(facts: Facts) -> None:
    """Measure t_AVC, and the targets among which the month's orders are found."""
    scope = facts.applies(has_avc)
    if scope is None and facts.with_avc.isdisjoint(lane.unit for lane in facts.axis.lanes):
        return
    if scope is None:
        scope = no_flags(len(facts.timeline))
    avc = facts.status("avc_in_service")
    conditions = [Condition(facts.on, "off_grid", "no_breaker"), Condition(avc, "avc_off", "no_status")]
    tally = facts.tally(SERVICE, scope, conditions)
    facts.finish(tally, None, "h")
    out = tally.within & facts.on.true & avc.false
    out = out if tally.own is None else out & ~tally.own
    facts.results.put(SERVICE, "avc_off", facts.timeline.time_by_cell(out))
    # Orders at own fault stay judged (I-19), so missing time there hides orders too.
    unknown = tally.missing if tally.own is None else tally.missing | (tally.own & (facts.on & avc).missing)
    if unknown.any():
        _put_hidden_orders(facts, unknown)
        facts.put_open(tally, (facts.on & avc).missing)
    targets = _Targets(facts)
    if len(targets.row):
        _write(facts, targets, scope, unknown)


def _put_hidden_orders(facts: Facts, missing: Bools) -> None:
    """Write the largest number of orders to be judged that missing time can hide.

    An order is judged only if no other comes within its settling time: a gap can hide one per settling time.
    """
    timeline, settle = facts.timeline, max(facts.policy.settle_ms, 1)
    first = timeline.runs(missing)
    time = np.add.reduceat(timeline.length * missing, first)
    facts.results.put(SERVICE, "hidden", timeline.add_by_cell(first, -(-time // settle)))


class _Targets:
    """The records of AVC runs that begin a run or may be an order, whatever the standing target of a day's start is.

    A run: records with target, AVC and on known and in, none further from the last than the hold limit. Where a run
    reaches into a lane from the day before, its standing target lies less than `order_min_v` from the last target; of
    the changes that follow, those are kept that are an order for one of these targets. So days can be measured apart.
    """

    def __init__(self, facts: Facts) -> None:
        rows, axis = facts.rows, facts.axis
        none = np.zeros(0, dtype=np.int64)
        self.row = self.kind = self.order_min = none
        self.sure = none.astype(np.bool_)
        target, avc = rows.columns.get("avc_target_kv"), rows.columns.get("avc_in_service")
        if target is None or avc is None or not len(rows.lane):
            return
        on = facts.on_of_rows
        runs = target.valid & avc.valid & (avc.values == 1) & on.true
        with_avc = np.array([lane.unit in facts.with_avc for lane in axis.lanes], dtype=np.bool_)
        if not with_avc.all():
            runs &= with_avc[rows.lane]
        near = facts.places.gap_ms <= facts.policy.hold_ms
        linked = near & runs & np.append(False, runs[:-1])
        begins = np.flatnonzero(runs & ~linked)
        changes = np.flatnonzero(linked[1:] & (target.values[1:] != target.values[:-1])) + 1
        first = np.flatnonzero(np.append(True, rows.lane[1:] != rows.lane[:-1]))
        first = first[
            rows.time_utc_ms[first] < axis.start_utc_ms[rows.lane[first]]
        ]  # the record before a lane's first day
        held = first[linked[np.minimum(first + 1, len(linked) - 1)]]
        begins = begins[~np.isin(begins, first)]
        changes = changes[~np.isin(changes, first)]
        row = np.concatenate([begins, changes, held])
        kinds = TargetKind.BEGINS_UNSURE, TargetKind.CHANGE, TargetKind.HELD
        kind = np.repeat(np.array(kinds, dtype=np.int64), [len(begins), len(changes), len(held)])
        before = np.maximum(begins - 1, 0)
        out = near[begins] & ((avc.valid[before] & (avc.values[before] == 0)) | on.false[before])
        kind[: len(begins)][out] = TargetKind.BEGINS
        order = np.argsort(row, kind="stable")
        row, kind = row[order], kind[order]
        least_of = _least_changes(facts)
        least = least_of[row]
        step = np.abs(target.values[row] - target.values[np.maximum(row - 1, 0)])
        sure = (kind == TargetKind.CHANGE) & (step >= least + least_of[np.maximum(row - 1, 0)] - 1)
        keep = sure | (kind != TargetKind.CHANGE)
        for i, is_sure in _small_changes(target.values[row], least, kind, sure):
            keep[i], sure[i] = True, is_sure
        self.row, self.kind, self.sure, self.order_min = row[keep], kind[keep], sure[keep], least[keep]


def _least_changes(facts: Facts) -> Ints:
    """`order_min_v` at every record, V; 1 V where its unit is not registered."""
    return facts.at_rows(lambda s: order_min_v(facts.rulebook, facts.policy, s), 1)


def _small_changes(value: Ints, least: Ints, kind: Ints, sure: Bools) -> list[tuple[int, bool]]:
    """Among changes that are no order for certain: places of those that may be one, and whether each is for certain.

    All are begins, held targets and changes in order of lane and time. The standing target lies in [low, high]: one
    target after a run's known begin or a change that is an order for certain, else any near the first.
    """
    found: list[tuple[int, bool]] = []
    anchors = np.flatnonzero((kind != TargetKind.CHANGE) | sure)
    ends = np.append(anchors[1:], len(value))[: len(anchors)]
    some = ends > anchors + 1
    for anchor, end in zip(anchors[some].tolist(), ends[some].tolist(), strict=True):
        spread = 0 if sure[anchor] or kind[anchor] == TargetKind.BEGINS else int(least[anchor]) - 1
        low, high = int(value[anchor]) - spread, int(value[anchor]) + spread
        at = anchor + 1
        while at < end:
            until = min(at + _CHUNK, end)
            seen, limit = value[at:until], least[at:until]
            hit = np.flatnonzero((seen >= low + limit) | (seen <= high - limit))
            if not len(hit):
                at = until
                continue
            at += int(hit[0])
            x, reach = int(value[at]), int(least[at]) - 1
            low, high = max(low, x - reach), min(high, x + reach)
            is_sure = low > high
            low, high = (x, x) if is_sure else (min(low, x), max(high, x))
            found.append((at, is_sure))
            at += 1
    return found


def _write(facts: Facts, targets: _Targets, scope: Bools, unknown: Bools) -> None:
    """Write the targets of each lane, each with what would judge it as an order."""
    axis, rows = facts.axis, facts.rows
    row, lane = targets.row, rows.lane[targets.row]
    time = rows.time_utc_ms[row]
    offset = time - axis.start_utc_ms[lane]
    inside = (offset >= 0) & (offset < axis.width)
    flags = targets.kind | (targets.sure * TargetFlag.SURE) | ((offset >= axis.width) * TargetFlag.AFTER)
    piece = facts.timeline.piece_of_row[row[inside]]
    flags[inside] |= scope[piece] * TargetFlag.IN_SCOPE
    leaves = facts.excluded(SERVICE, own_fault=False)
    if leaves is not None:
        flags[inside] |= leaves[piece] * TargetFlag.EXCLUDED
    # The first record after missing time may be an order itself: one of those that the time before has room for, if it
    # is counted at all. At midnight it is the day before that has counted it; before the month nothing is missing.
    counted = np.append(False, unknown[:-1])
    counted[facts.timeline.cell_start] = True
    begins = targets.kind[inside] == TargetKind.BEGINS_UNSURE
    flags[inside] |= (begins & ~counted[piece]) * TargetFlag.UNSURE
    judged_at = np.full(len(row), -1, dtype=np.int64)
    voltage = np.full(len(row), NO_VOLTAGE, dtype=np.int64)
    asked = inside & (targets.kind == TargetKind.CHANGE)
    found, when, seen, cause, unsure = _judging(facts, row[asked], lane[asked], time[asked])
    judged_at[asked], voltage[asked] = np.where(found, when, -1), seen
    flags[asked] |= (cause * TargetFlag.CAUSE) | (unsure * TargetFlag.UNSURE)
    columns = np.stack([time, rows.columns["avc_target_kv"].values[row], flags, targets.order_min, judged_at, voltage])
    starts = np.searchsorted(lane, np.arange(len(axis.lanes) + 1))
    for index, (a, b) in enumerate(zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)):
        if a < b:
            unit, day = axis.lanes[index].unit, axis.lanes[index].first_day
            facts.results.targets.append(AvcTargets(unit, day.toordinal(), np.ascontiguousarray(columns[:, a:b])))


def _judging(facts: Facts, row: Ints, lane: Ints, time: Ints) -> tuple[Bools, Ints, Ints, Ints, Bools]:
    """Find the record that judges each AVC target.

    Returns for each target: if there is such a record, its time in UTC ms, its voltage in V (or NO_VOLTAGE), the reason
    why it can't judge (0: it can), and if time is missing up to it.
    """
    rows, policy = facts.rows, facts.policy
    due = time + policy.settle_ms
    judge = _first_at_or_after(rows.lane, rows.time_utc_ms, row, lane, due)
    safe = np.minimum(judge, len(rows.lane) - 1)
    found = (judge < len(rows.lane)) & (rows.lane[safe] == lane)
    found &= rows.time_utc_ms[safe] - due <= policy.hold_ms
    avc, voltage = rows.columns["avc_in_service"], rows.columns.get("bus_voltage_kv")
    seen = np.zeros(len(row), dtype=np.bool_) if voltage is None else voltage.valid[safe]
    causes = (
        ~(avc.valid[safe] & (avc.values[safe] == 1)),
        ~facts.on_at(safe).true,
        ~seen,
        _at_limit(facts, safe, lane),
    )
    cause = np.zeros(len(row), dtype=np.int64)
    for index in reversed(range(len(causes))):
        cause[causes[index]] = _AT_RECORD + index
    unsure = ~found | _unsure_after(facts, row, np.where(found, judge, row))
    shown = np.where(seen, 0 if voltage is None else voltage.values[safe], NO_VOLTAGE)
    return found, rows.time_utc_ms[safe], shown, cause, unsure


def _unsure_after(facts: Facts, row: Ints, judge: Ints) -> Bools:
    """True if time in service is missing between an order and the record that judges it (inclusive)."""
    rows, avc = facts.rows, facts.rows.columns["avc_in_service"]
    length = judge - row
    window = np.repeat(row + 1 - (np.cumsum(length) - length), length) + np.arange(int(length.sum()))
    on = facts.on_at(window)
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
    """True if the equipment is at its limit, or if its unit has that column but no value in it."""
    column = facts.rows.columns.get("avc_at_limit")
    has = np.array(facts.has_column("avc_at_limit"))[lane]
    if column is None:
        return has
    return np.asarray(has & ~(column.valid[row] & (column.values[row] == 0)), dtype=np.bool_)


def price(account: Account) -> Draft:
    """Price a month: λ × Σ over days of P_N × hours × price; λ is that of all parts of the unit."""
    stretches = account.stretches_of(SERVICE)
    judged = sum(account.sum(f"{SERVICE}.judged", s) for s in stretches)
    passed = sum(account.sum(f"{SERVICE}.passed", s) for s in stretches)
    if not sum(account.measured(SERVICE, s) for s in account.part_of(SERVICE)):
        return Draft(Fraction(0), Fraction(0), reason="rounded")
    ratio = Fraction(passed, judged) if judged else delivered_rate(account)
    if account.bound is not Bound.MEASURED:
        ratio = _bound_of_rate(account, judged, passed, ratio)
    if ratio is None:
        return Draft(None, None, LineStatus.BLOCKED, "no_judged_order")
    priced = Priced(account, SERVICE)
    text = (
        tr("λ = {passed} passed ÷ {judged} judged", passed=passed, judged=judged)
        if judged
        else tr("λ = delivered rate")
    )
    priced.steps.append(FormulaStep(text, ratio))
    for stretch in account.part_of(SERVICE):
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
    decided = total("unsure") + total("hidden") + total("hidden_among")
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
