# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates to HTML. Everything is escaped; a missing value is an error, never a blank."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup

from collector.base.text import Text, from_data, into, join, recognise
from collector.center.db.store import CenterStore
from collector.center.people.access import Actor, Permission
from collector.center.web import code_words
from collector.center.web.months import known_months
from collector.center.web.session import AnyRequest
from collector.model.interval import format_time
from collector.report import words as report_words
from collector.report.numbers import format_amount, format_fraction, format_percent, group_digits

TEMPLATES: Final = Path(__file__).parent / "templates"
STATIC: Final = Path(__file__).parent / "static"


@dataclass(frozen=True, slots=True)
class NavEntry:
    """An entry of the navigation, shown to those who may open it.

    `part`: of a month's pages which one; from within a month it leads to that month's.
    """

    text: Text
    path: str
    permission: Permission
    part: str | None = None

    def href(self, path_month: str) -> str:
        """Where it leads from a page of a month, or of none (empty)."""
        if self.part is None or not path_month:
            return self.path
        return f"/months/{path_month}/{self.part}" if self.part else f"/months/{path_month}"

    def is_here(self, path: str, path_month: str) -> bool:
        """Whether the page at `path` belongs to it."""
        href = self.href(path_month)
        return path == href or (self.part != "" and path.startswith(f"{href}/"))


NAVIGATION: Final[list[NavEntry]] = []


@functools.cache
def environment() -> jinja2.Environment:
    """The templates and what they may use."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_said,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "time": _time,
        "date": lambda at_ms: _time(at_ms)[:10],
        "yuan": lambda amount: "" if amount is None else group_digits(format_amount(Decimal(amount))),
        "quantity": lambda value: format_fraction(None if value is None else Fraction(value)),
        "percent": lambda value: format_percent(None if value is None else Fraction(value)),
        "digits": lambda number: group_digits(str(number)),
        "printable": _printable,
        "join": _joined,
        "from_data": from_data,
        "kept": lambda sentence: recognise(sentence, code_words.KEPT),
        "json": lambda value: json.dumps(value, ensure_ascii=False, sort_keys=True),
    }
    made.globals |= {"static": static_path}
    return made


def render_page(
    template: str,
    language: str,
    *,
    request: AnyRequest,
    actor: Actor | None,
    csrf: str,
    store: CenterStore,
    **values: Any,
) -> str:
    """A page as HTML."""

    def code(table: str, key: str) -> str:
        """A code in words: `code("SERVICES", line.service)`; an unknown one as it is."""
        if (of_center := getattr(code_words, table, None)) is not None:
            return str(into(of_center.get(key, key), language))
        chinese, english = report_words.of(getattr(report_words, table), key)
        return english or chinese if language == "en" else chinese

    path, query = request.url.path, dict(request.query_params)
    frame: Mapping[str, Any] = {
        "t": lambda text, **values: Text(text, values).into(language),
        "t_in": lambda context, text, **values: Text(text, values, context).into(language),
        "code": code,
        "language": language,
        "other_language_url": _with_query(path, query, lang="en" if language == "zh" else "zh"),
        "actor": actor,
        "may": lambda name: actor is not None and actor.may(Permission(name)),
        "csrf_field": Markup('<input type="hidden" name="csrf" value="{}">').format(csrf),
        "path": path,
        "path_month": _month_in(path),
        "query": query,
        "with_query": lambda **changes: _with_query(path, query, **changes),
        "notice": code_words.NOTICES.get(query.get("notice", ""), ""),
        "navigation": [entry for entry in NAVIGATION if actor is not None and actor.may(entry.permission)],
        "months": (lambda: known_months(store)) if actor is not None else list,
    }
    return environment().get_template(template).render({**frame, **values})


def _month_in(path: str) -> str:
    parts = path.split("/")
    return parts[2] if len(parts) > 2 and parts[1] == "months" else ""


@jinja2.pass_context
def _said(context: jinja2.runtime.Context, value: Any) -> Any:
    """Whatever a template prints: texts in the language of the page."""
    return into(value, context["language"])


@jinja2.pass_context
def _printable(context: jinja2.runtime.Context, text: object) -> str:
    said = str(into(text, context["language"]))
    return "".join(c if c.isprintable() else "�" for c in said)


def _joined(texts: Iterable[str], mark: str) -> Text:
    return join(mark, texts)


def _with_query(path: str, query: Mapping[str, Any], **changes: object) -> str:
    """This page's own address with other parameters; None takes one away. A notice is shown once."""
    kept = {name: value for name, value in query.items() if name not in ("notice", "lang")} | changes
    text = urlencode({name: value for name, value in kept.items() if value is not None})
    return f"{path}?{text}" if text else path


def _time(at_ms: int | None) -> str:
    """Local time to the second; the offset is the same everywhere here and left away."""
    return "" if at_ms is None else format_time(at_ms)[:19].replace("T", " ")


@functools.cache
def static_path(name: str) -> str:
    """The address of a file of static/, with its hash, so that it may be kept for good."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def add_navigation(entries: Sequence[NavEntry]) -> None:
    """What a group of pages shows in the navigation; the same entry again changes nothing."""
    NAVIGATION.extend(entry for entry in entries if entry not in NAVIGATION)
