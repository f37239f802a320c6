# SPDX-License-Identifier: GPL-3.0-or-later
"""The three documents of Art. 28 as sheets and CSV, in the regulation's terms with English second. No store access.

The same statement gives the same bytes. Totals are sums of the rows shown; `check_totals` compares them with the run's
own.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any, Final

from collector.base.errors import InvariantBroken
from collector.base.text import tr
from collector.center.papers.bills import DIRECTION_WORDS, Carry, SchemeRow, VatData
from collector.center.runs.run_statement import RunStatement
from collector.model.money import format_yuan
from collector.report import words
from collector.report.numbers import format_percent
from collector.report.page import month_status
from collector.report.sheets import Book, SheetColumn, plain_text


class FilingName(StrEnum):
    """The three documents of Art. 28."""

    DETAIL = "detail"
    ALLOCATION = "allocation"
    SCHEME = "scheme"


FILING_WORDS: Final = {
    FilingName.DETAIL: ("补偿情况明细清单", "compensation in detail"),
    FilingName.ALLOCATION: ("补偿费用分摊情况", "allocation of the cost"),
    FilingName.SCHEME: ("结算方案", "settlement scheme"),
}
_ZERO: Final = Decimal("0.00")
_AREA_COLUMNS: Final = (
    *(SheetColumn("结算区域 area", "text", 16), SheetColumn("补偿费用合计(元) compensation", "yuan", 22)),
    *(SheetColumn("分摊费用合计(元) allocation", "yuan", 22), SheetColumn("上网电费等合计(元) revenue", "yuan", 22)),
    *(SheetColumn("结算费用合计(元) net", "yuan", 18), SheetColumn("状态 status", "text", 14)),
    SheetColumn("说明 reason", "text", 36),
)


@dataclass(frozen=True, slots=True)
class DocumentTable:
    """A document's main table. `totals`: the columns summed below it; a row's cells are in column order."""

    name: FilingName
    columns: tuple[SheetColumn, ...]
    rows: tuple[tuple[Any, ...], ...]
    totals: tuple[int, ...]

    def total(self, index: int) -> Decimal:
        """The sum of a column's known amounts."""
        return sum((row[index] for row in self.rows if row[index] is not None), _ZERO)


def scheme_of(statement: RunStatement) -> list[SchemeRow]:
    """The rows of the settlement scheme: each plant of each area with the grid company it settles with."""
    rows = []
    for plant in statement.plants:
        name = statement.name_of(plant.plant)
        rows.append(
            SchemeRow(
                area=plant.area,
                plant=plant.plant,
                plant_name=name.name[:255],
                counterparty=name.settles_with[:255],
                compensation_yuan=plant.compensation_yuan,
                revenue_yuan=plant.revenue_yuan,
                allocation_yuan=plant.allocation_yuan,
                net_yuan=plant.net_yuan,
                status=plant.status,
                reason=statement.reasons.get(plant.area, ""),
                vat=VatData(name.tax_number[:255], name.vat_rate[:32], name.bank[:255]),
            )
        )
    return rows


def detail_table(statement: RunStatement) -> DocumentTable:
    """补偿情况明细清单: every line, with its measured quantity and its article."""
    columns = (
        *(
            SheetColumn("结算区域 area", "text", 14),
            SheetColumn("电厂 plant", "text", 14),
            SheetColumn("电厂名称 name", "text", 22),
        ),
        *(
            SheetColumn("机组 unit", "text", 14),
            SheetColumn("服务 service", "text", 36),
            SheetColumn("条款 article", "text", 9),
        ),
        *(SheetColumn("计量 quantity", "quantity", 18), SheetColumn("单位 unit", "text", 8)),
        *(SheetColumn("数据完整率 coverage", "percent", 12), SheetColumn("补偿费用(元) compensation", "yuan", 18)),
        *(SheetColumn("状态 status", "text", 22), SheetColumn("说明 reason", "text", 40)),
    )
    rows = tuple(
        (
            *(words.of(words.AREAS, n.area)[0], n.plant, statement.name_of(n.plant).name, n.unit),
            *(words.both(words.SERVICES, n.service), n.article, _exact(n.quantity), n.quantity_unit),
            *(_exact(n.coverage), n.amount_yuan),
            *(words.both(words.STATUSES, n.status), words.both(words.REASONS, n.reason)),
        )
        for n in statement.lines
    )
    return DocumentTable(FilingName.DETAIL, columns, rows, (9,))


