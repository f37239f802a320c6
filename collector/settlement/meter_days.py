# SPDX-License-Identifier: GPL-3.0-or-later
"""The meter check of a unit's month, day by day (Art. 19): what telemetry and meter gave, the verdict, the findings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction

from collector.base.text import tr
from collector.model.interval import format_time, local_midnight_ms
from collector.settlement.measure import meter
from collector.settlement.services.pricing import Account
from collector.settlement.statement import Finding, MeterDay, MeterVerdict

_KWMS_PER_MWH = 3_600_000_000
_WH_PER_MWH = 1_000_000


def meter_days(account: Account) -> list[MeterDay]:
    """Every registered day of a unit whose records have a register, in order; empty for a unit without a meter."""
    case, unit = account.case, account.unit
    if meter.COLUMN not in case.columns_of.get(unit, ()):
        return []
    names = (
        "days",
        "hole",
        "register",
        "telemetry",
        "pieces",
        "changed",
        "ran_back",
        "ran_back_first",
        "ran_back_last",
    )
    daily = zip(case.month.days, *(case.totals.daily(unit, f"{meter.METER}.{name}") for name in names), strict=True)
    found = []
    for day, compared, hole, *numbers in daily:
        if not any(s.first_day <= day < s.until_day for s in account.stretches):
            continue
        if compared:
            found.append(_compared(account, day, *numbers))
        else:
            reason = "hole" if hole else "no_reading"
            found.append(MeterDay(unit, day, None, None, None, MeterVerdict.NOT_COMPARED, reason))
    return found


def _compared(
    account: Account,
    day: date,
    register_wh: int,
    telemetry_kwms: int,
    pieces: int,
    changed: int,
    ran_back: int,
    first: int,
    last: int,
) -> MeterDay:
    differs = meter.differs(register_wh, telemetry_kwms, account.case.policy.meter_difference_ratio)
    verdict = MeterVerdict.DIFFERS if differs else MeterVerdict.CHANGED if changed else MeterVerdict.AGREES
    reason, span = "", None
    if ran_back:
        verdict, reason = MeterVerdict.RAN_BACK, "differs" if differs else ""
        midnight = local_midnight_ms(day)
        span = midnight + first, midnight + last
    if not pieces:  # no piece of the day is an energy
        return MeterDay(account.unit, day, None, None, None, verdict, reason, span)
    telemetry, grown = Fraction(telemetry_kwms, _KWMS_PER_MWH), Fraction(register_wh, _WH_PER_MWH)
    ratio = abs(telemetry - grown) / abs(grown) if grown else None
    return MeterDay(account.unit, day, telemetry, grown, ratio, verdict, reason, span)


def meter_findings(account: Account, days: Sequence[MeterDay]) -> list[Finding]:
    """Days that differ by more than the policy allows, registers that ran back, and how many days were not compared."""
    found: list[Finding] = []
    for each in days:
        areas = tuple(s.area.id for s in account.stretches if s.first_day <= each.day < s.until_day)
        if each.verdict is MeterVerdict.DIFFERS or each.reason == "differs":
            message = tr(
                "telemetry {telemetry} MWh, meter {meter} MWh",
                telemetry=_mwh(each.telemetry_mwh),
                meter=_mwh(each.meter_mwh),
            )
            found.append(Finding("meter_differs", f"{each.unit}/{each.day}", message, areas=areas))
        if each.ran_back_ms is not None:
            message = tr(
                "the register ran back before {first} (last before {last}); was the meter changed? "
                "Its change belongs in the table of meter changes",
                first=format_time(each.ran_back_ms[0]),
                last=format_time(each.ran_back_ms[1]),
            )
            first_ms, last_ms = each.ran_back_ms
            subject = f"{each.unit}/{each.day}"
            found.append(Finding("meter_ran_back", subject, message, areas=areas, first_ms=first_ms, last_ms=last_ms))
    lost = [each.day for each in days if each.verdict is MeterVerdict.NOT_COMPARED]
    if lost:
        message = tr(
            "{count} days not compared, the first {first}, the last {last}",
            count=len(lost),
            first=str(lost[0]),
            last=str(lost[-1]),
        )
        first_ms, last_ms = local_midnight_ms(lost[0]), local_midnight_ms(lost[-1])
        found.append(
            Finding(
                "meter_not_compared", account.unit, message, False, first_ms=first_ms, last_ms=last_ms, count=len(lost)
            )
        )
    return found


def _mwh(energy: Fraction | None) -> str:
    return "" if energy is None else f"{Decimal(energy.numerator) / Decimal(energy.denominator):.6f}"
