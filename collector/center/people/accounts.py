# SPDX-License-Identifier: GPL-3.0-or-later
"""Accounts, sessions and tokens: who somebody is. What they may do is `collector.center.people.access`.

Passwords are argon2id hashes; of session and token secrets only a SHA-256 is kept. Failed log-ins are counted in the
store by name and by address, so several processes count together and a restart forgets nothing. A password is checked
outside of any transaction: it takes its time on purpose, and the store has one writer.
"""

from __future__ import annotations

import functools
import hashlib
import re
import secrets
import threading
from typing import Any, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from collector.base.errors import Denied, StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_people import account, login_failure, session, token
from collector.center.db.tables_people import audit as audit_log
from collector.center.people import audit
from collector.center.people.access import Actor, Permission, Role

NAME: Final = re.compile(r"[a-z][a-z0-9._-]{1,63}")
MIN_PASSWORD: Final = 10
MAX_PASSWORD: Final = 256
SESSION_MS: Final = 8 * 3_600_000  # a working day; renewed while in use
SEEN_EVERY_MS: Final = 60_000
FAILURE_WINDOW_MS: Final = 15 * 60_000
FAILURES_BY_NAME: Final = 10
FAILURES_BY_ADDRESS: Final = 50
KNOWN_MS: Final = 90 * 86_400_000  # how long an address somebody logged in from is known
TOKEN_PREFIX: Final = "ct_"  # what a leaked one is recognised by

_STARTED: Final = "session.start"
_checking: Final = threading.Lock()
_hasher: Final = PasswordHasher()


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
    """Create an account; its number. `password_hash`: of `hash_password`.

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


def hash_password(password: str) -> str:
    """argon2id hash of a new password.

    Raises:
        StoreError: too short or too long.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise StoreError(
            tr("{min_password} to {max_password} characters", min_password=MIN_PASSWORD, max_password=MAX_PASSWORD),
            subject="password",
        )
    return _hasher.hash(password)


def set_password(connection: Connection, *, actor: Actor, name: str, password_hash: str, now_ms: int) -> None:
    """Give an account a new password; its sessions end and its tokens are revoked, whoever may hold them.

    One's own, or as an administrator anybody's.

    Raises:
        Denied: somebody else's, and the actor is no administrator.
        StoreError: there is no such account.
    """
    if actor.name != name or actor.local:
        actor.require(Permission.ADMINISTER)
    number = _number(connection, name)
    connection.execute(update(account).where(account.c.id == number).values(password_hash=password_hash))
    detail = {"tokens_revoked": _end_access(connection, number, now_ms)}
    audit.append(connection, actor=actor, action="account.password", subject=name, detail=detail, now_ms=now_ms)


def set_role(
    connection: Connection, *, actor: Actor, name: str, role: Role, plant: str | None = None, now_ms: int
) -> None:
    """Give an account another role; its sessions end and its tokens are revoked: they were given to the old one.

    Raises:
        Denied: the actor is no administrator, or it is the actor's own account.
        StoreError: there is no such account, or role and plant do not fit.
    """
    actor.require(Permission.ADMINISTER)
    if actor.name == name and not actor.local:
        raise Denied(tr("nobody changes their own role"), subject=name)
    if (role is Role.PLANT) != bool(plant):
        raise StoreError(tr("the role plant, and no other, needs a plant"), subject=name)
    number = _number(connection, name)
    before = connection.execute(select(account.c.role, account.c.plant).where(account.c.id == number)).one()
    connection.execute(update(account).where(account.c.id == number).values(role=str(role), plant=plant))
    detail = {
        "before": {"role": before.role, "plant": before.plant},
        "role": str(role),
        "plant": plant,
        "tokens_revoked": _end_access(connection, number, now_ms),
    }
    audit.append(connection, actor=actor, action="account.role", subject=name, detail=detail, now_ms=now_ms)


def disable_account(connection: Connection, *, actor: Actor, name: str, now_ms: int) -> None:
    """Close an account: its sessions end, its tokens are revoked, its name stays in what it did.

    Raises:
        Denied: the actor is no administrator, or it is the actor's own account.
        StoreError: there is no such account.
    """
    actor.require(Permission.ADMINISTER)
    if actor.name == name and not actor.local:
        raise Denied(tr("nobody closes their own account"), subject=name)
    number = _number(connection, name)
    connection.execute(update(account).where(account.c.id == number).values(disabled_ms=now_ms))
    detail = {"tokens_revoked": _end_access(connection, number, now_ms)}
    audit.append(connection, actor=actor, action="account.disable", subject=name, detail=detail, now_ms=now_ms)


