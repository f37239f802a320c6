# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector points convert`: a maker's sheet into a proposed table, with reasons and open decisions."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from collector.base.text import tr
from collector.cli.language import say, terminal_language

if TYPE_CHECKING:
    from collector.points.convert.proposal import TableProposal


def convert(
    file: Annotated[Path, typer.Argument(metavar="IN", help="The maker's XLSX or CSV.", show_default=False)],
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="OUT.csv", help="The proposed table.", show_default=False)
    ],
    sheet: Annotated[str, typer.Option("--sheet", help="Left out: the sheet with the largest table. 工作表")] = "",
    protocol: Annotated[str, typer.Option("--protocol", help="Left out: told by the sheet. 规约")] = "",
    base: Annotated[int | None, typer.Option("--base", min=0, max=1, help="First register: 0 or 1. 地址从几起")] = None,
    order: Annotated[str, typer.Option("--order", help="ABCD, CDAB, BADC or DCBA. 字节序")] = "",
    area: Annotated[str, typer.Option("--area", help="Area or ASDU type of rows that say none. 区")] = "",
    kind: Annotated[str, typer.Option("--type", help="Type of rows that say none. 数据类型")] = "",
    device: Annotated[str, typer.Option("--device", help="Device id for every row. 设备")] = "",
    unit: Annotated[str, typer.Option("--unit", help="Generating unit for every row. 机组")] = "",
    agent: Annotated[Path | None, typer.Option("--agent", metavar="CONFIG", help="Read --device of it. 配置")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """A maker's sheet into a proposed point table. Exit 1 where a person must still decide. 厂家点表转为点表"""
    from collector.base.errors import ConfigError
    from collector.points.convert.proposal import Options
    from collector.points.convert.propose import propose
    from collector.points.convert.sheet import read_maker_sheets
    from collector.points.findings import MESSAGES
    from collector.points.lint import lint_table
    from collector.points.load import family_of, load_points
    from collector.sheets.findings import Severity, Unreadable, worded

    chosen = Options(family_of(protocol) if protocol else "", device, unit, base, order, area, kind)
    try:
        sheets = read_maker_sheets(file, sheet)
    except Unreadable as refused:
        finding = worded(MESSAGES, refused.code, str(file), 0, "", **refused.values)
        raise ConfigError([finding.problem()]) from refused
    proposal = propose(sheets[0], chosen)
    for other in sheets[1:]:
        proposal.about.append(tr("sheet {sheet} has a table too: --sheet", sheet=other.title))
    _write(out, proposal)
    if agent is not None and proposal.rows:
        from collector.agent.operate.sheet_evidence import settle_by_reading

        settle_by_reading(proposal, load_points(out, protocol or proposal.protocol, device), agent, device)
        _write(out, proposal)
    report = lint_table(out, protocol or proposal.protocol)
    found = _as_data(proposal) | {"lint": [f.message for f in report.findings if f.severity is Severity.ERROR]}
    if as_json:
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        _show(proposal, out)
        for finding in report.findings:
            if finding.severity is not Severity.NOTE:
                print(say(finding.problem().text))
    if proposal.decisions or report.count(Severity.ERROR):
        raise typer.Exit(1)


def _write(out: Path, proposal: TableProposal) -> None:
    from collector.points.convert.proposal import table_of

    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(table_of(proposal, terminal_language()))
    out.write_text(text.getvalue(), "utf-8-sig")


def _as_data(proposal: TableProposal) -> dict[str, object]:
    return {
        "protocol": proposal.protocol,
        "about": [say(text) for text in proposal.about],
        "rows": [{"row": r.source, **r.cells, "why": [say(text) for text in r.why]} for r in proposal.rows],
        "decide": {key: say(text) for key, text in proposal.decisions.items()},
        "left_out": [{"row": left.row, "text": left.text, "reason": say(left.reason)} for left in proposal.left_out],
    }


def _show(proposal: TableProposal, out: Path) -> None:
    for text in proposal.about:
        print(say(text))
    for row in proposal.rows:
        cells = row.cells
        place = " ".join(filter(None, (cells.get("area", ""), cells["address"], cells.get("type", ""))))
        print(f"{row.source}: {cells['name']} -> {cells['quantity']} {place}".rstrip())
        for text in row.why:
            print(f"    {say(text)}")
    if proposal.left_out:
        print(say(tr("left out ({count}):", count=len(proposal.left_out))))
    for left in proposal.left_out:
        print(f"    {left.row}: {left.text[:60]}: {say(left.reason)}")
    print(say(tr("{count} rows in {out}", count=len(proposal.rows), out=out)))
    if proposal.decisions:
        print(say(tr("a person must decide:")))
    for text in proposal.decisions.values():
        print(f"  - {say(text)}")
