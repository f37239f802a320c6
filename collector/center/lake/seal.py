# SPDX-License-Identifier: GPL-3.0-or-later
"""Step 6's lake: one immutable, self-contained Parquet file per plant and local day, sealed from the journal.

Sealing reads one consistent view of the journal, writes the file (temporary, fsync, rename), then lists it in a
transaction. A crash anywhere leaves the old list and whole files; a file that is not listed is not part of the lake.
The same set of batches gives the same bytes in whatever order, grouping and repetition it arrived. Sealing may run in
several processes at once: files are named by content and a day's `sealed` only moves forward.

The head of a file (place -1) holds, for each unit, its last record before the day; the tail (place 1) the first 900 s
of the next day, so that measuring a day needs no other file.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, delete, func, insert, select, update

from collector.base.clock import Clock, SystemClock
from collector.center.db.storage.lake_place import LakePath
from collector.center.db.store import CenterStore, insert_new
from collector.center.db.tables_quality import substitution
from collector.center.db.tables_receive import batch_day, enrolled, lake_day, lake_file, unit_day
from collector.center.lake.day_file import DayRows, build_day, count_rows, write_table
from collector.center.lake.pieces import DAY, HEAD, TAIL
from collector.center.lake.stored_records import UnreadableBatch, source_of
from collector.center.lake.substituted_values import Substitute, fill_silence
from collector.center.receive.arrivals import Rejected
from collector.center.receive.day_index import EDGE_MS, mark_resealed, rewrite_unit_days
from collector.center.receive.quarantine import Room, keep
from collector.model.interval import Month, day_interval
from collector.model.quantity import BY_NAME, parse_scaled

logger: Final = logging.getLogger("collector.center.lake.seal")


@dataclass(frozen=True, slots=True, order=True)
class StaleDay:
    """A day whose file lacks records of the journal. `wanted`: the state of the day when it was found."""

    plant: str
    day: str
    wanted: int


def find_stale_days(
    connection: Connection, *, quiet_since_ms: int | None = None, days: Sequence[date] | None = None
) -> list[StaleDay]:
    """Days to be sealed, oldest first: of `days` only, and only those quiet since `quiet_since_ms`, where given."""
    where = lake_day.c.wanted > lake_day.c.sealed
    if quiet_since_ms is not None:
        where &= lake_day.c.changed_ms <= quiet_since_ms
    if days is not None:
        where &= lake_day.c.day.in_([d.isoformat() for d in days])
    query = select(lake_day.c.plant, lake_day.c.day, lake_day.c.wanted).where(where)
    rows = connection.execute(query.order_by(lake_day.c.day, lake_day.c.plant))
    return [StaleDay(r.plant, r.day, int(r.wanted)) for r in rows]


def seal_day(store: CenterStore, stale: StaleDay) -> LakePath:
    """Write the file of one day from the journal as it is now, and list it in place of the earlier one.

    A batch whose records can't be decoded is put aside and reported, and the day sealed without it.

    Raises:
        OSError: the disk refuses.
        ObjectStoreFault: the object store can't be used; the day stays as it was.
        InvariantBroken: a stored batch can't be read back.
    """
    while True:
        try:
            wanted, rows = store.read(lambda connection: _gather(connection, store.lake, stale.plant, stale.day))
            break
        except UnreadableBatch as error:
            logger.error("%s %s: %s; it is left out and told in the quarantine", stale.plant, stale.day, error)
            now_ms, found = store.clock.now_utc_ms(), error
            store.write(lambda c: set_aside(c, store.lake, stale.plant, found, now_ms=now_ms)).result()  # noqa: B023
    path, sha256, size_bytes = write_table(rows.table, store.lake / stale.plant, stale.day)
    others = ""
    if len(rows.others):
        others = write_table(rows.others, others_folder(store, stale.plant), stale.day)[0].name
    entry = {
        "plant": stale.plant,
        "day": stale.day,
        "name": path.name,
        "sha256": sha256,
        "row_count": rows.day_count,
        "other_count": rows.other_count,
        "others": others,
        "size_bytes": size_bytes,
    }
    store.write(lambda connection: _list(connection, path, entry, wanted, store.clock.now_utc_ms())).result()
    return path


def set_aside(connection: Connection, lake: LakePath, plant: str, unreadable: UnreadableBatch, *, now_ms: int) -> None:
    """Remove a batch from all its days, and list it as refused; its bytes stay in the journal like others'."""
    origin = unreadable.origin
    mine = (batch_day.c.stream_id == unreadable.stream_id) & (batch_day.c.sequence == origin.sequence)
    connection.execute(delete(batch_day).where(mine))
    source = source_of(connection, lake, plant)
    # Where payloads of the day are gone, the content of its other batches is unknown: the counts stay as they are.
    days = sorted({part.day for part in unreadable.parts if source.is_kept(part.day)})
    keys = {(plant, part.unit, part.day) for part in unreadable.parts if part.day in days}
    rewrite_unit_days(connection, keys, ((plant, part) for day in days for part in source.parts(day)), now_ms)
    name = f"{plant}/{unreadable.subject}"
    refusal = Rejected(
        plant=plant,
        gateway=origin.gateway,
        topic=name,
        sha256=hashlib.sha256(name.encode()).digest(),
        payload=b"",
        code="bad_columns",
        reason=unreadable.message,
        epoch=origin.epoch,
        sequence=origin.sequence,
        authentic=True,
    )
    keep(connection, refusal, now_ms, Room(0, 1, 1))


