# SPDX-License-Identifier: GPL-3.0-or-later
"""A month's inputs out of the store, as a settlement folder that anybody can settle offline.

The day files of a run are pinned: those of the month; those of the days around it on which start-stop orders that cross
its edges began or end, because an occurrence belongs to the month of its closing and both its edges must be seen; and
those that a data policy needs beyond the neighbouring records in a day file.

Tables are written once per state of their kind, because a plan of a thousand units is three million rows, and copied
into every run's folder: a run's tables are its own. Only rows that touch the month and a few days around it are
written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, and_, func, or_, select

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.seals.sealed_rows import require_rows
from collector.center.db.storage.lake_place import LakePath, ObjectPath
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import imported
from collector.center.db.tables_receive import lake_day, lake_file, unit_day
from collector.center.db.verified import ABSENT, altered, copy_verified
from collector.center.inputs.conflicts import csv_header, csv_lines
from collector.center.inputs.imports import KINDS, current_register
from collector.center.inputs.stored_rows import RowsInForce
from collector.center.lake.seal import StaleDay, find_stale_days, seal_day
from collector.center.receive.day_index import EDGE_MS
from collector.center.runs.data_policy import Reach
from collector.center.runs.kept_files import find_kept, keep_file, laid_out_folder
from collector.center.runs.plan_file import keep_plan
from collector.center.runs.run_list import link_file, record_name
from collector.model.dispatch import RUN_KINDS, OrderKind, days_after, days_before
from collector.model.interval import DAY_MS, Month, local_day, local_midnight_ms

REGISTER_FILE: Final = "register.toml"
BEFORE_DAYS, AFTER_DAYS = 2, 3  # days around the month: edges of spans, and the next plan row
_SEALINGS: Final = 3  # rounds of sealing: records that arrive meanwhile are for the next run


@dataclass(frozen=True, slots=True, order=True)
class PinnedFile:
    """A day file of a run. `day`: ISO text; `plant`: whose gateways sent it; `name`: in the lake, `path`: here."""

    plant: str
    day: str
    name: str
    path: LakePath
    sha256: str

    @property
    def record_name(self) -> str:
        """The file's name under records/ of a settlement folder."""
        return record_name(self.plant, self.name)


def pin_month(
    store: CenterStore, month: Month, reach: Reach, *, tell: Callable[[int, int], None] = lambda *_: None
) -> tuple[PinnedFile, ...]:
    """Seal the stale day files that a month needs, and return all of its day files, by plant and day.

    `reach`: validity of records by the data policy. `tell`: receives the days sealed so far and their number.

    Raises:
        OSError: the disk refuses.
    """
    for _ in range(_SEALINGS):
        stale = store.read(lambda connection: _stale(connection, store, month, reach))
        if not stale:
            break
        for count, day in enumerate(stale):
            tell(count, len(stale))
            seal_day(store, day)
    return store.read(lambda connection: _current(connection, store, month, reach))


def _stale(connection: Connection, store: CenterStore, month: Month, reach: Reach) -> list[StaleDay]:
    around = set(_days_around(connection, store.imported, month, reach))
    inside = {day.isoformat() for day in month.days}
    days = sorted({date.fromisoformat(day) for _, day in around} | set(month.days))
    found = find_stale_days(connection, days=days)
    return [stale for stale in found if stale.day in inside or (stale.plant, stale.day) in around]


def _current(connection: Connection, store: CenterStore, month: Month, reach: Reach) -> tuple[PinnedFile, ...]:
    wanted = [day.isoformat() for day in month.days]
    around = _days_around(connection, store.imported, month, reach)
    others = (and_(lake_file.c.plant == plant, lake_file.c.day == day) for plant, day in around)
    chosen = or_(lake_file.c.day.in_(wanted), *others)
    query = select(lake_file.c.id, lake_file.c.plant, lake_file.c.day, lake_file.c.name, lake_file.c.sha256)
    rows = connection.execute(query.where(lake_file.c.superseded_ms.is_(None) & chosen)).all()
    require_rows(connection, lake_file, [(row.id,) for row in rows])
    return tuple(sorted(PinnedFile(r.plant, r.day, r.name, store.lake / r.plant / r.name, r.sha256) for r in rows))


