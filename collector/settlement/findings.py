# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings about the inputs of a statement: files, hours, revenue, clocks, record spacing, documents."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from decimal import Decimal

from collector.base.text import both, tr
from collector.model.interval import Month
from collector.settlement.inputs import Inputs
from collector.settlement.measure.spacing import SPACING
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.services.clock_state import CLOCK
from collector.settlement.services.pricing import Account
from collector.settlement.statement import AreaRow, Finding


def input_findings(month: Month, inputs: Inputs) -> Iterator[Finding]:
    """Findings of files that were not delivered, of how files were read, and of hours that were not filed."""
    yield from _undelivered(inputs)
    yield from (Finding("read_as", file, words, provisional=False) for file, words in inputs.notes)
    yield from _filings(month, inputs)


def _undelivered(inputs: Inputs) -> Iterator[Finding]:
    """Findings of files that were not delivered: every area stays provisional. The other files are optional."""
    given = {
        "plan.csv": inputs.plan,
        "orders.csv": inputs.orders,
        "reserve.csv": inputs.reserves,
        "voltage_band.csv": inputs.voltage_band,
        "exclusions.csv": inputs.exclusions,
        "revenue.csv": inputs.revenue,
    }
    return (Finding("not_delivered", name, tr("not delivered")) for name, rows in given.items() if rows is None)


def _filings(month: Month, inputs: Inputs) -> list[Finding]:
    """Findings about valley and peak hours, which are filed with the regulator (Art. 13(3), 17(3))."""
    first, until = month.first_day, month.next().first_day
    return [
        Finding("no_hours_filing", area.id, tr("valley and peak hours without a filing"), areas=(area.id,))
        for area in inputs.register.areas
        if area.hours_filing is None and (area.from_day or date.min) < until and (area.until_day or date.max) > first
    ]


def revenue_findings(areas: Iterable[AreaRow], rulebook: Rulebook) -> Iterator[Finding]:
    """One finding for each plant for whose revenue an area can't be allocated (Art. 22)."""
    for area in areas:
        named = rulebook.areas.get(area.area)
        name = area.area if named is None else both(named.name, named.name_zh)
        told = {
            "no_revenue": tr(
                "lacks a revenue row of the month; a plant needs one for each area it lies in, a two-part plant one of "
                "energy and one of capacity, of 0 where it sold nothing: {area} can't be allocated",
                area=name,
            ),
            "negative_revenue": tr("has a revenue below zero: {area} can't be allocated", area=name),
            "zero_revenue": tr("sold nothing, as all plants that share: {area} can't be allocated", area=name),
        }
        for plant in area.plants:
            yield Finding(area.reason, plant, told[area.reason], areas=(area.area,))


def unit_findings(account: Account) -> Iterator[Finding]:
    """The findings of a unit besides those of its lines; none of them keeps an area from being final."""
    yield from _clock(account)
    yield from _records_apart(account)
    yield from _no_evidence(account)


def _records_apart(account: Account) -> Iterator[Finding]:
    """Report a unit whose records are usually further apart than the hold limit of the data policy.

    The message names the spacing, the limit and the remedy.
    """
    records, late, late_ms = (account.sum_of_month(f"{SPACING}.{name}") for name in ("records", "late", "late_ms"))
    if 2 * late <= records:
        return
    message = tr(
        "its records are usually {spacing} s apart, and a record holds for {hold} s: most time counts as missing; "
        "set hold_limit_s in [policy] above the spacing, or deliver records more often",
        spacing=f"{Decimal(late_ms) / late / 1000:.1f}",
        hold=f"{Decimal(account.case.policy.hold_ms) / 1000:f}",
    )
    yield Finding("records_apart", account.unit, message, provisional=False, count=late)


def _no_evidence(account: Account) -> Iterator[Finding]:
    """Report limits that are registered without their test report (Art. 8(1))."""
    units = [stretch.unit for stretch in account.stretches]
    limited = [u for u in units if any(limit is not None for limit in (u.agc_upper_mw, u.q_max_mvar, u.q_min_mvar))]
    if any(u.evidence is None for u in limited):
        message = tr("limits are registered without the test report they rest on (Art. 8(1)): evidence in the register")
        yield Finding("no_evidence", account.unit, message, provisional=False)


def _clock(account: Account) -> Iterator[Finding]:
    """Findings of how long records of an unsynchronised clock were used, or left out (I-17); none is provisional."""
    total_ms = account.sum_of_month(f"{CLOCK}.unsynchronised")
    if not total_ms:
        return
    hours = f"{Decimal(total_ms) / 3_600_000:.3f}"
    if account.case.policy.adopts("I-17", "counted"):
        message = tr("{hours} h stamped by a clock that was not synchronised: counted and used (I-17)", hours=hours)
    else:
        message = tr("{hours} h stamped by a clock that was not synchronised: taken as missing (I-17)", hours=hours)
    yield Finding("unsynchronised_clock", account.unit, message, provisional=False)
