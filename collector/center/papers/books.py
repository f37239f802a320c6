# SPDX-License-Identifier: GPL-3.0-or-later
"""The books (Art. 20): results that took effect, posted once as balanced entries, plant against its area's pool.

An entry never changes. A result that replaces one in effect first reverses its entries, one by one with their numbers,
then posts its own; where an area of it is blocked nothing is posted and the old entries of the area stand, as on the
bills. So the account of a plant over all months and editions is a running balance: the sum of its bills.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select

from collector.base.errors import InvariantBroken
from collector.base.text import tr
from collector.center.db.tables_month import ledger_entry
from collector.center.papers.bills import BillRow, SchemeRow
from collector.center.people import audit
from collector.center.people.access import Actor, Permission
from collector.model.interval import Month, format_time
from collector.model.money import format_yuan
from collector.report.sheets import plain_text
from collector.settlement.price.plants import compute_ledger

ACCOUNT_COLUMNS: Final = (
    *("plant", "area", "posted", "entry", "month", "edition", "debit_yuan", "credit_yuan", "balance_yuan"),
)
POSTED: Final = "books.post"  # in the audit log, with the hash of the entries
_ZERO: Final = Decimal("0.00")


@dataclass(frozen=True, slots=True)
class BookEntry:
    """An entry of the books. `plant` is empty on the pool's side; `reverses`: the number of the entry it cancels."""

    entry: int
    reverses: int | None
    month: str
    edition: int
    run_id: int
    area: str
    plant: str
    debit_yuan: Decimal
    credit_yuan: Decimal
    posted_ms: int

    @property
    def signed_yuan(self) -> Decimal:
        """The entry's effect on its account; positive is in favour of the account's owner."""
        return self.credit_yuan - self.debit_yuan


@dataclass(frozen=True, slots=True)
class AccountLine:
    """An entry of a plant with the balance after it; positive: the plant is owed."""

    entry: BookEntry
    balance_yuan: Decimal


@dataclass(frozen=True, slots=True)
class PlantAccount:
    """A plant's account over a span of time: opening balance, entries, closing balance."""

    plant: str
    opening_yuan: Decimal
    rows: tuple[AccountLine, ...]
    closing_yuan: Decimal


def compute_posting(
    month: Month, result: Sequence[SchemeRow], standing: Iterable[BookEntry], *, edition: int, run_id: int, first: int
) -> list[BookEntry]:
    """The entries of a result that takes effect: reversals of the entries it replaces, then its own.

    Numbers continue from `first`. `standing`: the month's earlier entries that are neither reversals nor reversed.
    `posted_ms` is still 0.
    """
    blocked = {row.area for row in result if row.net_yuan is None}
    made: list[BookEntry] = []

    def add(reverses: int | None, area: str, plant: str, debit: Decimal, credit: Decimal) -> None:
        number = first + len(made)
        made.append(BookEntry(number, reverses, str(month), edition, run_id, area, plant, debit, credit, 0))

    for old in standing:
        if old.area not in blocked:
            add(old.entry, old.area, old.plant, old.credit_yuan, old.debit_yuan)
    shared = [row for row in result if row.area not in blocked]
    for own in compute_ledger(month, shared):
        add(None, own.area, own.plant, own.debit_yuan, own.credit_yuan)
    return made


def post_result(
    connection: Connection, month: Month, result: Sequence[SchemeRow], *, edition: int, run_id: int, actor: Actor,
    now_ms: int,
) -> None:  # fmt: skip
    """Post a result that takes effect now, in the transaction of its step."""
    last = connection.execute(select(func.max(ledger_entry.c.entry))).scalar() or 0
    standing = _standing(entries_of(connection, month))
    entries = compute_posting(month, result, standing, edition=edition, run_id=run_id, first=int(last) + 1)
    if entries:
        connection.execute(insert(ledger_entry), [_values(entry, now_ms) for entry in entries])
    detail = {
        "month": str(month),
        "edition": edition,
        "run": run_id,
        "entries": [entries[0].entry, entries[-1].entry] if entries else [],
        "reversed": sum(entry.reverses is not None for entry in entries),
        "sha256": hash_of(entries),
    }
    audit.append(connection, actor=actor, action=POSTED, subject=str(month), detail=detail, now_ms=now_ms)


def hash_of(entries: Iterable[BookEntry]) -> str:
    """SHA-256 over entries without their time of posting, which their step has."""
    texts = (repr([str(value) for value in astuple(entry)[:-1]]) for entry in entries)
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def entries_of(connection: Connection, month: Month | None = None, plant: str | None = None) -> list[BookEntry]:
    """Entries in their order: all, those of a month, or those of a plant's account (empty: of the pools)."""
    query = select(ledger_entry).order_by(ledger_entry.c.entry)
    if month is not None:
        query = query.where(ledger_entry.c.month == str(month))
    if plant is not None:
        query = query.where(ledger_entry.c.plant == plant)
    return [_entry(row) for row in connection.execute(query)]


