# SPDX-License-Identifier: GPL-3.0-or-later
"""The forms of pages that were submitted: each has a key, and its action is done once, however often it is sent.

A key is claimed before the action and released where the action failed; after a kill in between, the form is not
carried out again. Only a SHA-256 of key, person and address is kept, for a day.
"""

from __future__ import annotations

import hashlib
from typing import Final

from sqlalchemy import Connection, delete, select, update

from collector.center.db.store import insert_new
from collector.center.db.tables_people import sent_form
from collector.model.interval import DAY_MS

UNDER_WAY: Final = ""


def digest_of(key: str, who: str, path: str) -> str:
    """The hash that identifies a form: of its key, its sender and its address."""
    return hashlib.sha256("\0".join((key, who, path)).encode()).hexdigest()


def claim_form(connection: Connection, digest: str, *, now_ms: int) -> str | None:
    """Claim a form: None where it is new and must be carried out; else the address of its result.

    The result is `UNDER_WAY` while the form is still being carried out.
    """
    connection.execute(delete(sent_form).where(sent_form.c.at_ms < now_ms - DAY_MS))
    row = {"key_sha256": digest, "at_ms": now_ms, "led_to": UNDER_WAY}
    if connection.execute(insert_new(connection, sent_form).values(row)).rowcount:
        return None
    return led_to(connection, digest) or UNDER_WAY


def led_to(connection: Connection, digest: str) -> str | None:
    """The address of a form's result, `UNDER_WAY` before there is one; None where the action failed."""
    found = connection.execute(select(sent_form.c.led_to).where(sent_form.c.key_sha256 == digest)).scalar()
    return None if found is None else str(found)


def note_led_to(connection: Connection, digest: str, address: str) -> None:
    """Note the address of a finished form's result: whoever sends the form again is redirected there."""
    connection.execute(update(sent_form).where(sent_form.c.key_sha256 == digest).values(led_to=address))


def let_go_of(connection: Connection, digest: str) -> None:
    """Release a form whose action failed: it may be sent again."""
    connection.execute(delete(sent_form).where(sent_form.c.key_sha256 == digest))
