# SPDX-License-Identifier: GPL-3.0-or-later
"""Deep peak shaving, Art. 13(1)-(3) and 6(2).

In our words: a conventional coal unit that in valley hours runs below the lower end of its area's basic range, and also
below 40 % of its rated output, is paid for the energy between its output and that lower end (reading I-03). Several
units may be judged together by their total capacity, as a peak group (I-04). Ramps inside a start-stop order are not
deep peak (I-18); operation caused by the plant's own fault is not paid (13(1), I-19).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from collector.model.dispatch import OrderKind
from collector.model.interval import QUARTER_HOUR_MS
from collector.settlement.measure.facts import Condition, Facts, Tally
from collector.settlement.measure.logic import Bools, Ints, Tri
from collector.settlement.measure.results import GroupEnergy
from collector.settlement.rulebook.constant_days import ConstantDays, Policy, scaled
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.services.evidence.deep_peak import PeakEvidence, blame, put, split
from collector.settlement.services.pricing import Account, Draft, Priced

SERVICE = "deep_peak"
_KWMS_PER_MWH = 3_600_000_000


def is_paid_kind(rulebook: Rulebook, stretch: ConstantDays) -> bool:
    """Whether the unit is of a kind that is paid for deep peak shaving, Art. 13(3): conventional coal."""
    return str(stretch.unit.kind) in rulebook.services[SERVICE].unit_kinds


def group_of(rulebook: Rulebook, policy: Policy, stretch: ConstantDays) -> tuple[str, str, str] | None:
    """The peak group of a unit on a stretch: label, plant and area (each area is judged separately); None: no group."""
    if not is_paid_kind(rulebook, stretch):
        return None
    label = stretch.unit.peak_group
    if policy.adopts("I-04", "plant"):
        label = "*"
    return None if label is None else (label, stretch.plant.id, stretch.area.id)


@dataclass
class _Judged:
    """The arrays that the conditions use; those of group members are overwritten with the group's values."""

    on: Tri
    below_limit: Tri
    below_gate: Tri
    shortfall_kw: Ints


def measure(facts: Facts) -> np.ndarray[tuple[int], np.dtype[np.bool_]] | None:
    """Measure E_deep per unit and day; returns the mask of paid time (I-08c may need it)."""
    coal = facts.applies(lambda stretch: is_paid_kind(facts.rulebook, stretch))
    if coal is None:
        return None
    power, policy = facts.power, facts.policy
    limit = facts.per_piece(lambda s: _limit_kw(facts, s, Fraction(s.unit.rated_mw)))
    gate = facts.per_piece(lambda s: _gate_kw(facts, s, Fraction(s.unit.rated_mw)))
    # I-05: the gate looks at each record, or at the mean of the quarter hour.
    gated = power if policy.adopts("I-05", "per_record") else facts.quarter_mean(power, facts.on.true)
    # I-03: the energy is counted from the lower limit, or from the 40 % line.
    counted_from = limit if policy.adopts("I-03", "from_lower_limit") else gate
    judged = _Judged(
        on=facts.on,
        below_limit=power.below(limit.values),
        below_gate=gated.below(gate.values),
        shortfall_kw=counted_from.values - power.values,
    )
    ramp = facts.ordered(OrderKind.START_STOP)
    groups = _groups(facts)
    shown = PeakEvidence.of_units(facts, limit, gate, grouped=bool(groups))
    alone = judged
    if groups:
        alone = _Judged(judged.on, judged.below_limit, judged.below_gate, judged.shortfall_kw.copy())
        judged = _Judged(
            Tri(judged.on.true.copy(), judged.on.false.copy()),
            Tri(judged.below_limit.true.copy(), judged.below_limit.false.copy()),
            Tri(judged.below_gate.true.copy(), judged.below_gate.false.copy()),
            judged.shortfall_kw,
        )
        in_scope = coal & facts.valley
        for members in groups:
            _judge_group(facts, judged, members, in_scope, ramp, shown)
    conditions = [
        Condition(judged.on, "off_grid", "no_breaker"),
        Condition(judged.below_limit, "above_lower_limit", "no_power"),
        Condition(judged.below_gate, "above_gate", "no_power"),
    ]
    no_ramp = None
    if policy.adopts("I-18", "ramps_not_paid"):
        no_ramp = ~ramp
        conditions.insert(0, Condition(Tri.known(no_ramp), "start_stop_order"))
    tally = facts.tally(SERVICE, coal & facts.valley, conditions)
    blame(tally, shown)
    energy = facts.timeline.length * judged.shortfall_kw * tally.counted
    facts.results.put(SERVICE, "value", facts.timeline.sum_by_cell(energy))
    if tally.own is not None:  # without the fault; a member of a group as if judged alone
        would = tally.own & alone.on.true & alone.below_limit.true & alone.below_gate.true
        would = would if no_ramp is None else would & no_ramp
        short = facts.timeline.length * alone.shortfall_kw * would
        facts.results.put(SERVICE, "own_value", facts.timeline.sum_by_cell(short))
    _put_above(facts, tally, judged, shown, counted_from.values - gate.values, ramp)
    if groups:
        energy += shown.split_kwms * tally.counted
    if gated is power:
        facts.put_best(tally, lambda pieces: _best_kw(facts, judged, counted_from.values, groups)[pieces])
    else:
        unknown = ~facts.on.false & ~(facts.on.true & power.valid)
        facts.put_shaken(tally, energy, _best_kw(facts, judged, counted_from.values, groups), unknown)
    facts.trace(tally, energy, "MWh")
    put(facts, tally, shown, energy)
    return tally.counted


