# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts: the identities of people. Their rights: `access`; proof of identity: `passwords` and `sessions`."""

from __future__ import annotations

import logging
import re
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, insert, select, update

from collector.base.errors import Denied, Missing, StoreError
from collector.base.text import tr
from collector.center.db.seals.sealed_rows import altered_rows, row_holds
from collector.center.db.tables_people import account, recovery_code, session, token
from collector.center.people import audit
from collector.center.people.access import Actor, Permission, Role

NO_PASSWORD: Final = "!"  # in place of a hash: no password fits
logger: Final = logging.getLogger("collector.center.people.accounts")
NAME: Final = re.compile(r"[a-z][a-z0-9._-]{1,63}")


def create_account(
    connection: Connection,
    *,
    actor: Actor,
    name: str,
    full_name: str,
    role: Role,
    plant: str | None,
    password_hash: str,
    now_ms: int,
) -> int:
    """Create an account and return its number. `password_hash`: from `hash_password`.

    Raises:
        Denied: the actor is no administrator.
        StoreError: the name is taken or malformed, or role and plant do not fit.
    """
    actor.require(Permission.ADMINISTER)
    if not NAME.fullmatch(name):
        raise StoreError(tr("2 to 64 of a-z, 0-9, dot, dash, underscore; a letter first"), subject=name[:80])
    if (role is Role.PLANT) != bool(plant):
        raise StoreError(tr("the role plant, and no other, needs a plant"), subject=name)
    if connection.execute(select(account.c.id).where(account.c.name == name)).scalar() is not None:
        raise StoreError(tr("this name is taken; names are never given to somebody else"), subject=name)
    values = {
        "name": name,
        "full_name": full_name[:128],
        "role": str(role),
        "plant": plant,
        "password_hash": password_hash,
        "created_ms": now_ms,
        "created_by": actor.name,
    }
    key = connection.execute(insert(account).values(values)).inserted_primary_key
    assert key is not None
    detail = {"full_name": full_name, "role": str(role), "plant": plant}
    audit.append(connection, actor=actor, action="account.create", subject=name, detail=detail, now_ms=now_ms)
    return int(key[0])


def set_password(connection: Connection, *, actor: Actor, name: str, password_hash: str, now_ms: int) -> None:
    """Give an account a new password; its sessions end and its tokens are revoked.

    Anybody may set their own, an administrator anybody's.

    Raises:
        Denied: somebody else's, and the actor is no administrator.
        StoreError: there is no such account.
    """
    if actor.name != name or actor.local:
        actor.require(Permission.ADMINISTER)
    number = account_number(connection, name)
    connection.execute(update(account).where(account.c.id == number).values(password_hash=password_hash))
    detail = {"tokens_revoked": end_access(connection, number, now_ms)}
    audit.append(connection, actor=actor, action="account.password", subject=name, detail=detail, now_ms=now_ms)


def set_role(
    connection: Connection, *, actor: Actor, name: str, role: Role, plant: str | None = None, now_ms: int
) -> None:
    """Give an account another role; its sessions end and its tokens are revoked: they were given to the old role.

    An account row changed by something else than this program is repaired by this: its password and second factor are
    removed too, as nobody knows whose they are.

    Raises:
        Denied: the actor is no administrator, or it is the actor's own account.
        StoreError: there is no such account, or role and plant do not fit.
    """
    actor.require(Permission.ADMINISTER)
    if actor.name == name and not actor.local:
        raise Denied(tr("nobody changes their own role"), subject=name)
    if (role is Role.PLANT) != bool(plant):
        raise StoreError(tr("the role plant, and no other, needs a plant"), subject=name)
    number = account_number(connection, name, as_written=False)
    before = connection.execute(select(account.c.role, account.c.plant).where(account.c.id == number)).one()
    values: dict[str, Any] = {"role": str(role), "plant": plant}
    was_altered = not row_holds(connection, account, [number])
    if was_altered:
        values |= {"password_hash": NO_PASSWORD, "totp_key": None, "totp_step": None}
    connection.execute(update(account).where(account.c.id == number).values(values))
    detail = {
        **({"was_altered": True} if was_altered else {}),
        "before": {"role": before.role, "plant": before.plant},
        "role": str(role),
        "plant": plant,
        "tokens_revoked": end_access(connection, number, now_ms),
    }
    audit.append(connection, actor=actor, action="account.role", subject=name, detail=detail, now_ms=now_ms)


