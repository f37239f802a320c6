# SPDX-License-Identifier: GPL-3.0-or-later
"""Log in and out; one's own password, second factor and tokens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from litestar.datastructures import Cookie
from litestar.params import FromPath

from collector.base.errors import Denied, StoreError
from collector.base.text import said_by, tr, tr_in
from collector.center.people import second_factor
from collector.center.people.access import SCOPES, scopes_of
from collector.center.people.accounts import set_password
from collector.center.people.passwords import hash_password
from collector.center.people.sessions import is_password_of, log_in, log_out
from collector.center.people.tokens import create_token, list_tokens, revoke_token
from collector.center.web.context import Context, Ctx, Page
from collector.center.web.guards import Open
from collector.center.web.routes import action, page
from collector.center.web.session import end_of_session, session_cookie

_SHOWN_COOKIE: Final = "collector_shown"


@page("/login", Open.PUBLIC)
def login_page(ctx: Ctx) -> Page:
    """The log-in; where to go afterwards stands in `next`."""
    if ctx.caller.actor is not None:
        return ctx.redirect(own_path(ctx.request.query_params.get("next", "")))
    return ctx.page("login.html", wrong="", name="")


@action("/login", Open.PUBLIC, again=True)
def login_action(ctx: Ctx) -> Page:
    """Check name, password and code; a new session each time, so nobody can plant one."""
    name = ctx.form.get("name", "")
    try:
        # Not stripped: a password may begin or end with a blank.
        code = ctx.form.get("code", "")
        secret = log_in(ctx.store, name, ctx.unstripped("password"), code=code, address=ctx.address)
    except Denied:
        return ctx.page(
            "login.html", status=429, wrong=tr("Too many failures: try again in a quarter of an hour"), name=name
        )
    except StoreError as error:  # the account was changed by something else than this program
        return ctx.page("login.html", status=403, wrong=said_by(error), name=name)
    if secret is None:
        return ctx.page("login.html", status=403, wrong=tr("Name, password or code is wrong"), name=name)
    target = own_path(ctx.request.query_params.get("next", ""))
    return ctx.redirect(target, cookies=[session_cookie(secret, secure=ctx.secure)])


@action("/logout", Open.LOGGED_IN, own=True, without_factor=True)
def logout_action(ctx: Ctx) -> Page:
    """End the session, here and in the browser."""
    ctx.write(lambda c: log_out(c, ctx.caller.secret))
    return ctx.redirect("/login", cookies=[end_of_session(secure=ctx.secure)], notice="logged_out")


@page("/account", Open.LOGGED_IN, own=True, without_factor=True)
def account_page(ctx: Ctx) -> Page:
    """One's own account: password, second factor, tokens. A secret just made is shown once."""
    what, _, secret = ctx.request.cookies.get(_SHOWN_COOKIE, "").partition(".")
    if what == "token":
        return _account_page(ctx, secret=secret)
    return _account_page(ctx, recovery_codes=secret.split(".") if what == "codes" else ())


@action("/account/password", Open.IN_PERSON, own=True, without_factor=True)
def password_action(ctx: Ctx) -> Page:
    """Change one's own password; every session of it ends."""
    name = ctx.actor.name
    new = ctx.unstripped("new")
    if refusal := _refuse_stranger(ctx):
        return refusal
    if new != ctx.unstripped("again"):
        return _account_page(ctx, status=422, wrong=tr("The two entries differ"))
    try:
        hashed = hash_password(new)
    except StoreError as error:
        return _account_page(ctx, status=422, refused=said_by(error))
    ctx.write(lambda c: set_password(c, actor=ctx.actor, name=name, password_hash=hashed, now_ms=ctx.now_ms))
    return ctx.redirect("/login", cookies=[end_of_session(secure=ctx.secure)], notice="password_changed")


@action("/account/second-factor", Open.IN_PERSON, own=True, without_factor=True)
def factor_action(ctx: Ctx) -> Page:
    """Set up one's second factor; the recovery codes are on this one page only."""
    key, code = ctx.form.get("key", ""), ctx.form.get("code", "")
    if refusal := _refuse_stranger(ctx, key=key):
        return refusal
    try:
        job = partial(second_factor.set_up, actor=ctx.actor, key=key, code=code, now_ms=ctx.now_ms)
        codes = ctx.write(job)
    except StoreError as error:
        return _account_page(ctx, status=422, refused=said_by(error), key=key)
    return ctx.redirect("/account", cookies=[_shown_cookie(ctx, "codes", *codes)])


