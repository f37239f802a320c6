# SPDX-License-Identifier: GPL-3.0-or-later
"""AGC told quarter hour by quarter hour and command by command: agc_quarter_hours.csv, agc_commands.csv.

Source: Art. 14(3), I-08b; rules.md, section 2, "AGC commands" (definitions of the Northeast 2024 as stand-in).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from .exact_numbers import all_of
from .measured import Case
from .model import Record
from .slices import COUNTED, FAULT, OUTSIDE, Slice
from .times import QUARTER_MS, local_day

STEP_RATIO, BAND_RATIO = Fraction("0.01"), Fraction("0.005")  # of P_N
APART_MS = 10_000


@dataclass(slots=True)
class QuarterHour:
    """A quarter hour in which the unit has AGC limits: sums over the time that counted, and why the rest did not."""

    unit: str
    start: int
    counted_ms: int = 0
    plan: int = 0
    actual: int = 0
    rest: dict[str, int] = field(default_factory=dict)  # by class, ms
    reasons: set[str] = field(default_factory=set)
    exclusions_differ: bool = False

    @property
    def net(self) -> int:
        """kW·ms above the plan."""
        return self.actual - self.plan


def quarter_hours(case: Case) -> list[QuarterHour]:
    """Each quarter hour of the month, by the exclusions of agc_up."""
    found: dict[int, QuarterHour] = {}
    for piece in case.all_slices:
        if piece.state is None or piece.state.unit.agc_range_kw is None:
            continue
        start = piece.start - piece.start % QUARTER_MS  # the local offset is a whole number of quarter hours
        row = found.setdefault(start, QuarterHour(case.unit, start))
        row.exclusions_differ |= piece.exclusion("agc_up") != piece.exclusion("agc_down")
        name, reasons = _class_of(piece)
        if name == "counted":
            row.counted_ms += piece.length
            row.plan += (piece.planned_kw() or 0) * piece.length
            row.actual += (piece.record.active_kw or 0) * piece.length
        else:
            row.rest[name] = row.rest.get(name, 0) + piece.length
            row.reasons |= reasons
    return list(found.values())


def _class_of(piece: Slice) -> tuple[str, set[str]]:
    exclusion = piece.exclusion("agc_up")
    if exclusion != COUNTED:
        return {OUTSIDE: ("excluded", {"excluded"}), FAULT: ("own_fault", {"own_fault"})}[exclusion]
    on, agc = piece.on, piece.record.agc_in_service
    truth = all_of(on, agc)
    if truth is False:
        return "unpaid", {name for name, value in (("off_grid", on), ("agc_off", agc)) if value is False}
    missing = {
        "no_plan": piece.planned_kw() is None,
        "no_power": piece.record.active_kw is None,
        "no_breaker": on is None,
        "no_status": agc is None,
    }
    lacking = {name for name, is_so in missing.items() if is_so}
    return ("missing", lacking | {"no_record", "implausible", "no_value"}) if lacking else ("counted", set())


@dataclass(frozen=True, slots=True)
class Command:
    """A change of set-point, kW.

    Attributes:
        told: Response in ms, rate in MW/min, accuracy in MW and reason; None where the text does not decide them
            (gaps further on, values missing after an answer, no next command on the day).
    """

    unit: str
    start: int
    from_kw: int
    to_kw: int
    told: tuple[int | None, Fraction | None, Fraction | None, str] | None = None


def commands(case: Case) -> Iterator[Command]:
    """Every change of set-point of at least 1 % of P_N while on and in AGC, judged record by record."""
    records = [record for record in case.records().records if record.time < case.span.end]
    starts = [index for index in range(1, len(records)) if _is_command(case, records[index - 1], records[index])]
    for number, index in enumerate(starts):
        now, last = records[index], records[index - 1]
        if now.time < case.span.start or last.agc_setpoint_kw is None or now.agc_setpoint_kw is None:
            continue
        following = starts[number + 1] if number + 1 < len(starts) else None
        told = _judge(
            case, records[index - 1 : (index + 1 if following is None else following) + 1], following is not None
        )
        yield Command(case.unit, now.time, last.agc_setpoint_kw, now.agc_setpoint_kw, told)


def _is_command(case: Case, before: Record, now: Record) -> bool:
    state = case.state_at(now.time)
    if state is None or state.unit.agc_range_kw is None:
        return False
    if before.agc_setpoint_kw is None or now.agc_setpoint_kw is None:
        return False
    if now.time - before.time > case.folder.policy.hold_ms:
        return False
    steered = all(all_of(case.on_at(record), record.agc_in_service) is True for record in (before, now))
    return steered and abs(now.agc_setpoint_kw - before.agc_setpoint_kw) >= STEP_RATIO * state.unit.rated_mw * 1000


def _judge(
    case: Case, records: Sequence[Record], followed: bool
) -> tuple[int | None, Fraction | None, Fraction | None, str] | None:
    """Judges a command by the record before it and those up to the next command's (to the next record if none follows).

    Further than 10 s after the record before it the set-point may have changed at any instant between the two.
    """
    before, records = records[0], records[1:]
    first = records[0]
    state, target = case.state_at(first.time), first.agc_setpoint_kw
    if state is None or target is None or first.active_kw is None or len(records) < 2:
        return None
    if max(records[1].time - first.time, first.time - before.time) > APART_MS:
        return None, None, None, "records_apart"
    powers, same_day = [record.active_kw for record in records], local_day(first.time) == local_day(records[-1].time)
    close = all(two.time - one.time <= APART_MS for one, two in pairwise(records))
    for record in records:  # the first that shows AGC out, or lacks what would show the next command, ends it
        steered = all_of(case.on_at(record), record.agc_in_service)
        if steered is False:
            return None
        if steered is None or record.agc_setpoint_kw is None:
            return (None, None, None, "no_value") if close and same_day else None
    if not followed or not same_day:
        return None
    known = [power for power in powers if power is not None]
    band = BAND_RATIO * state.unit.rated_mw * 1000
    step = target - first.active_kw
    if len(known) < len(powers) or not close:
        return None
    gone = [(power - first.active_kw) * (1 if step > 0 else -1) for power in known]  # towards the set-point
    size = abs(step)
    quarter = next((i for i, way in enumerate(gone) if 4 * way >= size), None)
    if quarter is None:
        return None, None, None, "superseded"
    left = next(i for i, way in enumerate(gone) if way > band or i == quarter)
    response = records[left].time - first.time if gone[left] > band else None
    arrival = next((i for i, power in enumerate(known) if abs(power - target) <= band), None)
    accuracy = None
    if arrival is not None and arrival < len(records) - 1:
        held = zip(records[arrival:], known[arrival:], records[arrival + 1 :], strict=False)
        off = sum(abs(power - target) * (two.time - one.time) for one, power, two in held)
        accuracy = Fraction(off, 1000 * (records[-1].time - records[arrival].time))
    third = next((i for i, way in enumerate(gone) if 4 * way >= 3 * size), None)
    if size <= band:
        return None, None, accuracy, ""  # arrived at once: it can't leave by more than the band and stay on this side
    if third is None:
        return response, None, accuracy, "not_reached"
    if third == quarter:
        return response, None, accuracy, "one_record"
    rate = Fraction(size, 2000) / Fraction(records[third].time - records[quarter].time, 60_000)
    return response, rate, accuracy, ""
