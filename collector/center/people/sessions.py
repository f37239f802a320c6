# SPDX-License-Identifier: GPL-3.0-or-later
"""Sessions: log-in by password and second factor, and the account of a session's cookie.

Of a session's secret only a SHA-256 is kept. Failed log-ins are counted in the store by name and by address, so several
processes count together and a restart forgets nothing. A password is checked outside of any transaction: the check is
slow on purpose, and the store has one writer.
"""

from __future__ import annotations

import secrets
import threading
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from collector.base.errors import Denied
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_people import account, login_failure, session
from collector.center.db.tables_people import audit as audit_log
from collector.center.people import audit, second_factor
from collector.center.people.access import Actor, Role
from collector.center.people.accounts import require_account, sealed_only
from collector.center.people.passwords import is_password, renewed_hash
from collector.center.people.tokens import sha256_of

IDLE_MS: Final = 8 * 3_600_000  # a working day; renewed while in use
# the account of an ended session is known this long, for a form that comes too late
ENDED_KNOWN_MS: Final = 24 * 3_600_000
SEEN_EVERY_MS: Final = 60_000
FAILURE_WINDOW_MS: Final = 15 * 60_000
FAILURES_BY_NAME: Final = 10
FAILURES_BY_ADDRESS: Final = 50
KNOWN_MS: Final = 90 * 86_400_000  # an address with a successful log-in is known this long

_STARTED: Final = "session.start"
_checking: Final = threading.Lock()


def log_in(store: CenterStore, name: str, password: str, *, code: str = "", address: str) -> str | None:
    """Log in: the secret of a new session; None where name, password or code is wrong, without saying which.

    `code`: of the second factor. `address`: of the client.

    Raises:
        Denied: too many failures for this name or from this address; try again later.
        StoreError: the account is not as this program wrote it.
    """
    now_ms = store.clock.now_utc_ms()
    name, address = name[:64], address[:64]
    found = _find_by_password(store, name, password, address, now_ms)
    if found is None:
        return None
    renewed = renewed_hash(found.password_hash, password)
    return store.write(lambda c: _start_session(c, found, renewed, code, address, now_ms)).result()


def is_password_of(store: CenterStore, name: str, password: str, *, address: str) -> bool:
    """True if it is the password of an open account: for a person logged in. Failures count as at log-in.

    Raises:
        Denied: too many failures for this name or from this address; try again later.
        StoreError: the account is not as this program wrote it.
    """
    now_ms = store.clock.now_utc_ms()
    return _find_by_password(store, name[:64], password, address[:64], now_ms) is not None


def log_out(connection: Connection, secret: str) -> None:
    """End a session; no effect where it has ended already."""
    connection.execute(delete(session).where(session.c.secret_sha256 == sha256_of(secret)))


def session_actor(store: CenterStore, secret: str, *, max_ms: int) -> Actor | None:
    """The actor of a session; None where there is none, or it has ended. Use prolongs it, up to `max_ms` in all."""
    now_ms = store.clock.now_utc_ms()
    digest = sha256_of(secret)
    query = (
        select(account.c.id, account.c.name, account.c.role, account.c.plant, account.c.totp_key, session.c.seen_ms)
        .join(session, session.c.account_id == account.c.id)
        .where((session.c.secret_sha256 == digest) & (session.c.expires_ms > now_ms))
        .where(session.c.created_ms > now_ms - max_ms)
        .where(account.c.disabled_ms.is_(None))
    )
    row = store.read(lambda c: sealed_only(c, c.execute(query).one_or_none(), session, digest))
    if row is None:
        return None
    if now_ms - row.seen_ms >= SEEN_EVERY_MS:
        renewed = update(session).where(session.c.secret_sha256 == digest)
        values = {"seen_ms": now_ms, "expires_ms": now_ms + IDLE_MS}
        store.write(lambda c: c.execute(renewed.values(values)))
    return Actor(row.name, Role(row.role), row.plant, second_factor=row.totp_key is not None)


def account_of_ended(store: CenterStore, secret: str) -> str:
    """The account of a session that ended by its time within the last day; else empty."""
    query = select(account.c.name).join(session, session.c.account_id == account.c.id)
    mine = (session.c.secret_sha256 == sha256_of(secret)) & account.c.disabled_ms.is_(None)
    return store.read(lambda c: c.execute(query.where(mine)).scalar()) or ""


def _find_by_password(store: CenterStore, name: str, password: str, address: str, now_ms: int) -> Any:
    """The row of an open account with this password; None counts as a failure.

    One check at a time: each takes 64 MB and a core, and many at once would not see each other's failures.
    """
    with _checking:
        store.read(lambda c: _refuse_too_many(c, name, address, now_ms))
        query = select(account).where((account.c.name == name) & account.c.disabled_ms.is_(None))
        found = store.read(lambda c: c.execute(query).one_or_none())
        if is_password(found.password_hash if found else None, password) and found is not None:
            store.read(lambda c: require_account(c, found.id, name))
            return found
        store.write(lambda c: _note_failure(c, name, address, now_ms)).result()
        return None


def _refuse_too_many(connection: Connection, name: str, address: str, now_ms: int) -> None:
    of_name, of_address = login_failure.c.name == name, login_failure.c.address == address
    refused = _failures(connection, of_address, now_ms) >= FAILURES_BY_ADDRESS
    if not refused and _failures(connection, of_name, now_ms) >= FAILURES_BY_NAME:
        # Else anybody could lock anybody out: from an address with an earlier log-in, only its own failures count.
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


def _start_session(
    connection: Connection, found: Any, renewed: str | None, code: str, address: str, now_ms: int
) -> str | None:
    """The secret of a new session; None where the code is wrong, which counts as a failure.

    None too where the account was closed or its password replaced since the check.
    """
    actor = Actor(found.name, Role(found.role), found.plant)
    if not second_factor.use_code(connection, found.id, code, actor=actor, now_ms=now_ms):
        _note_failure(connection, found.name, address, now_ms)
        return None
    same = (account.c.id == found.id) & account.c.disabled_ms.is_(None)
    same &= account.c.password_hash == found.password_hash
    values = {"password_hash": renewed or found.password_hash}
    if connection.execute(update(account).where(same).values(values)).rowcount != 1:
        return None
    connection.execute(delete(session).where(session.c.expires_ms <= now_ms - ENDED_KNOWN_MS))
    connection.execute(delete(login_failure).where(login_failure.c.name == found.name))
    secret = secrets.token_urlsafe(32)
    row = {"secret_sha256": sha256_of(secret), "account_id": found.id, "created_ms": now_ms, "seen_ms": now_ms}
    connection.execute(insert(session).values(row | {"expires_ms": now_ms + IDLE_MS}))
    started, detail = _STARTED, {"from": address}
    audit.append(connection, actor=actor, action=started, subject=found.name, detail=detail, now_ms=now_ms)
    return secret