@action("/account/second-factor/remove", Open.IN_PERSON, own=True)
def remove_factor_action(ctx: Ctx) -> Page:
    """Remove one's second factor; every session ends."""
    name, code = ctx.actor.name, ctx.form.get("code", "")
    if refusal := _refuse_stranger(ctx):
        return refusal
    try:
        ctx.write(partial(second_factor.remove, actor=ctx.actor, name=name, code=code, now_ms=ctx.now_ms))
    except StoreError as error:
        return _account_page(ctx, status=422, refused=said_by(error))
    return ctx.redirect("/login", cookies=[end_of_session(secure=ctx.secure)], notice="factor_removed")


@action("/account/tokens", Open.IN_PERSON, own=True)
def token_action(ctx: Ctx) -> Page:
    """Make a token of one's own; the secret is on this one page only."""
    try:
        days = ctx.number("days")
        purpose = ctx.form.get("name", "")
        if not purpose:
            raise StoreError(tr("say what it is for"), subject=tr_in("subject", "token"))
        mine, scope = ctx.actor.name, [name for name in SCOPES if ctx.form.get(f"scope_{name}")]
        secret = ctx.write(
            lambda c: create_token(
                c, actor=ctx.actor, account_name=mine, name=purpose, scope=scope, days=days, now_ms=ctx.now_ms
            )
        )
    except StoreError as error:
        return _account_page(ctx, status=422, refused=said_by(error))
    return ctx.redirect("/account", cookies=[_shown_cookie(ctx, "token", secret)])


@action("/kept-form/discard", Open.LOGGED_IN, own=True, without_factor=True)
def discard_action(ctx: Ctx) -> Page:
    """Forget the form that came after its session had ended."""
    ctx.kept_forms.drop(ctx.actor.name)
    return ctx.redirect("/")


@action("/account/tokens/{number:int}/revoke", Open.LOGGED_IN, own=True)
def revoke_action(ctx: Ctx, number: FromPath[int]) -> Page:
    """Revoke a token: one's own, or as an administrator anybody's."""
    ctx.write(lambda c: revoke_token(c, number, actor=ctx.actor, now_ms=ctx.now_ms))
    return ctx.redirect("/account", notice="token_revoked")


def _refuse_stranger(ctx: Ctx, key: str = "") -> Page | None:
    """The page that refuses whoever found a browser open and has not the present password."""
    try:
        if is_password_of(ctx.store, ctx.actor.name, ctx.unstripped("current"), address=ctx.address):
            return None
    except Denied:
        wrong = tr("Too many failures: try again in a quarter of an hour")
        return _account_page(ctx, status=429, wrong=wrong, key=key)
    return _account_page(ctx, status=422, wrong=tr("The present password is wrong"), key=key)


def _account_page(
    ctx: Ctx, *, status: int = 200, key: str = "", recovery_codes: Sequence[str] = (), **said: str
) -> Page:
    """The account page.

    `said`: the texts `wrong` or `refused`, or the `secret` of a new token. `key`: the key of the second factor offered
    before.
    """
    offered = key or second_factor.new_key()
    return ctx.page(
        "account.html",
        status=status,
        cookies=[_shown_cookie(ctx)] if _SHOWN_COOKIE in ctx.request.cookies else (),
        tokens=ctx.read(lambda c: list_tokens(c, ctx.actor.name)),
        scopes=scopes_of(ctx.actor.role),
        now_ms=ctx.now_ms,
        has_factor=ctx.actor.second_factor or bool(recovery_codes),
        recovery_codes=recovery_codes,
        key=offered,
        key_uri=second_factor.key_uri(ctx.actor.name, offered, ctx.settings.center.id),
        **{"wrong": "", "refused": "", "secret": ""} | said,
    )


def _shown_cookie(ctx: Context, *parts: str) -> Cookie:
    """A cookie that carries a new secret from the form to the page that shows it, once; without parts, delete it."""
    path = f"{ctx.settings.web.base_path}/account"
    return Cookie(
        _SHOWN_COOKIE, value=".".join(parts), max_age=60 if parts else 0, path=path,
        httponly=True, secure=ctx.secure, samesite="strict",
    )  # fmt: skip


def own_path(target: str) -> str:
    """A path of this site to go on to; the start for anything that could lead elsewhere."""
    fine = target.startswith("/") and not target.startswith("//") and target.isprintable() and "\\" not in target
    return target if fine else "/"


ROUTES: Final = [
    login_page, login_action, logout_action, account_page, password_action, factor_action, remove_factor_action,
    token_action, revoke_action, discard_action,
]  # fmt: skip
