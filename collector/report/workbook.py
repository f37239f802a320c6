# SPDX-License-Identifier: GPL-3.0-or-later
"""statement.xlsx: seven sheets in the regulation's words, frozen headers, print set-up, totals as formulas.

Text is always written as text, and text that a spreadsheet could take for a formula carries the quote prefix, so that
it stays text when somebody edits the cell. Totals are formulas with their value beside them; both come from the same
statement, and a reader that does not calculate sees the same numbers. The file has no timestamps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import xlsxwriter
from xlsxwriter.utility import xl_col_to_name, xl_rowcol_to_cell

from collector.report import words
from collector.report.manifest import input_hash, run_id
from collector.report.numbers import format_fraction
from collector.report.page import month_status, rules_used, service_totals
from collector.report.segments import UnpaidTime
from collector.settlement.statement import Statement

SHEETS: Final = ("结算汇总", "补偿明细", "分摊", "计量依据", "未补偿原因", "数据完整率", "规则依据")
_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
_FORMATS: Final[dict[str, dict[str, Any]]] = {
    "text": {},
    "quoted": {"quote_prefix": True},
    "yuan": {"num_format": "#,##0.00"},
    "quantity": {"num_format": "#,##0.000000"},
    "percent": {"num_format": "0.00%"},
    "hours": {"num_format": "#,##0.000"},
    "count": {"num_format": "0"},
}


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    kind: str
    width: int = 14


class _Book:
    """A workbook being written; one method per kind of cell."""

    def __init__(self, path: Path, statement: Statement) -> None:
        options = {
            "in_memory": True,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
        }
        self.book = xlsxwriter.Workbook(str(path), options)
        self.book.set_properties(
            {"title": f"辅助服务补偿结算单 {statement.month}", "created": datetime(2000, 1, 1, tzinfo=UTC)}
        )
        base = {"font_size": 10, "border": 1, "valign": "top"}
        self.formats = {kind: self.book.add_format({**base, **extra}) for kind, extra in _FORMATS.items()}
        self.totals = {
            kind: self.book.add_format({**base, **extra, "bold": True, "top": 2}) for kind, extra in _FORMATS.items()
        }
        self.header = self.book.add_format({**base, "bold": True, "bg_color": "#E7E6E6", "text_wrap": True})
        self.title = self.book.add_format({"bold": True, "font_size": 14})
        self.note = self.book.add_format({"font_size": 9, "font_color": "#555555"})

    def sheet(
        self, name: str, note: str, columns: Sequence[_Column], rows: Iterable[Sequence[Any]]
    ) -> tuple[Any, int, int]:
        """A sheet with title, note, frozen header and rows; returns it with its first and last data row (0-based)."""
        sheet = self.book.add_worksheet(name)
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.set_margins(left=0.4, right=0.4, top=0.6, bottom=0.6)
        sheet.set_footer("&L&A&R&P / &N")
        sheet.write_string(0, 0, name, self.title)
        sheet.write_string(1, 0, note, self.note)
        for index, column in enumerate(columns):
            sheet.set_column(index, index, column.width)
            sheet.write_string(2, index, column.title, self.header)
        sheet.freeze_panes(3, 0)
        sheet.repeat_rows(2)
        last = 2
        for last, row in enumerate(rows, 3):
            for index, (column, value) in enumerate(zip(columns, row, strict=True)):
                self.cell(sheet, last, index, column.kind, value)
        if last > 2:
            sheet.autofilter(2, 0, last, len(columns) - 1)
        return sheet, 3, last

    def cell(self, sheet: Any, row: int, column: int, kind: str, value: Any) -> None:
        """One cell; None stays blank, text never becomes a formula."""
        if value is None or value == "":
            sheet.write_blank(row, column, None, self.formats["text"])
        elif kind == "text":
            text = str(value)
            sheet.write_string(
                row, column, text, self.formats["quoted" if text.startswith(_FORMULA_STARTS) else "text"]
            )
        else:
            sheet.write_number(row, column, _shown(value), self.formats[kind])

    def total(self, sheet: Any, row: int, column: int, first: int, last: int, kind: str, value: Any) -> None:
        """A sum over the column's rows, with its value for readers that do not calculate."""
        name = xl_col_to_name(column)
        sheet.write_formula(row, column, f"=SUM({name}{first + 1}:{name}{last + 1})", self.totals[kind], _shown(value))

    def label(self, sheet: Any, row: int, column: int, text: str) -> None:
        """A text in a totals row."""
        sheet.write_string(row, column, text, self.totals["text"])


def _shown(value: Decimal | Fraction | int) -> float:
    """What the sheet stores: a binary number is all XLSX has; it shows the same digits as the CSV."""
    if isinstance(value, Fraction):
        return float(Decimal(format_fraction(value)))
    return float(value)


def write_workbook(statement: Statement, unpaid: Sequence[UnpaidTime], path: Path) -> None:
    """Write statement.xlsx.

    Raises:
        OSError: the file can't be written.
    """
    book = _Book(path, statement)
    try:
        _summary(book, statement)
        _lines(book, statement)
        _allocation(book, statement)
        _determinants(book, statement)
        _unpaid(book, unpaid)
        _coverage(book, statement)
        _rules(book, statement)
    finally:
        book.book.close()