def allocation_table(statement: RunStatement) -> DocumentTable:
    """补偿费用分摊情况: A_i = R · F_i / ΣF (Art. 22), each plant with its revenue and its share of it."""
    sold: dict[str, Decimal] = defaultdict(Decimal)
    for row in statement.plants:
        sold[row.area] += row.revenue_yuan or _ZERO
    columns = (
        *(
            SheetColumn("结算区域 area", "text", 14),
            SheetColumn("电厂 plant", "text", 14),
            SheetColumn("电厂名称 name", "text", 22),
        ),
        *(SheetColumn("上网电费等 F(元) revenue", "yuan", 22), SheetColumn("占比 share", "percent", 10)),
        *(SheetColumn("分摊费用 A(元) allocation", "yuan", 20), SheetColumn("状态 status", "text", 16)),
        SheetColumn("说明 reason", "text", 36),
    )
    rows = tuple(
        (
            *(words.of(words.AREAS, p.area)[0], p.plant, statement.name_of(p.plant).name, p.revenue_yuan),
            _share(p.allocation_yuan, p.revenue_yuan, sold[p.area]),
            *(p.allocation_yuan, _status(p.status), words.both(words.REASONS, statement.reasons.get(p.area, ""))),
        )
        for p in statement.plants
    )
    return DocumentTable(FilingName.ALLOCATION, columns, rows, (3, 5))


def scheme_table(rows: Iterable[SchemeRow], carries: Iterable[Carry]) -> DocumentTable:
    """结算方案: K_i = R_i − A_i (Art. 23), and the part carried to the electricity bill now (Art. 24)."""
    columns = (
        *(
            SheetColumn("结算区域 area", "text", 14),
            SheetColumn("电厂 plant", "text", 14),
            SheetColumn("电厂名称 name", "text", 22),
        ),
        *(
            SheetColumn("结算对方(电网企业) settles with", "text", 30),
            SheetColumn("补偿费用 R(元) compensation", "yuan", 18),
        ),
        *(SheetColumn("分摊费用 A(元) allocation", "yuan", 18), SheetColumn("结算费用 K=R-A(元) net", "yuan", 18)),
        *(
            SheetColumn("此前已结转(元) carried before", "yuan", 18),
            SheetColumn("本次结转(元) carried now", "yuan", 18),
        ),
        *(SheetColumn("方向 direction", "text", 12), SheetColumn("状态 status", "text", 16)),
        SheetColumn("说明 reason", "text", 36),
    )
    by_key = {(row.area, row.plant, row.counterparty): row for row in rows}
    cells = []
    for carry in carries:
        row = by_key.get((carry.area, carry.plant, carry.counterparty))
        amounts = (None, None, None) if row is None else (row.compensation_yuan, row.allocation_yuan, row.net_yuan)
        status = "" if row is None else _status(row.status)
        cells.append(
            (
                *(words.of(words.AREAS, carry.area)[0], carry.plant, carry.plant_name, carry.counterparty),
                *(*amounts, carry.before_yuan, carry.amount_yuan, DIRECTION_WORDS[carry.direction][0]),
                *(status, words.both(words.REASONS, carry.reason)),
            )
        )
    return DocumentTable(FilingName.SCHEME, columns, tuple(cells), (4, 5, 6, 7, 8))


