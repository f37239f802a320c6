# SPDX-License-Identifier: GPL-3.0-or-later
"""statement.html: the statement in the regulation's words, printable on A4; no script, no external resource."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from collector.report import words
from collector.report.evidence import NUMBERS, PAGE_ROWS, EvidenceTable, finding_texts, shown_rows, subject_words
from collector.report.manifest import input_hash, run_id
from collector.report.numbers import (
    format_amount,
    format_fraction,
    format_instant,
    format_percent,
    format_seconds,
    group_digits,
)
from collector.report.segments import UnpaidTime
from collector.settlement.statement import AreaRow, Line, PlantRow, Statement

if TYPE_CHECKING:
    from jinja2 import Template


def page_html(
    statement: Statement,
    unpaid: Sequence[UnpaidTime],
    evidence: Sequence[EvidenceTable],
    paper: words.Paper | None = None,
) -> bytes:
    """The page as UTF-8 bytes; every text of the data is escaped."""
    template = _template()
    context = _context(statement, unpaid, paper) | {"evidence": [_shown(table) for table in evidence if table.rows]}
    return (template.render(**context) + "\n").encode()


@cache
def _template() -> Template:
    """The page's template; to compile it takes as long as to fill it."""
    import jinja2  # slow to import, and the workbook, made by another process, needs other functions of this module

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
        "percent": format_percent,
        "time": format_instant,
        "hours": lambda duration_ms: _hours(duration_ms),
    }
    return environment.get_template("statement.html")


def _shown(table: EvidenceTable) -> dict[str, Any]:
    """A table of evidence with its cells in words, its first PAGE_ROWS rows."""
    from markupsafe import Markup, escape

    starts = ['<td class="n">' if name in NUMBERS else "<td>" for name in table.columns]
    cell = cache(escape)
    rows = shown_rows(table.columns, table.rows[:PAGE_ROWS])
    return {
        "table": table,
        "columns": [(words.of(words.COLUMNS, name), "n" if name in NUMBERS else "") for name in table.columns],
        # Whole rows, because the template takes ten times as long for so many cells.
        "rows": [
            Markup("".join(f"{start}{cell(text)}</td>" for start, text in zip(starts, row, strict=True)))
            for row in rows
        ],
    }


def _context(statement: Statement, unpaid: Sequence[UnpaidTime], paper: words.Paper | None) -> dict[str, Any]:
    status = partial(status_on, paper)
    return {
        "paper": paper,
        "s": statement,
        "findings": list(zip(statement.findings, finding_texts(statement.findings, statement.lines), strict=True)),
        "subject": lambda subject: subject_words(subject)[0],
        "run": run_id(statement),
        "inputs_hash": input_hash(statement.sources),
        "result_hash": statement.result_hash(),
        "month_status": status(statement.status.value),
        "areas": [_area(area, statement) for area in statement.areas],
        "services": service_totals(statement.lines),
        "unpaid": unpaid_by_service(unpaid),
        "rules": rules_used(statement),
        "excursions": Counter(row.unit for row in statement.primary_frequency),
        "service": lambda code: words.of(words.SERVICES, code),
        "reason": lambda code: words.both(words.REASONS, code),
        "status": lambda code: words.of(words.STATUSES, code),
        "area_status": status,
        "cause": lambda code: words.both(words.CLASSES, code),
        "area_name": lambda code: words.of(words.AREAS, code)[0],
    }


def status_on(paper: words.Paper | None, code: str) -> words.Words:
    """The status of a month on a paper, in words. On the paper of a what-if run, no month is final."""
    return words.WHAT_IF if paper is not None and paper.what_if and code == "final" else month_status(code)


def month_status(code: str) -> words.Words:
    """The status of a month in words: 正式, 暂定 or 不能结算."""
    return words.MONTH_BLOCKED if code == "blocked" else words.of(words.STATUSES, code)


def _area(area: AreaRow, statement: Statement) -> dict[str, Any]:
    plants: list[PlantRow] = [row for row in statement.plants if row.area == area.area]
    lines: list[Line] = [line for line in statement.lines if line.area == area.area]
    return {
        "row": area,
        "name": words.of(words.AREAS, area.area)[0] if area.name in ("", area.area) else area.name,
        "plants": plants,
        "lines": lines,
        "allocation": _total(row.allocation_yuan for row in plants),
        "net": _total(row.net_yuan for row in plants),
        "bounds": any(line.low_yuan is not None or line.high_yuan is not None for line in lines),
    }


def _total(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if known else None


def service_totals(lines: Iterable[Line]) -> list[tuple[str, Decimal, int]]:
    """(service, sum of its amounts, lines without an amount) in the order the lines have them."""
    totals: dict[str, Decimal] = {}
    open_lines: dict[str, int] = defaultdict(int)
    for line in lines:
        totals[line.service] = totals.get(line.service, Decimal(0)) + (line.amount_yuan or Decimal(0))
        open_lines[line.service] += line.amount_yuan is None
    return [(service, amount, open_lines[service]) for service, amount in totals.items()]


def unpaid_by_service(unpaid: Iterable[UnpaidTime]) -> list[UnpaidTime]:
    """Unpaid time summed over all units, per service, class and reason."""
    sums: dict[tuple[str, str, str], int] = defaultdict(int)
    for item in unpaid:
        sums[item.service, item.cause, item.reason] += item.duration_ms
    return [UnpaidTime("", *key, duration) for key, duration in sorted(sums.items())]


def rules_used(statement: Statement) -> list[Any]:
    """Every rulebook row that priced a line, once, by article."""
    used = {use for line in statement.lines for use in line.rules}
    return sorted(used, key=lambda use: (use.article, use.id, use.key, use.from_day))


def _hours(duration_ms: int) -> str:
    return format_seconds(duration_ms // 3600)
