# SPDX-License-Identifier: GPL-3.0-or-later
"""The chain of hashes over the rows of decisions, imports and runs: table `row_seal`, which only grows.

A transaction that writes such a row appends a link before it commits: the row's table and key, its hash before and
after, and the hash of the link before. So `check_rows` finds a row that anything but this program changed, added or
deleted, also where the program itself wrote the row again afterwards; and anyone who knows the head of the chain
notices that its end was cut (`center/operate/anchors.py`). Anybody can compute these hashes, but the seal of a link
needs the store's key (`seal_key`), so a link written past this program counts nowhere.

Every table of the store is sealed except those in `UNSEALED`, which says how each of those is checked instead.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import (
    Connection,
    Delete,
    Insert,
    RowMapping,
    Select,
    Table,
    Update,
    bindparam,
    event,
    func,
    insert,
    inspect,
    literal_column,
    select,
    text,
    tuple_,
    update,
)

from collector.base.errors import StoreError
from collector.base.text import tr
from collector.center.db.seals.seal_key import mac_of, seal_key_of
from collector.center.db.tables_receive import metadata, row_seal
from collector.center.db.views import answers_of
from collector.model.interval import format_time

NOTHING_BEFORE: Final = "0" * 64
GONE: Final = ""  # in place of a hash: the row does not exist

UNSEALED: Final[Mapping[str, str]] = {
    "row_seal": "is the chain; its own hashes hold it",
    "store": "names the store; agents send again to one of another id, and one of another version is not opened",
    "stream": "is held against its ranges",
    "covered": "is held against batches, gaps and the quarantine",
    "batch": "is held against its payload, and against the ranges of its stream",
    "payload": "is held against the hash of its batch",
    "batch_day": "is held against the payloads",
    "unit_day": "is held against payloads and day files",
    "gap": "is held against the payloads",
    "quarantine": "counts for nothing; its bytes are looked at anew when they are readmitted",
    "agent_state": "is what a gateway said of itself, unsigned; replaced by its next word",
    "lake_day": "says what is to be sealed; day files are held against the journal",
    "finding": "is found again when its day is validated; moves no money",
    "validated_day": "says what was validated; a day of another basis is validated again",
    "login_failure": "counts failed log-ins of some hours",
    "sent_form": "keeps a form of a page from being carried out twice within a day",
    "file_facts": "can be made again from the day file; held against its own hash",
    "day_result": "can be measured again; held against its own hash",
    "day_segments": "can be measured again; held against its own hash",
    "kept_file": "names a file that can be made again",
}
VOLATILE: Final[Mapping[str, frozenset[str]]] = {
    "run": frozenset({"doing", "parts_done", "parts"}),  # progress of a run
    # Renewed with every use; a session's longest time counts from its begin, which is sealed.
    "session": frozenset({"seen_ms", "expires_ms"}),
    "alarm": frozenset({"seen_ms"}),  # renewed while it stands
}
_AT_ONCE: Final = 200
_CHANGES: Final = "row_changes"
_NO_SEAL: Final = tr("a link that this program did not write")  # in place of a hash: fits no row
_FAR: Final = 253_402_300_800_000  # the year 10 000 as ms: later instants can't be written as a date
_FIELDS: Final = ("sequence", "at_ms", "name", "key", "before", "after", "previous")

Place = tuple[str, str]  # name of the table, key of the row
RowFacts = Mapping[str, Any] | RowMapping


@dataclass
class RowChanges:
    """The changes of one transaction to sealed rows.

    `found`: the hash of each row that it changes or deletes, from before. `inserted`: the rows that it adds; some of
    them may have existed. `newer_than`: for tables that got many rows at once, the last key before.
    """

    connection: Connection
    found: dict[Place, str] = field(default_factory=dict)
    inserted: set[Place] = field(default_factory=set)
    newer_than: dict[str, int] = field(default_factory=dict)

    @classmethod
    def follow(cls, connection: Connection) -> RowChanges:
        """Record the writes of the connection from now on, until its transaction ends."""
        changes = cls(connection)
        connection.info[_CHANGES] = changes
        event.listen(connection, "before_execute", changes._look)
        event.listen(connection, "after_execute", changes._note_inserted)
        return changes

    def _look(self, connection: Connection, statement: Any, many: Any, one: Any, _options: object) -> None:
        table = _sealed_table_of(statement)
        if table is None:
            return
        if isinstance(statement, Insert):
            column = table.autoincrement_column
            if many and column is not None:
                latest = connection.execute(select(func.max(column))).scalar() or 0
                self.newer_than[table.name] = min(int(latest), self.newer_than.get(table.name, int(latest)))
        elif not _is_volatile(statement, table):
            query = select(table).where(*statement._where_criteria)
            for values in many or [one or {}]:
                for row in connection.execute(query, values).mappings():
                    self.found.setdefault((table.name, key_of(table, row)), digest_of(table, row))

    def _note_inserted(
        self, _connection: Connection, statement: Any, many: Any, _one: Any, _options: object, result: Any
    ) -> None:
        table = _sealed_table_of(statement)
        if table is None or not isinstance(statement, Insert):
            return
        if not many:
            key = result.inserted_primary_key
            if key is not None and None not in key:
                self.inserted.add((table.name, json.dumps(list(key))))
        elif table.autoincrement_column is None:
            self.inserted.update((table.name, key_of(table, values)) for values in many)

    def seal(self, now_ms: int) -> None:
        """Append a link for each row that changed; the last thing a transaction does."""
        self.connection.info.pop(_CHANGES, None)
        event.remove(self.connection, "before_execute", self._look)
        event.remove(self.connection, "after_execute", self._note_inserted)
        for name, latest in self.newer_than.items():
            column = metadata.tables[name].autoincrement_column
            assert column is not None
            fresh = self.connection.execute(select(column).where(column > latest)).scalars()
            self.inserted.update((name, json.dumps([int(number)])) for number in fresh)
        touched = self.inserted | self.found.keys()
        if not touched:
            return
        if self.connection.dialect.name == "postgresql":
            # The last lock to be taken, so that nobody who holds it waits for another one.
            self.connection.execute(text("LOCK TABLE row_seal IN EXCLUSIVE MODE"))
        now = _digests(self.connection, touched)
        known = _last_links(self.connection, touched)
        changes = []
        for place in sorted(touched):
            if place not in self.inserted:
                before: str | None = self.found[place]
            else:  # the row existed before and was not changed by this transaction
                before = GONE if known.get(place, GONE) in (GONE, _NO_SEAL) else self.found.get(place)
            if before is not None and before != now.get(place, GONE):
                changes.append((place, before, now.get(place, GONE)))
        _append(self.connection, changes, now_ms)


def altered_places(connection: Connection, key: bytes | None) -> set[Place]:
    """Rows that do not match the chain, in a store of an earlier schema: asked before a migration changes them.

    A column that did not exist then is left out of a hash, like an empty one. Tables without links in the chain were
    not sealed then. `key`: None where the links of that schema had no seals.
    """
    database = inspect(connection)
    if not database.has_table(row_seal.name):
        return set()
    columns = list(row_seal.columns) if key else [each for each in row_seal.columns if each.name != "mac"]
    last = {
        (link["name"], link["key"]): link["after"]
        for link in connection.execute(select(*columns).order_by(row_seal.c.sequence)).mappings()
        if key is None or _is_sealed(link, key)
    }
    altered: set[Place] = set()
    for table in sealed_tables():
        if table.name not in {name for name, _ in last} or not database.has_table(table.name):
            continue
        there = {each["name"] for each in database.get_columns(table.name)}
        known = [each for each in table.columns if each.name in there]
        others: list[Any] = [literal_column(name) for name in sorted(there - {each.name for each in known})]
        for row in connection.execute(select(*known, *others).select_from(table)).mappings():
            place = table.name, key_of(table, row)
            if last.pop(place, GONE) != _digest(table.name, dict(row)):
                altered.add(place)
        altered.update(place for place, after in last.items() if place[0] == table.name and after != GONE)
    return altered


def seal_everything(connection: Connection, now_ms: int, altered: Collection[Place] = ()) -> None:
    """Append links for all rows as they are now: after a migration, which writes rows past `RowChanges`.

    `altered`: rows that were changed, added or removed by something else before; they get no new link, so that
    `check_rows` still finds them.
    """
    found = {place: digest for table in sealed_tables() for place, digest in _all_digests(connection, table)}
    last = {
        (row.name, row.key): row.after for row in connection.execute(select(row_seal).order_by(row_seal.c.sequence))
    }
    changed = [(place, last.get(place, GONE), digest) for place, digest in found.items() if last.get(place) != digest]
    gone = [(place, after, GONE) for place, after in last.items() if after != GONE and place not in found]
    _append(connection, [each for each in (*changed, *gone) if each[0] not in altered], now_ms)


def seal_links(connection: Connection, *, before: bytes | None = None) -> None:
    """Seal every link with the store's key: for links without seals, or after the key was replaced.

    `before`: the key until now, where it is known; a link that does not fit it gets no new seal.
    """
    key = seal_key_of(connection)
    links = connection.execute(select(row_seal)).mappings().all()
    change = update(row_seal).where(row_seal.c.sequence == bindparam("number")).values(mac=bindparam("seal"))
    sealed = [
        {"number": link["sequence"], "seal": mac_of(key, link["hash"])}
        for link in links
        if before is None or _is_sealed(link, before)
    ]
    for start in range(0, len(sealed), _AT_ONCE):
        connection.execute(change, sealed[start : start + _AT_ONCE])


def head(connection: Connection) -> tuple[int, str]:
    """Sequence and hash of the latest link; (0, zeros) where there is none."""
    row = connection.execute(select(row_seal).order_by(row_seal.c.sequence.desc()).limit(1)).one_or_none()
    return (0, NOTHING_BEFORE) if row is None else (int(row.sequence), str(row.hash))


def check_rows(connection: Connection) -> Iterator[str]:
    """Every row that is not as this program last wrote it, and every broken link, in words."""
    last: dict[Place, Any] = {}
    sequence, previous, key = 0, NOTHING_BEFORE, seal_key_of(connection)
    links = select(row_seal).order_by(row_seal.c.sequence).execution_options(yield_per=1000)
    for link in connection.execute(links).mappings():
        name, place = tr("link {sequence} of the chain of rows", sequence=link["sequence"]), (link["name"], link["key"])
        if not _is_link(link):
            yield tr("{name}: altered after it was written", name=name)
            sequence, previous = sequence + 1, str(link["hash"])
            continue
        if link["sequence"] != sequence + 1:
            yield tr("{name}: follows {sequence}; links in between are gone", name=name, sequence=sequence)
        if link["previous"] != previous or _link_hash(link) != link["hash"]:
            yield tr("{name}: altered after it was written", name=name)
        elif not _is_sealed(link, key):  # its statement about its row is not accepted
            yield tr("{name}: was not written by this program", name=name)
            sequence, previous = int(link["sequence"]), str(link["hash"])
            continue
        if link["before"] != (last[place]["after"] if place in last else GONE):
            yield tr(
                "{place}: was changed by something else before {time}",
                place=_words(place),
                time=format_time(link["at_ms"]),
            )
        sequence, previous = int(link["sequence"]), str(link["hash"])
        last[place] = link
    for table in sealed_tables():
        for place, digest in _all_digests(connection, table):
            link = last.pop(place, None)
            if link is None or link["after"] == GONE:
                yield tr("{place}: was not written by this program", place=_words(place))
            elif link["after"] != digest:
                yield tr(
                    "{place}: is not as it was written at {time}", place=_words(place), time=format_time(link["at_ms"])
                )
    for place, link in last.items():
        if link["after"] != GONE:
            yield tr("{place}: was written at {time} and is gone", place=_words(place), time=format_time(link["at_ms"]))


def require_rows(connection: Connection, table: Table, keys: Iterable[Sequence[Any]]) -> None:
    """Check rows that decide money against the chain, at their use.

    Raises:
        StoreError: the first of these rows that is not as this program wrote it.
    """
    places = {(table.name, json.dumps(list(key))) for key in keys}
    # rows written in this very transaction are sealed at its end
    if (changes := connection.info.get(_CHANGES)) is not None:
        places -= changes.inserted | changes.found.keys()
    kept = answers_of(connection)
    held: set[Place] = set() if kept is None else kept.setdefault(require_rows, set())
    places -= held
    now, known = _digests(connection, places), _last_links(connection, places)
    for place in sorted(places):
        if now.get(place, GONE) != known.get(place, GONE):
            message = tr(
                "is not as this program wrote it: expected {expected}, found {found}. Nothing was computed from it, "
                "what was settled before stands; `collector center check` says more; restore a backup from before",
                expected=known.get(place) or tr("no such row"),
                found=now.get(place) or tr("no such row"),
            )
            raise StoreError(message, subject=_words(place))
    held |= places


def row_holds(connection: Connection, table: Table, key: Sequence[Any]) -> bool:
    """True if a row is as this program wrote it: for rows that give access or a decision."""
    place = table.name, json.dumps(list(key))
    now, known = _digests(connection, [place]), _last_links(connection, [place])
    changes = connection.info.get(_CHANGES)
    if changes is not None and (place in changes.inserted or place in changes.found):
        return place in changes.inserted or changes.found[place] == known.get(place, GONE)
    return now.get(place, GONE) == known.get(place, GONE)


def altered_rows(connection: Connection, table: Table) -> list[str]:
    """The rows of a small table that are not as this program wrote them, or are gone, by table and key."""
    now = dict(_all_digests(connection, table))
    keys = select(row_seal.c.key).where(row_seal.c.name == table.name).distinct()
    places = now.keys() | {(table.name, key) for key in connection.execute(keys).scalars()}
    known = _last_links(connection, places)
    return [_words(each) for each in sorted(places) if now.get(each, GONE) != known.get(each, GONE)]


def sealed_tables() -> list[Table]:
    """The tables whose rows are in the chain."""
    return [table for table in metadata.sorted_tables if table.name not in UNSEALED]


def key_of(table: Table, row: RowFacts) -> str:
    """The primary key of a row as one text."""
    return json.dumps([row[column.name] for column in table.primary_key.columns])


def digest_of(table: Table, row: RowFacts) -> str:
    """SHA-256 (hex) over the names and values of a row. Empty columns are left out: a new column changes no hash."""
    return _digest(table.name, {column.name: row[column.name] for column in table.columns})


def _digest(name: str, values: Mapping[str, Any]) -> str:
    left_out = VOLATILE.get(name, frozenset())
    cells = [
        [column, _cell(value)]
        for column, value in sorted(values.items())
        if value is not None and column not in left_out
    ]
    return hashlib.sha256(json.dumps([name, cells], ensure_ascii=False).encode()).hexdigest()


def _cell(value: Any) -> Any:
    return hashlib.sha256(value).hexdigest() if isinstance(value, bytes | memoryview) else value


def _sealed_table_of(statement: Any) -> Table | None:
    """The sealed table that a statement writes."""
    if not isinstance(statement, Insert | Update | Delete) or not isinstance(statement.table, Table):
        return None
    return statement.table if statement.table.name not in UNSEALED else None


def _is_volatile(statement: Update | Delete, table: Table) -> bool:
    """True if a statement writes only columns that are not hashed."""
    if isinstance(statement, Delete) or not statement._values:
        return False
    left_out = VOLATILE.get(table.name, frozenset())
    return {getattr(column, "name", column) for column in statement._values} <= left_out


def _rows_at(table: Table, keys: Collection[str]) -> Select[Any]:
    columns = tuple(table.primary_key.columns)
    return select(table).where(tuple_(*columns).in_([tuple(json.loads(key)) for key in keys]))


def _digests(connection: Connection, places: Iterable[Place]) -> dict[Place, str]:
    """The present hashes of these rows."""
    found: dict[Place, str] = {}
    for name, keys in _by_table(places):
        table = metadata.tables[name]
        for row in connection.execute(_rows_at(table, keys)).mappings():
            found[name, key_of(table, row)] = digest_of(table, row)
    return found


def _last_links(connection: Connection, places: Iterable[Place]) -> dict[Place, str]:
    """The hashes of these rows by the chain, where it has any."""
    found: dict[Place, str] = {}
    seal = seal_key_of(connection)
    for name, keys in _by_table(places):
        where = (row_seal.c.name == name) & row_seal.c.key.in_(keys)
        latest = select(func.max(row_seal.c.sequence)).where(where).group_by(row_seal.c.key)
        for link in connection.execute(select(row_seal).where(row_seal.c.sequence.in_(latest))).mappings():
            holds = _is_link(link) and _is_sealed(link, seal)
            found[name, link["key"]] = link["after"] if holds else _NO_SEAL
    return found


def _by_table(places: Iterable[Place]) -> Iterator[tuple[str, list[str]]]:
    keys: dict[str, list[str]] = {}
    for name, key in places:
        keys.setdefault(name, []).append(key)
    for name, mine in keys.items():
        for start in range(0, len(mine), _AT_ONCE):
            yield name, mine[start : start + _AT_ONCE]


def _all_digests(connection: Connection, table: Table) -> Iterator[tuple[Place, str]]:
    for row in connection.execute(select(table).execution_options(yield_per=100)).mappings():
        yield (table.name, key_of(table, row)), digest_of(table, row)


def _append(connection: Connection, changes: Iterable[tuple[Place, str, str]], now_ms: int) -> None:
    sequence, previous = head(connection)
    key = seal_key_of(connection)
    links = []
    for (name, row), before, after in changes:
        sequence += 1
        link: dict[str, Any] = {"sequence": sequence, "at_ms": now_ms, "name": name, "key": row}
        link |= {"before": before, "after": after, "previous": previous}
        previous = link["hash"] = _link_hash(link)
        links.append(link | {"mac": mac_of(key, previous)})
    if links:
        connection.execute(insert(row_seal), links)


def _is_link(link: RowFacts) -> bool:
    """True if each cell has the type we write: on a damaged page of the database it may have any."""
    numbers = all(isinstance(link[name], int) and 0 <= link[name] < _FAR for name in ("sequence", "at_ms"))
    return numbers and all(isinstance(link[name], str) for name in _FIELDS[2:])


def _is_sealed(link: RowFacts, key: bytes) -> bool:
    """True if a link was written with the store's key, and is unchanged."""
    return link["hash"] == _link_hash(link) and hmac.compare_digest(mac_of(key, link["hash"]), str(link["mac"]))


def _link_hash(link: RowFacts) -> str:
    fields = json.dumps([link[name] for name in _FIELDS], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(fields.encode()).hexdigest()


def _words(place: Place) -> str:
    return f"{place[0]} {place[1].strip('[]')}"