def _summary(book: _Book, s: Statement) -> None:
    columns = (
        *(_Column("结算区域", "text"), _Column("电厂", "text", 18), _Column("补偿费用(元)", "yuan", 18)),
        *(_Column("分摊费用(元)", "yuan", 18), _Column("结算费用(元)", "yuan", 18)),
        *(_Column("状态", "text", 12), _Column("说明", "text", 36)),
    )
    status = month_status(s.status.value)
    note = f"{s.month} · {status[0]} {status[1]} · {run_id(s)} · 考核(第十一条)不在本结算单内"
    rows = [
        (
            *(words.of(words.AREAS, p.area)[0], p.plant, p.compensation_yuan, p.allocation_yuan, p.net_yuan),
            *(month_status(p.status.value)[0], words.both(words.REASONS, p.reason)),
        )
        for p in s.plants
    ]
    sheet, first, last = book.sheet(SHEETS[0], note, columns, rows)
    if not rows:
        return
    book.label(sheet, last + 1, 1, "合计")
    for index, amounts in enumerate(zip(*(row[2:5] for row in rows), strict=True), 2):
        book.total(sheet, last + 1, index, first, last, "yuan", sum((a for a in amounts if a is not None), Decimal(0)))
    row = last + 3
    book.label(sheet, row, 1, "按服务")
    totals = service_totals(s.lines)
    for row, (service, amount, _) in enumerate(totals, row + 1):  # noqa: B020 - goes on below the label
        book.cell(sheet, row, 1, "text", words.of(words.SERVICES, service)[0])
        book.cell(sheet, row, 2, "yuan", amount)
    if totals:
        book.label(sheet, row + 1, 1, "合计")
        whole = sum((amount for _, amount, _ in totals), Decimal(0))
        book.total(sheet, row + 1, 2, row - len(totals) + 1, row, "yuan", whole)


def _lines(book: _Book, s: Statement) -> None:
    columns = (
        *(
            _Column("结算区域", "text"),
            _Column("电厂", "text", 16),
            _Column("机组", "text", 16),
            _Column("服务", "text", 20),
        ),
        *(_Column("条款", "text", 10), _Column("计量", "quantity", 18), _Column("单位", "text", 8)),
        *(_Column("数据完整率", "percent", 11), _Column("补偿费用(元)", "yuan", 16)),
        *(
            _Column("下限(元)", "yuan"),
            _Column("上限(元)", "yuan"),
            _Column("状态", "text", 16),
            _Column("说明", "text", 36),
        ),
    )
    rows = [
        (
            *(words.of(words.AREAS, n.area)[0], n.plant, n.unit, words.of(words.SERVICES, n.service)[0], n.article),
            *(n.quantity, n.quantity_unit, n.coverage, n.amount_yuan, n.low_yuan, n.high_yuan),
            *(words.of(words.STATUSES, n.status.value)[0], words.both(words.REASONS, n.reason)),
        )
        for n in s.lines
    ]
    sheet, first, last = book.sheet(SHEETS[1], s.month, columns, rows)
    if rows:
        book.label(sheet, last + 1, 0, "合计")
        total = sum((line.amount_yuan for line in s.lines if line.amount_yuan is not None), Decimal(0))
        book.total(sheet, last + 1, 8, first, last, "yuan", total)


def _allocation(book: _Book, s: Statement) -> None:
    """Art. 22 per settlement area: R, F_i, A_i, K_i, with a total row under each area."""
    columns = (
        *(_Column("结算区域", "text"), _Column("电厂", "text", 18), _Column("上网电费等 F(元)", "yuan", 20)),
        *(_Column("占比", "percent", 10), _Column("分摊费用 A(元)", "yuan", 18)),
        *(_Column("补偿费用 R(元)", "yuan", 18), _Column("结算费用 K=R-A(元)", "yuan", 20)),
    )
    sheet, row, _ = book.sheet(SHEETS[2], f"{s.month} · A = R × F ÷ ΣF(第二十二条),K = R − A(第二十三条)", columns, ())
    for area in s.areas:
        plants = [p for p in s.plants if p.area == area.area]
        first = row
        for p in plants:
            share = (
                Fraction(p.revenue_yuan) / Fraction(area.revenue_yuan) if p.revenue_yuan and area.revenue_yuan else None
            )
            name = words.of(words.AREAS, p.area)[0]
            cells = (name, p.plant, p.revenue_yuan, share, p.allocation_yuan, p.compensation_yuan, p.net_yuan)
            for index, (column, value) in enumerate(zip(columns, cells, strict=True)):
                book.cell(sheet, row, index, column.kind, value)
            if p.net_yuan is not None and p.allocation_yuan is not None:
                formula = f"={xl_rowcol_to_cell(row, 5)}-{xl_rowcol_to_cell(row, 4)}"
                sheet.write_formula(row, 6, formula, book.formats["yuan"], _shown(p.net_yuan))
            row += 1
        if plants:
            book.label(sheet, row, 0, "合计")
            book.label(sheet, row, 1, words.both(words.REASONS, area.reason))
            for index, name in ((2, "revenue_yuan"), (4, "allocation_yuan"), (5, "compensation_yuan"), (6, "net_yuan")):
                amounts = [getattr(p, name) for p in plants]
                total = sum((amount for amount in amounts if amount is not None), Decimal(0))
                book.total(sheet, row, index, first, row - 1, "yuan", total)
            row += 2