def _days_around(connection: Connection, folder: Path, month: Month, reach: Reach) -> list[tuple[str, str]]:
    """(plant, day) outside the month that it needs: for orders that cross its edges, or by its data policy."""
    return sorted({*_days_of_orders(connection, folder, month), *_days_of_policy(connection, month, reach)})


def _days_of_policy(connection: Connection, month: Month, reach: Reach) -> Iterator[tuple[str, str]]:
    """Days whose records are valid in the month by the data policy, but are not in its day files.

    After the month: days until an order of its last instant is judged. Before it: the last day of a plant without any
    in the month, whose last record may hold into it; for other plants that record is at the head of the next file.
    """
    if max(reach) < EDGE_MS:
        return
    first, until = month.first_day.isoformat(), month.next().first_day.isoformat()
    last = local_day(month.interval.end_ms + reach.tail_ms).isoformat()
    behind = select(lake_day.c.plant, lake_day.c.day).where(lake_day.c.day.between(until, last))
    yield from ((row.plant, row.day) for row in connection.execute(behind))
    inside = select(lake_day.c.plant).where((lake_day.c.day >= first) & (lake_day.c.day < until))
    before = select(lake_day.c.plant, func.max(lake_day.c.day).label("day")).where(
        (lake_day.c.day < first) & lake_day.c.plant.not_in(inside)
    )
    for row in connection.execute(before.group_by(lake_day.c.plant)):
        end_ms = local_midnight_ms(date.fromisoformat(row.day)) + DAY_MS
        if end_ms + reach.hold_ms > month.interval.start_ms:
            yield row.plant, row.day


def _days_of_orders(connection: Connection, folder: Path, month: Month) -> list[tuple[str, str]]:
    """(plant, day) outside the month whose breaker or condenser runs an order at its start or end may need."""
    interval = month.interval
    crosses = RowsInForce(connection, folder, "orders").table(interval.start_ms, interval.end_ms)
    days: dict[str, set[date]] = {}
    for order in () if crosses is None else crosses.select(["unit", "kind", "start", "end"]).to_pylist():
        if order["kind"] not in RUN_KINDS:
            continue
        kind, start_ms, end_ms = OrderKind(order["kind"]), order["start"], order["end"]
        mine = days.setdefault(order["unit"], set())
        mine.update(days_before(month, kind, start_ms, end_ms, DAY_MS))  # a day covers every possible policy
        mine.update(days_after(month, kind, start_ms, end_ms))
    wanted = {unit: of_unit for unit, of_unit in days.items() if of_unit}
    if not wanted:
        return []
    plants = select(unit_day.c.plant, unit_day.c.unit).where(unit_day.c.unit.in_(sorted(wanted))).distinct()
    found = {(row.plant, day.isoformat()) for row in connection.execute(plants) for day in wanted[row.unit]}
    return sorted(found)


def lay_out_folder(
    connection: Connection, store: CenterStore, month: Month, pinned: Sequence[PinnedFile], target: Path
) -> dict[str, str]:
    """Write register.toml, one CSV per kind ever delivered, and link the day files under records/.

    Returns the SHA-256 of the register and of each table by file name.

    Raises:
        StoreError: no register was imported.
        OSError: the disk refuses.
    """
    register = current_register(connection)
    if register is None:
        raise StoreError(tr("no register yet: `collector center import register register.toml`"), subject=str(target))
    target.mkdir(parents=True)
    (target / REGISTER_FILE).write_bytes(register)
    hashes = {REGISTER_FILE: hashlib.sha256(register).hexdigest()}
    for kind in KINDS:
        sha256 = _lay_out_table(connection, store, kind, month, target / f"{kind}.csv")
        if sha256 is not None:  # else the table was not delivered, and the statement will say so
            hashes[f"{kind}.csv"] = sha256
    link_pinned(pinned, target)
    return hashes


