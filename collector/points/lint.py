# SPDX-License-Identifier: GPL-3.0-or-later
"""Lint of a point table before the visit: all that load refuses, and entries that are allowed but rarely right.

Lint looks at the table alone: device and read limits are known to `agent check`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from collector.model.quantity import BY_NAME, QuantityKind
from collector.points.cells import parse_whole
from collector.points.findings import TableFindings
from collector.points.grid import PointSheet, read_table
from collector.points.identifiers import attribute_of
from collector.points.lint_layout import lint_identifiers, lint_objects, lint_orders, lint_registers
from collector.points.lint_meaning import lint_arithmetic, lint_ranges, lint_sentinels
from collector.points.load import Entry, by_device, family_of, read_entries
from collector.points.notation import find_notation
from collector.points.point import Point
from collector.points.words import AREA_ZH, IEC104_AREA_WORDS, MODBUS_AREA_WORDS, TYPE_WORDS, fold
from collector.sheets.findings import Severity, TableFinding


@dataclass(frozen=True, slots=True)
class LintReport:
    """The result of lint. `family`: modbus, iec104, dlt645, dlt698, or empty where the table does not decide."""

    file: str
    family: str
    points: tuple[Point, ...]
    findings: tuple[TableFinding, ...]

    def count(self, severity: Severity) -> int:
        """The number of findings of a severity."""
        return sum(finding.severity is severity for finding in self.findings)


def lint_table(path: Path, protocol: str | None = None, ignored: Iterable[str] = ()) -> LintReport:
    """Read and judge a table; bad content gives findings, never an exception.

    `protocol`, `ignored` as in `load_points`; with `protocol` None the family is guessed from the table.
    """
    findings = TableFindings(str(path))
    table = read_table(path, findings, ignored)
    family = ""
    if protocol:
        family = family_of(protocol)
    elif table is not None:
        family = guess_family(table)
    if table is None or not family:
        if table is not None:
            findings.find("protocol_unknown")
        return LintReport(str(path), family, (), findings.found)
    entries = read_entries(table, family, findings)
    if not table.rows:
        findings.find("no_rows")
    entry_of = {entry.point.row: entry for entry in entries}
    for points in by_device(entry.point for entry in entries).values():
        _lint_device([entry_of[point.row] for point in points], family, table, findings)
    return LintReport(str(path), family, tuple(e.point for e in entries), findings.found)


def guess_family(table: PointSheet) -> str:
    """The protocol family a table is written for; empty where two are possible."""
    areas = {fold(cells["area"]) for _, cells in table.rows if cells.get("area")}
    shared = {"1", "01", "3", "03"}  # codes that are both a function code and an ASDU type
    if (areas - shared) & set(IEC104_AREA_WORDS.words) - set(MODBUS_AREA_WORDS.words):
        return "iec104"
    if (areas - shared) & set(MODBUS_AREA_WORDS.words):
        return "modbus"
    addresses = [cells.get("address", "") for _, cells in table.rows]
    if not areas and addresses and all(re.fullmatch(r"[0-9A-Fa-f]{8}[Hh]?", text) for text in addresses):
        oads = [int(text[:8], 16) for text in addresses]
        return "dlt698" if all(attribute_of(oad) for oad in oads) else "dlt645"
    kinds = {TYPE_WORDS.words.get(fold(cells.get("type", ""))) for _, cells in table.rows}
    if kinds & {"int16", "uint16", "int32", "uint32", "bcd16", "bcd32"} or "registers" in table.headings:
        return "modbus"
    return "iec104" if "common_address" in table.headings and areas else ""


def _lint_device(entries: list[Entry], family: str, table: PointSheet, findings: TableFindings) -> None:
    points = [entry.point for entry in entries]
    lint_ranges(points, findings)
    lint_arithmetic(points, family, findings)
    _lint_sources(points, findings)
    if family == "modbus":
        lint_registers(points, findings)
        lint_orders(entries, findings)
        lint_sentinels(points, findings)
        _lint_notation(entries, table, findings)
    elif family == "iec104":
        lint_objects(points, findings)
    else:
        lint_identifiers(points, family, findings)


def _lint_sources(points: list[Point], findings: TableFindings) -> None:
    """Check primary and backup of a quantity: a status that the bill depends on should have two different sources."""
    sources = {(p.unit, p.quantity, p.backup): p for p in points if p.quantity}
    single: dict[str, list[Point]] = {}
    for (unit, name, backup), point in sources.items():
        other = sources.get((unit, name, not backup))
        if other is None:
            if backup:
                findings.find("backup_alone", point.row, "backup", quantity=name)
            elif BY_NAME[name].kind is QuantityKind.STATUS:
                single.setdefault(unit, []).append(point)
        elif backup and place_of(point) == place_of(other):
            findings.find("same_signals", point.row, "backup", quantity=name, other=other.row)
    for statuses in single.values():
        findings.find("no_backup", statuses[0].row, "quantity", quantities=", ".join(p.quantity for p in statuses))


def place_of(point: Point) -> tuple[object, ...]:
    """The place in a device from which the value is read."""
    return point.area, point.common_address, point.address, point.bit_text


def _lint_notation(entries: list[Entry], table: PointSheet, findings: TableFindings) -> None:
    """A plain address in one area that reads like 4xxxx notation of another."""
    texts = {row: cells.get("address", "") for row, cells in table.rows}
    for entry in entries:
        text = texts[entry.point.row]
        notation = find_notation(text)
        if notation is None or notation.area == entry.point.area or (parse_whole(text) or 0) < 10_000:
            continue
        findings.find("notation_elsewhere", entry.point.row, "address", text=text, prefix=notation.prefix,
                     area=notation.area, area_zh=AREA_ZH[notation.area], given=entry.point.area)  # fmt: skip
