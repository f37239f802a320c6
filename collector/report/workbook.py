# SPDX-License-Identifier: GPL-3.0-or-later
"""statement.xlsx: sheets in the regulation's words, then one a table of evidence; totals as formulas.

Cells and totals are written by `sheets.py`. Totals are formulas stored with their value from the same statement, so a
program that does not calculate shows the same numbers. The file has no timestamps.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from io import BytesIO
from typing import Any, Final

from xlsxwriter.utility import xl_rowcol_to_cell

from collector.report import words
from collector.report.evidence import NUMBERS, EvidenceTable, shown_rows
from collector.report.manifest import input_hash, run_id
from collector.report.page import rules_used, service_totals, status_on
from collector.report.segments import UnpaidTime
from collector.report.sheets import Book, SheetColumn, shown
from collector.settlement.statement import Statement

SHEETS: Final = ("结算汇总", "补偿明细", "分摊", "计量依据", "未补偿原因", "数据完整率", "规则依据")


def workbook_xlsx(
    statement: Statement,
    unpaid: Sequence[UnpaidTime],
    evidence: Sequence[EvidenceTable],
    paper: words.Paper | None = None,
) -> bytes:
    """statement.xlsx."""
    file = BytesIO()
    mark = "假设 what-if" if paper is not None and paper.what_if else ""
    book = Book(file, f"辅助服务补偿结算单 {statement.month}", mark)
    try:
        _summary(book, statement, paper)
        _lines(book, statement)
        _allocation(book, statement)
        _determinants(book, statement)
        _unpaid(book, unpaid)
        _coverage(book, statement)
        _rules(book, statement)
        for table in evidence:
            _evidence(book, statement, table)
    finally:
        book.book.close()
    return file.getvalue()


def _summary(book: Book, s: Statement, paper: words.Paper | None) -> None:
    columns = (
        *(SheetColumn("结算区域", "text"), SheetColumn("电厂", "text", 18), SheetColumn("补偿费用(元)", "yuan", 18)),
        *(SheetColumn("分摊费用(元)", "yuan", 18), SheetColumn("结算费用(元)", "yuan", 18)),
        *(SheetColumn("状态", "text", 12), SheetColumn("说明", "text", 36)),
    )
    status = status_on(paper, s.status.value)
    number = "" if paper is None else f"运行 {paper.run} · "
    note = f"{s.month} · {status[0]} {status[1]} · {number}{run_id(s)} · 考核(第十一条)不在本结算单内"
    rows = [
        (
            *(words.of(words.AREAS, p.area)[0], p.plant, p.compensation_yuan, p.allocation_yuan, p.net_yuan),
            *(status_on(paper, p.status.value)[0], words.both(words.REASONS, p.reason)),
        )
        for p in s.plants
    ]
    sheet, first, last = book.sheet(SHEETS[0], note, columns, rows)
    if not rows:
        return
    book.label(sheet, last + 1, 1, "合计")
    for index, amounts in enumerate(zip(*(row[2:5] for row in rows), strict=True), 2):
        _total(book, sheet, last + 1, index, first, last, amounts)
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


def _lines(book: Book, s: Statement) -> None:
    columns = (
        *(
            SheetColumn("结算区域", "text"),
            SheetColumn("电厂", "text", 16),
            SheetColumn("机组", "text", 16),
            SheetColumn("服务", "text", 20),
        ),
        *(SheetColumn("条款", "text", 10), SheetColumn("计量", "quantity", 18), SheetColumn("单位", "text", 8)),
        *(SheetColumn("数据完整率", "percent", 11), SheetColumn("补偿费用(元)", "yuan", 16)),
        *(
            SheetColumn("下限(元)", "yuan"),
            SheetColumn("上限(元)", "yuan"),
            SheetColumn("状态", "text", 16),
            SheetColumn("说明", "text", 36),
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


def _total(
    book: Book, sheet: Any, row: int, column: int, first: int, last: int, amounts: Iterable[Decimal | None]
) -> None:
    """Write a sum in yuan; blank where no amount is known, as in a blocked area: unknown is never 0."""
    known = [amount for amount in amounts if amount is not None]
    if known:
        book.total(sheet, row, column, first, last, "yuan", sum(known, Decimal(0)))
    else:
        sheet.write_blank(row, column, None, book.totals["yuan"])


def _allocation(book: Book, s: Statement) -> None:
    """Write the allocation of Art. 22 per settlement area: R, F_i, A_i, K_i, with a total row under each area."""
    columns = (
        *(
            SheetColumn("结算区域", "text"),
            SheetColumn("电厂", "text", 18),
            SheetColumn("上网电费等 F(元)", "yuan", 20),
        ),
        *(SheetColumn("占比", "percent", 10), SheetColumn("分摊费用 A(元)", "yuan", 18)),
        *(SheetColumn("补偿费用 R(元)", "yuan", 18), SheetColumn("结算费用 K=R-A(元)", "yuan", 20)),
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
                sheet.write_formula(row, 6, formula, book.formats["yuan"], shown(p.net_yuan))
            row += 1
        if plants:
            book.label(sheet, row, 0, "合计")
            book.label(sheet, row, 1, words.both(words.REASONS, area.reason))
            for index, name in ((2, "revenue_yuan"), (4, "allocation_yuan"), (5, "compensation_yuan"), (6, "net_yuan")):
                _total(book, sheet, row, index, first, row - 1, [getattr(p, name) for p in plants])
            row += 2


def _determinants(book: Book, s: Statement) -> None:
    columns = (
        *(SheetColumn("机组", "text", 16), SheetColumn("服务", "text", 20), SheetColumn("计量项", "text", 22)),
        *(
            SheetColumn("数值", "quantity", 18),
            SheetColumn("单位", "text", 8),
            SheetColumn("范围(h)", "hours"),
            SheetColumn("已知(h)", "hours"),
        ),
        *(
            SheetColumn("计入(h)", "hours"),
            SheetColumn("剔除(h)", "hours"),
            SheetColumn("自身原因(h)", "hours"),
            SheetColumn("算式", "text", 60),
        ),
    )
    steps = {
        (line.unit, line.service, line.area, line.plant): "; ".join(step.text for step in line.steps)
        for line in s.lines
    }
    rows = (
        (
            *(d.unit, words.of(words.SERVICES, d.service)[0], d.determinant, d.value, d.value_unit),
            *(_hours(ms) for ms in (d.scope_ms, d.known_ms, d.counted_ms, d.excluded_ms, d.own_fault_ms)),
            steps.get((d.unit, d.service, d.area, d.plant), ""),
        )
        for d in s.determinants
    )
    book.plain_sheet(SHEETS[3], f"{s.month} · 计量依据(第十九条)", columns, rows)


def _unpaid(book: Book, unpaid: Sequence[UnpaidTime]) -> None:
    columns = (
        *(SheetColumn("机组", "text", 16), SheetColumn("服务", "text", 22), SheetColumn("类别", "text", 22)),
        *(SheetColumn("原因", "text", 44), SheetColumn("分钟", "hours", 14)),
    )
    rows = (
        (
            *(u.unit, words.of(words.SERVICES, u.service)[0], words.both(words.CLASSES, u.cause)),
            *(words.both(words.REASONS, u.reason), Fraction(u.duration_ms, 60_000)),
        )
        for u in unpaid
    )
    book.plain_sheet(SHEETS[4], "未予补偿的时间,按原因(分钟);范围之外单列", columns, rows)


def _known_and_missing(times: Sequence[int]) -> tuple[int, int, int]:
    scope_ms, known_ms = times
    return scope_ms, known_ms, scope_ms - known_ms


def _coverage(book: Book, s: Statement) -> None:
    columns = (
        *(SheetColumn("机组", "text", 16), SheetColumn("服务", "text", 22), SheetColumn("数据完整率", "percent", 12)),
        *(
            SheetColumn("范围(h)", "hours"),
            SheetColumn("已知(h)", "hours"),
            SheetColumn("缺失(h)", "hours"),
            SheetColumn("状态", "text", 16),
        ),
    )
    times: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
    for d in s.determinants:
        sums = times[d.unit, d.service, d.area, d.plant]
        sums[0], sums[1] = max(sums[0], d.scope_ms), max(sums[1], d.known_ms)
    rows = (
        (
            *(n.unit, words.of(words.SERVICES, n.service)[0], n.coverage),
            *(_hours(ms) for ms in _known_and_missing(times[n.unit, n.service, n.area, n.plant])),
            words.of(words.STATUSES, n.status.value)[0],
        )
        for n in s.lines
        if n.coverage is not None
    )
    policy = " · ".join(f"{key} = {value}" for key, value in sorted(s.policy.items()))
    book.plain_sheet(SHEETS[5], f"{s.month} · {policy}", columns, rows)


def _rules(book: Book, s: Statement) -> None:
    columns = (
        *(
            SheetColumn("类别", "text", 10),
            SheetColumn("条款", "text", 12),
            SheetColumn("参数", "text", 30),
            SheetColumn("适用", "text", 18),
        ),
        *(
            SheetColumn("数值/采用", "text", 26),
            SheetColumn("单位", "text", 14),
            SheetColumn("生效", "text", 12),
            SheetColumn("说明", "text", 60),
        ),
    )
    rows: list[tuple[str, ...]] = [
        ("参数", r.article, r.id, r.key, r.value, r.unit, r.from_day, "") for r in rules_used(s)
    ]
    rows += [("条文理解", r.clause, r.id, "", r.adopted, "", r.from_day, r.text_zh or r.text) for r in s.readings]
    rows += [("须知", "", f.code, f.subject, "暂定" if f.provisional else "", "", "", f.message) for f in s.findings]
    rows += [("输入", "", name, "", sha256, "SHA-256", "", "") for name, sha256 in sorted(s.sources.items())]
    hashes = (
        ("结果", s.result_hash()),
        ("输入合计", input_hash(s.sources)),
        ("规则", s.rulebook_hash),
        ("计算核心", s.kernel_version),
    )
    rows += [("复核", "", name, "", value, "", "", "") for name, value in hashes]
    book.plain_sheet(SHEETS[6], "华东区域并网发电厂辅助服务管理实施细则(试行)", columns, rows)


def _evidence(book: Book, s: Statement, table: EvidenceTable) -> None:
    """Write a table of evidence, at most its first SHEET_ROWS rows."""
    columns = [
        SheetColumn(words.of(words.COLUMNS, name)[0], "quantity" if name in NUMBERS else "text", 18)
        for name in table.columns
    ]
    note = f"{s.month} · {table.title[1]} · {table.name}.csv: {table.count} 行 rows"
    if table.count > len(table.rows):
        note += f",本表为前 {len(table.rows)} 行 (the first of them here)"
    book.text_sheet(table.title[0], note, columns, shown_rows(table.columns, table.rows))


def _hours(duration_ms: int) -> Fraction:
    return Fraction(duration_ms, 3_600_000)
