# SPDX-License-Identifier: GPL-3.0-or-later
"""The fast sheet of many text rows against the library's own sheet of the same cells: the files are equal."""

from __future__ import annotations

from decimal import Decimal
from io import BytesIO
from zipfile import ZipFile

import pytest
from xlsxwriter import Workbook

from collector.report.sheets import Book, SheetColumn

COLUMNS = (SheetColumn("甲", "text"), SheetColumn("乙", "quantity"), SheetColumn("丙", "text"))
ROWS = [
    ("U1", "1.250000", "a & b < c"),
    ("=1+1", "-0.000001", ""),
    ("", "", "＝全角 \x07"),
    ("U1", "123456789012.345678", " led by a space"),
    ("U2", "-0.000000", "字" * 20_000),
    ("U2", "0", "\U0001f600" * 20_000),  # two units of UTF-16 each: longer than a cell may be
]


def _book(rows: list[tuple[str, str, str]], *, fast: bool) -> bytes:
    file = BytesIO()
    book = Book(file, "title")
    book.sheet("before", "note", COLUMNS, [("U2", Decimal("1.5"), "")])
    if fast:
        book.text_sheet("rows", "note", COLUMNS, rows)
    else:
        book.sheet("rows", "note", COLUMNS, [(a, Decimal(b) if b else None, c) for a, b, c in rows])
    book.sheet("after", "note", COLUMNS, [("U3", None, "-x")])
    book.book.close()
    return file.getvalue()


@pytest.mark.parametrize("repeats", [0, 1, 7])
def test_the_sheet_of_text_rows_is_the_librarys_sheet_byte_for_byte(repeats: int) -> None:
    rows = ROWS * repeats
    assert _book(rows, fast=True) == _book(rows, fast=False)


@pytest.mark.parametrize(
    "texts",
    [
        ["U1", 'a & b < c > d "e"', "字 between", "", "U1"],
        ["U1", " led by a space"],
        ["U1", "ends with one "],
        ["a tab\t", "U1"],
        ["two\nlines", "U1"],
        ["_x0041_", "\x07", "\ufffe", "U1"],
        ["<r>rich</r>", "U1"],
    ],
)
def test_the_texts_of_a_book_are_written_as_the_library_writes_them(texts: list[str]) -> None:
    ours, librarys = BytesIO(), BytesIO()
    for book in (Book(ours, "").book, Workbook(librarys)):
        sheet = book.add_worksheet()
        for row, text in enumerate(texts):
            sheet.write_string(row, 0, text)
        book.close()
    found, wanted = (ZipFile(file).read("xl/sharedStrings.xml") for file in (ours, librarys))
    assert found == wanted
