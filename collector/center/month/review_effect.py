# SPDX-License-Identifier: GPL-3.0-or-later
"""The effect of granting a review on every plant, before the decision: its remedy tried on the run it names."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from sqlalchemy import Connection

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.month.review_files import remedies_of
from collector.center.month.review_log import EventKind, Review, review_by_id
from collector.center.month.reviews import note_what_if
from collector.center.people.access import Actor, Permission
from collector.center.runs.asking.handed_over import Errand
from collector.center.runs.asking.run_queue import AskedRun
from collector.center.runs.compare import PlantEffect, effect_by_plant
from collector.center.runs.run_list import RunRow
from collector.center.runs.settle_month import MadeRun
from collector.center.runs.variants.what_if import TableChange, ask_what_if
from collector.sheets.files import Delivered


def try_review(store: CenterStore, number: int, *, actor: Actor, note: str = "", executor: str = "") -> RunRow:
    """Settle the run of a review with its remedies; the what-if run is kept with the review.

    Raises:
        Denied: the actor may not settle.
        StoreError: the review has no remedy.
        ConfigError: a remedy is no valid file of its kind; the run's row says so.
    """
    return ask_to_try(store, number, actor=actor, note=note, executor=executor).ended()


def ask_to_try(
    store: CenterStore, number: int, *, actor: Actor, note: str = "", executor: str = ""
) -> AskedRun[MadeRun]:
    """Request a trial run of a review; nothing is begun yet.

    Raises:
        Denied: the actor may not settle.
        StoreError: the review has no remedy.
    """
    actor.require(Permission.SETTLE)
    found = store.read(lambda c: review_by_id(c, number, actor=actor))
    remedies = store.read(lambda c: remedies_of(c, number, actor=actor))
    if not remedies:
        raise StoreError(
            tr("attach the inputs that would change, as its remedy, first"),
            subject=tr("review {number}", number=number),
        )
    changes = [
        TableChange(kind, Delivered(name, data, hashlib.sha256(data).hexdigest())) for kind, name, data in remedies
    ]
    note = f"review {number}" + (f": {note}" if note else "")
    asked = ask_what_if(
        store,
        found.run_id,
        changes=changes,
        actor=actor,
        note=note,
        executor=executor,
        then=noting(store, number, actor),
    )
    if asked.errand is not None:
        asked.errand = Errand(asked.errand.verb, {**asked.errand.said, "review": number})
    return asked


def noting(store: CenterStore, number: int, actor: Actor) -> Callable[[Connection, int], None]:
    """Notes a run as the trial of a review, in the transaction that lists the run."""
    return lambda c, run_id: note_what_if(c, number, actor=actor, run_id=run_id, now_ms=store.clock.now_utc_ms())


def effect_of_review(store: CenterStore, number: int, *, actor: Actor) -> tuple[PlantEffect, ...]:
    """The effect of a review's last trial on every plant; empty where it was not tried yet.

    Raises:
        Denied: the actor sees one plant only, and this shows all.
    """
    actor.require(Permission.SEE_ALL)
    found = store.read(lambda c: review_by_id(c, number, actor=actor))
    tried = last_trial(found)
    return () if tried is None else effect_by_plant(store, found.run_id, tried)


def last_trial(review: Review) -> int | None:
    """The what-if run that was last made for a review."""
    runs = [event.link_run_id for event in review.events if event.kind is EventKind.TRIED]
    return runs[-1] if runs else None
