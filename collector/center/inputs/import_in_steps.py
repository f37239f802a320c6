# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking imports into a store that others write to: looked at beside the writer, put in by bites, published at the end.

A month's plan of a region is millions of rows. While they are put in, batches of the plants are acknowledged between
two bites; readers see the rows when the import's own row says so, and not before. One import at a time: a lock among
all processes, which ends with the process that holds it. What a killed one left is taken out, by bites too, by the next
import or by the running center; until then nobody sees it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from itertools import count
from typing import Final, TypeVar

from sqlalchemy import Connection, delete, select

from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import imported, published
from collector.center.inputs.conflicts import Rows
from collector.center.inputs.imports import (
    REGISTER,
    Imported,
    Step,
    Taking,
    begin,
    lock_imports,
    look,
    needed_register,
    pack,
    publish,
    state_of,
)
from collector.center.inputs.parse import as_toml, load_delivered, read_table
from collector.center.inputs.stored_rows import forget_rows
from collector.center.inputs.undo import look_at_undoing
from collector.sheets.files import Delivered

_LOCK: Final = "imports"
ROWS_AT_ONCE: Final = 50_000  # a third of a second where nothing else is to be done
LEAST_ROWS: Final = 2_000
# A bite is made smaller where one took longer: the machine is busy, or its disk slow.
_LONGEST_BITE_S: Final = 0.4
# Another process that waits to write looks again after 100 ms at the longest (SQLite's own way of waiting).
_PAUSE_S: Final = 0.15
_BITES_A_ROUND: Final = 20

T = TypeVar("T")


Finish = Callable[[Connection, Sequence[Imported]], None]


class _MovedError(Exception):
    """Another import was published or undone since the rows were compared."""


def take_tables(
    store: CenterStore,
    kinds: Sequence[str],
    delivered: Delivered,
    *,
    who: str,
    replace: bool,
    services: Collection[str],
    finish: Finish,
    rows_at_once: int = ROWS_AT_ONCE,
) -> list[Imported]:
    """Take tables of a file, all or none; a register among them is what the others are checked against.

    `finish`: what else is to be written in the transaction that publishes them, given what each of them did.
    `rows_at_once`: of a bite.

    Raises:
        ConfigError: everything wrong in a table, or rows that conflict with those in force.
        StoreError: no register was imported yet.
    """
    with store.hold(_LOCK):
        while True:
            _remove_unpublished(store)
            tables = _read_tables(store, kinds, delivered, services)
            state, takings = store.read(
                lambda c, t=tables: (state_of(c), [look(c, *each, replace=replace) for each in t])  # type: ignore[misc]
            )
            try:
                return _Staging(store, state, who, rows_at_once).take(takings, finish)
            except _MovedError:
                continue
            except BaseException:
                _remove_unpublished(store)
                raise


def _read_tables(
    store: CenterStore, kinds: Sequence[str], delivered: Delivered, services: Collection[str]
) -> list[tuple[str, Delivered, Rows]]:
    known = load_delivered(as_toml(delivered)) if REGISTER in kinds else None
    if known is None and kinds:
        known = store.read(needed_register)
    return [(kind, *read_table(kind, delivered, known, services)) for kind in kinds]


class _Staging:
    """The way of some tables into the store. `state`: of the imports they were compared with."""

    def __init__(
        self, store: CenterStore, state: tuple[int, int, int], who: str = "", rows_at_once: int = ROWS_AT_ONCE
    ) -> None:
        self._store, self._state, self._who, self._most = store, state, who, rows_at_once
        self._rows_at_once = rows_at_once

    def take(self, takings: Sequence[Taking], finish: Finish) -> list[Imported]:
        """Put them in and publish them together.

        Raises:
            _MovedError: they must be compared anew.
        """
        done = [Imported(self._put(taking), *taking.counts) for taking in takings]

        def publish_all(connection: Connection) -> None:
            for each in done:
                if each.import_id is not None:
                    publish(connection, each.import_id, now_ms=self._store.clock.now_utc_ms())
            finish(connection, done)

        self.write(publish_all)
        return done

    def _put(self, taking: Taking) -> int | None:
        """The number of the import, all of its rows there and not published; None where it changes nothing."""
        if not taking.changes:
            return None
        packed, now_ms = pack(taking.delivered.data), self._store.clock.now_utc_ms()
        number = self.write(lambda c: begin(c, taking, packed, who=self._who, now_ms=now_ms))
        for step in taking.steps(lambda: self._rows_at_once):
            self.write(lambda c, s=step: self._timed(s, c, number))  # type: ignore[misc]
            _let_others_write(self._store)
        return number

    def _timed(self, step: Step, connection: Connection, number: int) -> None:
        """Take a bite; the next one is as large as may be taken in the time for one, as this one went."""
        begun_s = self._store.clock.monotonic_s()
        step(connection, number)
        took_s = self._store.clock.monotonic_s() - begun_s
        if took_s > 0:
            fitting = int(self._rows_at_once * _LONGEST_BITE_S / took_s)
            self._rows_at_once = min(
                max(fitting, self._rows_at_once // 4, LEAST_ROWS), 2 * self._rows_at_once, self._most
            )

    def write(self, job: Callable[[Connection], T]) -> T:
        """Run a job on the writer's thread, where what they were compared with is still what counts.

        Raises:
            _MovedError: it is not.
        """

        def unless_moved(connection: Connection) -> T:
            lock_imports(connection)
            if state_of(connection) != self._state:
                raise _MovedError
            return job(connection)

        return self._store.write(unless_moved).result()


def undo_table(store: CenterStore, number: int, finish: Callable[[Connection], None]) -> None:
    """Take an import of a table back, whatever it has replaced; looked at beside the writer.

    `finish`: writes it down.

    Raises:
        StoreError: no such import, undone already, or a later import stands in the way.
    """

    def look_first(connection: Connection) -> tuple[int, int, int]:
        look_at_undoing(connection, number)
        return state_of(connection)

    with store.hold(_LOCK):
        while True:
            try:
                _Staging(store, store.read(look_first)).write(finish)
            except _MovedError:
                continue
            return


def remove_unpublished(store: CenterStore) -> None:
    """Take out some of what killed imports left, unless one is being taken just now."""
    with store.hold(_LOCK, wait=False) as held:
        if held:
            _remove_unpublished(store, bites=_BITES_A_ROUND)


def _remove_unpublished(store: CenterStore, *, bites: int | None = None) -> None:
    """Take out what killed imports left; nobody ever saw it."""
    for number in store.read(lambda c: c.execute(select(imported.c.id).where(~published)).scalars().all()):
        left = count() if bites is None else range(bites)
        for _ in left:
            if store.write(lambda c, n=number: forget_rows(c, n, most=ROWS_AT_ONCE)).result():  # type: ignore[misc]
                store.write(lambda c, n=number: c.execute(delete(imported).where(imported.c.id == n))).result()  # type: ignore[misc]
                break
            _let_others_write(store)


def _let_others_write(store: CenterStore) -> None:
    if store.has_one_writer:
        time.sleep(_PAUSE_S)
