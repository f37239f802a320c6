# SPDX-License-Identifier: GPL-3.0-or-later
"""A worksheet as text, with the limits a hostile workbook needs.

A workbook is a ZIP of XML: its uncompressed size is bounded before anything is parsed (a ZIP member never yields more
than it declares). Formulas are refused: what they show depends on who computed them last. A number is read as the
shortest decimal that names it, which is what the reader of the sheet sees.
"""

from __future__ import annotations

import io
import warnings
import zipfile
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from collector.base.text import said_by, tr
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings

MAX_UNCOMPRESSED_BYTES: Final = 512 * 1024**2
MAX_MEMBERS: Final = 1000
MAX_SHEET_COLUMNS: Final = 256
MAX_SHEET_ROWS: Final = 1_048_576  # what a worksheet has; openpyxl would count up to whatever number a row claims

Sheet = tuple[tuple[str, ...], tuple[tuple[int, tuple[str, ...]], ...]]


def read_sheet(delivered: Delivered, findings: Findings) -> Sheet | None:
    """Header and (row, cells) of the only sheet with content. None where the workbook was refused."""
    if not _bounded(delivered, findings):
        return None
    import openpyxl

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # openpyxl warns of styles and validations it does not keep
            book = openpyxl.load_workbook(io.BytesIO(delivered.data), read_only=True, data_only=False, keep_links=False)
            try:
                sheets = [sheet for sheet in (_read(delivered.name, ws, findings) for ws in book.worksheets) if sheet]
            finally:
                book.close()
    except Exception as error:  # openpyxl raises whatever its XML and ZIP parsers raise
        findings.add(
            delivered.name,
            0,
            "",
            tr("is no workbook that can be read: {name}: {error}", name=type(error).__name__, error=error),
        )
        return None
    if len(sheets) != 1:
        what = tr("is empty") if not sheets else tr("has {count} sheets with content; keep one", count=len(sheets))
        findings.add(delivered.name, 0, "", what)
        return None
    return sheets[0]


def _bounded(delivered: Delivered, findings: Findings) -> bool:
    try:
        with zipfile.ZipFile(io.BytesIO(delivered.data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OverflowError) as error:
        findings.add(delivered.name, 0, "", tr("is no XLSX workbook: {error}", error=error))
        return False
    total = sum(member.file_size for member in members)
    if total > MAX_UNCOMPRESSED_BYTES or len(members) > MAX_MEMBERS:
        limit = tr(
            "at most {max_uncompressed_bytes} in {max_members} are read; use CSV",
            max_uncompressed_bytes=MAX_UNCOMPRESSED_BYTES,
            max_members=MAX_MEMBERS,
        )
        message = tr("unpacks to {total} bytes in {count} parts; {limit}", total=total, count=len(members), limit=limit)
        findings.add(delivered.name, 0, "", message)
        return False
    return True


def _read(name: str, worksheet: Any, findings: Findings) -> Sheet | None:
    """One sheet; None where it has no content. Rows are counted as Excel does."""
    if not hasattr(worksheet, "reset_dimensions"):
        return None  # a chart sheet
    worksheet.reset_dimensions()  # the declared size may be wrong
    header: tuple[str, ...] | None = None
    body: list[tuple[int, tuple[str, ...]]] = []
    for row, cells in enumerate(worksheet.iter_rows(max_row=MAX_SHEET_ROWS + 1), 1):
        if row > MAX_SHEET_ROWS:
            findings.add(
                name,
                0,
                "",
                tr("has rows beyond {max_sheet_rows}, where a worksheet ends; use CSV", max_sheet_rows=MAX_SHEET_ROWS),
            )
            break
        texts: list[str] = []
        for index, cell in enumerate(cells[: MAX_SHEET_COLUMNS + 1]):
            column = header[index] if header and index < len(header) else f"column {index + 1}"
            try:
                texts.append(_text(cell, column))
            except ValueError as error:
                findings.add(name, row, column, said_by(error), kind="cell")
                texts.append("")
        while texts and not texts[-1]:
            texts.pop()
        if not texts:
            continue
        if header is None:
            header = tuple(texts)
        else:
            body.append((row, tuple(texts)))
    return None if header is None else (header, tuple(body))


def _text(cell: Any, column: str) -> str:
    """The cell as a CSV would hold it."""
    value = cell.value
    if value is None:
        return ""
    if cell.data_type == "f":
        raise ValueError(tr("holds a formula; paste the value itself (paste special: values)"))
    if cell.data_type == "e":
        raise ValueError(tr("holds the error {value}; leave the cell empty where the value is missing", value=value))
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, datetime):
        return _date_text(value, column)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float):
        # The decimal a reader sees: the shortest that names the float, written out.
        return f"{Decimal(int(value) if value.is_integer() and abs(value) < 2**53 else repr(value)):f}"
    return str(value).strip()


def _date_text(value: datetime, column: str) -> str:
    """Excel turns typed months and days into dates; an instant it can't hold, for want of an offset."""
    if column == "month" and (value.day, value.time()) == (1, time()):
        return f"{value:%Y-%m}"
    if column == "from" and value.time() == time():
        return f"{value:%Y-%m-%d}"
    remedy = tr("write it as text like 2026-03-01T00:00:00+08:00")
    raise ValueError(
        tr("holds an Excel date ({value}), which has no offset; {remedy}", value=value.isoformat(), remedy=remedy)
    )
