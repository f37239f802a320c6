# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates to HTML. Everything is escaped; a missing value is an error, never a blank."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import jinja2
from markupsafe import Markup

from collector.base.text import Text, from_data, full_width, into, join
from collector.center.db.store import CenterStore
from collector.center.inputs.names import plant_names
from collector.center.kept_words import in_words
from collector.center.operate.inbox.tasks import WaitingTask
from collector.center.people.access import Actor, Permission
from collector.center.web import code_words
from collector.center.web.months import known_months
from collector.center.web.session import CSRF_FIELD, ONCE_FIELD, AnyRequest, KeptForms
from collector.center.web.which_month import chosen_month
from collector.model.interval import time_to_read
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

    def href(self, month: str) -> str:
        """The link of the entry; `month`: the chosen month, empty if none."""
        if not month:
            return self.path
        if self.part is None:
            return f"{self.path}?month={month}"
        return f"/months/{month}/{self.part}" if self.part else f"/months/{month}"

    def is_here(self, path: str, month: str) -> bool:
        """True if the page at `path` belongs to the entry."""
        href = self.href(month).partition("?")[0]
        return path == href or (self.part != "" and path.startswith(f"{href}/"))


_OWN_ADDRESS: Final = re.compile(r'\b(href|src|action)="/(?!/)')
NAVIGATION: Final[list[NavEntry]] = []
# What stands between two texts of a template.
_MARKS: Final = {
    "zh": {"colon": "：", "comma": "，"},
    "en": {"colon": ": ", "comma": ", "},
}


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
        "quantity": lambda value: group_digits(format_fraction(None if value is None else Fraction(value))),
        "clock": lambda ms: f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}",
        "percent": lambda value: format_percent(None if value is None else Fraction(value)),
        "digits": lambda number: group_digits(str(number)),
        "printable": _printable,
        "join": _joined,
        "marks": _marked,
        "full_width": full_width,
        "from_data": from_data,
        "kept": in_words,
        "cause": code_words.cause_words,
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
    tasks: Sequence[WaitingTask] = (),
    **values: Any,
) -> str:
    """A page as HTML."""

    names = functools.cache(lambda: store.read(plant_names))
    kept_forms: KeptForms = request.app.state.kept_forms
    path, asked = _page_shown(request)
    query = dict(asked)
    month_chosen = chosen_month(request)
    frame: Mapping[str, Any] = {
        "t": lambda text, **values: Text(text, values).into(language),
        "t_in": lambda context, text, **values: Text(text, values, context).into(language),
        "code": lambda table, key: code_words.code_in_words(table, key, language),
        "language": language,
        **_MARKS["zh" if language == "zh" else "en"],
        "other_language_url": _with_query(path, asked, lang="en" if language == "zh" else "zh"),
        "actor": actor,
        "may": lambda name: actor is not None and actor.may(Permission(name)),
        "csrf_field": _FormFields(csrf),
        "kept_form": None if actor is None else kept_forms.of(actor.name, now_ms=store.clock.now_utc_ms()),
        "path": path,
        "answers_form": request.method == "POST",
        "month_chosen": month_chosen,
        "query": query,
        "with_query": lambda **changes: _with_query(path, asked, **changes),
        "notice": code_words.NOTICES.get(query.get("notice", ""), ""),
        "navigation": [entry for entry in NAVIGATION if actor is not None and actor.may(entry.permission)],
        "tasks": tasks,
        "months": (lambda: _months(store, month_chosen)) if actor is not None else list,
        # Asked of the store by the first name that a page shows.
        "plant_name": lambda plant: names().get(plant, ""),
    }
    html = environment().get_template(template).render({**frame, **values})
    return _under(request.app.state.settings.web.base_path, html)


def page_before(request: AnyRequest) -> str:
    """The page of this site that holds the form, by the referer header; empty if there is none."""
    said = urlsplit(request.headers.get("referer", ""))
    if said.netloc != request.headers.get("host", ""):
        return ""
    path = said.path.removeprefix(request.app.state.settings.web.base_path)
    return path + (f"?{said.query}" if said.query else "")


def _page_shown(request: AnyRequest) -> tuple[str, list[tuple[str, Any]]]:
    """Path and parameters of the page that links lead back to: what answers a form has no address of its own."""
    if request.method in ("GET", "HEAD"):
        return request.url.path, list(request.query_params.multi_items())
    before = urlsplit(page_before(request) or "/")
    return before.path, [(name, value) for name, value in parse_qsl(before.query) if name != "notice"]


def _under(base_path: str, html: str) -> str:
    """Put the base path before the addresses in a page. Data can't be changed by it: their quotes are escaped."""
    return _OWN_ADDRESS.sub(rf'\1="{base_path}/', html) if base_path else html


def _months(store: CenterStore, chosen: str) -> list[str]:
    """The months of the picker, with the chosen one added if it has no data yet."""
    known = known_months(store)
    return known if not chosen or chosen in known else sorted([*known, chosen], reverse=True)


class _FormFields:
    """The hidden fields of each form: a CSRF token, and a key that lets the form be carried out only once."""

    def __init__(self, csrf: str) -> None:
        self._csrf = csrf

    def __html__(self) -> Markup:
        """The hidden fields, with a new key each time."""
        field = Markup('<input type="hidden" name="{}" value="{}">')
        return field.format(CSRF_FIELD, self._csrf) + field.format(ONCE_FIELD, secrets.token_urlsafe(18))


@jinja2.pass_context
def _said(context: jinja2.runtime.Context, value: Any) -> Any:
    """Translate a value that a template prints into the language of the page."""
    return into(value, context["language"])


@jinja2.pass_context
def _printable(context: jinja2.runtime.Context, text: object) -> str:
    said = str(into(text, context["language"]))
    return "".join(c if c.isprintable() else "�" for c in said)


@jinja2.pass_context
def _marked(context: jinja2.runtime.Context, html: str) -> str:
    """A piece of a page all of whose Chinese is ours, its marks full width."""
    if context["language"] != "zh":
        return html
    return Markup(full_width(html)) if isinstance(html, Markup) else full_width(html)


def _joined(texts: Iterable[str], mark: str) -> Text:
    return join(mark, texts)


def _with_query(path: str, query: Iterable[tuple[str, Any]], **changes: object) -> str:
    """The address of this page with changed parameters; None removes one. Notice and language are dropped."""
    kept = [(name, value) for name, value in query if name not in ("notice", "lang", *changes)]
    text = urlencode([*kept, *((name, value) for name, value in changes.items() if value is not None)])
    return f"{path}?{text}" if text else path


def _time(at_ms: int | None) -> str:
    """Local time to the second, without the offset, which is the same everywhere here."""
    return "" if at_ms is None else time_to_read(at_ms)


@functools.cache
def static_path(name: str) -> str:
    """The address of a file of static/, with its hash, so that it may be kept for good."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?v={digest}"


def add_navigation(entries: Sequence[NavEntry]) -> None:
    """Add the entries of a group of pages to the navigation; an entry that is there already is skipped."""
    NAVIGATION.extend(entry for entry in entries if entry not in NAVIGATION)
