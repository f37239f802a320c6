# SPDX-License-Identifier: GPL-3.0-or-later
"""A refused table as a workbook that goes back: its rows where they were, each refused cell marked with why."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from collector.base.errors import Problem
from collector.base.text import Language, into
from collector.center.inputs.kinds import REGISTER
from collector.report.sheets import Book
from collector.sheets.efile import is_efile
from collector.sheets.efile_words import heading_of
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.sheets.grid import open_grid

MOST_ROWS: Final = 100_000


def marked_xlsx(kind: str, delivered: Delivered, problems: Sequence[Problem], language: Language) -> bytes | None:
    """The file with its refused cells marked; None where it is no table whose rows can be shown.

    Rows keep their numbers, and comments say what is wrong, so that it can be mended and sent as it is. Texts are
    texts, never formulas.
    """
    if kind == REGISTER or is_efile(delivered):
        return None
    grid = open_grid(replace(delivered, table=kind), Findings())
    if grid is None:
        return None
    rows = [row for row, _ in zip(grid.rows(Findings()), range(MOST_ROWS), strict=False)]
    of_row: dict[int, list[Problem]] = defaultdict(list)
    for problem in problems:
        of_row[problem.row].append(problem)
    target = io.BytesIO()
    book = Book(target, delivered.name)
    marked = book.book.add_format({"font_size": 10, "border": 1, "bg_color": "#FFC7CE", "font_color": "#9C0006"})
    sheet = book.book.add_worksheet("refused")
    sheet.freeze_panes(1, 0)
    sheet.set_column(0, len(grid.header) - 1, 22)
    places = {name: index for index, name in enumerate(grid.header)}
    for index, name in enumerate(grid.header):
        sheet.write_string(0, index, heading_of(kind, name), book.header)
    for row, cells in [*rows, *((row, ()) for row in of_row if row > 1 and row not in {n for n, _ in rows})]:
        for index, cell in enumerate(cells):
            book.cell(sheet, row - 1, index, "text", cell)
        said: dict[int, list[str]] = defaultdict(list)
        for problem in of_row.get(row, []):
            said[places.get(problem.key, 0)].append(str(into(problem.message, language)))
        for place, texts in said.items():
            sheet.write_string(row - 1, place, cells[place] if place < len(cells) else "", marked)
            sheet.write_comment(row - 1, place, "; ".join(texts)[:1000])
    whole = [str(into(problem.message, language)) for row in (0, 1) for problem in of_row.get(row, [])]
    if whole:
        sheet.write_comment(0, 0, "; ".join(whole)[:1000])
    book.book.close()
    return target.getvalue()