def accounts_of(
    connection: Connection, *, actor: Actor, plant: str = "", from_ms: int = 0, until_ms: int | None = None
) -> list[PlantAccount]:
    """The accounts of the plants the actor may see, or of one, over [from_ms, until_ms)."""
    actor.require(Permission.SEE_OWN)
    of_plant: dict[str, list[BookEntry]] = defaultdict(list)
    for entry in entries_of(connection, plant=plant or None):
        if entry.plant and actor.may_see(entry.plant):
            of_plant[entry.plant].append(entry)
    return [_account(name, entries, from_ms, until_ms) for name, entries in sorted(of_plant.items())]


def _account(plant: str, entries: Sequence[BookEntry], from_ms: int, until_ms: int | None) -> PlantAccount:
    opening = sum((entry.signed_yuan for entry in entries if entry.posted_ms < from_ms), _ZERO)
    balance, rows = opening, []
    for entry in entries:
        if entry.posted_ms >= from_ms and (until_ms is None or entry.posted_ms < until_ms):
            balance += entry.signed_yuan
            rows.append(AccountLine(entry, balance))
    return PlantAccount(plant, opening, tuple(rows), balance)


def account_cells(row: AccountLine) -> dict[str, str]:
    """A row of account.csv as text by column."""
    entry = row.entry
    return {
        "plant": entry.plant,
        "area": entry.area,
        "posted": format_time(entry.posted_ms),
        "entry": str(entry.entry),
        "month": entry.month,
        "edition": str(entry.edition),
        "debit_yuan": format_yuan(entry.debit_yuan),
        "credit_yuan": format_yuan(entry.credit_yuan),
        "balance_yuan": format_yuan(row.balance_yuan),
    }


def account_csv(accounts: Iterable[PlantAccount]) -> bytes:
    """account.csv: every entry with the balance after it; UTF-8 with BOM for spreadsheets."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(ACCOUNT_COLUMNS)
    for account in accounts:
        for row in account.rows:
            cells = account_cells(row)
            named = {name: plain_text(cells[name]) for name in ("plant", "area")}
            writer.writerow([(cells | named)[name] for name in ACCOUNT_COLUMNS])
    return text.getvalue().encode("utf-8-sig")


def check_books(entries: Sequence[BookEntry], bills: Iterable[BillRow]) -> Iterator[str]:
    """The problems of the books, in words.

    Checked: numbers without a gap; each pool and each reversed pair is 0; the account of a plant is the sum of its
    bills.
    """
    if [entry.entry for entry in entries] != list(range(1, len(entries) + 1)):
        yield tr("the numbers of the books' entries have a gap")
    by_number = {entry.entry: entry for entry in entries}
    balance: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    accounts: dict[str, Decimal] = defaultdict(Decimal)
    for entry in entries:
        balance[entry.month, entry.area] += entry.signed_yuan
        if entry.plant:
            accounts[entry.plant] += entry.signed_yuan
        old = by_number.get(entry.reverses or 0)
        if entry.reverses is not None and (
            old is None
            or (old.month, old.area, old.plant, old.signed_yuan + entry.signed_yuan)
            != (entry.month, entry.area, entry.plant, _ZERO)
        ):
            yield tr("entry {entry} does not take back entry {reverses}", entry=entry.entry, reverses=entry.reverses)
    for (month, area), rest in sorted(balance.items()):
        if rest:
            yield tr("the entries of {area} in {month} sum to {rest}, expected 0", area=area, month=month, rest=rest)
    for bill in bills:
        accounts[bill.carry.plant] -= bill.carry.amount_yuan or _ZERO
    for plant, rest in sorted(accounts.items()):
        if rest:
            yield tr("the account of {plant} is {rest} more than its bills", plant=plant, rest=rest)


def _standing(entries: Sequence[BookEntry]) -> list[BookEntry]:
    taken_back = {entry.reverses for entry in entries}
    return [entry for entry in entries if entry.reverses is None and entry.entry not in taken_back]


def _values(entry: BookEntry, now_ms: int) -> dict[str, Any]:
    if entry.debit_yuan < 0 or entry.credit_yuan < 0:
        raise InvariantBroken(tr("an amount below zero is posted on the other side"), subject=f"entry {entry.entry}")
    return {
        "entry": entry.entry,
        "reverses": entry.reverses,
        "month": entry.month,
        "edition": entry.edition,
        "run_id": entry.run_id,
        "area": entry.area,
        "plant": entry.plant,
        "debit_yuan": format_yuan(entry.debit_yuan),
        "credit_yuan": format_yuan(entry.credit_yuan),
        "posted_ms": now_ms,
    }


def _entry(row: Any) -> BookEntry:
    return BookEntry(
        entry=int(row.entry),
        reverses=None if row.reverses is None else int(row.reverses),
        month=row.month,
        edition=int(row.edition),
        run_id=int(row.run_id),
        area=row.area,
        plant=row.plant,
        debit_yuan=Decimal(row.debit_yuan),
        credit_yuan=Decimal(row.credit_yuan),
        posted_ms=int(row.posted_ms),
    )