def disable_account(connection: Connection, *, actor: Actor, name: str, now_ms: int) -> None:
    """Close an account: its sessions end, its tokens are revoked, its name stays in the records of its actions.

    Raises:
        Denied: the actor is no administrator, or it is the actor's own account.
        StoreError: there is no such account.
    """
    actor.require(Permission.ADMINISTER)
    if actor.name == name and not actor.local:
        raise Denied(tr("nobody closes their own account"), subject=name)
    number = account_number(connection, name, as_written=False)
    connection.execute(update(account).where(account.c.id == number).values(disabled_ms=now_ms))
    detail = {"tokens_revoked": end_access(connection, number, now_ms)}
    audit.append(connection, actor=actor, action="account.disable", subject=name, detail=detail, now_ms=now_ms)


def list_accounts(connection: Connection) -> list[dict[str, Any]]:
    """Every account by name, without its password and its second factor's key."""
    names = ("id", "name", "full_name", "role", "plant", "created_ms", "created_by", "disabled_ms")
    has_factor = account.c.totp_key.is_not(None).label("second_factor")
    query = select(*(account.c[name] for name in names), has_factor).order_by(account.c.name)
    return [dict(row) for row in connection.execute(query).mappings()]


def end_access(connection: Connection, number: int, now_ms: int) -> list[int]:
    """End an account's sessions and revoke its tokens; returns the numbers of the tokens that were valid."""
    connection.execute(delete(session).where(session.c.account_id == number))
    alive = (token.c.account_id == number) & token.c.revoked_ms.is_(None)
    found = [int(each) for each in connection.execute(select(token.c.id).where(alive).order_by(token.c.id)).scalars()]
    connection.execute(update(token).where(alive).values(revoked_ms=now_ms))
    return found


def account_number(connection: Connection, name: str, *, as_written: bool = True) -> int:
    """The number of an account; by default the account must be as this program wrote it.

    Raises:
        StoreError: there is no such account, or it is not as it was written.
    """
    number = connection.execute(select(account.c.id).where(account.c.name == name)).scalar()
    if number is None:
        raise Missing(tr("there is no such account"), subject=name)
    if as_written:
        require_account(connection, int(number), name)
    return int(number)


def require_account(connection: Connection, number: int, name: str) -> None:
    """Refuse an account that is not as this program wrote it: its rights and its password may be anybody's.

    Raises:
        StoreError: the account is not as it was written.
    """
    if not row_holds(connection, account, [number]):
        message = tr(
            "this account is not as this program wrote it, and nobody gets in by it: `collector center check` says "
            "more; `collector center user role` gives it its role anew and takes its password away"
        )
        raise StoreError(message, subject=name)


def sealed_only(connection: Connection, found: Any, table: Table, key: str | int) -> Any:
    """The row found by a secret if this row and its account (`found.id`) are as this program wrote them; else None.

    `table`, `key`: the row of the secret.
    """
    if found is None:
        return None
    if row_holds(connection, table, [key]) and row_holds(connection, account, [found.id]):
        return found
    logger.error("%s of %s: not as this program wrote it; nobody gets in by it", table.name, found.name)
    return None


def altered_access(connection: Connection) -> list[str]:
    """The rows that give people access and are not as this program wrote them, by table and key."""
    return [words for table in (account, session, token, recovery_code) for words in altered_rows(connection, table)]
