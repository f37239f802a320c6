# SPDX-License-Identifier: GPL-3.0-or-later
"""Log in and out; one's own password and tokens."""

from __future__ import annotations

from typing import Final

from litestar.params import FromPath

from collector.base.errors import Denied, StoreError
from collector.base.text import said_by, tr
from collector.center.people.accounts import (
    create_token,
    hash_password,
    is_password_of,
    list_tokens,
    log_in,
    log_out,
    revoke_token,
    set_password,
)
from collector.center.web.context import Ctx, Page
from collector.center.web.guards import Open
from collector.center.web.routes import action, page
from collector.center.web.session import end_of_session, session_cookie


@page("/login", Open.PUBLIC)
def login_page(ctx: Ctx) -> Page:
    """The log-in; where to go afterwards stands in `next`."""
    if ctx.caller.actor is not None:
        return ctx.redirect(own_path(ctx.request.query_params.get("next", "")))
    return ctx.page("login.html", wrong="", name="")


@action("/login", Open.PUBLIC)
def login_action(ctx: Ctx) -> Page:
    """Check name and password; a new session each time, so nobody can plant one."""
    name = ctx.form.get("name", "")
    try:
        # Not stripped: a password may begin or end with a blank.
        secret = log_in(ctx.store, name, ctx.unstripped("password"), address=ctx.address)
    except Denied:
        return ctx.page(
            "login.html", status=429, wrong=tr("Too many failures: try again in a quarter of an hour"), name=name
        )
    if secret is None:
        return ctx.page("login.html", status=403, wrong=tr("Name or password is wrong"), name=name)
    target = own_path(ctx.request.query_params.get("next", ""))
    return ctx.redirect(target, cookies=[session_cookie(secret, secure=ctx.secure)])


@action("/logout", Open.LOGGED_IN, own=True)
def logout_action(ctx: Ctx) -> Page:
    """End the session, here and in the browser."""
    ctx.write(lambda c: log_out(c, ctx.caller.secret))
    return ctx.redirect("/login", cookies=[end_of_session(secure=ctx.secure)], notice="logged_out")


@page("/account", Open.LOGGED_IN, own=True)
def account_page(ctx: Ctx) -> Page:
    """Who I am, my password, my tokens."""
    return _account_page(ctx)


@action("/account/password", Open.LOGGED_IN, own=True)
def password_action(ctx: Ctx) -> Page:
    """Change one's own password; every session of it ends."""
    name = ctx.actor.name
    new = ctx.unstripped("new")
    try:
        known = is_password_of(ctx.store, name, ctx.unstripped("current"), address=ctx.address)
    except Denied:
        return _account_page(ctx, status=429, wrong=tr("Too many failures: try again in a quarter of an hour"))
    if not known:
        return _account_page(ctx, status=422, wrong=tr("The present password is wrong"))
    if new != ctx.unstripped("again"):
        return _account_page(ctx, status=422, wrong=tr("The two entries differ"))
    try:
        hashed = hash_password(new)
    except StoreError as error:
        return _account_page(ctx, status=422, refused=said_by(error))
    ctx.write(lambda c: set_password(c, actor=ctx.actor, name=name, password_hash=hashed, now_ms=ctx.now_ms))
    return ctx.redirect("/login", cookies=[end_of_session(secure=ctx.secure)], notice="password_changed")


@action("/account/tokens", Open.LOGGED_IN, own=True)
def token_action(ctx: Ctx) -> Page:
    """Make a token of one's own; the secret is on this one page only."""
    try:
        days = ctx.number("days")
        purpose = ctx.form.get("name", "")
        if not purpose:
            raise StoreError(tr("say what it is for"), subject="token")
        mine = ctx.actor.name
        secret = ctx.write(
            lambda c: create_token(c, actor=ctx.actor, account_name=mine, name=purpose, days=days, now_ms=ctx.now_ms)
        )
    except StoreError as error:
        return _account_page(ctx, status=422, refused=said_by(error))
    return _account_page(ctx, secret=secret)


@action("/account/tokens/{number:int}/revoke", Open.LOGGED_IN, own=True)
def revoke_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Revoke a token: one's own, or as an administrator anybody's."""
    ctx.write(lambda c: revoke_token(c, number, actor=ctx.actor, now_ms=ctx.now_ms))
    return ctx.redirect("/account", notice="token_revoked")


def _account_page(ctx: Ctx, *, status: int = 200, wrong: str = "", refused: str = "", secret: str = "") -> Page:
    tokens = ctx.read(lambda c: list_tokens(c, ctx.actor.name))
    return ctx.page(
        "account.html", status=status, tokens=tokens, now_ms=ctx.now_ms, wrong=wrong, refused=refused, secret=secret
    )


def own_path(target: str) -> str:
    """A path of this site to go on to; the start for anything that could lead elsewhere."""
    fine = target.startswith("/") and not target.startswith("//") and target.isprintable() and "\\" not in target
    return target if fine else "/"


ROUTES: Final = [
    login_page, login_action, logout_action, account_page, password_action, token_action, revoke_action,
]  # fmt: skip
