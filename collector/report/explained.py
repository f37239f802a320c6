# SPDX-License-Identifier: GPL-3.0-or-later
"""An explanation as a letter to the plant: whole sentences in one language, the article quoted, its own numbers put in.

In Chinese no code, unit or English word is left but AGC, AVC and the names that the register gives. Both languages are
two letters, one after the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from typing import Final

from collector.base.text import Text, both, into, join, tr
from collector.model.interval import format_time
from collector.model.money import format_yuan
from collector.report import words
from collector.report.words import Lang, Words, say
from collector.settlement.explain import Explanation
from collector.settlement.rulebook.articles import clauses_cited
from collector.settlement.statement import SEGMENT_VALUE_DIVISOR, Line, RuleUse
from collector.settlement.units import unit_text

_DIGITS: Final = "零一二三四五六七八九"
_NUMBER: Final = re.compile(r"\d+")
_ISO: Final = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d(?:\.\d+)?)\+08:00")
_DAY: Final = re.compile(r"/(\d{4}-\d\d-\d\d)$")


def explanation_text(explanation: Explanation, *, segments: int = 40, lang: Lang = Lang.BOTH) -> Iterator[str]:
    """The letter, a paragraph or a row a line; `segments`: the most segments to show."""
    if lang is Lang.BOTH:
        yield from explanation_text(explanation, segments=segments, lang=Lang.ZH)
        yield ""
        lang = Lang.EN
    for text in _letter(explanation, segments):
        yield _ISO.sub(r"\1 \2", str(into(text, lang)))


def records_heading(lang: Lang) -> str:
    """The heading above the records of an interval."""
    return say(("记录", "Records"), lang)


def _letter(explanation: Explanation, segments: int) -> Iterator[str]:
    line = explanation.line
    yield _opening(line)
    if explanation.others:
        yield tr("This unit changed its area or plant in the month; this is about {part}.", part=_part(line))
    yield from _quoted(line.article)
    if line.steps:
        steps = join("; ", (tr("{text} = {result}", text=s.text, result=_number(s.result)) for s in line.steps))
        yield tr("It was computed so: {steps}. The sum is rounded once to the fen.", steps=steps)
    if line.low_yuan is not None:
        low = format_yuan(line.low_yuan)
        if line.high_yuan is None:
            yield tr("Data are missing: it is {low} yuan at least, and nobody can say how much at most.", low=low)
        else:
            high = format_yuan(line.high_yuan)
            yield tr("Data are missing: it is {low} yuan at least and {high} at most.", low=low, high=high)
    yield from _measured(explanation)
    yield from _not_paid(explanation)
    if line.rules:
        yield tr("The values of the rulebook: {rules}.", rules=join("; ", map(_rule, line.rules)))
    if explanation.readings:
        told = join("; ", (both(f"{r.told} ({r.id})", r.told.into("zh")) for r in explanation.readings))
        yield tr("Where the text leaves a choice open, this is how it is read: {readings}.", readings=told)
    for finding in explanation.findings:
        day = _DAY.search(finding.subject)
        about = tr("{day}: {text}", day=day[1], text=finding.message) if day else finding.message
        yield tr("To be known: {text}.", text=about)
    yield from _segments(explanation, segments)


def _opening(line: Line) -> Text:
    service, month = _word(words.SERVICES, line.service), both(line.month, _month(line.month))
    told = {"unit": line.unit, "service": service, "month": month, "article": _article(line.article)}
    reason = _word(words.REASONS, line.reason) if line.reason else tr("its reason is not known")
    if line.amount_yuan is None:
        return tr(
            "{month}, unit {unit}, {service} ({article}): no amount can be told: {reason}.", reason=reason, **told
        )
    amount = format_yuan(line.amount_yuan)
    if line.reason:
        return tr(
            "{month}, unit {unit}, {service} ({article}): {amount} yuan: {reason}.",
            amount=amount,
            reason=reason,
            **told,
        )
    return tr("{month}, unit {unit}, {service} ({article}): {amount} yuan.", amount=amount, **told)


def _part(line: Line) -> Text:
    return join(", ", (_word(words.AREAS, line.area), line.plant))


def _quoted(article: str) -> Iterator[Text]:
    for clause in clauses_cited(article):
        text = "".join(clause.paragraphs)
        yield tr("{article} says: “{text}”", article=_article(clause.article), text=text)


def _measured(explanation: Explanation) -> Iterator[Text]:
    found = explanation.determinant
    if found is None:
        return
    rows = [row for row in (found, *explanation.beside) if row.value is not None]
    values = (
        tr("{name} {value} {unit}", name=_word(words.DETERMINANTS, row.determinant), value=_number(row.value),
           unit=unit_text(row.value_unit))
        for row in rows if row.value is not None
    )  # fmt: skip
    yield tr("Measured: {values}.", values=join(", ", values))
    hours = {
        name: _number(Fraction(ms, 3_600_000))
        for name, ms in (
            ("scope", found.scope_ms), ("known", found.known_ms), ("counted", found.counted_ms),
            ("excluded", found.excluded_ms), ("own", found.own_fault_ms),
        )
    }  # fmt: skip
    yield tr(
        "Of {scope} h in scope {known} h are known, and {counted} h count; {excluded} h were excluded, and {own} h are "
        "the plant's own fault.",
        **hours,
    )


def _not_paid(explanation: Explanation) -> Iterator[Text]:
    minutes = (
        tr("{why} {minutes} min", why=_why(cause, reason), minutes=_number(Fraction(ms, 60_000)))
        for (cause, reason), ms in explanation.not_paid_ms.items()
    )
    if explanation.not_paid_ms:
        yield tr("Not paid: {minutes}.", minutes=join("; ", minutes))
    for row in explanation.left:
        why, assumption = _word(words.REASONS, row.reason), row.assumption
        if row.amount_yuan is not None:
            amount = format_yuan(row.amount_yuan)
            yield tr("{why} cost {amount} yuan, assumed: {assumption}.", why=why, amount=amount, assumption=assumption)
        else:
            yield tr("{why}: {assumption}.", why=why, assumption=assumption)


def _why(cause: str, reason: str) -> Text:
    words_of = (_word(words.CLASSES, cause), _word(words.REASONS, reason))
    return words_of[0] if cause == reason or not reason else join(", ", words_of)


def _rule(rule: RuleUse) -> Text:
    name, key, value, unit, article = rule_words(rule)
    shown = join("", (" (", key, ")")) if rule.key else ""
    return tr(
        "{name}{key} {value} {unit} ({article}, from {day})",
        name=name, key=shown, value=value, unit=unit, article=article, day=rule.from_day,
    )  # fmt: skip


def rule_words(rule: RuleUse) -> tuple[Text, Text, Text, Text, Text]:
    """A rulebook row for people: name, key, value, unit, article."""
    known = words.KEYS.get(rule.key, words.AREAS.get(rule.key, (rule.key, rule.key)))
    name, value = _said(words.of_rule(rule.id)), both(rule.value, rule.value) if rule.value else tr("not known")
    return name, both(known[1], known[0]), value, unit_text(rule.unit), _article(rule.article)


def _segments(explanation: Explanation, limit: int) -> Iterator[str]:
    table = explanation.segments
    if not table.num_rows:
        return
    yield tr("The stretches of time ({count}):", count=table.num_rows)
    for number, row in enumerate(table.slice(0, limit).to_pylist(), 1):
        value = _number(Fraction(row["value"] or 0, SEGMENT_VALUE_DIVISOR[row["value_unit"]]))
        yield tr(
            "{number} {start} to {end}: {why}, {value} {unit}",
            number=f"{number:4}", start=_instant(row["start"]), end=_instant(row["end"]),
            why=_why(row["class"], row["reason"]), value=value, unit=unit_text(row["value_unit"]),
        )  # fmt: skip
    if (left := table.num_rows - limit) > 0:
        yield tr("… and {left} more, in the file of segments", left=left)


def _instant(time_utc_ms: int) -> str:
    """An instant for a letter: local, without its offset."""
    return format_time(time_utc_ms).removesuffix("+08:00").replace("T", " ")


def _word(table: object, code: str) -> Text:
    return _said(words.of(table, code))  # type: ignore[arg-type]


def _said(found: Words) -> Text:
    return both(found[1] or found[0], found[0])


def _article(article: str) -> Text:
    """An article as each language writes it: Art. 13(3), 第十三条(三)."""
    if not article[:1].isdigit():
        return tr("data policy")
    parts = []
    for part in article.split(", "):
        number, _, clauses = part.partition("(")
        told = f"第{_chinese(number)}条" + _NUMBER.sub(lambda m: _chinese(m.group()), f"({clauses}" if clauses else "")
        parts.append(told.replace("-", "至"))
    return both(f"Art. {article}", "、".join(parts))


def _chinese(number: str) -> str:
    """A number below 100 in Chinese digits."""
    tens, ones = divmod(int(number), 10)
    head = "" if not tens else ("十" if tens == 1 else _DIGITS[tens] + "十")
    return head + (_DIGITS[ones] if ones or not tens else "")


def _month(month: str) -> str:
    year, _, number = month.partition("-")
    return f"{year}年{int(number)}月"


def _number(value: Fraction | None) -> str:
    """A number with at most six decimals, for display."""
    if value is None:
        return ""
    rounded = (Decimal(value.numerator) / Decimal(value.denominator)).quantize(Decimal("0.000001"))
    text = f"{rounded:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
