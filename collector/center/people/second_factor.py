# SPDX-License-Identifier: GPL-3.0-or-later
"""The second factor of a log-in: time-based one-time codes (RFC 6238), and recovery codes for a lost device.

Codes are those of every authenticator: SHA-1, 30 s, 6 digits. The codes of the step before and after are accepted too,
for a clock that is off; no code is accepted twice. Unlike a password, the shared key must be readable in the store; of
recovery codes, each good once, only a SHA-256 is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from typing import Final
from urllib.parse import quote

from sqlalchemy import Connection, delete, func, insert, select, update

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.seals.sealed_rows import row_holds
from collector.center.db.tables_people import account, recovery_code
from collector.center.people import audit
from collector.center.people.access import Actor, Permission, Role
from collector.center.people.accounts import account_number, end_access

# Roles that move a month or give access to others; `web.second_factor_required` makes it a must for them.
NEEDED_BY: Final = frozenset({Role.APPROVER, Role.REGULATOR, Role.ADMINISTRATOR})
STEP_MS: Final = 30_000
DIGITS: Final = 6
RECOVERY_CODES: Final = 10
_KEY_BYTES: Final = 20  # 160 bits, as RFC 4226 (4, R6) recommends
_RECOVERY_BYTES: Final = 10  # too many values to guess, so a plain hash is safe


def one_time_code(key: bytes, step: int, digits: int = DIGITS) -> str:
    """The code of a time step. Source: RFC 4226, 5.3; RFC 6238, 4.2."""
    digest = hmac.digest(key, step.to_bytes(8, "big"), hashlib.sha1)
    offset = digest[-1] & 0xF
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**digits:0{digits}d}"


def new_key() -> str:
    """A new key in the form that a person types into an authenticator: base32, 32 characters."""
    return base64.b32encode(secrets.token_bytes(_KEY_BYTES)).decode()


def key_uri(name: str, key: str, center: str) -> str:
    """The URI that passes a key to an authenticator on the same device."""
    issuer = quote(f"collector {center}", safe="")
    return f"otpauth://totp/{issuer}:{quote(name, safe='')}?secret={key}&issuer={issuer}"


def set_up(connection: Connection, *, actor: Actor, key: str, code: str, now_ms: int) -> list[str]:
    """Set the actor's second factor to a key, proved by a code of it; returns the recovery codes, shown this once.

    Raises:
        StoreError: the code is not the key's, the key is none of `new_key`, or there is a second factor already.
    """
    number = account_number(connection, actor.name)
    step = _step_of(_key_bytes(key), _typed(code), now_ms)
    if step is None:
        raise StoreError(tr("not the code of this key: are both clocks right?"), subject=tr("second factor"))
    values = {"totp_key": key, "totp_step": step}
    none_yet = (account.c.id == number) & account.c.totp_key.is_(None)
    if connection.execute(update(account).where(none_yet).values(values)).rowcount != 1:
        raise StoreError(tr("there is one already: remove it first"), subject=tr("second factor"))
    codes = [secrets.token_hex(_RECOVERY_BYTES) for _ in range(RECOVERY_CODES)]
    kept = [{"account_id": number, "code_sha256": _sha256(each), "used_ms": None} for each in codes]
    connection.execute(delete(recovery_code).where(recovery_code.c.account_id == number))
    connection.execute(insert(recovery_code), kept)
    action, name = "second_factor.set_up", actor.name
    audit.append(connection, actor=actor, action=action, subject=name, detail={}, now_ms=now_ms)
    return ["-".join(each[i : i + 5] for i in range(0, len(each), 5)) for each in codes]


def remove(connection: Connection, *, actor: Actor, name: str, code: str = "", now_ms: int) -> None:
    """Remove a second factor: one's own with a code of it, or as an administrator anybody else's; its sessions end.

    Raises:
        Denied: somebody else's, and the actor is no administrator.
        StoreError: there is no such account, it has none, or the code is wrong.
    """
    number = account_number(connection, name)
    own = actor.name == name and not actor.local
    if not own:
        actor.require(Permission.ADMINISTER)
    elif not use_code(connection, number, code, actor=actor, now_ms=now_ms):
        raise StoreError(tr("this code does not count"), subject=tr("second factor"))
    has_one = (account.c.id == number) & account.c.totp_key.is_not(None)
    if connection.execute(update(account).where(has_one).values(totp_key=None, totp_step=None)).rowcount != 1:
        raise StoreError(tr("has no second factor"), subject=name)
    connection.execute(delete(recovery_code).where(recovery_code.c.account_id == number))
    detail = {"tokens_revoked": end_access(connection, number, now_ms)}
    audit.append(connection, actor=actor, action="second_factor.remove", subject=name, detail=detail, now_ms=now_ms)


def use_code(connection: Connection, number: int, code: str, *, actor: Actor, now_ms: int) -> bool:
    """True if a code admits an account, and use the code up. An account without a second factor needs no code."""
    key = connection.execute(select(account.c.totp_key).where(account.c.id == number)).scalar()
    if key is None:
        return True
    typed = _typed(code)
    step = _step_of(_key_bytes(key), typed, now_ms)
    if step is not None:
        later = (account.c.id == number) & (account.c.totp_step < step)
        return connection.execute(update(account).where(later).values(totp_step=step)).rowcount == 1
    mine = (recovery_code.c.account_id == number) & recovery_code.c.used_ms.is_(None)
    this = mine & (recovery_code.c.code_sha256 == _sha256(typed))
    if not row_holds(connection, recovery_code, (number, _sha256(typed))):
        return False
    if connection.execute(update(recovery_code).where(this).values(used_ms=now_ms)).rowcount != 1:
        return False
    left = int(connection.execute(select(func.count()).select_from(recovery_code).where(mine)).scalar_one())
    action, detail = "second_factor.recover", {"codes_left": left}
    audit.append(connection, actor=actor, action=action, subject=actor.name, detail=detail, now_ms=now_ms)
    return True


def _step_of(key: bytes, code: str, now_ms: int) -> int | None:
    present = now_ms // STEP_MS
    steps = (step for step in (present, present - 1, present + 1) if step >= 0)
    return next((s for s in steps if hmac.compare_digest(one_time_code(key, s).encode(), code.encode())), None)


def _key_bytes(key: str) -> bytes:
    try:
        found = base64.b32decode(key)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) != _KEY_BYTES:
        raise StoreError(tr("not a key of this page: load it again"), subject=tr("second factor"))
    return found


def _typed(code: str) -> str:
    return code.replace(" ", "").replace("-", "").lower()[:64]


def _sha256(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
