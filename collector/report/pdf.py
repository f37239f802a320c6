# SPDX-License-Identifier: GPL-3.0-or-later
"""statement.pdf: plants, lines and findings on A4, if the typst extra and a Chinese font are installed.

Every text reaches typst as data, never as markup. Without the extra or a font there is no PDF, and the caller gets the
reason; the HTML page can be printed instead.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from collector.report import words
from collector.report.manifest import run_id
from collector.report.numbers import format_amount, format_fraction, format_percent, group_digits
from collector.report.page import month_status
from collector.settlement.statement import Statement

FONTS: Final = ("Source Han Sans SC", "Noto Sans CJK SC", "Noto Serif CJK SC", "Source Han Serif SC", "SimSun")
_TEMPLATE: Final = """\
#let d = json(bytes(sys.inputs.data))
#set document(title: d.title, date: none)
#set page(paper: "a4", flipped: true, margin: (x: 12mm, y: 14mm), numbering: "1 / 1")
#set text(font: d.font, size: 8.5pt, lang: "zh")
#set table(stroke: 0.4pt + gray, inset: 3pt)
#let grid-of(t) = table(
  columns: t.head.len(),
  align: t.align.map(a => if a == "n" { right } else { left }),
  table.header(..t.head.map(h => table.cell(fill: luma(235), strong(h)))),
  ..t.rows.flatten(),
)
#text(size: 15pt, weight: "bold", d.title)

#d.head

#for note in d.notes [- #note]
#for t in d.tables [
  #block(above: 1.4em, below: 0.6em, sticky: true, text(size: 11pt, weight: "bold", t.title))
  #grid-of(t)
]
"""


def write_pdf(statement: Statement, path: Path) -> str:
    """Write the PDF; returns the reason where none was written, else an empty text.

    Raises:
        OSError: the file can't be written.
    """
    if why := why_no_pdf():
        return why
    path.write_bytes(make_pdf(_content(statement)))
    return ""


@cache
def _font() -> str:
    """The font of PDFs; empty where none of them is installed.

    Raises:
        ModuleNotFoundError: typst is not installed.
    """
    typst: Any = importlib.import_module("typst")
    present = {font.family for font in typst.Fonts().fonts()}
    return next((name for name in FONTS if name in present), "")


def why_no_pdf() -> str:
    """Why no PDF can be made here; empty where it can."""
    try:
        return "" if _font() else f"no font with Chinese is installed; one of {', '.join(FONTS)} is needed"
    except ModuleNotFoundError:
        return "typst is not installed"


def make_pdf(content: Mapping[str, Any]) -> bytes:
    """The PDF of a title, a head, notes and tables (`title`, `head`, `align`: n for numbers, `rows` of texts)."""
    typst: Any = importlib.import_module("typst")
    data = json.dumps({"font": _font(), **content}, ensure_ascii=False)
    # a fixed instant, so that the same statement gives the same bytes
    made: bytes = typst.compile(_TEMPLATE.encode(), sys_inputs={"data": data}, timestamp=0)
    return made


def _content(s: Statement) -> dict[str, Any]:
    status = month_status(s.status.value)
    return {
        "title": f"并网发电厂辅助服务补偿结算单 {s.month}",
        "head": f"状态 {status[0]} {status[1]} · 批次 {run_id(s)} · 考核(第十一条)不在本结算单内 · 单位:元",
        "notes": [f"{f.subject}: {f.message}" for f in s.findings],
        "tables": [_plants(s), _lines(s)],
    }


def _plants(s: Statement) -> dict[str, Any]:
    rows = [
        [
            *(words.of(words.AREAS, p.area)[0], p.plant),
            *(_yuan(a) for a in (p.compensation_yuan, p.revenue_yuan, p.allocation_yuan, p.net_yuan)),
            " ".join(filter(None, (month_status(p.status.value)[0], words.both(words.REASONS, p.reason)))),
        ]
        for p in s.plants
    ]
    head = ["结算区域", "电厂", "补偿费用", "上网电费等", "分摊费用", "结算费用", "状态"]
    return {"title": "结算汇总", "head": head, "align": list("ttnnnnt"), "rows": rows}


def _lines(s: Statement) -> dict[str, Any]:
    rows = [
        [
            *(n.plant, n.unit, words.of(words.SERVICES, n.service)[0], n.article),
            *(f"{format_fraction(n.quantity)} {n.quantity_unit}", format_percent(n.coverage), _yuan(n.amount_yuan)),
            " ".join(filter(None, (words.of(words.STATUSES, n.status.value)[0], words.both(words.REASONS, n.reason)))),
        ]
        for n in s.lines
    ]
    head = ["电厂", "机组", "服务", "条款", "计量", "数据完整率", "补偿费用", "状态"]
    return {"title": "补偿明细", "head": head, "align": list("ttttnnnt"), "rows": rows}


def _yuan(amount: Any) -> str:
    return group_digits(format_amount(amount))
