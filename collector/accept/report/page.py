# SPDX-License-Identifier: GPL-3.0-or-later
"""accept.html: the report as a page, Chinese first, printable on A4; no script, no external resource.

Written without a template engine: a gateway has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from collector.accept.outcome import CheckOutcome, CheckVerdict
from collector.accept.report.facts import Fact
from collector.accept.run import Acceptance

_STYLE: Final = """
@page { size: A4; margin: 16mm 14mm; }
* { box-sizing: border-box; }
body { font: 10.5pt/1.45 "Noto Sans CJK SC", "Source Han Sans SC", "Microsoft YaHei", sans-serif; color: #111;
  max-width: 190mm; margin: 8mm auto; padding: 0 4mm; }
h1 { font-size: 19pt; margin: 0; } h2 { font-size: 12.5pt; margin: 7mm 0 2mm; break-after: avoid; }
.en { color: #555; font-size: 90%; font-weight: normal; }
.result { border: 1.5pt solid; padding: 3mm 4mm; margin: 5mm 0; font-size: 13pt; font-weight: bold; }
.result small { display: block; font-size: 10pt; font-weight: normal; color: #111; }
.pass { color: #14622b; } .fail { color: #a11212; } .not_applicable, .not_done { color: #666; }
table { border-collapse: collapse; width: 100%; } thead { display: table-header-group; }
th, td { border: .5pt solid #999; padding: 1.2mm 1.8mm; text-align: left; vertical-align: top; }
th { background: #f0f0f0; font-weight: 600; } tr { break-inside: avoid; }
.head th { width: 34mm; } .checks td:first-child, .checks td:last-child { white-space: nowrap; }
td, th { overflow-wrap: anywhere; } .note { font-size: 9pt; color: #333; margin: 1mm 0 0; white-space: pre-line; }
.mono { font: 8pt/1.4 "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; margin: .6mm 0; }
.sign { display: grid; grid-template-columns: repeat(3, 1fr); gap: 8mm; margin-top: 10mm; break-inside: avoid; }
.sign div { border-top: .7pt solid #111; padding-top: 1mm; margin-top: 14mm; }
@media print { body { margin: 0; padding: 0; max-width: none; } .result, th { print-color-adjust: exact; } }
"""


def page_html(acceptance: Acceptance, facts: Sequence[Fact], files: Mapping[str, str]) -> str:
    """The page; every text is escaped."""
    rows = acceptance.rows()
    kind = next(fact.value for fact in facts if fact.key == "kind")
    parts = [
        '<!DOCTYPE html><html lang="zh-CN"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(kind)} {'' if acceptance.passed else '不合格 '}</title><style>{_STYLE}</style></head><body>",
        f'<h1>验收报告 <span class="en">Acceptance report</span></h1><p>{escape(kind)}</p>',
        _result(acceptance, rows), _head(facts), _checks(rows), _changes(acceptance.changes), _files(files), _sign(),
        "</body></html>",
    ]  # fmt: skip
    return "\n".join(parts) + "\n"


def _result(acceptance: Acceptance, rows: Sequence[CheckOutcome]) -> str:
    counts = Counter(row.verdict for row in rows)
    shown = ",".join(f"{verdict.words} {counts[verdict]}" for verdict in CheckVerdict if counts[verdict])
    kind = "pass" if acceptance.passed else "fail"
    words = CheckVerdict(kind).words
    if acceptance.broken_off:
        words = f"中止,未完成 broken off: {acceptance.broken_off}"
    return f'<div class="result {kind}">{escape(words)}<small>{escape(shown)}</small></div>'


def _head(facts: Sequence[Fact]) -> str:
    rows = [f'<tr><th>{f.zh} <span class="en">{f.en}</span></th><td>{escape(f.value) or "&nbsp;"}</td></tr>'
            for f in facts]  # fmt: skip
    return f'<table class="head">{"".join(rows)}</table>'


def _checks(rows: Sequence[CheckOutcome]) -> str:
    body = "".join(_check(row) for row in rows)
    heads = (("编号", "code"), ("项目与做法", "check, and what was done"), ("结果与限值", "measured and limit"),
             ("结论", "verdict"))  # fmt: skip
    cells = "".join(f'<th>{zh} <span class="en">{en}</span></th>' for zh, en in heads)
    head = '<h2>检验项目 <span class="en">Checks</span></h2>'
    return f'{head}<table class="checks"><thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>'


def _check(row: CheckOutcome) -> str:
    check = row.check
    done = f'<p class="note">{escape(check.done_zh)}\n<span class="en">{escape(check.done_en)}</span></p>'
    result = escape(row.measured or row.reason).replace(" · ", "<br>", 1)
    if row.limit:
        result += f'<p class="note">限值 limit: {escape(row.limit)}</p>'
    result += "".join(f'<p class="mono">{escape(line)}</p>' for line in row.evidence)
    words = row.verdict.words.partition(" ")
    took = f'<p class="note">{row.duration_s:.1f} s</p>' if row.duration_s >= 0.1 else ""
    title = f'{escape(check.zh)}<br><span class="en">{escape(check.en)}</span>{done}'
    verdict = f"<b>{words[0]}</b><br>{words[2].replace(' ', '<br>')}{took}"
    cells = f'<td>{check.code}</td><td>{title}</td><td>{result}</td><td class="{row.verdict.value}">{verdict}</td>'
    return f"<tr>{cells}</tr>"


def _changes(changes: Sequence[str]) -> str:
    if not changes:
        return ""
    lines = "".join(f'<p class="mono">{escape(line)}</p>' for line in changes)
    head = '<h2>试验时与被试配置的差别 <span class="en">What differed from the configuration under test</span></h2>'
    return head + lines


def _files(files: Mapping[str, str]) -> str:
    lines = "".join(f'<p class="mono">{digest}  {escape(name)}</p>' for name, digest in files.items())
    return f'<h2>文件 <span class="en">Files, SHA-256</span></h2>{lines}'


def _sign() -> str:
    people = (("试验人", "tested by"), ("见证人", "witnessed by"), ("批准", "approved by"))
    boxes = "".join(f'<div>{zh} <span class="en">{en}</span><br>日期 <span class="en">date</span></div>'
                    for zh, en in people)  # fmt: skip
    return f'<div class="sign">{boxes}</div>'