def link_pinned(pinned: Sequence[PinnedFile], target: Path) -> None:
    """Link day files under records/ of a settlement folder. Their reader verifies them.

    Those in an object store stay there; `run_list.record_place` says where each is.

    Raises:
        Altered: a file is missing.
    """
    records = target / "records"
    records.mkdir(parents=True, exist_ok=True)
    for file in pinned:
        if isinstance(file.path, ObjectPath):
            continue
        try:
            link_file(file.path, records / file.record_name)
        except FileNotFoundError as error:
            raise altered(file.path, file.sha256, ABSENT) from error


def _lay_out_table(connection: Connection, store: CenterStore, kind: str, month: Month, target: Path) -> str | None:
    """Write the table of a kind for a month; returns its SHA-256, None where it was never delivered."""

    def copy(path: Path, sha256: str) -> str:
        copy_verified(path, target, sha256)
        return sha256

    return _kept_table(connection, store, kind, month, copy)


def hash_of_table(connection: Connection, store: CenterStore, kind: str, month: Month) -> str | None:
    """The SHA-256 of the table of a kind that would be written for a month now; None: never delivered."""
    return _kept_table(connection, store, kind, month, lambda _, sha256: sha256)


def _kept_table(
    connection: Connection, store: CenterStore, kind: str, month: Month, use: Callable[[Path, str], str]
) -> str | None:
    """The result of `use` for the month's table of a kind and its hash; None where it was never delivered."""
    of_kind = imported.c.kind == kind
    undone = func.count(imported.c.undone_ms)
    query = select(func.count(), undone, func.max(imported.c.id)).where(of_kind)
    count, undone_count, latest = connection.execute(query).one()
    ids = connection.execute(select(imported.c.id).where(of_kind)).scalars()
    require_rows(connection, imported, [(number,) for number in ids])
    if count == undone_count:
        return None
    # Every import and every undo changes one of these, and none of them ever decreases.
    state = f"{store.store_id} {kind} {month} {count} {latest} {undone_count}"
    name = f"{kind}-{month}-{hashlib.sha256(state.encode()).hexdigest()}.csv"

    def write(path: Path) -> None:
        rows = rows_of_month(connection, store.imported, kind, month)
        sha256 = write_csv(path, kind, rows)
        if kind == "plan" and rows is not None:
            keep_plan(store, sha256, rows)

    return find_kept(store, name, use) or use(laid_out_folder(store) / name, keep_file(store, name, write))


def rows_of_month(connection: Connection, folder: Path, kind: str, month: Month) -> pa.Table | None:
    """The rows in force that a month can need, in the order of time and import."""
    columns, interval = KINDS[kind].columns, month.interval
    around = interval.start_ms - BEFORE_DAYS * DAY_MS, interval.end_ms + AFTER_DAYS * DAY_MS
    rows = RowsInForce(connection, folder, kind).table(*around)
    if rows is None:
        return None
    if "month" in columns:
        rows = rows.filter(pc.equal(rows["month"].cast(pa.string()), str(month)))
    for instant in ("time", "called"):
        if instant in columns:
            inside = pc.and_(pc.greater_equal(rows[instant], around[0]), pc.less(rows[instant], around[1]))
            rows = rows.filter(inside)
    return rows


def write_csv(path: Path, kind: str, rows: pa.Table | None) -> str:
    """Write rows as the table of a settlement folder; returns its SHA-256.

    Raises:
        OSError: the disk refuses.
    """
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in chain([csv_header(KINDS[kind])], () if rows is None else csv_lines(KINDS[kind], rows)):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()