def _determinants(book: _Book, s: Statement) -> None:
    columns = (
        *(_Column("机组", "text", 16), _Column("服务", "text", 20), _Column("计量项", "text", 22)),
        *(
            _Column("数值", "quantity", 18),
            _Column("单位", "text", 8),
            _Column("范围(h)", "hours"),
            _Column("已知(h)", "hours"),
        ),
        *(
            _Column("计入(h)", "hours"),
            _Column("剔除(h)", "hours"),
            _Column("自身原因(h)", "hours"),
            _Column("算式", "text", 60),
        ),
    )
    steps = {(line.unit, line.service): "; ".join(step.text for step in line.steps) for line in s.lines}
    rows = (
        (
            *(d.unit, words.of(words.SERVICES, d.service)[0], d.determinant, d.value, d.value_unit),
            *(_hours(ms) for ms in (d.scope_ms, d.known_ms, d.counted_ms, d.excluded_ms, d.own_fault_ms)),
            steps.get((d.unit, d.service), ""),
        )
        for d in s.determinants
    )
    book.sheet(SHEETS[3], f"{s.month} · 计量依据(第十九条)", columns, rows)


def _unpaid(book: _Book, unpaid: Sequence[UnpaidTime]) -> None:
    columns = (
        *(_Column("机组", "text", 16), _Column("服务", "text", 22), _Column("类别", "text", 22)),
        *(_Column("原因", "text", 44), _Column("分钟", "hours", 14)),
    )
    rows = (
        (
            *(u.unit, words.of(words.SERVICES, u.service)[0], words.both(words.CLASSES, u.cause)),
            *(words.both(words.REASONS, u.reason), Fraction(u.duration_ms, 60_000)),
        )
        for u in unpaid
    )
    book.sheet(SHEETS[4], "未予补偿的时间,按原因(分钟);范围之外单列", columns, rows)


def _coverage(book: _Book, s: Statement) -> None:
    columns = (
        *(_Column("机组", "text", 16), _Column("服务", "text", 22), _Column("数据完整率", "percent", 12)),
        *(
            _Column("范围(h)", "hours"),
            _Column("已知(h)", "hours"),
            _Column("缺失(h)", "hours"),
            _Column("状态", "text", 16),
        ),
    )
    times: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for d in s.determinants:
        sums = times[d.unit, d.service]
        sums[0], sums[1] = max(sums[0], d.scope_ms), max(sums[1], d.known_ms)
    rows = (
        (
            *(n.unit, words.of(words.SERVICES, n.service)[0], n.coverage),
            *(_hours(times[n.unit, n.service][0]), _hours(times[n.unit, n.service][1])),
            *(_hours(times[n.unit, n.service][0] - times[n.unit, n.service][1]),),
            words.of(words.STATUSES, n.status.value)[0],
        )
        for n in s.lines
        if n.coverage is not None
    )
    policy = " · ".join(f"{key} = {value}" for key, value in sorted(s.policy.items()))
    book.sheet(SHEETS[5], f"{s.month} · {policy}", columns, rows)


def _rules(book: _Book, s: Statement) -> None:
    columns = (
        *(
            _Column("类别", "text", 10),
            _Column("条款", "text", 12),
            _Column("参数", "text", 30),
            _Column("适用", "text", 18),
        ),
        *(
            _Column("数值/采用", "text", 26),
            _Column("单位", "text", 14),
            _Column("生效", "text", 12),
            _Column("说明", "text", 60),
        ),
    )
    rows: list[tuple[str, ...]] = [
        ("参数", r.article, r.id, r.key, r.value, r.unit, r.from_day, "") for r in rules_used(s)
    ]
    rows += [("读法", r.clause, r.id, "", r.adopted, "", r.from_day, r.text) for r in s.readings]
    rows += [("须知", "", f.code, f.subject, "暂定" if f.provisional else "", "", "", f.message) for f in s.findings]
    rows += [("输入", "", name, "", sha256, "SHA-256", "", "") for name, sha256 in sorted(s.sources.items())]
    hashes = (
        ("结果", s.result_hash()),
        ("输入合计", input_hash(s.sources)),
        ("规则", s.rulebook_hash),
        ("计算核心", s.kernel_version),
    )
    rows += [("复核", "", name, "", value, "", "", "") for name, value in hashes]
    book.sheet(SHEETS[6], "华东区域并网发电厂辅助服务管理实施细则(试行)", columns, rows)


def _hours(duration_ms: int) -> Fraction:
    return Fraction(duration_ms, 3_600_000)
