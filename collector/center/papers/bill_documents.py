# SPDX-License-Identifier: GPL-3.0-or-later
"""The bill as documents: CSV and JSON for a billing system, XLSX for people. The same rows give the same bytes.

JSON has `schema`; a later version only adds keys. Texts of the CSV that a spreadsheet could take for a formula carry an
apostrophe; in JSON they are unchanged.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Any, Final

from collector.center.papers.bills import DIRECTION_WORDS, BillRow
from collector.model.money import format_yuan
from collector.report import words
from collector.report.sheets import Book, SheetColumn, plain_text

BILL_SCHEMA: Final = 2  # 1: without VAT data
BILL_COLUMNS: Final = (
    *("schema", "month", "edition", "bill_month", "area", "plant", "plant_name", "counterparty", "direction"),
    *("amount_yuan", "signed_yuan", "net_yuan", "carried_before_yuan", "run", "document", "reason"),
    *("tax_number", "vat_rate", "bank"),
)
_ZERO: Final = Decimal("0.00")
_AMOUNTS: Final = frozenset({"amount_yuan", "signed_yuan", "net_yuan", "carried_before_yuan"})


def totals_by_counterparty(rows: Iterable[BillRow]) -> list[dict[str, Any]]:
    """Per grid company and bill month: its payments to plants, its receipts from them, and the difference."""
    paid: dict[tuple[str, str], list[Decimal]] = defaultdict(lambda: [_ZERO, _ZERO])
    for row in rows:
        amount = row.carry.amount_yuan or _ZERO
        sums = paid[str(row.bill_month), row.carry.counterparty]
        sums[0 if amount > 0 else 1] += abs(amount)
    return [
        {
            "bill_month": month,
            "counterparty": counterparty,
            "pays_yuan": format_yuan(pays),
            "collects_yuan": format_yuan(collects),
            "balance_yuan": format_yuan(collects - pays),
        }
        for (month, counterparty), (pays, collects) in sorted(paid.items())
    ]


def bill_cells(row: BillRow) -> dict[str, str]:
    """The cells of a row by column: `amount_yuan` without sign beside its direction, `signed_yuan` with it."""
    carry = row.carry
    amount = carry.amount_yuan
    return {
        "schema": str(BILL_SCHEMA),
        "month": str(row.month),
        "edition": str(row.edition),
        "bill_month": str(row.bill_month),
        "area": carry.area,
        "plant": carry.plant,
        "plant_name": carry.plant_name,
        "counterparty": carry.counterparty,
        "direction": carry.direction,
        "amount_yuan": "" if amount is None else format_yuan(abs(amount)),
        "signed_yuan": "" if amount is None else format_yuan(amount),
        "net_yuan": "" if carry.net_yuan is None else format_yuan(carry.net_yuan),
        "carried_before_yuan": format_yuan(carry.before_yuan),
        "run": str(row.run_id),
        "document": row.document,
        "reason": carry.reason,
        "tax_number": carry.vat.tax_number,
        "vat_rate": carry.vat.vat_rate,
        "bank": carry.vat.bank,
    }


def bill_csv(rows: Sequence[BillRow]) -> bytes:
    """One row per plant, grid company and edition; UTF-8 with BOM for spreadsheets."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(BILL_COLUMNS)
    for row in rows:
        cells = bill_cells(row)
        writer.writerow([cells[name] if name in _AMOUNTS else plain_text(cells[name]) for name in BILL_COLUMNS])
    return text.getvalue().encode("utf-8-sig")


def bill_json(rows: Sequence[BillRow]) -> bytes:
    """Rows and totals per grid company; amounts are decimals as text, null where there is none."""
    document = {
        "schema": BILL_SCHEMA,
        "article": "24",
        "rows": [_json_row(row) for row in rows],
        "counterparties": totals_by_counterparty(rows),
        "sum_yuan": format_yuan(sum((row.carry.amount_yuan or _ZERO for row in rows), _ZERO)),
    }
    return (json.dumps(document, ensure_ascii=False, indent=1) + "\n").encode()


def _json_row(row: BillRow) -> dict[str, Any]:
    cells: dict[str, Any] = {name: text or None for name, text in bill_cells(row).items() if name != "schema"}
    return cells | {"edition": row.edition, "run": row.run_id}


def bill_xlsx(rows: Sequence[BillRow], *, title: str) -> bytes:
    """The rows in the regulation's terms, and a sheet with the totals per grid company."""
    target = io.BytesIO()
    book = Book(target, title)
    columns = (
        *(
            SheetColumn("结算月份", "text", 10),
            SheetColumn("版次", "count", 6),
            SheetColumn("并入电费月份", "text", 12),
        ),
        *(SheetColumn("结算区域", "text"), SheetColumn("电厂", "text", 14), SheetColumn("电厂名称", "text", 24)),
        *(
            SheetColumn("结算对方(电网企业)", "text", 30),
            SheetColumn("方向", "text", 10),
            SheetColumn("本次结算费用(元)", "yuan", 18),
        ),
        *(SheetColumn("结算费用 K(元)", "yuan", 18), SheetColumn("此前已结转(元)", "yuan", 18)),
        *(SheetColumn("批准文号", "text", 24), SheetColumn("说明", "text", 24)),
        *(
            SheetColumn("税号", "text", 22),
            SheetColumn("增值税率", "text", 10),
            SheetColumn("开户行及账号", "text", 30),
        ),
    )
    cells = [
        (
            *(str(row.month), row.edition, str(row.bill_month), words.of(words.AREAS, row.carry.area)[0]),
            *(row.carry.plant, row.carry.plant_name, row.carry.counterparty),
            *(DIRECTION_WORDS[row.carry.direction][0], row.carry.amount_yuan, row.carry.net_yuan),
            *(row.carry.before_yuan, row.document, words.both(words.REASONS, row.carry.reason)),
            *(row.carry.vat.tax_number, row.carry.vat.vat_rate, row.carry.vat.bank),
        )
        for row in rows
    ]
    note = "第二十四条:与电费一并结算。正数:电厂应收;负数:电厂应付。positive: the plant receives"
    sheet, first, last = book.sheet("结转电费", note, columns, cells)
    if cells:
        book.label(sheet, last + 1, 7, "合计")
        total = sum((row.carry.amount_yuan or _ZERO for row in rows), _ZERO)
        book.total(sheet, last + 1, 8, first, last, "yuan", total)
    _counterparties(book, rows)
    book.book.close()
    return target.getvalue()


def _counterparties(book: Book, rows: Sequence[BillRow]) -> None:
    columns = (
        *(
            SheetColumn("并入电费月份", "text", 12),
            SheetColumn("电网企业", "text", 30),
            SheetColumn("支付电厂(元)", "yuan", 18),
        ),
        *(SheetColumn("向电厂收取(元)", "yuan", 18), SheetColumn("差额(元)", "yuan", 18)),
    )
    amounts = ("pays_yuan", "collects_yuan", "balance_yuan")
    cells = [
        (total["bill_month"], total["counterparty"], *(Decimal(total[name]) for name in amounts))
        for total in totals_by_counterparty(rows)
    ]
    book.sheet("按电网企业", "收取减支付;同一区域合计为零(第二十条) collected less paid", columns, cells)
