# SPDX-License-Identifier: GPL-3.0-or-later
"""Which forms of pages were sent: each has a key of its own, and what it does is done once, however often it comes.

A key is claimed before anything is done and let go of where nothing came of it; so a process that is killed in between
leaves a form that is not done again. Of a key a SHA-256 is kept, with person and address, for a day.
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
    """By what a form is known: its key, who sent it, and where to."""
    return hashlib.sha256("\0".join((key, who, path)).encode()).hexdigest()


def claim_form(connection: Connection, digest: str, *, now_ms: int) -> str | None:
    """None where it was never sent, and is ours to carry out; else where it led, `UNDER_WAY` while it does not yet."""
    connection.execute(delete(sent_form).where(sent_form.c.at_ms < now_ms - DAY_MS))
    row = {"key_sha256": digest, "at_ms": now_ms, "led_to": UNDER_WAY}
    if connection.execute(insert_new(connection, sent_form).values(row)).rowcount:
        return None
    return led_to(connection, digest) or UNDER_WAY


def led_to(connection: Connection, digest: str) -> str | None:
    """Where a form led, `UNDER_WAY` while it does not yet; None where nothing came of it."""
    found = connection.execute(select(sent_form.c.led_to).where(sent_form.c.key_sha256 == digest)).scalar()
    return None if found is None else str(found)


def note_led_to(connection: Connection, digest: str, address: str) -> None:
    """It is done: who sends it again is led to where it led."""
    connection.execute(update(sent_form).where(sent_form.c.key_sha256 == digest).values(led_to=address))


def let_go_of(connection: Connection, digest: str) -> None:
    """Nothing came of it: it may be sent again."""
    connection.execute(delete(sent_form).where(sent_form.c.key_sha256 == digest))
