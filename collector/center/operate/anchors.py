# SPDX-License-Identifier: GPL-3.0-or-later
"""Anchors: facts of the store kept outside of it: the heads of its two chains, and the state of each month.

Inside the store a chain shows a change before its head, but not that its end was cut off. So the heads are printed in
packages and filings, written into backups, and appended to a file on another disk or posted to the hook where
center.toml says so; `center check` compares the store with them.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import urllib.error
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from collector.base.durable import flush
from collector.base.errors import StoreError
from collector.base.text import said_by, tr
from collector.center.db.store import CenterStore, renew_store_id
from collector.center.db.tables_month import month_step
from collector.center.db.tables_people import audit as audit_table
from collector.center.db.tables_receive import row_seal
from collector.center.db.tables_receive import store as store_table
from collector.center.operate.webhook import post_event
from collector.center.people import audit
from collector.center.people.access import Actor
from collector.center.people.heads import STEP_FIELDS, anchor_of
from collector.center.settings import Alarms, CenterSettings

RENEWED: Final = "store.renew"
NEW_KEY: Final = "store.new_key"
EVERY_S: Final = 600.0

logger: Final = logging.getLogger("collector.center.operate.anchors")


def renew_store(connection: Connection, *, actor: Actor, now_ms: int) -> str:
    """Give the store a new id, as a restore must; the log keeps the last heads under the old id."""
    before = anchor_of(connection)
    store_id = renew_store_id(connection, now_ms)
    detail = {name: before[name] for name in ("store_id", "audit", "rows")}
    audit.append(connection, actor=actor, action=RENEWED, subject=store_id, detail=detail, now_ms=now_ms)
    return store_id


def note_new_key(connection: Connection, *, actor: Actor, now_ms: int) -> None:
    """Record in the log that the seals of the chain use another key from here on."""
    before = anchor_of(connection)
    detail = {name: before[name] for name in ("audit", "rows")}
    audit.append(connection, actor=actor, action=NEW_KEY, subject=before["store_id"], detail=detail, now_ms=now_ms)


def check_anchor(connection: Connection, anchor: Mapping[str, Any], where: str) -> Iterator[str]:
    """The differences between the store and an anchor. `where`: the anchor's file."""
    reach = _reach(connection, anchor["store_id"])
    name = tr("{file}, of {time}", file=where, time=anchor["at"])
    if reach is None:
        yield tr("{name}: is of store {store_id}, which this one never was", name=name, store_id=anchor["store_id"])
        return
    for chain, table in (("audit", audit_table), ("rows", row_seal)):
        sequence, expected = anchor[chain]
        if not sequence or sequence > reach.get(chain, sequence):
            continue
        found = connection.execute(select(table.c.hash).where(table.c.sequence == sequence)).scalar()
        what = tr("audit entry") if chain == "audit" else tr("link of the chain of rows")
        if found is None:
            yield tr(
                "{name}: there was {what} {sequence}; the end of the chain is gone",
                name=name,
                what=what,
                sequence=sequence,
            )
        elif found != expected:
            yield tr(
                "{name}: {what} {sequence} is another one than then; expected {expected}, found {found}",
                name=name,
                what=what,
                sequence=sequence,
                expected=expected,
                found=found,
            )
    if not reach:  # a month of an earlier store may have moved on after the backup that this one was restored from
        for month, step in anchor["months"].items():
            same = [month_step.c[key] == step[key] for key in STEP_FIELDS]
            if connection.execute(select(month_step.c.id).where(month_step.c.month == month, *same)).first() is None:
                yield tr(
                    "{name}: {month} stood as {state} with run {run_id}, {result_hash}",
                    name=name,
                    month=month,
                    state=step["state"],
                    run_id=step["run_id"],
                    result_hash=step["result_hash"],
                )


def _reach(connection: Connection, store_id: str) -> dict[str, int] | None:
    """The last heads valid for anchors of a store id: empty for the present id, None for an unknown one."""
    if store_id == connection.execute(select(store_table.c.store_id)).scalar_one():
        return {}
    for row in connection.execute(select(audit_table.c.detail).where(audit_table.c.action == RENEWED)):
        detail = json.loads(row.detail)
        if detail["store_id"] == store_id:
            return {chain: int(detail[chain][0]) for chain in ("audit", "rows")}
    return None


def read_anchors(path: Path) -> list[dict[str, Any]]:
    """The anchors in a file: of lines, a backup (its folder or backup.json), or a package.

    Raises:
        StoreError: there are none in it.
    """
    path = path / "backup.json" if path.is_dir() else path
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as package:
                found = [json.loads(package.read("AUDIT.json"))]
        elif path.name == "backup.json":
            found = [json.loads(path.read_bytes())["anchor"]]
        else:
            found = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        if found and all({"store_id", "at", "audit", "rows", "months"} <= each.keys() for each in found):
            return found
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(tr("holds no anchors: {error}", error=error), subject=str(path)) from error
    raise StoreError(tr("holds no anchors"), subject=str(path))


def check_anchors(store: CenterStore, paths: Iterable[Path]) -> list[str]:
    """The differences between the store and the anchors in some files; also files without anchors."""
    anchors: list[tuple[str, dict[str, Any]]] = []
    found: list[str] = []
    for path in paths:
        try:
            anchors += [(str(path), anchor) for anchor in read_anchors(path)]
        except StoreError as error:
            found.append(said_by(error))
    found += store.read(lambda c: [words for where, each in anchors for words in check_anchor(c, each, where)])
    return found


async def keep_anchoring(
    store: CenterStore,
    settings: CenterSettings,
    *,
    post: Callable[[Alarms, Mapping[str, Any]], None] = post_event,
    every_s: float = EVERY_S,
) -> None:
    """Write an anchor outside after a chain has grown, every ten minutes at most, until cancelled."""
    last: object = None
    while True:
        await asyncio.sleep(every_s)
        try:
            last = await asyncio.to_thread(anchor_once, store, settings, last, post)
        except (OSError, urllib.error.URLError, ValueError, DBAPIError, StoreError) as error:
            logger.error("no anchor was written: %s", error)


def anchor_once(
    store: CenterStore, settings: CenterSettings, last: object, post: Callable[[Alarms, Mapping[str, Any]], None]
) -> object:
    """Write an anchor if the chains have grown; returns the heads for the next comparison.

    Raises:
        OSError: the other disk or the hook refuses.
    """
    anchor = store.read(anchor_of)
    heads = anchor["audit"], anchor["rows"]
    if heads == last:
        return last
    if settings.center.anchor_file:
        with Path(settings.center.anchor_file).open("a", encoding="utf-8") as file:
            file.write(json.dumps(anchor, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        flush(Path(settings.center.anchor_file).parent)
    if settings.center.anchor_webhook and settings.alarms.webhook_url:
        post(settings.alarms, {"center": settings.center.id, "event": "anchor"} | anchor)
    return heads
