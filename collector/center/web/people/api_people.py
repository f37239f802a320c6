# SPDX-License-Identifier: GPL-3.0-or-later
"""REST: accounts and tokens, and who one is."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from litestar.params import JSONBody, PathParameter

from collector.center.people import accounts, second_factor, tokens
from collector.center.people.access import Permission, Role
from collector.center.people.passwords import MAX_PASSWORD, hash_password
from collector.center.web.context import Ctx
from collector.center.web.guards import Open
from collector.center.web.paging import Listed, Listing, as_row
from collector.center.web.routes import api_get, api_post
from collector.center.web.shapes import DoneOut

Name = Annotated[str, PathParameter(max_length=64)]
Scope = Literal["read", "import", "settle", "prepare", "approve", "review", "regulate", "administer"]
Password = Annotated[str, msgspec.Meta(max_length=MAX_PASSWORD)]


class MeOut(msgspec.Struct, frozen=True):
    """The holder of this token, with role and permissions."""

    name: str
    role: str
    plant: str | None
    permissions: list[str]


class AccountOut(msgspec.Struct, frozen=True):
    """An account. `disabled_ms`: closed; its name stays in what it did. `second_factor`: one is set up."""

    name: str
    full_name: str
    role: str
    plant: str | None
    created_ms: int
    created_by: str
    disabled_ms: int | None
    second_factor: bool


class AccountIn(msgspec.Struct, frozen=True):
    """A new account; a plant for the role plant, and for no other."""

    name: Annotated[str, msgspec.Meta(pattern=accounts.NAME.pattern, max_length=64)]
    full_name: Annotated[str, msgspec.Meta(max_length=128)]
    role: Role
    password: Password
    plant: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class PasswordIn(msgspec.Struct, frozen=True):
    """A new password."""

    password: Password


class RoleIn(msgspec.Struct, frozen=True):
    """Another role; a plant for the role plant, and for no other."""

    role: Role
    plant: Annotated[str, msgspec.Meta(max_length=64)] | None = None


class TokenOut(msgspec.Struct, frozen=True):
    """A token, without its secret. `scope`: names apart by blanks."""

    id: int
    account: str
    name: str
    scope: str
    created_ms: int
    expires_ms: int
    revoked_ms: int | None


class TokenIn(msgspec.Struct, frozen=True):
    """A token to be made for oneself. `scope`: what of one's own rights it has."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    days: Annotated[int, msgspec.Meta(ge=1, le=400)]
    scope: Annotated[tuple[Scope, ...], msgspec.Meta(min_length=1)] = ("read",)


class SecretOut(msgspec.Struct, frozen=True):
    """The secret of a new token; it is told this once."""

    token: str


@api_get("/me", Open.LOGGED_IN, own=True)
def me(ctx: Ctx) -> MeOut:
    """Who I am, and what I may do."""
    who = ctx.actor
    return MeOut(who.name, str(who.role), who.plant, sorted(who.permissions))


@api_get("/accounts", Permission.ADMINISTER, table=True)
def list_all(ctx: Ctx, listing: Listing) -> Listed[AccountOut]:
    """Every account, by name."""
    rows = [as_row(AccountOut, each) for each in ctx.read(accounts.list_accounts)]
    return listing.of(rows, AccountOut, "accounts")


@api_post("/accounts", Permission.ADMINISTER)
def create(ctx: Ctx, data: JSONBody[AccountIn]) -> DoneOut:
    """Create an account."""
    hashed = hash_password(data.password)
    ctx.write(
        lambda c: accounts.create_account(
            c, actor=ctx.actor, name=data.name, full_name=data.full_name, role=data.role, plant=data.plant,
            password_hash=hashed, now_ms=ctx.now_ms,
        )
    )  # fmt: skip
    return DoneOut()


@api_post("/accounts/{name:str}/password", Permission.ADMINISTER)
def set_password(ctx: Ctx, name: Name, data: JSONBody[PasswordIn]) -> DoneOut:
    """Give an account a new password; its sessions end, its tokens are revoked."""
    hashed = hash_password(data.password)
    ctx.write(lambda c: accounts.set_password(c, actor=ctx.actor, name=name, password_hash=hashed, now_ms=ctx.now_ms))
    return DoneOut()


@api_post("/accounts/{name:str}/role", Permission.ADMINISTER)
def set_role(ctx: Ctx, name: Name, data: JSONBody[RoleIn]) -> DoneOut:
    """Give an account another role; its sessions end, its tokens are revoked."""
    ctx.write(
        lambda c: accounts.set_role(c, actor=ctx.actor, name=name, role=data.role, plant=data.plant, now_ms=ctx.now_ms)
    )
    return DoneOut()


@api_post("/accounts/{name:str}/disable", Permission.ADMINISTER)
def disable(ctx: Ctx, name: Name) -> DoneOut:
    """Close an account; its sessions end, its tokens are revoked."""
    ctx.write(lambda c: accounts.disable_account(c, actor=ctx.actor, name=name, now_ms=ctx.now_ms))
    return DoneOut()


@api_post("/accounts/{name:str}/second-factor/remove", Permission.ADMINISTER)
def remove_factor(ctx: Ctx, name: Name) -> DoneOut:
    """Remove the second factor of somebody who lost the device and the recovery codes; one's own needs a code."""
    ctx.write(lambda c: second_factor.remove(c, actor=ctx.actor, name=name, now_ms=ctx.now_ms))
    return DoneOut()


@api_get("/tokens", Open.LOGGED_IN, own=True, table=True)
def list_tokens(ctx: Ctx, listing: Listing) -> Listed[TokenOut]:
    """One's own tokens; an administrator sees everybody's."""
    whose = "" if ctx.actor.may(Permission.ADMINISTER) else ctx.actor.name
    rows = [as_row(TokenOut, each) for each in ctx.read(lambda c: tokens.list_tokens(c, whose))]
    return listing.of(rows, TokenOut, "tokens")


@api_post("/tokens", Open.IN_PERSON, own=True)
def create_token(ctx: Ctx, data: JSONBody[TokenIn]) -> SecretOut:
    """Make a token for oneself; in a browser's session only, a token makes no tokens."""
    mine = ctx.actor.name
    return SecretOut(
        ctx.write(
            lambda c: tokens.create_token(
                c,
                actor=ctx.actor,
                account_name=mine,
                name=data.name,
                scope=data.scope,
                days=data.days,
                now_ms=ctx.now_ms,
            )
        )
    )


@api_post("/tokens/{number:int}/revoke", Open.LOGGED_IN, own=True)
def revoke_token(ctx: Ctx, number: Annotated[int, PathParameter(ge=1, le=2**53)]) -> DoneOut:
    """Revoke a token of one's own; an administrator anybody's."""
    ctx.write(lambda c: tokens.revoke_token(c, number, actor=ctx.actor, now_ms=ctx.now_ms))
    return DoneOut()


ROUTES: Final = [
    me,
    list_all,
    create,
    set_password,
    set_role,
    disable,
    remove_factor,
    list_tokens,
    create_token,
    revoke_token,
]