def others_folder(store: CenterStore, plant: str) -> LakePath:
    """The folder of a plant's lists of records that lost their instant to another one."""
    return store.lake_others / plant


def seal_month(
    state_dir: Path, month: Month, *, clock: Clock | None = None, database_url: str = ""
) -> tuple[Path, ...]:
    """Seal the stale day files of a month, quiet or not, and return all its files by plant and day.

    Safe beside a running receiver: it uses everything committed by now.

    Raises:
        StoreError: there is no store.
    """
    with CenterStore.open(state_dir, clock=clock or SystemClock(), database_url=database_url, create=False) as store:
        return tuple(path for path in seal_month_of(store, month) if isinstance(path, Path))


def seal_month_of(store: CenterStore, month: Month) -> tuple[LakePath, ...]:
    """`seal_month` on an open store."""
    for stale in store.read(lambda connection: find_stale_days(connection, days=month.days)):
        seal_day(store, stale)
    return store.read(lambda connection: list_files(connection, store.lake, month.days))


def list_files(connection: Connection, lake: LakePath, days: Sequence[date]) -> tuple[LakePath, ...]:
    """The current file of each plant and day."""
    wanted = [d.isoformat() for d in days]
    where = lake_file.c.superseded_ms.is_(None) & lake_file.c.day.in_(wanted)
    query = select(lake_file.c.plant, lake_file.c.name).where(where).order_by(lake_file.c.plant, lake_file.c.day)
    return tuple(lake / r.plant / r.name for r in connection.execute(query))


def count_records(files: Iterable[LakePath]) -> int:
    """Records of the days of these files, heads and tails apart, counted in the files themselves."""
    return sum(count_rows(path)[0] for path in files)


def _gather(connection: Connection, lake: LakePath, plant: str, day: str) -> tuple[int, DayRows]:
    """The day's `wanted` and its rows, from one view of the journal."""
    where = (lake_day.c.plant == plant) & (lake_day.c.day == day)
    wanted = connection.execute(select(lake_day.c.wanted).where(where)).scalar_one()
    source = source_of(connection, lake, plant)
    interval = day_interval(date.fromisoformat(day))
    next_day = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
    pieces = list(source.pieces(day, DAY, interval.start_ms, interval.end_ms))
    pieces += source.pieces(next_day, TAIL, interval.end_ms, interval.end_ms + EDGE_MS)
    for unit, last_day, last_ms in _last_before(connection, plant, day):
        pieces += [p for p in source.pieces(last_day, HEAD, last_ms, last_ms + 1) if p.records.unit == unit]
    substitutes = substitutes_in_force(connection, plant, interval.end_ms + EDGE_MS)
    pieces = fill_silence(pieces, substitutes, interval, EDGE_MS)
    return int(wanted), build_day(pieces, plant=plant, day=day, substitutes=substitutes)


