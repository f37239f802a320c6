# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a review: evidence from all sides, and remedies: the inputs that change if it is granted."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, insert, select

from collector.base.errors import CollectorError, StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_month import attachment
from collector.center.inputs.imports import ALL_KINDS
from collector.center.inputs.service import deliver, delivered_of, take_back
from collector.center.month.attachments import MAX_FILES, MAX_REVIEW_BYTES, check_attachment
from collector.center.month.review_log import GRANTED_STATES, REMEDY, ReviewState, review_by_id
from collector.center.month.reviews import audit_review, link_remedy, lock_review
from collector.center.people.access import Actor, Permission
from collector.tables.limits import InputRules


def attach(
    connection: Connection,
    number: int,
    *,
    actor: Actor,
    name: str,
    data: bytes,
    now_ms: int,
    input_kind: str = "",
) -> int:
    """Attach a file to an open review: evidence, or with `input_kind` the remedy as a file to import.

    Raises:
        Denied: another plant's review; a remedy by somebody who may not answer reviews.
        ConfigError: the file is of no accepted type.
        StoreError: the review is closed or has too many files, or an unknown kind of input.
    """
    actor.require(Permission.REVIEW_ANSWER if input_kind or actor.plant is None else Permission.REVIEW_SUBMIT)
    found = lock_review(connection, number, actor=actor)
    subject = tr("review {number}", number=number)
    if not found.is_open and found.state is not ReviewState.LATE:
        raise StoreError(tr("is {state}: nothing is added any more", state=found.state), subject=subject)
    if input_kind and input_kind not in ALL_KINDS:
        raise StoreError(
            tr(
                "{input_kind!r} is no kind of input; expected one of {names}",
                input_kind=input_kind,
                names=", ".join(ALL_KINDS),
            ),
            subject=subject,
        )
    checked = check_attachment(name, data)
    if len(found.attachments) >= MAX_FILES:
        raise StoreError(tr("has {max_files} files already", max_files=MAX_FILES), subject=subject)
    if sum(each.size_bytes for each in found.attachments) + len(data) > MAX_REVIEW_BYTES:
        raise StoreError(
            tr("would have more than {max_review_bytes} bytes beside it", max_review_bytes=MAX_REVIEW_BYTES),
            subject=subject,
        )
    sha256, purpose = hashlib.sha256(data).hexdigest(), REMEDY if input_kind else "evidence"
    for same in found.attachments:
        if (same.sha256, same.purpose) == (sha256, purpose):
            return same.id
    values = {
        "review_id": number,
        "purpose": purpose,
        "input_kind": input_kind,
        "name": checked.name,
        "media_type": checked.media_type,
        "size_bytes": len(data),
        "sha256": sha256,
        "added_by": actor.name,
        "added_ms": now_ms,
    }
    key = connection.execute(insert(attachment).values({**values, "bytes": data})).inserted_primary_key
    assert key is not None
    audit_review(connection, actor, "review.attach", number, {**values, "attachment": int(key[0])}, now_ms)
    return int(key[0])


def carry_out(store: CenterStore, number: int, *, actor: Actor, rules: InputRules | None, now_ms: int) -> list[int]:
    """Import the remedies of a granted review in place of conflicting rows; returns the imports' numbers.

    All or nothing: where one is refused, those before it are undone.

    Raises:
        Denied: the role may not import, or not prepare.
        ConfigError: everything wrong in a remedy.
        StoreError: the review is not granted, was carried out, has no remedy, or they change nothing.
    """
    actor.require(Permission.PREPARE)
    found = store.read(lambda c: review_by_id(c, number, actor=actor))
    subject = tr("review {number}", number=number)
    remedies = store.read(lambda c: remedies_of(c, number, actor=actor))
    if found.state not in GRANTED_STATES or found.carried_out or not remedies:
        raise StoreError(tr("has no remedy that waits to be imported"), subject=subject)
    done: list[int] = []
    try:
        for kind, name, data in remedies:
            delivered = delivered_of(name, data)
            taken = deliver(store, kind, delivered, actor=actor, replace=True, rules=rules)
            done += [] if taken.import_id is None else [taken.import_id]
        if not done:
            raise StoreError(tr("its remedies are in force already; name the import"), subject=subject)
        text = ", ".join(f"import {each}" for each in done)
        store.write(
            lambda c: link_remedy(c, number, actor=actor, import_id=done[-1], text=text, now_ms=now_ms)
        ).result()
    except CollectorError:
        for each in reversed(done):
            # Without limits: rows that were in force a moment ago come back, whatever the rulebook says of them now.
            take_back(store, each, actor=actor, reason=f"{subject}: not carried out", rules=None)
        raise
    return done


def remedies_of(connection: Connection, number: int, *, actor: Actor) -> list[tuple[str, str, bytes]]:
    """The input changes of a review, as (kind, file name, bytes): the changes of a what-if run on its base."""
    found = review_by_id(connection, number, actor=actor)
    wanted = [each.id for each in found.attachments if each.purpose == REMEDY]
    query = select(attachment).where(attachment.c.id.in_(wanted)).order_by(attachment.c.id)
    return [(row.input_kind, row.name, bytes(row.bytes)) for row in connection.execute(query)]
