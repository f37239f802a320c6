# SPDX-License-Identifier: GPL-3.0-or-later
"""sheet.xlsx: the steps with signature lines, open steps, every verdict ever given, and facts about the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Final

from collector.report.sheets import Book, SheetColumn
from collector.verify.export import COLUMNS, SIGNATURES, Document

_WIDE: Final = {"description": 24, "place": 30, "point": 20, "address": 22, "raw": 18, "note": 24, "quantity": 18}
_NARROW: Final = ("step", "tolerance", "value_unit", "quality", "kind", "attempts", "verdict", "expected", "value")
# The columns that fit on a page for signature; sheet.csv has every column.
_SIGNED: Final = (
    "unit", "device", "point", "description", "address", "step", "expected", "tolerance", "value", "value_unit",
    "quality", "raw", "stored", "verdict", "who", "at", "note",
)  # fmt: skip
_TIMES: Final = ("device_time", "read_at", "stored_at", "at")
_HISTORY: Final = (
    "device", "point", "step", "expected", "tolerance", "value", "value_unit", "quality", "raw", "verdict", "who",
    "at", "note",
)  # fmt: skip


def sheet_xlsx(document: Document) -> bytes:
    """The workbook; text never becomes a formula, and no time of writing is in it."""
    target = BytesIO()
    book = Book(target, document.title)
    counts = " · ".join(f"{zh} {en}: {text}" for zh, en, text in document.facts[:4])
    sheet, _, last = book.sheet("对点表", counts, _columns(_SIGNED), _cells(document.rows, _SIGNED))
    for number, (zh, en) in enumerate(SIGNATURES):
        place = last + 3 + 2 * number
        book.label(sheet, place, 0, f"{zh} {en}")
        for column, title in ((4, "签字 Signature:"), (8, "日期 Date:")):
            sheet.write_string(place, column, title)
    opened = document.open_rows
    names = ("device", "point", "description", "address", "step", "expected", "value", "quality", "verdict", "reasons")
    book.sheet(
        "未完成", f"未合格的步骤 steps that have not passed: {len(opened)}", _columns(names), _cells(opened, names)
    )
    book.sheet("全部记录", "每次结论 every verdict given", _columns(_HISTORY), _cells(document.history, _HISTORY))
    facts = [SheetColumn("项目 item", "text", 34), SheetColumn("内容", "text", 80)]
    book.sheet("概况", document.title, facts, [(f"{zh} {en}", text) for zh, en, text in document.facts])
    book.book.close()
    return target.getvalue()


def _columns(names: Iterable[str]) -> list[SheetColumn]:
    return [SheetColumn(f"{COLUMNS[name][0]}\n{COLUMNS[name][1]}", "text", _width(name)) for name in names]


def _width(name: str) -> int:
    if name in _TIMES:
        return 25
    return _WIDE.get(name, 9 if name in _NARROW else 13)


def _cells(rows: Iterable[dict[str, str]], names: Iterable[str]) -> list[Sequence[str]]:
    return [[row[name] for name in names] for row in rows]
