# SPDX-License-Identifier: GPL-3.0-or-later
"""The sheet of expectations: CSV or XLSX with point, step, expected, tolerance; and an empty one to fill in.

A point that the sheet names has the sheet's steps, in its order; every other point keeps its default steps. The
expected value of a step without one is asked for during verification.
"""

from __future__ import annotations

import csv
import difflib
import hashlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from collector.base.errors import ConfigError, Problem
from collector.base.text import said_by, tr
from collector.model.quantity import QuantityKind
from collector.points.findings import TableFindings
from collector.points.grid import read_sheet
from collector.report.sheets import FORMULA_STARTS, plain_text
from collector.verify.items import LEVELS, Item, PointStep
from collector.verify.judge import parse_expected, parse_tolerance
from collector.verify.session import Expectations, ExpectedRow

_HEADINGS: Final = {
    "point": ("point", "name", "点名", "测点名称", "名称"),
    "device": ("device", "设备", "装置"),
    "step": ("step", "步骤"),
    "expected": ("expected", "期望值", "预期值"),
    "tolerance": ("tolerance", "允差", "允许误差"),
    # only for the reader: description of the point in the empty sheet
    "": ("description", "unit", "address", "note", "说明", "描述", "单位", "地址", "备注", "序号", "no"),
}
_SHEET_COLUMNS: Final = ("device", "point", "description", "address", "step", "expected", "tolerance", "unit")
_REQUIRED: Final = ("point", "step", "expected")


def load_expectations(path: Path, items: Sequence[Item], now_utc_ms: int) -> Expectations:
    """Load a sheet and check it against the configured points.

    Raises:
        ConfigError: every problem in it, with row and column.
    """
    findings = TableFindings(str(path))
    sheet = read_sheet(path, findings)
    findings.refuse_if_any()
    assert sheet is not None
    problems: list[Problem] = []
    places = _places(str(path), sheet.rows[0] if sheet.rows else (), problems)
    rows: dict[tuple[str, str, str], ExpectedRow] = {}
    by_name: dict[str, list[Item]] = {}
    for item in items:
        by_name.setdefault(item.point.name, []).append(item)
    for number, cells in enumerate(sheet.rows[1:], 2):
        if problems and number == 2:
            break  # nothing else can be checked without these columns
        if any(cells):
            for row in _read_row(_Cells(str(path), number, cells, places, problems), by_name):
                key = (row.device, row.point, row.step)
                if key in rows:
                    problems.append(
                        Problem(
                            str(path),
                            number,
                            "step",
                            tr("{point} has the step {step} twice", point=row.point, step=row.step),
                        )
                    )
                rows[key] = row
    if not rows and not problems:
        problems.append(Problem(str(path), 0, "", tr("names no step of any point")))
    if problems:
        raise ConfigError(problems)
    return Expectations(path.name, hashlib.sha256(path.read_bytes()).hexdigest(), now_utc_ms, list(rows.values()))


def empty_sheet(items: Sequence[Item]) -> bytes:
    """A sheet of every point with its steps to fill in: both states, three levels, one reading; UTF-8 with BOM."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(_SHEET_COLUMNS)
    for item in items:
        measured = item.quantity.kind is QuantityKind.ANALOG
        for step in [PointStep(level) for level in LEVELS] if measured else item.default_steps():
            cells = (item.device, item.point.name, item.point.description, item.address, step.name, step.expected, "")
            writer.writerow([plain_text(cell) for cell in (*cells, item.quantity.unit)])
    return text.getvalue().encode("utf-8-sig")


class _Cells:
    """One row of a sheet."""

    def __init__(
        self, file: str, row: int, cells: Sequence[str], places: Mapping[str, int], problems: list[Problem]
    ) -> None:
        self.file = file
        self.row = row
        self.problems = problems
        self._cells = cells
        self._places = places

    def text(self, column: str) -> str:
        at = self._places.get(column, len(self._cells))
        text = self._cells[at].strip() if at < len(self._cells) else ""
        # The apostrophe that marks a text in a spreadsheet is not part of it.
        return text[1:] if text.startswith("'") and text[1:].startswith(FORMULA_STARTS) else text

    def wrong(self, column: str, message: str) -> None:
        self.problems.append(Problem(self.file, self.row, column, message))


def _places(file: str, header: Sequence[str], problems: list[Problem]) -> dict[str, int]:
    places: dict[str, int] = {}
    for index, heading in enumerate(header):
        word = heading.strip().lower()
        key = next((key for key, words in _HEADINGS.items() if word in words), None)
        if key is None and word:
            near = difflib.get_close_matches(word, [w for words in _HEADINGS.values() for w in words], 1)
            hint = tr("; did you mean {near!r}?", near=near[0]) if near else ""
            problems.append(Problem(file, 1, heading, tr("unknown column{hint}", hint=hint)))
        elif key:
            places.setdefault(key, index)
    problems += [Problem(file, 1, key, tr("column missing")) for key in _REQUIRED if key not in places]
    return places


def _read_row(cells: _Cells, by_name: Mapping[str, list[Item]]) -> list[ExpectedRow]:
    """The step of a row for the device it names, or for all devices that have a point of this name."""
    name, device, step = cells.text("point"), cells.text("device"), cells.text("step")
    meant = [item for item in by_name.get(name, []) if device in ("", item.device)]
    if not meant:
        near = difflib.get_close_matches(name, by_name, 1, 0.5)
        hint = tr("; did you mean {near!r}?", near=near[0]) if near else ""
        cells.wrong(
            "point",
            tr("no device has a point {name!r}", name=name)
            if not device
            else tr("{device} has no point {name!r}{hint}", device=device, name=name, hint=hint),
        )
        return []
    if not step:
        cells.wrong("step", tr("is empty"))
        return []
    found = []
    for item in meant:
        expected, tolerance = cells.text("expected"), cells.text("tolerance")
        try:
            expected = parse_expected(item, expected) if expected else ""
            tolerance = parse_tolerance(item, tolerance)
        except ValueError as error:
            cells.wrong("expected", said_by(error))
            return []
        found.append(ExpectedRow(item.device, name, step, expected, tolerance))
    return found
