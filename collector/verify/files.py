# SPDX-License-Identifier: GPL-3.0-or-later
"""sheet.csv for programs, sheet.xlsx and sheet.html for people, in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.verify.export import Document, sheet_csv
from collector.verify.page import sheet_html
from collector.verify.workbook import sheet_xlsx


def write_sheet(folder: Path, document: Document) -> list[Path]:
    """The three files; each appears whole or not at all.

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
            beside = folder / f".{name}.new"
            with beside.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(folder / name)
            written.append(folder / name)
    except OSError as error:
        raise StoreError(tr("can't be written: {strerror}", strerror=error.strerror), subject=str(folder)) from error
    return written