def list_accounts(connection: Connection) -> list[dict[str, Any]]:
    """Every account by name, without its password."""
    names = ("id", "name", "full_name", "role", "plant", "created_ms", "created_by", "disabled_ms")
    query = select(*(account.c[name] for name in names)).order_by(account.c.name)
    return [dict(row) for row in connection.execute(query).mappings()]


def log_in(store: CenterStore, name: str, password: str, *, address: str) -> str | None:
    """The secret of a new session; None where name or password is wrong. `address`: of the client.

    Raises:
        Denied: too many failures for this name or from this address; try again later.
    """
    now_ms = store.clock.now_utc_ms()
    name, address = name[:64], address[:64]
    found = _find_by_password(store, name, password, address, now_ms)
    if found is None:
        return None
    renewed = _hasher.hash(password) if _hasher.check_needs_rehash(found.password_hash) else None
    return store.write(lambda c: _start_session(c, found, renewed, address, now_ms)).result()


def is_password_of(store: CenterStore, name: str, password: str, *, address: str) -> bool:
    """Whether it is the password of an open account: asked again of who is logged in. Failures count as at log-in.

    Raises:
        Denied: too many failures for this name or from this address; try again later.
    """
    now_ms = store.clock.now_utc_ms()
    return _find_by_password(store, name[:64], password, address[:64], now_ms) is not None


def log_out(connection: Connection, secret: str) -> None:
    """End a session; one that is over already changes nothing."""
    connection.execute(delete(session).where(session.c.secret_sha256 == _sha256(secret)))


def session_actor(store: CenterStore, secret: str) -> Actor | None:
    """Whose session it is; None where there is none, or no longer. One that is used lives on."""
    now_ms = store.clock.now_utc_ms()
    digest = _sha256(secret)
    query = (
        select(account.c.name, account.c.role, account.c.plant, session.c.seen_ms)
        .join(session, session.c.account_id == account.c.id)
        .where((session.c.secret_sha256 == digest) & (session.c.expires_ms > now_ms))
        .where(account.c.disabled_ms.is_(None))
    )
    row = store.read(lambda c: c.execute(query).one_or_none())
    if row is None:
        return None
    if now_ms - row.seen_ms >= SEEN_EVERY_MS:
        renewed = update(session).where(session.c.secret_sha256 == digest)
        values = {"seen_ms": now_ms, "expires_ms": now_ms + SESSION_MS}
        store.write(lambda c: c.execute(renewed.values(values)))
    return Actor(row.name, Role(row.role), row.plant)


def create_token(connection: Connection, *, actor: Actor, account_name: str, name: str, days: int, now_ms: int) -> str:
    """The secret of a new token, shown this once. One's own, or as an administrator anybody's.

    Raises:
        Denied: somebody else's, and the actor is no administrator.
        StoreError: there is no such account, or `days` is not 1 to 400.
    """
    if actor.name != account_name or actor.local:
        actor.require(Permission.ADMINISTER)
    if not 1 <= days <= 400:
        raise StoreError(tr("a token lives 1 to 400 days"), subject=name)
    number = _number(connection, account_name)
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    values = {
        "account_id": number,
        "name": name[:64],
        "secret_sha256": _sha256(secret),
        "created_ms": now_ms,
        "expires_ms": now_ms + days * 86_400_000,
    }
    connection.execute(insert(token).values(values))
    detail = {"token": name[:64], "days": days}
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
    columns = (token.c.id, account.c.name.label("account"), token.c.name)
    query = select(*columns, token.c.created_ms, token.c.expires_ms, token.c.revoked_ms)
    query = query.join(account, token.c.account_id == account.c.id).order_by(token.c.id)
    if account_name:
        query = query.where(account.c.name == account_name)
    return [dict(row) for row in connection.execute(query).mappings()]


def token_actor(store: CenterStore, secret: str) -> Actor | None:
    """Whose token it is; None where there is none, or no longer."""
    query = (
        select(account.c.name, account.c.role, account.c.plant)
        .join(token, token.c.account_id == account.c.id)
        .where((token.c.secret_sha256 == _sha256(secret)) & (token.c.expires_ms > store.clock.now_utc_ms()))
        .where(token.c.revoked_ms.is_(None) & account.c.disabled_ms.is_(None))
    )
    row = store.read(lambda c: c.execute(query).one_or_none())
    return None if row is None else Actor(row.name, Role(row.role), row.plant)


