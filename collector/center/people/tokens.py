# SPDX-License-Identifier: GPL-3.0-or-later
"""Tokens: a program acts for an account, within a scope. Of a token's secret only a SHA-256 is kept."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from typing import Any, Final

from sqlalchemy import Connection, insert, select, update

from collector.base.errors import StoreError
from collector.base.text import tr, tr_in
from collector.center.db.store import CenterStore
from collector.center.db.tables_people import account, token
from collector.center.people import audit
from collector.center.people.access import SCOPES, Actor, Permission, Role, scopes_of
from collector.center.people.accounts import account_number, sealed_only

TOKEN_PREFIX: Final = "ct_"  # marks a leaked secret as a token of ours


def create_token(
    connection: Connection,
    *,
    actor: Actor,
    account_name: str,
    name: str,
    scope: Collection[str],
    days: int,
    now_ms: int,
) -> str:
    """Create a token of one's own account, or as an administrator of any; returns its secret, shown this once.

    `scope`: its part of the account's rights, by names of `SCOPES`.

    Raises:
        Denied: somebody else's, and the actor is no administrator.
        StoreError: there is no such account, `days` is not 1 to 400, or the scope gives nothing to its role.
    """
    if actor.name != account_name or actor.local:
        actor.require(Permission.ADMINISTER)
    if not 1 <= days <= 400:
        raise StoreError(tr("a token lives 1 to 400 days"), subject=name)
    number = account_number(connection, account_name)
    role = Role(connection.execute(select(account.c.role).where(account.c.id == number)).scalar_one())
    wanted = _scope_of(scope, role)
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    values = {
        "account_id": number,
        "name": name[:64],
        "scope": wanted,
        "secret_sha256": sha256_of(secret),
        "created_ms": now_ms,
        "expires_ms": now_ms + days * 86_400_000,
    }
    connection.execute(insert(token).values(values))
    detail = {"token": name[:64], "days": days, "scope": wanted}
    audit.append(connection, actor=actor, action="token.create", subject=account_name, detail=detail, now_ms=now_ms)
    return secret


def revoke_token(connection: Connection, number: int, *, actor: Actor, now_ms: int) -> None:
    """Revoke a token. One's own, or as an administrator anybody's.

    Raises:
        Denied: somebody else's, and the actor is no administrator.
        StoreError: there is none with this number, or it is revoked.
    """
    query = select(account.c.name).join(token, token.c.account_id == account.c.id).where(token.c.id == number)
    owner = connection.execute(query).scalar()
    if owner != actor.name or actor.local:
        actor.require(Permission.ADMINISTER)
    alive = (token.c.id == number) & token.c.revoked_ms.is_(None)
    if connection.execute(update(token).where(alive).values(revoked_ms=now_ms)).rowcount != 1:
        raise StoreError(
            tr("there is none with this number, or it is revoked"), subject=tr("token {number}", number=number)
        )
    detail = {"token": number}
    audit.append(connection, actor=actor, action="token.revoke", subject=str(owner), detail=detail, now_ms=now_ms)


def list_tokens(connection: Connection, account_name: str = "") -> list[dict[str, Any]]:
    """Tokens without their secrets; of one account where named."""
    columns = (token.c.id, account.c.name.label("account"), token.c.name, token.c.scope)
    query = select(*columns, token.c.created_ms, token.c.expires_ms, token.c.revoked_ms)
    query = query.join(account, token.c.account_id == account.c.id).order_by(token.c.id)
    if account_name:
        query = query.where(account.c.name == account_name)
    return [dict(row) for row in connection.execute(query).mappings()]


def token_actor(store: CenterStore, secret: str) -> Actor | None:
    """The actor of a token; None where there is none, or it has ended."""
    query = (
        select(account.c.id, account.c.name, account.c.role, account.c.plant, account.c.totp_key)
        .add_columns(token.c.scope, token.c.id.label("number"))
        .join(token, token.c.account_id == account.c.id)
        .where((token.c.secret_sha256 == sha256_of(secret)) & (token.c.expires_ms > store.clock.now_utc_ms()))
        .where(token.c.revoked_ms.is_(None) & account.c.disabled_ms.is_(None))
    )

    def find(connection: Connection) -> Any:
        found = connection.execute(query).one_or_none()
        return sealed_only(connection, found, token, found.number if found else 0)

    row = store.read(find)
    if row is None:
        return None
    scope = frozenset[Permission]().union(*(SCOPES[name] for name in row.scope.split()))
    return Actor(row.name, Role(row.role), row.plant, scope=scope, second_factor=row.totp_key is not None)


def _scope_of(names: Collection[str], role: Role) -> str:
    """A scope as stored: names in the order of `SCOPES`, separated by blanks."""
    fitting = scopes_of(role)
    if not names or not set(names) <= set(fitting):
        raise StoreError(
            tr("a scope is one or more of {names} (role {role})", names=", ".join(fitting), role=role),
            subject=tr_in("subject", "scope"),
        )
    return " ".join(name for name in fitting if name in names)


def sha256_of(secret: str) -> str:
    """The SHA-256 of a secret in hex, which is all that the store keeps of it."""
    return hashlib.sha256(secret.encode()).hexdigest()
