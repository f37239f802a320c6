# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors as answers: text for people, JSON for programs. Internal faults are logged and not shown."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from litestar import Response
from litestar.exceptions import HTTPException
from litestar.response import Redirect

from collector.base.errors import CollectorError, ConfigError, Denied, InvariantBroken, LinkError, Missing, Problem
from collector.base.text import Language, as_language, into, said_by, tr
from collector.center.web import render
from collector.center.web.code_words import HEADINGS_OF_ERRORS
from collector.center.web.guards import FactorNeeded
from collector.center.web.routes import API
from collector.center.web.session import LANGUAGE_COOKIE, AnyRequest, Caller

logger = logging.getLogger("collector.center.web")


class ProblemOut(msgspec.Struct, frozen=True):
    """A finding in a file. `row` counts as a spreadsheet does; 0 is the file as a whole."""

    file: str
    row: int
    key: str
    message: str


class ErrorOut(msgspec.Struct, frozen=True):
    """The reason why a request was refused."""

    status: int
    code: str
    message: str
    problems: list[ProblemOut] = []


CODES: Final = {
    400: "malformed", 401: "not_logged_in", 403: "denied", 404: "missing", 405: "method", 408: "too_slow",
    409: "refused", 413: "too_large", 422: "findings", 429: "too_many", 500: "fault", 502: "broker",
}  # fmt: skip


def status_of(error: Exception) -> int:
    """The HTTP status of an error."""
    kinds: tuple[tuple[type[Exception], int], ...] = (
        (Denied, 403), (Missing, 404), (ConfigError, 422), (LinkError, 502), (InvariantBroken, 500),
        (CollectorError, 409),
    )  # fmt: skip
    if isinstance(error, HTTPException):
        return error.status_code if error.status_code in CODES else 400 if error.status_code < 500 else 500
    return next((status for kind, status in kinds if isinstance(error, kind)), 500)


def answer_error(request: AnyRequest, error: Exception) -> Response[Any]:
    """The answer to an error: JSON below /api, the log-in page if nobody is logged in, else an error page."""
    status = status_of(error)
    if status == 500:
        logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    if request.url.path.startswith(API):
        return _for_programs(request, error, status)
    if status == 401:
        target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        if request.method != "GET":
            target = render.page_before(request)
        follow = {"next": target} if target not in ("", "/") else {}
        return Redirect("/login" + (f"?{urlencode(follow)}" if follow else ""), status_code=303)
    if isinstance(error, FactorNeeded) and request.method == "GET":
        return Redirect("/account?notice=factor_needed", status_code=303)
    return _for_people(request, error, status)


def message_of(error: Exception, status: int) -> str:
    """The message of an error that may be shown. The text of an internal fault (500) stays in the log."""
    if status == 500:
        return tr("an internal fault; it is in the log of the center")
    if isinstance(error, ConfigError):
        return tr("{count} findings", count=len(error.problems))
    if isinstance(error, CollectorError):
        return said_by(error)
    detail = error.detail if isinstance(error, HTTPException) else ""
    extra = error.extra if isinstance(error, HTTPException) and isinstance(error.extra, list) else []
    named = "; ".join(f"{e.get('key', '')}: {e.get('message', '')}" for e in extra if isinstance(e, dict))
    return named or detail or HTTPStatus(status).phrase


def problems_of(error: Exception, language: str = "en") -> list[ProblemOut]:
    """The findings of a refused file, in a language."""
    if not isinstance(error, ConfigError):
        return []
    return problem_rows(error.problems[:1000], language)


def problem_rows(problems: Iterable[Problem], language: str) -> list[ProblemOut]:
    """Findings as programs get them, in a language."""
    return [ProblemOut(p.file, p.row, p.key, into(p.message, language)) for p in problems]


def language_of_program(request: AnyRequest) -> Language:
    """The language for a program: Chinese if its Accept-Language begins with zh, else English."""
    return "zh" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"


def _for_programs(request: AnyRequest, error: Exception, status: int) -> Response[Any]:
    headers = _headers_of(error) | ({"www-authenticate": "Bearer"} if status == 401 else {})
    language = language_of_program(request)
    message = into(message_of(error, status), language)
    body = ErrorOut(status, CODES.get(status, "malformed"), message, problems_of(error, language))
    return Response(body, status_code=status, media_type="application/json", headers=headers)


def _for_people(request: AnyRequest, error: Exception, status: int) -> Response[Any]:
    language = as_language(request.query_params.get("lang") or request.cookies.get(LANGUAGE_COOKIE, ""))
    caller = request.scope.get("user")
    actor = caller.actor if isinstance(caller, Caller) else None
    heading = HEADINGS_OF_ERRORS.get(status, HEADINGS_OF_ERRORS[400])
    message = message_of(error, status) if isinstance(error, CollectorError) and status != 500 else ""
    html = render.render_page(
        "error.html", language, request=request, actor=actor,
        csrf=caller.csrf if isinstance(caller, Caller) else "", store=request.app.state.store,
        status=status, heading=heading, message=message, problems=problems_of(error, language),
    )  # fmt: skip
    return Response(html, status_code=status, media_type="text/html", headers=_headers_of(error))


def _headers_of(error: Exception) -> dict[str, str]:
    """The headers of an HTTP exception, e.g. the allowed methods of a 405."""
    return dict(error.headers or {}) if isinstance(error, HTTPException) else {}