def _put_above(facts: Facts, tally: Tally, judged: _Judged, shown: PeakEvidence, gain_kw: Ints, ramp: Bools) -> None:
    """Write what running above limit or gate left on the table: its time, how far above, and the energy at the gate.

    `gain_kw`: from the gate to the line that energy is counted from. `reached`: time on grid at the gate or below it,
    outside start-stop orders: such a unit can come down to its gate.
    """
    timeline, put = facts.timeline, facts.results.put
    above = tally.within & judged.on.true & (judged.below_limit.false | judged.below_gate.false) & ~ramp
    above = above if tally.own is None else above & ~tally.own
    pieces = np.flatnonzero(above)
    length, over = timeline.length[pieces], np.maximum(shown.power_kw[pieces] - shown.gate_kw[pieces], 0)
    put(SERVICE, "above", timeline.add_by_cell(pieces, length))
    put(SERVICE, "above_gate_kwms", timeline.add_by_cell(pieces, length * over))
    put(SERVICE, "at_gate", timeline.add_by_cell(pieces, length * gain_kw[pieces]))
    low = judged.on.true & shown.known & (shown.power_kw <= shown.gate_kw) & ~ramp
    put(SERVICE, "reached", timeline.time_by_cell(low))


def _best_kw(facts: Facts, judged: _Judged, counted_from_kw: Ints, groups: list[list[_Member]]) -> Ints:
    """The largest shortfall of missing time, kW: limit less output where the output is known, else the whole limit."""
    best = np.where(facts.power.valid, np.maximum(judged.shortfall_kw, 0), counted_from_kw)
    start, count = facts.timeline.cell_start, facts.timeline.cell_count
    for members in groups:
        parts = [slice(int(start[first]), int(start[until - 1] + count[until - 1])) for _, first, until, _ in members]
        # A group's limit is rounded once, its members' limits each by itself. By the capacity of all members (I-04) the
        # one on grid may have the shortfall of all.
        whole = sum(counted_from_kw[part] + 1 for part in parts)
        for part in parts:
            best[part] = whole if facts.policy.adopts("I-04", "all_members") else counted_from_kw[part] + 1
    return best


def _limit_kw(facts: Facts, stretch: ConstantDays, rated_mw: Fraction) -> int:
    """Art. 6(2): the lower end of the basic range is a share of P_N that depends on the dispatching authority."""
    ratio = facts.rulebook.number("deep_peak.lower_limit_ratio", stretch.first_day, area=stretch.area.id)
    return scaled(ratio * rated_mw * 1000)


def _gate_kw(facts: Facts, stretch: ConstantDays, rated_mw: Fraction) -> int:
    """Art. 13(3): the output below which deep peak is paid, 40 % of rated output, kW."""
    ratio = facts.rulebook.number("deep_peak.gate_ratio", stretch.first_day, area=stretch.area.id)
    return scaled(ratio * rated_mw * 1000)


_Member = tuple[int, int, int, ConstantDays]  # lane, first cell, last cell + 1, stretch


