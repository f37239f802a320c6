# SPDX-License-Identifier: GPL-3.0-or-later
"""Evidence beside the AGC lines, Art. 14: every quarter hour of the energy, and how the unit followed each set-point.

A command (evidence, unpaid; definitions dated in the rulebook, the Northeast's of 2024 as stand-in) is a change of
set-point of at least 1 % of P_N between two records on grid with AGC in service. The command is followed until the next
one, and over midnight only as far as the records go that a day is measured with (`tail_of`). The output of the record
that shows the next command still answers the one before: what is reached there is not reached after that command.
A command whose set-point lies within the band of the output has arrived at once: it has an accuracy, no response and
no rate, unless another comes before a quarter of its step.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from collector.model.interval import DAY_MS, QUARTER_HOUR_MS
from collector.settlement.measure.facts import Facts, Tally
from collector.settlement.measure.logic import Bools, Ints, Values
from collector.settlement.measure.records import tail_of
from collector.settlement.measure.results import REASONS
from collector.settlement.rulebook.constant_days import ConstantDays, scaled

QUARTER_HOURS, COMMANDS = "agc_quarter_hours", "agc_commands"
UP, DOWN, BALANCED = "up", "down", "balanced"
# Reasons why a command was not judged, wholly or in part, in the order of checking.
COMMAND_REASONS: Final = ("", "records_apart", "no_value", "superseded", "no_response", "not_reached", "one_record")
_CODE: Final = {reason: code for code, reason in enumerate(COMMAND_REASONS)}
_SHORT: Final = tuple(_CODE[reason] for reason in ("superseded", "no_response", "not_reached"))
_MICRO: Final = 1_000_000


def put_quarter_hours(facts: Facts, tally: Tally, plan: Values, after: Values) -> None:
    """A row for each local quarter hour of the scope: planned and actual energy of the time counted, and the net.

    `class`: up or down as the net was counted, balanced where it is 0; where no time counted, the class of the reason
    that took longest. `reason`: of the time not counted, the one that took longest.
    """
    if facts.evidence is None or tally.code is None:
        return
    timeline = facts.timeline
    first, length = timeline.quarter_start, timeline.length
    time = length * tally.counted
    counted = np.add.reduceat(time, first)
    # The time not counted of each quarter hour by reason; of equal times the first reason is named.
    other = np.flatnonzero(~tally.counted & (tally.code != 0))
    code = tally.code[other]
    codes = np.flatnonzero(np.bincount(np.append(0, code)))
    place = np.zeros(int(codes[-1]) + 1, dtype=np.int64)
    place[codes] = np.arange(len(codes))
    time_of = np.zeros((len(first), len(codes)), dtype=np.int64)
    np.add.at(time_of, (timeline.start[other] // QUARTER_HOUR_MS, place[code]), length[other])
    why, most = codes[time_of.argmax(axis=1)], time_of.max(axis=1)
    rows = np.flatnonzero((counted > 0) | (most > 0))
    planned = np.add.reduceat(plan.values * time, first)[rows]
    actual = np.add.reduceat(after.values * time, first)[rows]
    known = counted[rows] > 0
    classes = [*dict.fromkeys(cause for _, cause in REASONS), UP, DOWN, BALANCED]
    cause_of = np.array([classes.index(cause) for _, cause in REASONS], dtype=np.int64)
    side = classes.index(BALANCED) - np.where(actual > planned, 2, np.where(actual < planned, 1, 0))
    facts.evidence.add(
        QUARTER_HOURS,
        timeline.lane[first[rows]],
        {
            "start": facts.axis.utc_ms(timeline.start[first[rows]]),
            "plan_mwh": Values(planned, known),
            "actual_mwh": Values(actual, known),
            "net_mwh": Values(actual - planned, known),
            "class": (np.where(known, side, cause_of[why[rows]]), classes),
            "reason": (why[rows], [reason for reason, _ in REASONS]),
        },
    )


@dataclass(frozen=True)
class _Commands:
    """Commands as rows of the batch: the record that shows each, its limits in kW, and the last record to look at."""

    row: Ints
    last: Ints
    until: Ints  # the record that ends it, if there is one to look at, else `last`
    followed: Bools  # whether another command ended it
    lost: Bools  # whether breaker, AGC or set-point is missing where it ended: another command may have come there
    band_kw: Ints
    apart: Ints  # how many records before each row came too long after the one before them


def put_commands(facts: Facts, scope: Bools) -> None:
    """A row for each command: response time, rate and accuracy, or why they were not judged."""
    rows = facts.rows
    setpoint, power = rows.columns.get("agc_setpoint_mw"), rows.columns.get("active_power_mw")
    if facts.evidence is None or setpoint is None or power is None:
        return
    found = _commands(facts, scope, setpoint)
    if found is None:
        return
    count = len(found.row)
    lost = np.append(0, np.cumsum(~power.valid))
    reason = np.zeros(count, dtype=np.int64)
    reason[found.lost | (lost[found.last + 1] > lost[found.row])] = _CODE["no_value"]
    reason[found.apart[found.until + 1] > found.apart[found.row]] = _CODE["records_apart"]
    response, rate, accuracy = (Values(np.zeros(count, np.int64), np.zeros(count, np.bool_)) for _ in range(3))
    for index in np.flatnonzero(reason == 0).tolist():
        a, b, c = int(found.row[index]), int(found.last[index]) + 1, int(found.until[index]) + 1
        followed = bool(found.followed[index])
        end_known = followed and bool(power.valid[c - 1])
        verdict = _judge(
            rows.time_utc_ms[a:c],
            power.values[a : c if end_known else b],
            int(setpoint.values[a]),
            int(found.band_kw[index]),
            followed=followed,
            put=[(column, index) for column in (response, rate, accuracy)],
        )
        # Where the output is missing at the next command, nobody knows whether it had come as far by then.
        reason[index] = _CODE["no_value"] if verdict in _SHORT and followed and not end_known else verdict
    facts.evidence.add(
        COMMANDS,
        rows.lane[found.row],
        {
            "start": rows.time_utc_ms[found.row],
            "from_mw": setpoint.values[found.row - 1],
            "to_mw": setpoint.values[found.row],
            "response_s": response,
            "rate_mw_per_min": rate,
            "accuracy_mw": accuracy,
            "reason": (reason, COMMAND_REASONS),
        },
    )


def _commands(facts: Facts, scope: Bools, setpoint: Values) -> _Commands | None:
    rows, places = facts.rows, facts.places
    agc = rows.columns.get("agc_in_service")
    if agc is None or len(rows.lane) < 2:
        return None
    cell = places.cell

    def defined(value_id: str, stretch: ConstantDays) -> Fraction:
        return facts.rulebook.number(value_id, stretch.first_day, area=stretch.area.id)

    def share_kw(value_id: str) -> Values:
        return facts.per_day(lambda s: scaled(defined(value_id, s) * Fraction(s.unit.rated_mw) * 1000))

    least, band = share_kw("agc_command.min_step_ratio"), share_kw("agc_command.band_ratio")
    most_ms = facts.per_day(lambda s: scaled(defined("agc_command.record_gap", s) * 1000))
    in_service = agc.valid & (agc.values == 1) & setpoint.valid
    served = in_service & facts.on_of_rows.true
    step = np.abs(np.diff(setpoint.values))
    row = np.flatnonzero((step > 0) & (places.gap_ms[1:] <= facts.policy.hold_ms) & served[1:] & served[:-1]) + 1
    row = row[least.valid[cell[row]] & (step[row - 1] >= least.values[cell[row]])]
    # The next command of the lane ends one, also if it comes after the lane; so does AGC or the breaker going out. A
    # record that does not tell whether they are in, or which set-point holds, ends what can be said of it.
    end = ~served
    end[row] = True
    ends = np.append(np.flatnonzero(end), len(rows.lane))
    own = places.inside(row)
    own[own] = scope[facts.timeline.piece_of_row[row[own]]]
    is_command = np.zeros(len(rows.lane) + 1, dtype=np.bool_)
    is_command[row] = True
    row = row[own]
    if not len(row):
        return None
    following = ends[np.searchsorted(ends, row, side="right")]
    # Never beyond the records that a day is measured with, nor beyond the lane.
    day_ends = np.arange(1, facts.axis.days + 1, dtype=np.int64) * DAY_MS
    tail_ms = tail_of(facts.policy.settle_ms, facts.policy.hold_ms)
    reach = places.rows_at(day_ends + tail_ms, after=True).ravel()[cell[row]]
    last = np.minimum(following, reach) - 1
    until = np.where(following < reach, following, last)
    most = most_ms.values
    apart = np.append(0, np.cumsum(places.gap_ms > (most[cell] if np.ptp(most) else most[0])))
    followed = is_command[following]
    ended = following < reach
    at = np.minimum(following, len(rows.lane) - 1)  # where nothing follows, nothing ended it
    out = (agc.valid[at] & (agc.values[at] != 1)) | facts.on_of_rows.false[at]
    lost = ended & ~followed & ~out
    return _Commands(row, last, until, ended & followed, lost, band.values[cell[row]], apart)


def _judge(
    time: Ints, power: Ints, target_kw: int, band_kw: int, *, followed: bool, put: list[tuple[Values, int]]
) -> int:
    """Judge one command on the records from it to its end; returns the code of what could not be judged.

    `power`: of the records from the command on, with that of the next command where it is known.
    """
    step = target_kw - int(power[0])
    way = 1 if step > 0 else -1
    done = (power - power[0]) * way
    if followed and not (4 * done >= abs(step)).any():
        return _CODE["superseded"]

    def keep(place: int, value: Fraction | int) -> None:
        column, index = put[place]
        column.values[index], column.valid[index] = scaled(Fraction(value)), True

    arrived = np.flatnonzero(np.abs(power - target_kw) <= band_kw)
    if len(arrived):
        held = np.diff(time[arrived[0] :])
        away = np.abs(power[arrived[0] :][: len(held)] - target_kw)
        if len(held):
            keep(2, Fraction(int((away * held).sum()) * 1000, int(held.sum())))
    if abs(step) <= band_kw:
        return 0  # it was there already: it can't leave by more than the band towards a set-point inside it
    left = np.flatnonzero(done > band_kw)
    if not len(left):
        return _CODE["no_response"]
    keep(0, int(time[left[0]] - time[0]))
    first, third = (np.flatnonzero(4 * done >= quarters * abs(step)) for quarters in (1, 3))
    if not len(third):
        return _CODE["not_reached"]
    taken = int(time[third[0]] - time[first[0]])
    if not taken:
        return _CODE["one_record"]
    keep(1, Fraction(abs(step) * 1000 * 60_000, 2 * taken))
    return 0
