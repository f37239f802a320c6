# SPDX-License-Identifier: GPL-3.0-or-later
"""`explain --html`: a line with its formula, rows and reasons, and its unit's month drawn day by day."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from collector.report import words
from collector.report.evidence import subject_words
from collector.report.numbers import format_amount, format_fraction, group_digits
from collector.report.timeline.drawing import DrawnDay, drawn_days
from collector.report.timeline.svg import COLOURS, day_svg
from collector.settlement.explain import Explanation
from collector.settlement.inputs import Inputs
from collector.settlement.rulebook.load import Rulebook
from collector.settlement.statement import SEGMENT_VALUE_DIVISOR, Statement


def timeline_html(explanation: Explanation, statement: Statement, inputs: Inputs, rulebook: Rulebook) -> bytes:
    """The page as UTF-8 bytes; every text of the data is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "yuan": lambda amount: group_digits(format_amount(amount)),
        "quantity": format_fraction,
    }
    line = explanation.line
    context = {
        "e": explanation,
        "service": words.of(words.SERVICES, line.service),
        "amount": "无金额 no amount"
        if line.amount_yuan is None
        else f"{group_digits(format_amount(line.amount_yuan))} 元",
        "status": words.both(words.STATUSES, line.status.value),
        "reason": words.both(words.REASONS, line.reason),
        "not_paid": [
            (words.both(words.CLASSES, cause), words.both(words.REASONS, reason), Fraction(duration, 60_000))
            for (cause, reason), duration in explanation.not_paid_ms.items()
        ],
        "colours": COLOURS,
        "subject": lambda subject: subject_words(subject)[0],
        "cause": lambda code: words.both(words.CLASSES, code),
        "days": [_day(day) for day in drawn_days(explanation, statement, inputs, rulebook)],
    }
    return (environment.get_template("timeline.html").render(**context) + "\n").encode()


def _day(day: DrawnDay) -> dict[str, Any]:
    """A day's drawing, the values of its segments, and the mark of its link in the strip of days."""
    worth: dict[str, int] = defaultdict(int)
    for _, _, cause, _, value, unit in day.segments:
        if cause == "counted":
            worth[unit] += value
    classes = {cause for _, _, cause, *_ in day.segments}
    marks = [mark for mark, wanted in (("paid", "counted"), ("gap", "missing")) if wanted in classes]
    texts = [f"{format_fraction(Fraction(v, SEGMENT_VALUE_DIVISOR[unit]))} {unit}" for unit, v in worth.items() if v]
    # `day_svg` has escaped its texts, so its result is safe as markup.
    return {"day": day.day, "svg": Markup(day_svg(day)), "worth": ", ".join(texts), "mark": " ".join(marks)}
