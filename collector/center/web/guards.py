# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard of all routes. A route that declares no needs is refused, so that forgetting them opens nothing.

The needs of a route (`collector.center.web.routes`) are a permission, and for routes open to plants either the
parameter that names the plant, or a flag that the handler itself shows each plant only its own rows.
"""

from __future__ import annotations

import hmac
import ipaddress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from litestar.concurrency import sync_to_thread
from litestar.connection import ASGIConnection
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.handlers import BaseRouteHandler

from collector.base.errors import Denied
from collector.base.text import tr
from collector.center.people.access import Actor, Permission
from collector.center.people.second_factor import NEEDED_BY
from collector.center.web.session import CSRF_FIELD, CSRF_HEADER, AnyRequest, Caller, find_caller, keep_form

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
MOST: Final = 2**53  # nothing has a larger number, and no database of ours takes every larger one


class Open(StrEnum):
    """The access levels that need no permission."""

    PUBLIC = "public"  # anybody who reaches the port
    LOGGED_IN = "logged_in"  # anybody with an account
    IN_PERSON = "in_person"  # the same, but no program with a token: one's own password, tokens, second factor
    LOOPBACK = "loopback"  # this machine only: supervision


@dataclass(frozen=True, slots=True)
class Needs:
    """The requirements of a route to its caller.

    `plant`: the path or query parameter that names a plant; a request for another plant is refused before the handler
    runs. `own`: the handler shows a plant's user only the rows of that plant, and the totals disclosed to all.
    `without_factor`: the route is open to a user who must set up a second factor and has not yet done so.
    """

    what: Permission | Open
    plant: str = ""
    own: bool = False
    without_factor: bool = False


class FactorNeeded(Denied):
    """Refused because a second factor must be set up first (`web.second_factor_required`)."""


async def guard(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Authenticate the caller, and refuse a request that is not permitted.

    Raises:
        NotAuthorizedException: nobody is logged in (401; a page redirects to the log-in).
        NotFoundException: a number in the address is out of range (404).
        Denied: the role lacks the permission, the plant is another one, or the form is of another site (403).
    """
    request: AnyRequest = connection  # type: ignore[assignment]  # every handler of ours is an HTTP handler
    needs = handler.opt.get("needs")
    if not isinstance(needs, Needs):
        raise Denied(tr("this route declares no permission"), subject=request.url.path)
    if needs.what is Open.LOOPBACK:
        _require_loopback(request)
        request.scope["user"] = Caller(None, "nobody")
        return
    caller = await sync_to_thread(find_caller, request.app.state.store, request)
    request.scope["user"] = caller
    if needs.what is not Open.PUBLIC:
        if caller.actor is None:
            if request.method not in SAFE_METHODS:
                await keep_form(request)
            raise NotAuthorizedException("log in first")
        if needs.what is Open.IN_PERSON and caller.via == "token":
            raise Denied(tr("this is done by a person who logged in, not with a token"), subject=caller.actor.name)
        if not needs.without_factor and _lacks_factor(request, caller.actor):
            raise FactorNeeded(tr("set up a second factor on “My account” first"), subject=caller.actor.name)
        if isinstance(needs.what, Permission):
            caller.actor.require(needs.what)
        if needs.plant:
            caller.actor.require_plant(_parameter(request, needs.plant))
    if any(isinstance(value, int) and not 0 <= value <= MOST for value in request.path_params.values()):
        raise NotFoundException("nothing has this number")
    if request.method not in SAFE_METHODS and caller.via != "token":
        await _require_own_form(request, caller)


def _lacks_factor(request: AnyRequest, actor: Actor) -> bool:
    needed = request.app.state.settings.web.second_factor_required and actor.role in NEEDED_BY
    return needed and not actor.second_factor


def _parameter(request: AnyRequest, name: str) -> str:
    found = request.path_params.get(name) or request.query_params.get(name, "")
    return str(found)


def _require_loopback(request: AnyRequest) -> None:
    """Refuse requests from other machines, including those that a proxy forwards."""
    near = is_loopback(request.client.host if request.client else "")
    if not near or "forwarded" in request.headers or "x-forwarded-for" in request.headers:
        raise Denied(tr("only from this machine"), subject=request.url.path)


def is_loopback(host: str) -> bool:
    """True if an address is one of this machine itself."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _require_own_form(request: AnyRequest, caller: Caller) -> None:
    given = request.headers.get(CSRF_HEADER, "")
    if not given:
        form = await request.form()
        field = form.get(CSRF_FIELD, "")
        given = field if isinstance(field, str) else ""
    if not caller.csrf or not hmac.compare_digest(given.encode(), caller.csrf.encode()):
        raise Denied(tr("is too old or of another site: load the page again"), subject=tr("this form"))
