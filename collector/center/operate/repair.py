# SPDX-License-Identifier: GPL-3.0-or-later
"""Repair of an altered day file by two people: sealed again from the journal, or taken from a backup.

A backup gives the very file, or nothing. From the journal the same records give the same bytes, as long as their
payloads are kept; where the bytes differ, the day has another file from then on, as after a late record, and runs of
the old one stay as they are. The links of runs to the file get the new bytes too.
"""

from __future__ import annotations

import hashlib
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, select, update

from collector.base.durable import READ_ONLY, flush, folder_held
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.storage.lake_place import LakePath, ObjectPath, put_whole
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import run, run_file
from collector.center.db.tables_receive import lake_day, lake_file
from collector.center.db.verified import ABSENT, Altered, read_verified, verify_file
from collector.center.lake.seal import StaleDay, seal_day
from collector.center.lake.stored_records import source_of
from collector.center.people import audit, four_eyes
from collector.center.people.access import Actor
from collector.center.runs.keeping.own_files import copy_in_place
from collector.center.runs.run_list import link_file, record_name, runs_folder

KIND: Final = "repair"
DONE: Final = "repair.done"
JOURNAL: Final = "journal"


@dataclass(frozen=True, slots=True)
class Repaired:
    """The result of a repair. `before`, `after`: SHA-256 of the file as found, and as it is now."""

    path: LakePath
    expected: str
    before: str
    after: str


def propose_repair(store: CenterStore, plant: str, day: str, *, source: str, reason: str, actor: Actor) -> int:
    """Prepare a repair for another person to approve; returns the proposal's number.

    `source`: journal, or a backup's folder.

    Raises:
        Denied: the role may not prepare it.
        StoreError: there is no file of the day, it is as it was sealed, no reason, or one is proposed already.
    """
    subject = f"{plant} {day}"
    if not reason.strip():
        raise StoreError(tr("say why"), subject=subject)
    path, sha256 = store.read(lambda c: _current(c, store, plant, day))
    found = _hash_of(path)
    if found == sha256:
        raise StoreError(tr("is as it was sealed: there is nothing to repair"), subject=str(path))
    content: dict[str, Any] = {"plant": plant, "day": day, "source": source, "reason": reason.strip()[:1000]}
    content |= {"file": path.name, "expected": sha256, "found": found}
    now_ms = store.clock.now_utc_ms()
    return store.write(
        lambda c: four_eyes.propose(c, actor=actor, kind=KIND, subject=subject, content=content, now_ms=now_ms)
    ).result()


def refuse_repair(store: CenterStore, number: int, *, actor: Actor, note: str) -> None:
    """Refuse a proposed repair as another person. Raises as `four_eyes.decide`."""
    now_ms = store.clock.now_utc_ms()
    store.write(lambda c: four_eyes.decide(c, number, actor=actor, granted=False, note=note, now_ms=now_ms)).result()


def approve_repair(store: CenterStore, number: int, *, actor: Actor) -> Repaired:
    """Approve a repair as another person, and carry it out; or finish an approved one whose process was killed.

    Raises:
        Denied: the role may not, or the person prepared it.
        StoreError: decided already, payloads of the day are gone, or the backup does not have this very file.
        OSError: the disk refuses.
    """
    proposed = store.read(lambda c: four_eyes.get_proposal(c, number))
    if proposed.kind != KIND:
        raise StoreError(tr("is no repair"), subject=tr("proposal {number}", number=number))
    said, now_ms = proposed.content, store.clock.now_utc_ms()
    plant, day = said["plant"], said["day"]
    path, sha256 = store.read(lambda c: _current(c, store, plant, day))
    before = _hash_of(path)
    # Checked before the decision: an impossible repair is not approved.
    if said["source"] != JOURNAL:
        verify_file(Path(said["source"]) / "lake" / plant / path.name, sha256)
    elif not store.read(lambda c: source_of(c, store.lake, plant).is_kept(day)):
        message = tr("its batches have gone into the day file for good (lake.keep_payload_days): name a backup")
        raise StoreError(message, subject=f"{plant} {day}")
    if not store.read(lambda c: _was_cut_off(c, proposed, actor)):
        store.write(lambda c: four_eyes.decide(c, number, actor=actor, granted=True, now_ms=now_ms)).result()
    if said["source"] == JOURNAL:
        path = _seal_again(store, plant, day)
    else:
        put_whole(path, read_verified(Path(said["source"]) / "lake" / plant / path.name, sha256))
    after = _hash_of(path)
    with folder_held(runs_folder(store.directory)):
        _renew_links(store, plant, path)
    detail = {"proposal": number, "file": path.name, "source": said["source"]}
    detail |= {"expected": sha256, "found": before, "now": after}
    subject = f"{plant} {day}"
    store.write(
        lambda c: audit.append(c, actor=actor, action=DONE, subject=subject, detail=detail, now_ms=now_ms)
    ).result()
    return Repaired(path, sha256, before, after)


def _was_cut_off(connection: Connection, proposed: four_eyes.Proposal, actor: Actor) -> bool:
    """True if the same person approved it before, and it was not finished."""
    if proposed.decision != four_eyes.GRANTED or proposed.decided_by != actor.name:
        return False
    entries = audit.list_entries(connection, subject=proposed.subject)
    return not any(each["action"] == DONE and each["detail"]["proposal"] == proposed.id for each in entries)


def _current(connection: Connection, store: CenterStore, plant: str, day: str) -> tuple[LakePath, str]:
    where = (lake_file.c.plant == plant) & (lake_file.c.day == day) & lake_file.c.superseded_ms.is_(None)
    row = connection.execute(select(lake_file.c.name, lake_file.c.sha256).where(where)).one_or_none()
    if row is None:
        raise StoreError(tr("has no day file"), subject=f"{plant} {day}")
    return store.lake / plant / row.name, str(row.sha256)


def _hash_of(path: LakePath) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ABSENT


def _seal_again(store: CenterStore, plant: str, day: str) -> LakePath:
    same = (lake_day.c.plant == plant) & (lake_day.c.day == day)

    def want(connection: Connection) -> int:
        connection.execute(update(lake_day).where(same).values(wanted=lake_day.c.wanted + 1))
        return int(connection.execute(select(lake_day.c.wanted).where(same)).scalar_one())

    return seal_day(store, StaleDay(plant, day, store.write(want).result()))


def _renew_links(store: CenterStore, plant: str, path: LakePath) -> None:
    """Give runs that pin this file its new bytes, where theirs differ.

    A run with files of its own, as after a disclosure, gets a new file of its own.
    """
    mine = (run_file.c.plant == plant) & (run_file.c.name == path.name)
    query = select(run.c.folder).join(run_file, run_file.c.run_id == run.c.id).where(mine)
    sha256 = _hash_of(path)
    for folder in store.read(lambda c: c.execute(query).scalars().all()):
        inside = runs_folder(store.directory) / folder / "data" / "records" / record_name(plant, path.name)
        if isinstance(path, ObjectPath) and not inside.exists():
            continue  # it reads the lake's own
        try:
            verify_file(inside, sha256)
        except Altered:
            is_own = not inside.exists() or not inside.stat().st_mode & stat.S_IWUSR
            inside.unlink(missing_ok=True)
            if isinstance(path, ObjectPath):
                put_whole(inside, read_verified(path, sha256))
            else:
                link_file(path, inside)
            if is_own:
                copy_in_place(inside, sha256)
                inside.chmod(READ_ONLY)
            flush(inside.parent)
