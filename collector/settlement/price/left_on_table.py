# SPDX-License-Identifier: GPL-3.0-or-later
"""Money left on the table: what each reason why time or an event was not paid cost a line (rules.md section 6).

Each reason stands alone: the line computed with that reason removed, minus the line. Two reasons may hold for the same
minute, so amounts are never summed over reasons. A line without an amount counts as 0. What is not paid for want of an
order, or outside the hours of a service, has minutes and no amount; those are added where the unpaid time is at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Final

from collector.base.text import Text, tr
from collector.model.dispatch import OrderKind
from collector.model.money import round_to_fen
from collector.settlement.measure.results import MonthTotals, Sums
from collector.settlement.services import ServiceDef
from collector.settlement.services.avc import delivered_rate
from collector.settlement.services.order_trace import find_starts
from collector.settlement.services.pricing import Account, plain
from collector.settlement.statement import DeterminantRow, LeftRow, Line, LineStatus

_ENERGY: Final = ("agc_up", "agc_down")
Change = Callable[[Sums], Mapping[str, int]]


def left_on_table(
    account: Account, definition: ServiceDef, line: Line, determinant: DeterminantRow | None
) -> Iterator[LeftRow]:
    """The rows of one line that have an amount. `account`: of the part of the month that the line is for."""
    for reason, duration_ms, amount, assumption in _reasons(account, definition, line, determinant):
        gain = None if amount is None else max(amount - (line.amount_yuan or Decimal(0)), Decimal("0.00"))
        if duration_ms != 0 or gain:
            yield LeftRow(line.area, line.plant, line.unit, line.service, reason, duration_ms, gain, assumption)


_Found = tuple[str, int | None, Decimal | None, Text]


def _reasons(
    account: Account, definition: ServiceDef, line: Line, determinant: DeterminantRow | None
) -> Iterator[_Found]:
    lacking_ms = 0 if determinant is None else determinant.scope_ms - determinant.known_ms
    if line.status is LineStatus.PENDING or line.reason == "uncertain_edge":
        yield line.reason, None, line.high_yuan, tr("it turns out as well as it can: the upper bound of the line")
    elif lacking_ms:
        yield (
            *("missing", lacking_ms, line.high_yuan),
            tr("the missing time turns out as well as it can: the upper bound of the line"),
        )
    if determinant is not None and determinant.own_fault_ms:
        yield (
            *("own_fault", determinant.own_fault_ms, _without_fault(account, definition)),
            tr("no fault, with the data that are there"),
        )
    if line.service == "agc_basic":
        yield from _out_of_service(account, definition, "agc_off")
    elif line.service in _ENERGY:
        yield from _energy_out_of_service(account, definition)
    elif line.service == "avc":
        yield from _out_of_service(account, definition, "avc_off")
        yield from _failed_orders(account, definition)
    elif line.service == "deep_peak":
        yield from _above(account, definition)


def _priced(account: Account, definition: ServiceDef, change: Change) -> Decimal | None:
    """The amount of a line with other sums measured; None: it has none either."""
    return _amount(replace(account, change=change, _sums={}), definition)


def _amount(account: Account, definition: ServiceDef) -> Decimal | None:
    draft = definition.price(account)
    return None if draft.amount is None else round_to_fen(draft.amount)


def _total(account: Account, service: str, column: str) -> int:
    return sum(account.sum(f"{service}.{column}", s) for s in account.part_of(service))


def _without_fault(account: Account, definition: ServiceDef) -> Decimal | None:
    """Own fault removed: what the data show of that time is measured as all other time."""
    service = definition.id
    if definition.rows is OrderKind.START_STOP:
        case = replace(account.case, dispatch=account.case.dispatch.without_own_fault())
        return _amount(replace(account, case=case), definition)
    if service == "condenser_start":  # matched with orders when days are added up, so found again
        month = account.case.month
        parts = {account.unit: account.stretches}
        case = replace(account.case, dispatch=account.case.dispatch.without_own_fault(), stretches=parts)
        totals = MonthTotals([find_starts(case, account.applies)], month.first_day.toordinal(), len(month.days))
        return _amount(replace(account, case=replace(case, totals=totals), _sums={}), definition)

    def change(sums: Sums) -> Mapping[str, int]:
        changed = {f"{service}.value": sums[f"{service}.value"] + sums[f"{service}.own_value"]}
        if service == "agc_basic":  # on-grid time that the fault's rule counted without a known breaker or AGC
            untold = sums["agc_basic.open"] + sums["agc_basic.untold"]
            changed["agc_basic.on_grid"] = sums["agc_basic.on_grid"] - untold
        return changed

    return _priced(account, definition, change)


def _out_of_service(account: Account, definition: ServiceDef, reason: str) -> Iterator[_Found]:
    """AGC or AVC out on grid: in service instead."""
    service = definition.id
    out_ms = _total(account, service, reason)
    if not out_ms:
        return

    def change(sums: Sums) -> Mapping[str, int]:
        return {f"{service}.value": sums[f"{service}.value"] + sums[f"{service}.{reason}"]}

    yield reason, out_ms, _priced(account, definition, change), tr("in service whenever the unit was on grid")


def _energy_out_of_service(account: Account, definition: ServiceDef) -> Iterator[_Found]:
    """AGC out on grid: in service, moved as much an hour as in its own in-service hours of the month."""
    service = definition.id
    out_ms = _total(account, service, "agc_off")
    if not out_ms:
        return
    whole = account.stretches_of(service)
    energy, hours_ms = (sum(account.sum(f"{service}.{name}", s) for s in whole) for name in ("value", "in_service"))
    if not hours_ms:
        yield "agc_off", out_ms, None, tr("AGC was never in service this month: what it would have moved is not known")
        return

    def change(sums: Sums) -> Mapping[str, int]:
        moved = energy * sums[f"{service}.agc_off"] // hours_ms
        return {f"{service}.value": sums[f"{service}.value"] + moved}

    rate = _megawatts(energy, hours_ms)
    assumption = tr("in service, and moved {rate} MW on average as in its own hours in service this month", rate=rate)
    yield "agc_off", out_ms, _priced(account, definition, change), assumption


def _megawatts(energy_kwms: int, time_ms: int) -> str:
    """A mean power for people, in MW to the whole kW."""
    return plain(Fraction(round(Fraction(energy_kwms, time_ms)), 1000))


def _failed_orders(account: Account, definition: ServiceDef) -> Iterator[_Found]:
    """AVC orders failed: passed instead."""
    judged, passed = (
        sum(account.sum(f"avc.{name}", s) for s in account.stretches_of("avc")) for name in ("judged", "passed")
    )
    if judged == passed or (not judged and delivered_rate(account) is None):
        return

    def change(sums: Sums) -> Mapping[str, int]:
        return {"avc.passed": sums["avc.judged"]}

    failed = judged - passed
    assumption = tr("the {failed} orders that failed, of {judged} judged, were passed", failed=failed, judged=judged)
    yield "order_failed", None, _priced(account, definition, change), assumption


def _above(account: Account, definition: ServiceDef) -> Iterator[_Found]:
    """Output at or above the lower limit or the gate in valley hours: at the gate instead.

    Only for a unit (or group) that came down to its gate at some time of the month: for another one nobody knows
    whether it can.
    """
    above_ms = _total(account, "deep_peak", "above")
    if not above_ms:
        return
    excess = _total(account, "deep_peak", "above_gate_kwms")
    mw = _megawatts(excess, above_ms)
    if not any(account.sum("deep_peak.reached", s) for s in account.stretches_of("deep_peak")):
        told = tr("on average {mw} MW above the gate, to which the unit never came down this month", mw=mw)
        yield "above_gate", above_ms, None, told
        return

    def change(sums: Sums) -> Mapping[str, int]:
        return {"deep_peak.value": sums["deep_peak.value"] + sums["deep_peak.at_gate"]}

    told = tr("at the gate instead of on average {mw} MW above it; the unit came down to it this month", mw=mw)
    yield "above_gate", above_ms, _priced(account, definition, change), told
