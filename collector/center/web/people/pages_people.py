# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, for the administrator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from litestar.params import FromPath

from collector.base.errors import Denied, StoreError
from collector.base.text import said_by, tr, tr_in
from collector.center.people import accounts, second_factor
from collector.center.people.access import Permission, Role
from collector.center.people.passwords import hash_password
from collector.center.receive.keys import enrolled_units
from collector.center.web.context import Context, Ctx, Page
from collector.center.web.render import NavEntry
from collector.center.web.routes import action, page

NAVIGATION: Final = (NavEntry(tr("Users"), "/users", Permission.ADMINISTER),)


@page("/users", Permission.ADMINISTER)
def users_page(ctx: Ctx) -> Page:
    """Every account, and the form for a new one."""
    return _page(ctx)


@action("/users", Permission.ADMINISTER)
def create_action(ctx: Ctx) -> Page:
    """Create an account; what was typed stays in the form where it is refused."""
    form = ctx.form
    try:
        role = _role(form)
        hashed = hash_password(ctx.unstripped("password"))
        ctx.write(
            lambda c: accounts.create_account(
                c, actor=ctx.actor, name=form.get("name", ""), full_name=form.get("full_name", ""),
                role=role, plant=form.get("plant") or None, password_hash=hashed, now_ms=ctx.now_ms,
            )
        )  # fmt: skip
    except StoreError as error:
        return _page(ctx, status=422, refused=said_by(error), typed=form)
    return ctx.redirect("/users", notice="user_created")


@action("/users/{name:str}/password", Permission.ADMINISTER)
def password_action(ctx: Ctx, name: FromPath[str]) -> Page:
    """Give somebody a new password."""
    try:
        hashed = hash_password(ctx.unstripped("password"))
    except StoreError as error:
        return _page(ctx, status=422, refused=said_by(error))
    ctx.write(lambda c: accounts.set_password(c, actor=ctx.actor, name=name, password_hash=hashed, now_ms=ctx.now_ms))
    return ctx.redirect("/users", notice="user_password")


@action("/users/{name:str}/role", Permission.ADMINISTER)
def role_action(ctx: Ctx, name: FromPath[str]) -> Page:
    """Give somebody another role; one's own can't be changed."""
    plant = ctx.form.get("plant") or None
    try:
        role = _role(ctx.form)
        ctx.write(lambda c: accounts.set_role(c, actor=ctx.actor, name=name, role=role, plant=plant, now_ms=ctx.now_ms))
    except (Denied, StoreError) as error:
        return _page(ctx, status=422, refused=said_by(error))
    return ctx.redirect("/users", notice="user_role")


@action("/users/{name:str}/second-factor/remove", Permission.ADMINISTER)
def factor_action(ctx: Ctx, name: FromPath[str]) -> Page:
    """Remove the second factor of somebody who lost the device and the recovery codes; one's own needs a code."""
    try:
        ctx.write(lambda c: second_factor.remove(c, actor=ctx.actor, name=name, now_ms=ctx.now_ms))
    except StoreError as error:
        return _page(ctx, status=422, refused=said_by(error))
    return ctx.redirect("/users", notice="user_factor")


@action("/users/{name:str}/disable", Permission.ADMINISTER)
def disable_action(ctx: Ctx, name: FromPath[str]) -> Page:
    """Close an account; one's own can't be."""
    try:
        ctx.write(lambda c: accounts.disable_account(c, actor=ctx.actor, name=name, now_ms=ctx.now_ms))
    except Denied as error:
        return _page(ctx, status=422, refused=said_by(error))
    return ctx.redirect("/users", notice="user_disabled")


def _role(form: Mapping[str, str]) -> Role:
    try:
        return Role(form.get("role", ""))
    except ValueError as error:
        raise StoreError(tr("choose a role"), subject=tr_in("subject", "role")) from error


def _page(ctx: Context, *, status: int = 200, refused: str = "", typed: Mapping[str, str] | None = None) -> Page:
    return ctx.page(
        "users.html",
        status=status,
        accounts=ctx.read(accounts.list_accounts),
        plants=sorted(ctx.read(enrolled_units)),
        roles=list(Role),
        refused=refused,
        typed=typed or {},
    )


ROUTES: Final = [users_page, create_action, password_action, role_action, factor_action, disable_action]
