# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of the sheet in a folder: sheet.csv for programs, sheet.xlsx and sheet.html for people."""

from __future__ import annotations

from pathlib import Path

from collector.base.durable import write_whole
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.verify.export import Document, sheet_csv
from collector.verify.page import sheet_html
from collector.verify.workbook import sheet_xlsx


def write_sheet(folder: Path, document: Document) -> list[Path]:
    """Write the three files, each whole or not at all.

    Raises:
        StoreError: the folder can't be made or written.
    """
    contents = {
        "sheet.csv": sheet_csv(document), "sheet.xlsx": sheet_xlsx(document), "sheet.html": sheet_html(document),
    }  # fmt: skip
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in contents.items():
            write_whole(folder / name, data)
            written.append(folder / name)
    except OSError as error:
        raise StoreError(tr("can't be written: {strerror}", strerror=error.strerror), subject=str(folder)) from error
    return written
