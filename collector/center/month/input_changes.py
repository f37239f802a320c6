# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes in the inputs of a run since it was made: what, by whom, when.

An index finds the inputs that arrived since the run began; without any, nothing has changed. An arrival is dropped
again where the month's table is still, byte for byte, the run's: a delivery for another month, or one that was undone.
A plan is too large for that comparison; a delivery of it counts where the time of its rows overlaps the month.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, and_, or_, select

from collector.base.text import Text, tr
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import imported, run_file
from collector.center.db.tables_receive import lake_day, lake_file
from collector.center.inputs.imports import current_register
from collector.center.inputs.kinds import KINDS, REGISTER
from collector.center.inputs.names import named_plant, plant_names
from collector.center.runs.input_folder import AFTER_DAYS, BEFORE_DAYS, REGISTER_FILE, hash_of_table
from collector.center.runs.run_list import NEVER_DISCLOSED, RunRow, manifest_text
from collector.model.interval import DAY_MS, Month
from collector.settlement.rulebook.load import hash_of_files, read_rulebook_files

RECORDS: Final = "records"
RULEBOOK: Final = "rulebook"
_TOO_LARGE: Final = "plan"


@dataclass(frozen=True, slots=True)
class InputChange:
    """A change that a run does not include.

    `kind`: an import kind, records or rulebook; `subject`: the file, or the plant. `who`: the account of the change,
    the plant for its records, empty for the rulebook's files. `what`: in words.
    """

    kind: str
    subject: str
    who: str
    at_ms: int
    what: Text


def changes_since(store: CenterStore, run: RunRow, *, rulebook: Path) -> list[InputChange]:
    """The changes in the inputs of a run since it was made, newest first; none for a kind that is never disclosed."""
    if run.kind in NEVER_DISCLOSED or run.began_ms is None:
        return []
    month, began_ms = Month.parse(run.month), run.began_ms
    delivered = store.read(lambda c: list(_deliveries(c, month, began_ms)))
    if delivered:
        inputs = json.loads(store.read(lambda c: manifest_text(c, run.id)))["inputs"]
        kinds = {each.kind for each in delivered}
        same = {kind for kind in kinds if store.read(lambda c, k=kind: _is_same(c, store, month, k, inputs))}  # type: ignore[misc]
        delivered = [each for each in delivered if each.kind not in same]
    days = store.read(lambda c: list(_days(c, month, run.id, began_ms)))
    return sorted([*delivered, *days, *_rules(run, rulebook)], key=lambda each: each.at_ms, reverse=True)


def _deliveries(connection: Connection, month: Month, since_ms: int) -> Iterator[InputChange]:
    """Imports made or undone since, that may touch the month."""
    span = month.interval
    meets = and_(
        imported.c.first_ms < span.end_ms + AFTER_DAYS * DAY_MS,
        imported.c.last_ms > span.start_ms - BEFORE_DAYS * DAY_MS,
    )
    since = or_(imported.c.at_ms >= since_ms, imported.c.undone_ms >= since_ms)
    query = select(imported).where(since & imported.c.kind.in_([REGISTER, *KINDS]))
    for row in connection.execute(query.where((imported.c.first_ms == 0) | meets)):
        if row.undone_ms is None:
            what = tr("{name}: {added} rows added, {replaced} replaced", name=row.name, added=row.added,
                      replaced=row.replaced)  # fmt: skip
            yield InputChange(row.kind, row.name, row.who, int(row.at_ms), what)
        elif row.at_ms < since_ms:
            what = tr("{name}: taken back", name=row.name)
            yield InputChange(row.kind, row.name, str(row.undone_by), int(row.undone_ms), what)


def _is_same(connection: Connection, store: CenterStore, month: Month, kind: str, inputs: dict[str, str]) -> bool:
    """True if a kind's table of the month is exactly the one of the run."""
    if kind == REGISTER:
        register = current_register(connection)
        return register is not None and hashlib.sha256(register).hexdigest() == inputs.get(REGISTER_FILE)
    if kind == _TOO_LARGE:
        return False
    return hash_of_table(connection, store, kind, month) == inputs.get(f"{kind}.csv")


def _days(connection: Connection, month: Month, run_id: int, since_ms: int) -> Iterator[InputChange]:
    """Days whose current file is not the one the run pinned, or that wait to be sealed again; one row per plant."""
    inside = lake_file.c.day.startswith(f"{month}-")
    mine = and_(run_file.c.run_id == run_id, run_file.c.plant == lake_file.c.plant, run_file.c.name == lake_file.c.name)
    resealed = (
        select(lake_file.c.plant, lake_file.c.day, lake_file.c.sealed_ms.label("at_ms"))
        .select_from(lake_file.outerjoin(run_file, mine))
        .where(inside & lake_file.c.superseded_ms.is_(None) & run_file.c.run_id.is_(None))
        .where(lake_file.c.sealed_ms >= since_ms)
    )
    waiting = select(lake_day.c.plant, lake_day.c.day, lake_day.c.changed_ms.label("at_ms")).where(
        lake_day.c.day.startswith(f"{month}-") & (lake_day.c.wanted > lake_day.c.sealed)
    )
    found = resealed.union_all(waiting).subquery()
    days: dict[str, set[str]] = defaultdict(set)
    latest: dict[str, int] = {}
    for row in connection.execute(select(found)):
        days[row.plant].add(row.day)
        latest[row.plant] = max(latest.get(row.plant, 0), int(row.at_ms))
    names = plant_names(connection) if days else {}
    for plant, mine_days in sorted(days.items()):
        what = tr("records of {plant}: {count} days, {first} to {last}", plant=named_plant(plant, names),
                  count=len(mine_days), first=min(mine_days), last=max(mine_days))  # fmt: skip
        yield InputChange(RECORDS, plant, plant, latest[plant], what)


def _rules(run: RunRow, rulebook: Path) -> Iterator[InputChange]:
    if hash_of_files(read_rulebook_files(rulebook)) != run.rulebook_hash:
        newest = max(int(path.stat().st_mtime_ns // 1_000_000) for path in rulebook.glob("*.toml"))
        yield InputChange(RULEBOOK, rulebook.name, "", newest, tr("the rulebook in {name}", name=rulebook.name))