def _groups(facts: Facts) -> list[list[_Member]]:
    """Members of each group over each run of days on which its membership stays the same."""
    by_day: dict[tuple[tuple[str, str, str], int], list[tuple[int, ConstantDays]]] = defaultdict(list)
    axis = facts.axis
    for lane, parts in enumerate(facts.lane_stretches):
        for first, until, stretch in parts:
            key = group_of(facts.rulebook, facts.policy, stretch)
            for cell in range(first, until) if key is not None else ():
                by_day[key, axis.day(cell).toordinal()].append((lane, stretch))  # type: ignore[index]
    runs: list[list[_Member]] = []
    previous: tuple[object, int, list[tuple[int, ConstantDays]]] | None = None
    for (key, day), members in sorted(by_day.items(), key=lambda item: item[0]):
        cells = [lane * axis.days + day - axis.lanes[lane].first_day.toordinal() for lane, _ in members]
        if previous is not None and previous[0] == key and previous[1] == day - 1 and previous[2] == members:
            runs[-1] = [(lane, first, until + 1, s) for lane, first, until, s in runs[-1]]
        else:
            runs.append([(lane, cell, cell + 1, s) for (lane, s), cell in zip(members, cells, strict=True)])
        previous = (key, day, members)
    return runs


def _judge_group(
    facts: Facts, judged: _Judged, members: list[_Member], scope: Bools, ramp: Bools, shown: PeakEvidence
) -> None:
    """Judge a group as one: ΣP of its on-grid members against the ratios of their ΣP_N.

    A member excluded, or inside its start-stop order, leaves the group for that time with power and capacity. The group
    needs the breaker, and the power where on, of every member that remains; otherwise the time is missing for all.
    """
    timeline = facts.timeline
    begin = [int(timeline.cell_start[first]) for _, first, _, _ in members]
    size = sum(int(timeline.cell_count[c]) for c in range(members[0][1], members[0][2]))
    slices = [slice(b, b + size) for b in begin]
    paid_ramps = facts.policy.adopts("I-18", "ramps_paid")
    gone = [facts.excluded(SERVICE, own_fault=own) for own in (False, True)]
    lacking: list[Bools] = []
    on_mask = np.zeros(size, dtype=np.int64)
    remains_mask = np.zeros(size, dtype=np.int64)
    total = np.zeros(size, dtype=np.int64)
    remains: list[Bools] = []
    for index, part in enumerate(slices):
        stays = np.ones(size, dtype=np.bool_) if paid_ramps else ~ramp[part]
        for mask in gone:
            if mask is not None:
                stays &= ~mask[part]
        remains.append(stays)
        on, valid = Tri(judged.on.true[part], judged.on.false[part]), facts.power.valid[part]
        lacking.append(stays & ~(on.false | (on.true & valid)))
        counts = stays & on.true & valid
        on_mask += counts.astype(np.int64) << index
        remains_mask += stays.astype(np.int64) << index
        total += np.where(counts, facts.power.values[part], 0)
    missing = np.logical_or.reduce(lacking)
    stretches = [stretch for *_, stretch in members]
    capacity_mask = remains_mask if facts.policy.adopts("I-04", "all_members") else on_mask
    limit, gate, capacity = (np.zeros(size, dtype=np.int64) for _ in range(3))
    for bits in np.unique(capacity_mask).tolist():
        rated = sum((Fraction(s.unit.rated_mw) for i, s in enumerate(stretches) if bits >> i & 1), Fraction(0))
        here = capacity_mask == bits
        limit[here], gate[here] = _limit_kw(facts, stretches[0], rated), _gate_kw(facts, stretches[0], rated)
        capacity[here] = scaled(rated * 1000)
    gated = total
    if not facts.policy.adopts("I-05", "per_record"):
        gated = _quarter_means(timeline.start[slices[0]], timeline.length[slices[0]], total, ~missing & (on_mask > 0))
    low, gate_low = total < limit, gated < gate
    short = (limit if facts.policy.adopts("I-03", "from_lower_limit") else gate) - total
    paid = scope[slices[0]] & ~missing & low & gate_low & (on_mask > 0)
    _put_energy(facts, members, slices[0], np.where(paid, short, 0), on_mask)
    _show_group(facts, shown, members, (limit, gate, capacity, total), (lacking, on_mask), np.where(paid, short, 0))
    for stays, part in zip(remains, slices, strict=True):
        bad = stays & missing
        judged.on.true[part] &= ~bad
        judged.on.false[part] &= ~bad
        for tri, outcome in ((judged.below_limit, low), (judged.below_gate, gate_low)):
            tri.true[part], tri.false[part] = bad | outcome, ~bad & ~outcome
        judged.shortfall_kw[part] = 0


