# SPDX-License-Identifier: GPL-3.0-or-later
"""An explanation as lines of text for a terminal, in the regulation's words, in English, or in both side by side.

Ids are not translated (services, rulebook rows, readings, determinants, codes of findings): other commands and files
use them too. Steps and findings are shown as they were written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

import pyarrow as pa

from collector.model.interval import format_time
from collector.model.money import format_yuan
from collector.report import words
from collector.report.words import Lang, Words, say
from collector.settlement.explain import Explanation
from collector.settlement.statement import SEGMENT_VALUE_DIVISOR, Line

_LABELS: Final[Mapping[str, Words]] = {
    "no_amount": ("无金额", "no amount"),
    "formula": ("算式", "Formula"),
    "rounded": ("四舍五入至分,一次", "rounded once, half away from zero"),
    "rulebook": ("规则依据", "Rulebook"),
    "unknown": ("未定", "unknown"),
    "readings": ("条文理解", "Readings"),
    "measured": ("计量", "Measured"),
    "scope": ("范围", "scope"),
    "known": ("已知", "known"),
    "counted": ("计入", "counted"),
    "excluded": ("剔除", "excluded"),
    "own_fault": ("自身原因", "own fault"),
    "not_paid": ("未补偿", "not paid"),
    "segments": ("分段", "Segments"),
    "records": ("记录", "Records"),
}


def explanation_text(explanation: Explanation, *, segments: int = 40, lang: Lang = Lang.BOTH) -> Iterator[str]:
    """The explanation as lines of text; `segments`: the most segments to show."""
    line = explanation.line
    yield _head(line, lang)
    if line.low_yuan is not None and line.high_yuan is not None:
        low, high = format_yuan(line.low_yuan), format_yuan(line.high_yuan)
        yield say((f"有缺数据:至少 {low} 元,至多 {high} 元",
                   f"with its gaps: at least {low} 元, at most {high} 元"), lang)  # fmt: skip
    yield _label("formula", lang)
    for step in line.steps:
        yield f"  {step.text} = {_number(step.result)}"
    if line.amount_yuan is not None:
        yield f"  {_label('rounded', lang)}: {format_yuan(line.amount_yuan)} 元"
    yield _label("rulebook", lang)
    for rule in line.rules:
        key = f" [{rule.key}]" if rule.key else ""
        value = rule.value or _label("unknown", lang)
        yield f"  {rule.id}{key} = {value} {rule.unit}, {_article(rule.article, lang)}, {_from(rule.from_day, lang)}"
    yield _label("readings", lang)
    for reading in explanation.readings:
        text = say((reading.text_zh, reading.text), lang)
        yield f"  {reading.id} ({reading.clause}): {reading.adopted}, {text}, {_from(reading.from_day, lang)}"
    yield from _measured(explanation, lang)
    for finding in explanation.findings:
        yield f"! {finding.code}: {finding.message}"
    yield from _segments(explanation.segments, segments, lang)


def records_heading(lang: Lang) -> str:
    """The heading above the records of an interval."""
    return _label("records", lang)


def _head(line: Line, lang: Lang) -> str:
    amount = _label("no_amount", lang) if line.amount_yuan is None else f"{format_yuan(line.amount_yuan)} 元"
    service = say(words.of(words.SERVICES, line.service), lang)
    status = say(words.of(words.STATUSES, line.status.value), lang)
    reason = f", {words.all_of(words.REASONS, line.reason, lang)}" if line.reason else ""
    article = _article(line.article, lang)
    return f"{line.month}  {line.unit}  {line.service}  {service}  {article}: {amount} ({status}){reason}"


def _measured(explanation: Explanation, lang: Lang) -> Iterator[str]:
    found = explanation.determinant
    if found is None:
        return
    yield _label("measured", lang)
    value = "" if found.value is None else f"{_number(found.value)} {found.value_unit}"
    yield f"  {found.determinant} = {value}"
    for row in explanation.beside:
        yield f"  {row.determinant} = {'' if row.value is None else _number(row.value)} {row.value_unit}"
    times = {"scope": found.scope_ms, "known": found.known_ms, "counted": found.counted_ms}
    times |= {"excluded": found.excluded_ms, "own_fault": found.own_fault_ms}
    yield "  " + ", ".join(f"{_label(name, lang)} {_number(Fraction(ms, 3_600_000))} h" for name, ms in times.items())
    for (cause, reason), duration in explanation.not_paid_ms.items():
        why = f"{_cause(cause, lang)}, {words.all_of(words.REASONS, reason, lang)}"
        yield f"  {_label('not_paid', lang)}: {why}, {_number(Fraction(duration, 60_000))} min"


def _segments(segments: pa.Table, limit: int, lang: Lang) -> Iterator[str]:
    if not segments.num_rows:
        return
    yield f"{_label('segments', lang)} ({segments.num_rows})"
    for number, row in enumerate(segments.slice(0, limit).to_pylist(), 1):
        value = _number(Fraction(row["value"], SEGMENT_VALUE_DIVISOR[row["value_unit"]]))
        why = [_cause(row["class"], lang)]
        if row["reason"] != row["class"]:
            why.append(words.all_of(words.REASONS, row["reason"], lang))
        span = f"{format_time(row['start'])} … {format_time(row['end'])}"
        yield f"  {number:4} {span}  {', '.join(why)}  {value} {row['value_unit']}"
    if (left := segments.num_rows - limit) > 0:
        yield "  … " + say((f"另有 {left} 段见 segments.csv", f"{left} more in segments.csv"), lang)


def _label(name: str, lang: Lang) -> str:
    return say(_LABELS[name], lang)


def _cause(code: str, lang: Lang) -> str:
    return say(words.of(words.CLASSES, code), lang)


def _article(article: str, lang: Lang) -> str:
    return f"第{article}条" if lang is Lang.ZH else f"Art. {article}"


def _from(day: str, lang: Lang) -> str:
    return f"自 {day}" if lang is Lang.ZH else f"from {day}"


def _number(value: Fraction) -> str:
    """A number with at most six decimals, for display."""
    rounded = (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal("0.000001"))
    text = f"{rounded:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
