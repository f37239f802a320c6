# SPDX-License-Identifier: GPL-3.0-or-later
"""The context that every handler gets: store, caller, language, form, and the ways to answer."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlencode

from litestar import Request, Response
from litestar.datastructures import Cookie, FormMultiDict, UploadFile
from litestar.di import NamedDependency
from litestar.response import Redirect
from sqlalchemy import Connection

from collector.base.errors import ConfigError, Denied, StoreError
from collector.base.text import Language, as_language, tr
from collector.center.db.store import CenterStore
from collector.center.inputs.under_way import TakingsInBackground
from collector.center.operate.inbox.tasks import WaitingTask, tasks_of
from collector.center.people.access import Actor, Permission
from collector.center.runs.asking.run_queue import RunsInBackground
from collector.center.runs.rulebooks import duty_days, rulebook_path
from collector.center.settings import CenterSettings
from collector.center.web import render
from collector.center.web.guards import SAFE_METHODS, is_loopback
from collector.center.web.session import (
    FORM_TYPES,
    LANGUAGE_COOKIE,
    MONTH_COOKIE,
    AnyRequest,
    Caller,
    KeptForms,
    csrf_of,
    language_cookie,
    month_cookie,
    visitor_cookie,
)
from collector.center.web.which_month import chosen_month

T = TypeVar("T")
Page = Response[str]


class Context:
    """The context of one request, used in the thread of its handler. The form has been read before."""

    def __init__(self, request: AnyRequest, form: Mapping[str, Any], body: bytes = b"") -> None:
        self.body = body
        self.request = request
        self.store: CenterStore = request.app.state.store
        self.settings: CenterSettings = request.app.state.settings
        self.caller: Caller = request.scope["user"]
        self._form = form
        self.form = {name: value.strip() for name, value in form.items() if isinstance(value, str)}
        self.files = {name: value for name, value in form.items() if isinstance(value, UploadFile)}
        self.now_ms = self.store.clock.now_utc_ms()
        self.language: Language = as_language(
            request.query_params.get("lang") or request.cookies.get(LANGUAGE_COOKIE, "")
        )

    @property
    def actor(self) -> Actor:
        """The logged-in caller.

        Raises:
            Denied: nobody is logged in. The guard refuses such a request earlier, unless the route is public.
        """
        if self.caller.actor is None:
            raise Denied(tr("nobody is logged in"), subject=self.request.url.path)
        return self.caller.actor

    @property
    def runs(self) -> RunsInBackground:
        """The background worker for the runs requested here: a run takes longer than a page may."""
        runs: RunsInBackground = self.request.app.state.runs
        return runs

    @property
    def takings(self) -> TakingsInBackground:
        """The background worker that imports the large files uploaded here."""
        takings: TakingsInBackground = self.request.app.state.takings
        return takings

    @property
    def kept_forms(self) -> KeptForms:
        """Forms that came after their session had ended."""
        kept: KeptForms = self.request.app.state.kept_forms
        return kept

    @property
    def secure(self) -> bool:
        """True if cookies may be sent over TLS only."""
        return bool(self.settings.web.cert_file) or self.settings.web.tls_in_front

    @property
    def address(self) -> str:
        """The client's address; behind a proxy on this machine, the last one in X-Forwarded-For.

        Without this rule all clients would share the proxy's address, and failed log-ins of one would lock out
        everybody.
        """
        host = self.request.client.host if self.request.client else ""
        if self.settings.web.tls_in_front and is_loopback(host):
            passed_on = self.request.headers.getall("x-forwarded-for", [])
            return ",".join(passed_on).rpartition(",")[2].strip() or host
        return host

    @functools.cached_property
    def tasks(self) -> list[WaitingTask]:
        """The tasks that wait for the caller, without calendar duties if the rulebook can't be read."""
        try:
            days = duty_days(rulebook_path(self.settings))
        except ConfigError:
            days = None
        return self.store.read(lambda c: tasks_of(c, self.actor, days, self.now_ms))

    def unstripped(self, name: str) -> str:
        """A form field with leading and trailing blanks kept, for passwords."""
        found = self._form.get(name, "")
        return found if isinstance(found, str) else ""

    def chosen(self, name: str, *allowed: str) -> str:
        """The button of a form that was pressed. There is no default, so that a missing value never counts as one.

        Raises:
            StoreError: the value is none of those allowed.
        """
        given = self.form.get(name, "")
        if given not in allowed:
            raise StoreError(tr("expected one of {names}", names=", ".join(allowed)), subject=name)
        return given

    def number(self, name: str) -> int:
        """A whole number of the form.

        Raises:
            StoreError: something else came, or nothing.
        """
        given = self.form.get(name, "")
        if not (given.isascii() and given.isdecimal() and len(given) < 16):
            raise StoreError(tr("expected a whole number"), subject=name)
        return int(given)

    def number_or_none(self, name: str) -> int | None:
        """A whole number of the form, None where the field was left empty. Raises as `number` does."""
        return self.number(name) if self.form.get(name, "") else None

    def upload(self, name: str) -> tuple[str, bytes]:
        """Name and bytes of a file of the form; both empty where none was chosen."""
        found = self.files.get(name)
        return ("", b"") if found is None else (found.filename, found.file.read())

    def uploads(self, name: str) -> list[tuple[str, bytes]]:
        """Name and bytes of each file of a field that takes several; none where none was chosen."""
        found = self._form.getall(name, []) if isinstance(self._form, FormMultiDict) else []
        return [(each.filename, each.file.read()) for each in found if isinstance(each, UploadFile) and each.filename]

    def read(self, job: Callable[[Connection], T]) -> T:
        """`job` over one consistent view of the store."""
        return self.store.read(job)

    def write(self, job: Callable[[Connection], T]) -> T:
        """`job` in a transaction on the writer's thread; returns after the commit."""
        return self.store.write(job).result()

    def page(self, template: str, *, status: int = 200, cookies: Sequence[Cookie] = (), **values: Any) -> Page:
        """A page from a template of `templates/`, in the caller's language."""
        cookies = [*cookies]
        csrf = self.caller.csrf
        if not csrf:
            visitor = visitor_cookie(secure=self.secure)
            cookies.append(visitor)
            csrf = csrf_of(visitor.value or "")
        if self.request.query_params.get("lang") == self.language:
            cookies.append(language_cookie(self.language, secure=self.secure))
        month = chosen_month(self.request)
        if month and month != self.request.cookies.get(MONTH_COOKIE):
            cookies.append(month_cookie(month, secure=self.secure))
        tasks = [] if self.caller.actor is None else self.tasks
        html = render.render_page(
            template,
            self.language,
            request=self.request,
            actor=self.caller.actor,
            csrf=csrf,
            store=self.store,
            tasks=tasks,
            **values,
        )
        return Response(html, media_type="text/html", status_code=status, cookies=cookies)

    def redirect(self, path: str, *, cookies: list[Cookie] | None = None, **query: object) -> Page:
        """Lead the browser on after a form. `notice`: a key of the words, shown there once."""
        target = f"{path}?{urlencode(query)}" if query else path
        return Redirect(target, status_code=303, cookies=cookies)


Ctx: TypeAlias = NamedDependency[Context]


async def provide_context(request: Request[Any, Any, Any]) -> Context:
    """The context of a request, its form read where it has one."""
    form: Mapping[str, Any] = {}
    body = b""
    # A program's upload is its body whatever it is called: curl calls everything a form unless told otherwise.
    is_form = request.content_type[0] in FORM_TYPES and not request.url.path.startswith("/api/")
    if request.method not in SAFE_METHODS and is_form:
        form = await request.form()
    elif request.route_handler.opt.get("upload"):
        body = await request.body()
    return Context(request, form, body)


def own_plant(ctx: Context) -> str:
    """The plant whose rows alone a caller may see; empty for those who see all."""
    return "" if ctx.actor.may(Permission.SEE_ALL) else ctx.actor.plant or "\0"


def words_of(ctx: Context, words: tuple[str, str]) -> str:
    """The one of a pair of words in the reader's language."""
    return words[ctx.language == "en"]