def _find_by_password(store: CenterStore, name: str, password: str, address: str, now_ms: int) -> Any:
    """The row of an open account whose password it is; None where it is not, which counts as a failure.

    One at a time: each check takes 64 MB and a core, and of many at once none would see the others' failures.
    """
    with _checking:
        store.read(lambda c: _refuse_too_many(c, name, address, now_ms))
        query = select(account).where((account.c.name == name) & account.c.disabled_ms.is_(None))
        found = store.read(lambda c: c.execute(query).one_or_none())
        if _is_password(found.password_hash if found else _hash_of_nobody(), password) and found is not None:
            return found
        store.write(lambda c: _note_failure(c, name, address, now_ms)).result()
        return None


def _refuse_too_many(connection: Connection, name: str, address: str, now_ms: int) -> None:
    of_name, of_address = login_failure.c.name == name, login_failure.c.address == address
    refused = _failures(connection, of_address, now_ms) >= FAILURES_BY_ADDRESS
    if not refused and _failures(connection, of_name, now_ms) >= FAILURES_BY_NAME:
        # Else anybody could keep anybody out: where somebody logged in before, only what failed there counts.
        known = _logged_in_from(connection, name, address, now_ms)
        refused = not known or _failures(connection, of_name & of_address, now_ms) >= FAILURES_BY_NAME
    if refused:
        raise Denied(tr("too many failed log-ins; try again in a quarter of an hour"), subject=name)


def _failures(connection: Connection, where: ColumnElement[bool], now_ms: int) -> int:
    recent = login_failure.c.at_ms > now_ms - FAILURE_WINDOW_MS
    return int(connection.execute(select(func.count()).select_from(login_failure).where(recent & where)).scalar_one())


def _logged_in_from(connection: Connection, name: str, address: str, now_ms: int) -> bool:
    log = audit_log.c
    where = (log.subject == name) & (log.action == _STARTED) & (log.at_ms > now_ms - KNOWN_MS)
    where &= log.detail == audit.detail_text({"from": address})
    return connection.execute(select(log.sequence).where(where).limit(1)).scalar() is not None


def _note_failure(connection: Connection, name: str, address: str, now_ms: int) -> None:
    connection.execute(delete(login_failure).where(login_failure.c.at_ms <= now_ms - FAILURE_WINDOW_MS))
    connection.execute(insert(login_failure).values(name=name, address=address, at_ms=now_ms))


def _start_session(connection: Connection, found: Any, renewed: str | None, address: str, now_ms: int) -> str | None:
    """The secret of a new session; None where the account was closed or its password replaced since it was checked."""
    same = (account.c.id == found.id) & account.c.disabled_ms.is_(None)
    same &= account.c.password_hash == found.password_hash
    values = {"password_hash": renewed or found.password_hash}
    if connection.execute(update(account).where(same).values(values)).rowcount != 1:
        return None
    connection.execute(delete(session).where(session.c.expires_ms <= now_ms))
    connection.execute(delete(login_failure).where(login_failure.c.name == found.name))
    secret = secrets.token_urlsafe(32)
    row = {"secret_sha256": _sha256(secret), "account_id": found.id, "created_ms": now_ms, "seen_ms": now_ms}
    connection.execute(insert(session).values(row | {"expires_ms": now_ms + SESSION_MS}))
    actor, detail = Actor(found.name, Role(found.role), found.plant), {"from": address}
    audit.append(connection, actor=actor, action=_STARTED, subject=found.name, detail=detail, now_ms=now_ms)
    return secret


@functools.cache
def _hash_of_nobody() -> str:
    """Checked where there is no such account, so that the time taken does not tell which names exist."""
    return _hasher.hash(secrets.token_hex(16))


def _is_password(password_hash: str, password: str) -> bool:
    try:
        return len(password) <= MAX_PASSWORD and _hasher.verify(password_hash, password)
    except (VerificationError, InvalidHashError):
        return False


def _end_access(connection: Connection, number: int, now_ms: int) -> list[int]:
    """End an account's sessions and revoke its tokens; the numbers of those that were still good."""
    connection.execute(delete(session).where(session.c.account_id == number))
    alive = (token.c.account_id == number) & token.c.revoked_ms.is_(None)
    found = [int(each) for each in connection.execute(select(token.c.id).where(alive).order_by(token.c.id)).scalars()]
    connection.execute(update(token).where(alive).values(revoked_ms=now_ms))
    return found


def _number(connection: Connection, name: str) -> int:
    number = connection.execute(select(account.c.id).where(account.c.name == name)).scalar()
    if number is None:
        raise StoreError(tr("there is no such account"), subject=name)
    return int(number)


def _sha256(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
