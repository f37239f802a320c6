# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes points as the trade does: CSV in several encodings or XLSX, headings in either language."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import openpyxl

from collector.points.point import COLUMNS, Point, cells_of
from collector.points.words import HEADINGS

# form -> (suffix, encoding of a CSV; None: a workbook)
FORMS = {
    "utf8": (".csv", "utf-8"), "bom": (".csv", "utf-8-sig"), "gbk": (".csv", "gb18030"), "xlsx": (".xlsx", None),
    "xlsx_numbers": (".xlsx", None),
}  # fmt: skip


def write_cells(path: Path, rows: Iterable[Sequence[str]], form: str, *, sheet: str = "点表") -> Path:
    """Rows of text as a file. `xlsx_numbers`: cells that read as numbers are stored as numbers, as Excel does."""
    suffix, encoding = FORMS[form]
    path = path.with_suffix(suffix)
    if encoding is None:
        book = openpyxl.Workbook()
        first = book.active
        assert first is not None
        first.title = sheet
        for row in rows:
            first.append([_cell(cell) if form == "xlsx_numbers" else cell or None for cell in row])
        book.save(path)
        return path
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def _cell(text: str) -> str | int | float | None:
    if text.isascii() and text.lstrip("-").isdigit() and len(text) < 12 and (text[0] != "0" or text == "0"):
        return float(text)  # Excel knows no whole numbers: 100 is 100.0
    return text or None


def write_points(
    path: Path, points: Sequence[Point], protocol: str, form: str, *, chinese: bool, title: bool, columns: Sequence[str]
) -> Path:
    """The columns of points in the order given, below an optional title line."""
    heading = [HEADINGS[column][0] if chinese else column for column in columns]
    rows = [[cells_of(point, protocol)[column] for column in columns] for point in points]
    above = [["某电厂远动点表", *[""] * (len(columns) - 1)]] if title else []
    return write_cells(path, [*above, heading, *rows], form)


assert set(HEADINGS) == set(COLUMNS)