def check_totals(statement: RunStatement, tables: Mapping[FilingName, DocumentTable]) -> None:
    """Check that the totals of the documents are those of the run.

    Raises:
        InvariantBroken: a total differs; nothing of it may be filed.
    """
    paid = sum((row.compensation_yuan for row in statement.plants), _ZERO)
    shared = sum((row.allocation_yuan or _ZERO for row in statement.plants), _ZERO)
    unblocked = sum((row.compensation_yuan for row in statement.plants if row.allocation_yuan is not None), _ZERO)
    detail, allocation, scheme = (tables[name] for name in FilingName)
    for name, found, expected in (
        ("compensation in detail", detail.total(9), paid),
        ("compensation in the scheme", scheme.total(4), paid),
        ("allocation", allocation.total(5), shared),
        ("allocation in the scheme", scheme.total(5), shared),
        ("what is shared", shared, unblocked),
        ("net amounts", scheme.total(6), _ZERO),
        ("what is carried", scheme.total(8), _ZERO),
    ):
        if found != expected:
            raise InvariantBroken(
                tr("{name} sums to {found}, expected {expected}", name=name, found=found, expected=expected),
                subject=f"run {statement.run_id}",
            )


def document_xlsx(table: DocumentTable, statement: RunStatement, edition: int, head: tuple[int, str]) -> bytes:
    """The document for people: its table with totals, and a sheet with the areas. `head`: of the audit log."""
    target = io.BytesIO()
    chinese, english = FILING_WORDS[table.name]
    book = Book(target, f"{chinese} {statement.month}")
    sheet, first, last = book.sheet(chinese, _note(statement, edition, english, head), table.columns, table.rows)
    if table.rows:
        book.label(sheet, last + 1, 1, "合计")
        for index in table.totals:
            book.total(sheet, last + 1, index, first, last, table.columns[index].kind, table.total(index))
    book.sheet("区域合计", "第二十一条:以省级及以上电网为单位 by settlement area", _AREA_COLUMNS, _areas(statement))
    book.book.close()
    return target.getvalue()


def document_csv(table: DocumentTable) -> bytes:
    """The table alone, without totals; UTF-8 with BOM for spreadsheets."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([column.title for column in table.columns])
    for row in table.rows:
        writer.writerow([_cell(column, value) for column, value in zip(table.columns, row, strict=True)])
    return text.getvalue().encode("utf-8-sig")


def _areas(statement: RunStatement) -> list[tuple[Any, ...]]:
    rows = []
    for area in sorted({plant.area for plant in statement.plants}):
        plants = [plant for plant in statement.plants if plant.area == area]
        sums = [
            sum((amount for amount in amounts if amount is not None), _ZERO)
            for amounts in zip(
                *((p.compensation_yuan, p.allocation_yuan, p.revenue_yuan, p.net_yuan) for p in plants), strict=True
            )
        ]
        reason = words.both(words.REASONS, statement.reasons.get(area, ""))
        rows.append((words.of(words.AREAS, area)[0], *sums, _status(plants[0].status), reason))
    return rows


def _note(statement: RunStatement, edition: int, english: str, head: tuple[int, str]) -> str:
    return (
        f"{statement.month} · {english} · 第{edition}版 edition {edition} · 运行 run {statement.run_id} · "
        f"{_status(statement.status)} · SHA-256 {statement.result_hash} · "
        f"审计链首 head of the audit log {head[0]}: {head[1]}"
    )


def _status(code: str) -> str:
    return " ".join(month_status(code)).strip()


def _exact(text: str) -> Decimal | None:
    return Decimal(text) if text else None


def _share(allocation: Decimal | None, revenue: Decimal | None, total: Decimal) -> Fraction | None:
    """A plant's part of the revenue; None for a plant that does not share."""
    if not allocation or revenue is None or not total:
        return None
    return Fraction(revenue) / Fraction(total)


def _cell(column: SheetColumn, value: Any) -> str:
    if value is None:
        return ""
    if column.kind == "text":
        return plain_text(str(value))
    if column.kind == "yuan":
        return format_yuan(value)
    return format_percent(Fraction(value)) if column.kind == "percent" else str(value)


def document_bytes(
    tables: Sequence[DocumentTable], statement: RunStatement, edition: int, head: tuple[int, str]
) -> dict[tuple[str, str], bytes]:
    """Every document in both formats, by (name, format). `head`: of the audit log, for the sheets."""
    found: dict[tuple[str, str], bytes] = {}
    for table in tables:
        found[str(table.name), "xlsx"] = document_xlsx(table, statement, edition, head)
        found[str(table.name), "csv"] = document_csv(table)
    return found
