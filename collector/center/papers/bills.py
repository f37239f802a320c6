# SPDX-License-Identifier: GPL-3.0-or-later
"""The amounts carried to the next month's electricity bill (Art. 24): payable or receivable, and between whom.

The first edition of a month carries each plant's net amount K_i, a correction only the change. An amount once carried
stays: each new amount is the edition's net less all that earlier editions carried, so the amounts of a plant always sum
to the net of the edition in effect, and those of an area to zero (Art. 20). A plant whose grid company changed gets two
rows: the old company's carried amounts are reversed, the new one's carry the whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from sqlalchemy import Connection, select

from collector.base.errors import InvariantBroken
from collector.base.text import tr
from collector.center.db.tables_month import month_step, scheme
from collector.center.people.access import Actor, Permission
from collector.center.runs.month_state import MonthStage, MonthStep, all_steps, effective_steps
from collector.model.interval import Month, local_day

_ZERO: Final = Decimal("0.00")


@dataclass(frozen=True, slots=True)
class VatData:
    """The register's data of a plant for its bills (Art. 24): `vat_rate` a ratio as text; empty where not given."""

    tax_number: str = ""
    vat_rate: str = ""
    bank: str = ""


NO_VAT: Final = VatData()


@dataclass(frozen=True, slots=True)
class SchemeRow:
    """A row of the settlement scheme: a plant in a settlement area. None where the area is blocked."""

    area: str
    plant: str
    plant_name: str
    counterparty: str
    compensation_yuan: Decimal
    revenue_yuan: Decimal | None
    allocation_yuan: Decimal | None
    net_yuan: Decimal | None
    status: str
    reason: str
    vat: VatData = NO_VAT


@dataclass(frozen=True, slots=True)
class Carry:
    """The amount that one edition carries for a plant with a grid company. > 0: the plant receives; None: blocked."""

    area: str
    plant: str
    plant_name: str
    counterparty: str
    net_yuan: Decimal | None
    before_yuan: Decimal
    amount_yuan: Decimal | None
    reason: str
    vat: VatData = NO_VAT

    @property
    def direction(self) -> str:
        """The direction from the plant's view: receivable, payable, none, or blocked."""
        if self.amount_yuan is None:
            return "blocked"
        return "receivable" if self.amount_yuan > 0 else "payable" if self.amount_yuan < 0 else "none"


DIRECTION_WORDS: Final = {
    "receivable": ("应收", "receivable by the plant"),
    "payable": ("应付", "payable by the plant"),
    "none": ("无", "none"),
    "blocked": ("不能结算", "blocked"),
}


@dataclass(frozen=True, slots=True)
class BillRow:
    """A `Carry` with the fields the billing system needs. `bill_month`: the electricity bill it is settled with."""

    month: Month
    edition: int
    bill_month: Month
    run_id: int
    document: str
    carry: Carry


def compute_carry(present: Iterable[SchemeRow], before: Iterable[Carry]) -> list[Carry]:
    """The amounts that an edition carries beyond all that earlier editions carried.

    Source: Art. 23, 24. A blocked area carries nothing; amounts of earlier editions stand.

    Raises:
        InvariantBroken: the amounts of an area do not sum to zero.
    """
    carried: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    names: dict[str, str] = {}
    for old in before:
        carried[old.area, old.plant, old.counterparty] += old.amount_yuan or _ZERO
        names[old.plant] = old.plant_name
    rows = {(row.area, row.plant, row.counterparty): row for row in present}
    blocked = {row.area for row in rows.values() if row.net_yuan is None}
    found: list[Carry] = []
    for key in sorted({*rows, *(key for key, amount in carried.items() if amount)}):
        area, plant, counterparty = key
        row, earlier = rows.get(key), carried.get(key, _ZERO)
        net = _ZERO if row is None else row.net_yuan
        amount = None if area in blocked or net is None else net - earlier
        name, reason = (names[plant], "") if row is None else (row.plant_name, row.reason)
        vat = NO_VAT if row is None else row.vat
        shown = None if amount is None else net
        found.append(Carry(area, plant, name, counterparty, shown, earlier, amount, reason, vat))
    _check_balance(found)
    return found


def _check_balance(rows: Sequence[Carry]) -> None:
    totals: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        totals[row.area] += row.amount_yuan or _ZERO
    if wrong := sorted(area for area, total in totals.items() if total):
        raise InvariantBroken(tr("what {wrong} carries does not sum to zero", wrong=", ".join(wrong)), subject="bill")


def bill_month_of(month: Month, effective_ms: int) -> Month:
    """The month of the electricity bill that a result goes with: the next month, or the month it took effect in.

    Source: Art. 24 (与下一个月电费结算同步完成). Text names the next month's bill; a result that takes effect when that
    bill is made, as a correction does, can only go with the bill of the month it takes effect in.
    """
    day = local_day(effective_ms)
    return max(month.next(), Month(day.year, day.month))


def scheme_rows(connection: Connection, run_id: int, edition: int) -> list[SchemeRow]:
    """The settlement scheme as it was filed; empty where none was."""
    mine = (scheme.c.run_id == run_id) & (scheme.c.edition == edition)
    query = select(scheme).where(mine).order_by(scheme.c.area, scheme.c.plant)
    return [
        SchemeRow(
            area=row.area,
            plant=row.plant,
            plant_name=row.plant_name,
            counterparty=row.counterparty,
            compensation_yuan=Decimal(row.compensation_yuan),
            revenue_yuan=_money(row.revenue_yuan),
            allocation_yuan=_money(row.allocation_yuan),
            net_yuan=_money(row.net_yuan),
            status=row.status,
            reason=row.reason,
            vat=VatData(row.tax_number or "", row.vat_rate or "", row.bank or ""),
        )
        for row in connection.execute(query)
    ]


def carried_before(connection: Connection, month: Month, edition: int) -> list[Carry]:
    """All amounts that the editions before `edition` carried."""
    found: list[Carry] = []
    for step in effective_steps(all_steps(connection, month)):
        if step.edition < edition:
            found += compute_carry(scheme_rows(connection, step.run_id, step.edition), found)
    return found


def bills_of(connection: Connection, month: Month, *, actor: Actor) -> list[BillRow]:
    """The amounts a month carries to bills, by edition, once it took effect; a plant sees its own only."""
    actor.require(Permission.SEE_OWN)
    found: list[BillRow] = []
    carried: list[Carry] = []
    for step in effective_steps(all_steps(connection, month)):
        rows = compute_carry(scheme_rows(connection, step.run_id, step.edition), carried)
        carried += rows
        found += [_bill(step, row) for row in rows if actor.may_see(row.plant)]
    return found


def bills_carried_to(connection: Connection, bill_month: Month, *, actor: Actor) -> list[BillRow]:
    """All rows that go with the electricity bill of a month, from all settled months."""
    actor.require(Permission.SEE_OWN)
    took_effect = month_step.c.state == MonthStage.EFFECTIVE.value
    months = connection.execute(select(month_step.c.month).where(took_effect).distinct()).scalars()
    rows = [row for text in sorted(months) for row in bills_of(connection, Month.parse(text), actor=actor)]
    return [row for row in rows if row.bill_month == bill_month]


def _money(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _bill(step: MonthStep, row: Carry) -> BillRow:
    return BillRow(step.month, step.edition, bill_month_of(step.month, step.at_ms), step.run_id, step.document, row)