def _show_group(
    facts: Facts,
    shown: PeakEvidence,
    members: list[_Member],
    judged_by: tuple[Ints, Ints, Ints, Ints],
    states: tuple[list[Bools], Ints],
    short_kw: Ints,
) -> None:
    """Note by what a group was judged, each member's share of its energy, and whose data were missing.

    `judged_by`: limit, gate, ΣP_N and ΣP, kW; `states`: where each member's data are missing, and the on-grid members.
    """
    timeline, axis = facts.timeline, facts.axis
    lacking, on_mask = states
    missing = np.logical_or.reduce(lacking)
    names = [axis.lanes[lane].unit for lane, *_ in members]
    lost = sum((mask.astype(np.int64) << index for index, mask in enumerate(lacking)), np.zeros(len(missing), np.int64))
    who = np.zeros(len(missing), dtype=np.int64)
    for bits in np.unique(lost).tolist():
        who[lost == bits] = shown.text(" ".join(name for i, name in enumerate(names) if bits >> i & 1))
    label = group_of(facts.rulebook, facts.policy, members[0][3])
    assert label is not None  # they are members of one
    for index, (_, first, until, stretch) in enumerate(members):
        begin = int(timeline.cell_start[first])
        part = slice(begin, begin + len(missing))
        shown.limit_kw[part], shown.gate_kw[part], shown.rated_kw[part], shown.power_kw[part] = judged_by
        shown.known[part] = ~missing & (on_mask > 0)
        shown.group[part], shown.missing[part] = shown.text(label[0]), who
        shown.blamed[part] = missing & ~lacking[index]
        shown.unpowered[part] = lacking[index] & facts.on.true[part] & timeline.present[part]
        shown.share[part] = 0
        energy = short_kw * timeline.length[part]
        for bits in np.unique(on_mask).tolist():
            if not bits >> index & 1:
                continue
            rated = sum((Fraction(m[3].unit.rated_mw) for i, m in enumerate(members) if bits >> i & 1), Fraction(0))
            share, here = Fraction(stretch.unit.rated_mw) / rated, on_mask == bits
            shown.share[part][here & ~missing] = scaled(share * 1_000_000)
            for cell in range(first, until):
                a = int(timeline.cell_start[cell]) - begin
                day = slice(a, a + int(timeline.cell_count[cell]))
                shown.split_kwms[part][day] += split(np.cumsum(energy[day] * here[day]), share) * here[day]


def _quarter_means(start: Ints, length: Ints, values: Ints, known: Bools) -> Ints:
    """I-05: the mean over each quarter hour, rounded like every stored integer."""
    quarter = start // QUARTER_HOUR_MS
    first = np.flatnonzero(np.diff(quarter, prepend=-1))
    used = length * known
    total, time = np.add.reduceat(values * used, first), np.add.reduceat(used, first)
    magnitude = (2 * np.abs(total) + time) // np.maximum(2 * time, 1)
    return np.repeat(np.where(total < 0, -magnitude, magnitude), np.diff(first, append=len(start)))


def _put_energy(facts: Facts, members: list[_Member], part: slice, short_kw: Ints, on_mask: Ints) -> None:
    """Write group energy per day and set of on-grid members as integers; pricing splits it by capacity exactly."""
    timeline, axis = facts.timeline, facts.axis
    _, first, until, _ = members[0]
    energy = short_kw * timeline.length[part]
    offset = timeline.cell_start[first]
    for cell in range(first, until):
        a = int(timeline.cell_start[cell] - offset)
        b = a + int(timeline.cell_count[cell])
        if not energy[a:b].any():
            continue
        for bits in np.unique(on_mask[a:b][energy[a:b] != 0]).tolist():
            units = tuple(axis.lanes[m[0]].unit for i, m in enumerate(members) if bits >> i & 1)
            total = int(energy[a:b][on_mask[a:b] == bits].sum())
            facts.results.groups.append(GroupEnergy(axis.day(cell).toordinal(), units, total))


def price(account: Account) -> Draft:
    """Price E_deep at the price of the area's dispatch mode, day by day."""
    priced = Priced(account, SERVICE)
    for stretch in account.part_of(SERVICE):
        energy = Fraction(account.measured(SERVICE, stretch), _KWMS_PER_MWH) + _share(account, stretch)
        priced.add("deep_peak.price", stretch, energy, key=str(stretch.area.dispatch_mode), unit="MWh")
    return priced.draft()


def _share(account: Account, stretch: ConstantDays) -> Fraction:
    """The unit's part of its groups' energy, by capacity among the members on grid."""
    energy = Fraction(0)
    for group in account.groups:
        if stretch.first_day.toordinal() <= group.day_ordinal < stretch.until_day.toordinal():
            rated = [account.rated_mw(unit, group.day_ordinal) for unit in group.on_units]
            mine = account.rated_mw(account.unit, group.day_ordinal)
            energy += Fraction(group.energy_kwms, _KWMS_PER_MWH) * mine / sum(rated, Fraction(0))
    return energy
