# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector points`: convert a maker's sheet, lint before the visit, diff two versions. In both languages."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.base.text import tr
from collector.cli.points_convert import convert
from collector.cli.verbs import VerbGroup

if TYPE_CHECKING:
    from rich.table import Table

    from collector.points.diff import PointChange, PointTableDifference
    from collector.points.lint import LintReport

app = typer.Typer(cls=VerbGroup, no_args_is_help=True, help="Point tables before the visit. 点表：转换、检查、比较。")
app.command()(convert)


def register(root: typer.Typer) -> None:
    """Add the group to `collector`."""
    root.add_typer(app, name="points")


class Protocol(StrEnum):
    """The protocols of `[[device]]`, which decide how address columns are read; copied here to import less."""

    MODBUS_TCP = "modbus_tcp"
    MODBUS_UDP = "modbus_udp"
    MODBUS_RTU = "modbus_rtu"
    MODBUS_RTU_OVER_TCP = "modbus_rtu_over_tcp"
    MODBUS_ASCII = "modbus_ascii"
    MODBUS_ASCII_OVER_TCP = "modbus_ascii_over_tcp"
    IEC104 = "iec104"
    IEC101 = "iec101"
    IEC101_OVER_TCP = "iec101_over_tcp"
    DLT645 = "dlt645"
    DLT645_OVER_TCP = "dlt645_over_tcp"
    DLT698 = "dlt698"
    DLT698_OVER_TCP = "dlt698_over_tcp"


ProtocolOption = Annotated[
    Protocol | None, typer.Option("--protocol", help="Read the addresses so. Left out: told by the table. 规约")
]
IgnoredOption = Annotated[
    list[str] | None,
    typer.Option("--ignore-column", metavar="HEADING", help="Pass over a column; as often as there are some. 忽略的列"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}
_SEVERITY_ZH = {"error": "错误", "warning": "警告", "note": "提示"}
_REASON_ZH = {"new": "新增", "address": "地址变", "meaning": "含义变"}


@app.command()
def lint(
    file: Annotated[Path, typer.Argument(help="CSV or XLSX.", show_default=False)],
    protocol: ProtocolOption = None,
    ignore_column: IgnoredOption = None,
    as_json: JsonOption = False,
) -> None:
    """Everything the agent would refuse, and what is rarely right. Exit 1 where there is an error. 检查点表"""
    from collector.points.lint import lint_table
    from collector.sheets.findings import Severity

    report = lint_table(file, protocol.value if protocol else None, ignore_column or ())
    if as_json:
        print(json.dumps(_report_json(report), ensure_ascii=False, indent=2))
    else:
        _show_report(report)
    if report.count(Severity.ERROR):
        raise typer.Exit(1)


def _report_json(report: LintReport) -> dict[str, object]:
    from collector.sheets.findings import Severity

    findings = [
        {
            "severity": f.severity.value, "code": f.code, "file": f.file, "row": f.row, "column": f.column,
            "message": f.message, "message_zh": f.message_zh, "remedy": f.remedy, "remedy_zh": f.remedy_zh,
        }
        for f in report.findings
    ]  # fmt: skip
    counts = {f"{severity.value}s": report.count(severity) for severity in Severity}
    return {
        "file": report.file,
        "protocol": report.family,
        "points": len(report.points),
        **counts,
        "findings": findings,
    }


def _show_report(report: LintReport) -> None:
    from rich.console import Console
    from rich.text import Text

    from collector.sheets.findings import Severity

    console = Console()
    if report.findings:
        table = _table("", "行 row", "列 column", "发现 finding", "处理 remedy")
        for f in report.findings:
            severity = Text(f"{_SEVERITY_ZH[f.severity.value]} {f.severity.value}", style=_COLOURS[f.severity.value])
            severity.append(f"\n{f.code}", style="dim")
            # Text, not str: a cell must not be read as markup.
            table.add_row(severity, str(f.row or ""), Text(f.column), Text(f"{f.message_zh}\n{f.message}"),
                          Text("\n".join(filter(None, (f.remedy_zh, f.remedy)))))  # fmt: skip
        console.print(table)
    errors, warnings, notes = (report.count(severity) for severity in Severity)
    console.print(
        Text(f"{report.file}: {report.family or '?'}, {len(report.points)} 点 points; "
             f"错误 errors {errors}, 警告 warnings {warnings}, 提示 notes {notes}"),
        soft_wrap=True,
    )  # fmt: skip


def _table(*headings: str) -> Table:
    from rich import box
    from rich.table import Table as RichTable

    table = RichTable(box=box.SIMPLE_HEAD, show_lines=False, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(help="The version before.", show_default=False)],
    new: Annotated[Path, typer.Argument(help="The version after.", show_default=False)],
    protocol: ProtocolOption = None,
    ignore_column: IgnoredOption = None,
    as_json: JsonOption = False,
) -> None:
    """Points added, removed, changed, renamed; what to verify again. Exit 1 where something differs. 比较两版点表"""
    from collector.base.errors import ConfigError, Problem
    from collector.points.diff import compare_points, load_version

    first, first_family = load_version(old, protocol.value if protocol else None, ignore_column or ())
    second, family = load_version(new, protocol.value if protocol else None, ignore_column or ())
    if first_family != family:
        message = tr(
            "is a table of {family}, {old} one of {first_family}: they can't be compared",
            family=family,
            old=old,
            first_family=first_family,
        )
        raise ConfigError([Problem(str(new), 0, "", message)])
    difference = compare_points(first, second, family)
    if as_json:
        print(json.dumps(_difference_json(str(old), str(new), difference, family), ensure_ascii=False, indent=2))
    else:
        _show_difference(difference)
    if not difference.equal:
        raise typer.Exit(1)