def _last_before(connection: Connection, plant: str, day: str) -> list[tuple[str, str, int]]:
    """Per unit: the latest day before `day` with records, and the time of the last one."""
    where = (unit_day.c.plant == plant) & (unit_day.c.day < day)
    latest = select(unit_day.c.unit, func.max(unit_day.c.day).label("day")).where(where).group_by(unit_day.c.unit)
    found = latest.subquery()
    joined = (unit_day.c.unit == found.c.unit) & (unit_day.c.day == found.c.day) & (unit_day.c.plant == plant)
    query = select(unit_day.c.unit, unit_day.c.day, unit_day.c.last_ms).join(found, joined).order_by(unit_day.c.unit)
    return [(r.unit, r.day, int(r.last_ms)) for r in connection.execute(query)]


def _list(connection: Connection, path: LakePath, entry: Mapping[str, object], wanted: int, now_ms: int) -> None:
    """Make a written file the current one of its day, unless another process sealed a later state meanwhile."""
    where = (lake_day.c.plant == entry["plant"]) & (lake_day.c.day == entry["day"])
    moved = connection.execute(update(lake_day).where(where & (lake_day.c.sealed < wanted)).values(sealed=wanted))
    if not moved.rowcount:
        return
    same = (lake_file.c.plant == entry["plant"]) & (lake_file.c.name == entry["name"])
    if connection.execute(select(lake_file.c.id).where(same).limit(1)).first() is not None and not path.exists():
        # The same bytes were sealed once before, superseded, and dropped since we wrote them again. The row is locked
        # as retention locks it, so this can't happen after the look; the next round writes the file anew.
        raise FileNotFoundError(f"{path} was dropped while it was sealed")
    current = (
        (lake_file.c.plant == entry["plant"]) & (lake_file.c.day == entry["day"]) & lake_file.c.superseded_ms.is_(None)
    )
    name = connection.execute(select(lake_file.c.name).where(current)).scalar()
    if name == entry["name"]:
        # The same records count; the records that lost their instant to them may be others now.
        lost = {name: entry[name] for name in ("other_count", "others")}
        connection.execute(update(lake_file).where(current).values(lost))
        return
    connection.execute(update(lake_file).where(current).values(superseded_ms=now_ms))
    connection.execute(insert(lake_file), dict(entry) | {"sealed_ms": now_ms, "superseded_ms": None})


def enrol(connection: Connection, plants: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> None:
    """Store units and gateway order of each plant, for sealing and status.

    Another order of gateways may make other records count: the days on which two gateways recorded one instant are
    sealed again, as far as their payloads are kept.
    """
    for plant, (units, gateways) in sorted(plants.items()):
        values = {"units": json.dumps(list(units)), "gateways": json.dumps(list(gateways))}
        connection.execute(insert_new(connection, enrolled).values({"plant": plant} | values))
        query = select(enrolled.c.gateways).where(enrolled.c.plant == plant).with_for_update()
        before = connection.execute(query).scalar_one()
        connection.execute(update(enrolled).where(enrolled.c.plant == plant).values(values))
        if before != values["gateways"]:
            contested = (
                (lake_file.c.plant == plant) & lake_file.c.superseded_ms.is_(None) & (lake_file.c.other_count > 0)
            )
            mark_resealed(connection, plant, connection.execute(select(lake_file.c.day).where(contested)).scalars())


def substitutes_in_force(connection: Connection, plant: str, before_ms: int) -> list[Substitute]:
    """The substitutions for sealing: approved ones of a plant that begin before an instant."""
    where = (substitution.c.plant == plant) & (substitution.c.start_ms < before_ms)
    where &= substitution.c.approved_ms.is_not(None) & substitution.c.withdrawn_ms.is_(None)
    rows = connection.execute(select(substitution).where(where).order_by(substitution.c.id))
    return [
        Substitute(
            unit=row.unit,
            quantity=row.quantity,
            start_ms=int(row.start_ms),
            end_ms=int(row.end_ms),
            value=parse_scaled(row.value, BY_NAME[row.quantity].scale),
            fill_s=None if row.fill_s is None else int(row.fill_s),
        )
        for row in rows
    ]
