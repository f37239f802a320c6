# SPDX-License-Identifier: GPL-3.0-or-later
"""Primary frequency control, Art. 6(1): a basic service, never paid; what is reported is evidence.

Reported are hours in service on grid and, for each excursion of the frequency beyond the dead band, the actual energy
of the unit and the theoretical energy by its droop: ΔP = −(Δf beyond the dead band) ÷ (50 Hz · droop) · P_N. Actual
energy is counted from the output just before the excursion. There is no such output if the excursion began before the
unit could respond (before the month, its registration, closing of its breaker, the end of an exclusion). Without it,
without a registered droop, or without a known output throughout, the excursion is not judged. Excluded time (test,
dispatch, grid) is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from collector.model.interval import local_midnight_ms
from collector.settlement.measure.facts import Facts
from collector.settlement.measure.logic import Ints
from collector.settlement.measure.results import Excursion
from collector.settlement.rulebook.constant_days import ConstantDays, scaled
from collector.settlement.services.pricing import Account
from collector.settlement.statement import PrimaryFrequencyRow, PrimaryFrequencyService

SERVICE = "primary_frequency"
_KWMS_PER_MWH = 3_600_000_000
_UHZ = 1_000_000


def measure(facts: Facts) -> None:
    """Measure in-service time on grid, and excursions as events (parts split at midnight are joined in pricing)."""
    registered = facts.applies(lambda _: True)
    if registered is None:
        return
    leaves = facts.excluded(SERVICE, own_fault=False)
    if leaves is not None:
        registered = registered & ~leaves  # a governor under test or blocked by dispatch is no evidence about the plant
    if any(facts.has_column("primary_frequency_in_service")):
        _measure_service(facts, registered)
    if not any(facts.has_column("frequency_hz")):
        return
    frequency = facts.value("frequency_hz")
    nominal = facts.per_piece(lambda s: scaled(_number(facts, s, "nominal") * _UHZ))
    band = facts.per_piece(lambda s: _dead_band_uhz(facts, s))
    deviation = frequency.values - nominal.values
    known = registered & frequency.valid & band.valid & facts.on.true
    side = np.where(known & (deviation > band.values), 1, np.where(known & (deviation < -band.values), -1, 0))
    beyond = np.where(side > 0, deviation - band.values, deviation + band.values) * np.abs(side)
    edge = np.asarray(nominal.values + side * band.values, dtype=np.int64)
    _put_excursions(facts, side, beyond, edge)


def _number(facts: Facts, stretch: ConstantDays, name: str) -> Fraction:
    return facts.rulebook.number(f"{SERVICE}.{name}", stretch.first_day, area=stretch.area.id)


def _dead_band_uhz(facts: Facts, stretch: ConstantDays) -> int | None:
    """The dead band by kind of unit, µHz; None where the rulebook has none: excursions are not judged."""
    kind, area = str(stretch.unit.kind), stretch.area.id
    value = facts.rulebook.value(f"{SERVICE}.dead_band", stretch.first_day, area=area, key=kind)
    return None if value is None else scaled(value * _UHZ)


def _measure_service(facts: Facts, registered: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    status = facts.status("primary_frequency_in_service")
    time = facts.timeline.time_by_cell
    facts.results.put(SERVICE, "in_service", time(registered & facts.on.true & status.true))
    facts.results.put(SERVICE, "known_on_grid", time(registered & facts.on.true & ~status.missing))


def _put_excursions(facts: Facts, side: Ints, beyond: Ints, edge_uhz: Ints) -> None:
    timeline, axis, power, frequency = facts.timeline, facts.axis, facts.power, facts.value("frequency_hz")
    lane = timeline.start // axis.width
    change = np.append(True, side[1:] != side[:-1])
    change[timeline.cell_start] = True  # P_N, droop and band are those of the day (rules.md section 4)
    first = np.flatnonzero(change)
    last = np.append(first[1:], len(side))
    energy = np.add.reduceat(power.values * timeline.length * power.valid, first)
    shortfall = np.add.reduceat(beyond * timeline.length, first)
    unknown = np.add.reduceat((~power.valid).astype(np.int64), first)
    chosen = np.flatnonzero(side[first] != 0)
    a, b = first[chosen], last[chosen]
    start, end = axis.utc_ms(timeline.start[a]), axis.utc_ms(timeline.start[b - 1]) + timeline.length[b - 1]
    # Output just before: of the previous piece, if it is in the same lane and within the dead band.
    previous = np.maximum(a - 1, 0)
    under_way = frequency.valid[previous] & ((frequency.values[previous] - edge_uhz[a]) * side[a] > 0)
    known_before = (a > 0) & (lane[previous] == lane[a]) & power.valid[previous] & ~under_way
    columns = (
        lane[a], start, end, side[a] > 0, known_before, power.values[previous],
        unknown[chosen] > 0, energy[chosen], shortfall[chosen],
    )  # fmt: skip
    for of, begin, until, above, seen, before, gap, kwms, beyond_uhzms in zip(
        *map(np.ndarray.tolist, columns), strict=True
    ):
        unit = axis.lanes[of].unit
        base = before if seen else None
        if begin == axis.start_utc_ms[of]:
            base = _output_before(facts, of, above, int(edge_uhz[timeline.cell_start[of * axis.days]]))
        facts.results.excursions.append(Excursion(unit, begin, until, above, base, None if gap else kwms, beyond_uhzms))


def _output_before(facts: Facts, lane: int, above: bool, edge_uhz: int) -> int | None:
    """The output just before a lane's first instant, kW; None: unknown, or the excursion had already begun."""
    head = facts.row_before(lane)
    power, frequency = facts.rows.columns.get("active_power_mw"), facts.rows.columns["frequency_hz"]
    if head < 0 or power is None or not power.valid[head]:
        return None
    beyond = frequency.values[head] > edge_uhz if above else frequency.values[head] < edge_uhz
    return None if frequency.valid[head] and beyond else int(power.values[head])