def _difference_json(old: str, new: str, difference: PointTableDifference, family: str) -> dict[str, object]:
    from collector.points.point import cells_of

    def change(c: PointChange) -> dict[str, object]:
        cells = [{"column": cell.column, "old": cell.old, "new": cell.new} for cell in c.cells]
        return {"device": c.device, "name": c.name, "old_row": c.old_row, "new_row": c.new_row, "cells": cells,
                "verify_again": bool(c.reasons)}  # fmt: skip

    return {
        "old": old, "new": new, "equal": difference.equal,
        "added": [{"row": p.row, **cells_of(p, family)} for p in difference.added],
        "removed": [{"row": p.row, **cells_of(p, family)} for p in difference.removed],
        "renamed": [{"device": c.device, "from": c.cells[0].old, "to": c.name, "old_row": c.old_row,
                     "new_row": c.new_row} for c in difference.renamed],
        "changed": [change(c) for c in difference.changed],
        "verify_again": [{"device": d, "name": n, "reasons": list(r)} for d, n, r in difference.verify_again],
        "no_longer_read": [{"unit": unit, "quantity": quantity} for unit, quantity in difference.no_longer_read],
    }  # fmt: skip


def _show_difference(difference: PointTableDifference) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    if difference.equal:
        console.print("两版相同 equal")
        return
    table = _table("", "设备 device", "名称 name", "行 row", "变化 change")
    for word, points in (("新增 added", difference.added), ("删除 removed", difference.removed)):
        for p in points:
            what = Text(f"{p.area} {p.address} {p.type} {p.quantity or p.guard}".strip())
            table.add_row(word, Text(p.device), Text(p.name), str(p.row), what)
    for word, changes in (("改名 renamed", difference.renamed), ("修改 changed", difference.changed)):
        for c in changes:
            cells = "\n".join(f"{cell.column}: {cell.old or '(空)'} → {cell.new or '(空)'}" for cell in c.cells)
            table.add_row(word, Text(c.device), Text(c.name), f"{c.old_row} → {c.new_row}", Text(cells))
    console.print(table)
    if difference.verify_again:
        console.print(f"重新对点 verify again: {len(difference.verify_again)}")
    for device, name, reasons in difference.verify_again:
        why = ", ".join(f"{_REASON_ZH[reason]} {reason}" for reason in reasons)
        console.print(Text(f"  {device + ' ' if device else ''}{name}: {why}"), soft_wrap=True)
    for unit, quantity in difference.no_longer_read:
        console.print(Text(f"不再读取 no longer read: {unit} {quantity}"), soft_wrap=True)