def _join(parts: list[Excursion]) -> list[list[Excursion]]:
    """Join the parts of an excursion that touch at midnight."""
    joined: list[list[Excursion]] = []
    for part in parts:
        last = joined[-1][-1] if joined else None
        if last is not None and last.end_ms == part.start_ms and last.above == part.above:
            joined[-1].append(part)
        else:
            joined.append([part])
    return joined


def report(account: Account) -> tuple[list[PrimaryFrequencyRow], PrimaryFrequencyService]:
    """The evidence of one unit and month."""
    rows = []
    excursions = account.case.totals.excursions.get(account.unit, [])
    asked = _asked(account) if excursions else []
    for parts in _join(excursions):
        actual, theory = _actual_mwh(parts), _theoretical_mwh(asked, parts)
        ratio = actual / theory if actual is not None and theory else None
        rows.append(PrimaryFrequencyRow(account.unit, parts[0].start_ms, parts[-1].end_ms, actual, theory, ratio))
    total = account.sum_of_month
    service = PrimaryFrequencyService(account.unit, total(f"{SERVICE}.in_service"), total(f"{SERVICE}.known_on_grid"))
    return rows, service


def _actual_mwh(parts: list[Excursion]) -> Fraction | None:
    """Actual energy beyond the output before the first part, MWh; None: an output is unknown."""
    base_kw, given_kwms = parts[0].power_before_kw, 0
    if base_kw is None:
        return None
    for part in parts:
        if part.power_kwms is None:
            return None
        given_kwms += part.power_kwms
    return Fraction(given_kwms - base_kw * (parts[-1].end_ms - parts[0].start_ms), _KWMS_PER_MWH)


@dataclass(frozen=True, slots=True)
class _Asked:
    """Theoretical energy by the droop of a stretch: MWh per µHz·ms beyond the dead band; [start, end) UTC ms."""

    start_ms: int
    end_ms: int
    mwh_per_uhzms: Fraction


def _asked(account: Account) -> list[_Asked]:
    """The theoretical energy factor of each stretch with a registered droop."""
    found = []
    for stretch in account.stretches:
        if stretch.unit.droop_ratio:
            nominal = account.case.rulebook.number(f"{SERVICE}.nominal", stretch.first_day, area=stretch.area.id)
            rated_kw = Fraction(stretch.unit.rated_mw) * 1000
            per_hz = -rated_kw / (nominal * Fraction(stretch.unit.droop_ratio))
            start_ms, end_ms = local_midnight_ms(stretch.first_day), local_midnight_ms(stretch.until_day)
            found.append(_Asked(start_ms, end_ms, per_hz / _UHZ / _KWMS_PER_MWH))
    return found


def _theoretical_mwh(asked: list[_Asked], parts: list[Excursion]) -> Fraction | None:
    """Theoretical energy by the droop of each day, MWh; None where a day has no registered droop."""
    if not asked:
        return None
    total = Fraction(0)
    for part in parts:
        mine = next((a for a in asked if a.start_ms <= part.start_ms < a.end_ms), None)
        if mine is None:
            return None
        total += mine.mwh_per_uhzms * part.beyond_uhzms
    return total
