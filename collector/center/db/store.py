# SPDX-License-Identifier: GPL-3.0-or-later
"""The center's transactional store: SQLite by default, any database URL of SQLAlchemy's (PostgreSQL) otherwise.

One thread owns the only writing connection of a process and runs one transaction per job; readers use connections of
their own in whatever thread they are. SQLite: WAL, synchronous FULL, BEGIN IMMEDIATE, so that other processes (status,
a sealing run) may read, and write in turn. Only one *receiver* may use an SQLite store: `claim_receiver`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, TypeVar

from sqlalchemy import Connection, Engine, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import Insert
from sqlalchemy.sql.schema import Table

from collector.base.clock import Clock
from collector.base.errors import StoreError
from collector.base.ownership import first_closed
from collector.base.text import tr
from collector.center.db import tables_receive
from collector.center.db.damaged import DamagedDatabase, said_if_damaged
from collector.center.db.engines import make_engine, read_only_url
from collector.center.db.seals.seal_key import read_key
from collector.center.db.seals.sealed_rows import RowChanges
from collector.center.db.storage.lake_place import LakePath, lake_folder
from collector.center.db.store_version import RESTORING, bring_up_to_date, find_store_id, renew_key
from collector.center.db.views import begin_view

T = TypeVar("T")
READ_ONLY: Final = tr(
    "is read-only for this user: it can be looked at, checked and backed up, and nothing can be changed"
)


@dataclass
class WriterHealth:
    """The state of a process's writer thread; any thread may ask. Durations use the monotonic clock."""

    clock: Clock
    failure: str = ""
    _asked_s: deque[float] = field(default_factory=deque)
    _ended_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def asked(self) -> None:
        """Count a new waiting job."""
        with self._lock:
            self._asked_s.append(self.clock.monotonic_s())

    def ended(self, failure: str | None) -> None:
        """Count the oldest waiting job as done.

        `failure`: the error of the database or the disk; "" where the job's writes are committed; None where the job
        says nothing about them: it wrote nothing, or refused by itself.
        """
        with self._lock:
            self._asked_s.popleft()
            self._ended_s = self.clock.monotonic_s()
            if failure is not None:
                self.failure = failure

    def waited(self) -> tuple[int, float]:
        """The number of waiting jobs, and the seconds for which the writer has finished none."""
        with self._lock:
            if not self._asked_s:
                return 0, 0.0
            return len(self._asked_s), self.clock.monotonic_s() - max(self._asked_s[0], self._ended_s)


class _ThreadView(threading.local):
    """The view that a thread reads through, if any. `kept`: it keeps to one; `open`: that view, ended as it is left."""

    kept = False
    open: contextlib.ExitStack | None = None
    connection: Connection | None = None


class CenterStore:
    """The open store of one process. Use as a context manager, or `close` it."""

    def __init__(
        self, *, engine: Engine, readers: Engine, directory: Path, store_id: str, clock: Clock, lake_url: str = ""
    ) -> None:
        self._engine = engine
        self._readers = readers
        self._claim: IO[str] | None = None
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="center-writer")
        self._asker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="center-asker")
        self._asked: Future[object] | None = None
        self._view = _ThreadView()
        self.directory = directory
        self.lake_url = lake_url
        self.store_id = store_id
        self.clock = clock
        self.health = WriterHealth(clock)
        self.is_read_only = False  # True: nothing can be written, nobody is locked out

    @classmethod
    def open(
        cls, directory: Path, *, clock: Clock, database_url: str = "", lake_url: str = "", create: bool = True
    ) -> CenterStore:
        """Open the store of a state directory, creating it where allowed, and bring it up to this program's schema.

        The lake is in the state directory, or in the object store that `lake_url` names; nobody asks it here.

        Raises:
            StoreError: there is none and `create` is False, it can't be opened, or a newer program made it.
        """
        database = directory / "center.sqlite"
        if any((directory / RESTORING).glob("*")):
            raise StoreError(tr("a restore was not finished here; run it again"), subject=str(directory))
        if not create and not database_url and not database.exists():
            raise StoreError(
                tr("no center store here; has `collector center run` used this state?"), subject=str(directory)
            )
        is_read_only = database.exists() and not all(os.access(path, os.W_OK) for path in (directory, database))
        try:
            directory.mkdir(parents=True, exist_ok=True)
            url = database_url or (read_only_url(database) if is_read_only else f"sqlite:///{database}")
            with said_if_damaged(directory):
                store_id, key = _prepare(url, directory, now_ms=clock.now_utc_ms(), create=create)
        except (OSError, DBAPIError) as error:
            raise StoreError(tr("can't be opened: {error}", error=error), subject=str(directory)) from error
        engine, readers = (make_engine(url, writing=writing, seal_key=key) for writing in (True, False))
        store = cls(
            engine=engine, readers=readers, directory=directory, store_id=store_id, clock=clock, lake_url=lake_url
        )
        store.is_read_only = is_read_only and not database_url
        return store

    @staticmethod
    def renew_key(directory: Path, *, database_url: str = "") -> None:
        """Replace the key for the seals of a store that nobody has open (`store_version.renew_key`).

        Raises:
            StoreError: there is no store of this program's schema.
        """
        engine = make_engine(database_url or f"sqlite:///{directory / 'center.sqlite'}", writing=True)
        try:
            with said_if_damaged(directory):
                renew_key(engine, directory)
        finally:
            engine.dispose()

    @property
    def lake(self) -> LakePath:
        """Where the day files are."""
        return lake_folder(self.directory, self.lake_url, "lake")

    @property
    def lake_others(self) -> LakePath:
        """Where the lists of records are that lost their instant to another one."""
        return lake_folder(self.directory, self.lake_url, "lake-others")

    @property
    def imported(self) -> Path:
        """The folder of the imported rows, one file an import."""
        return self.directory / "imported"

    def write(self, job: Callable[[Connection], T]) -> Future[T]:
        """Run `job` in a transaction of its own on the writer's thread; the future is done after the commit."""
        self.require_writable()
        self._leave_view()
        self.health.asked()
        return self._writer.submit(self._transaction, job)

    def require_writable(self) -> None:
        """Refuse a write where the store is open for reading only.

        Raises:
            StoreError: the store is read-only.
        """
        if self.is_read_only:
            # The cause gives the owner and the remedy.
            closed = first_closed(self.directory) or self.directory
            cause = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(closed))
            raise StoreError(READ_ONLY, subject=str(self.directory)) from cause

    def _transaction(self, job: Callable[[Connection], T]) -> T:
        failure: str | None = None
        try:
            with said_if_damaged(self.directory), self._engine.begin() as connection:
                before = _changes_of(connection)
                changes = RowChanges.follow(connection)
                result = job(connection)
                changes.seal(self.clock.now_utc_ms())
                wrote = not self.has_one_writer or _changes_of(connection) != before
            failure = "" if wrote else None
            return result
        except (DBAPIError, DamagedDatabase, OSError) as error:
            cause = error.__cause__ if isinstance(error, DamagedDatabase) else error
            failure = str(getattr(cause, "orig", cause)) or type(error).__name__
            raise
        finally:
            self.health.ended(failure)

    def read(self, job: Callable[[Connection], T]) -> T:
        """Run `job` in the calling thread, over one consistent view of the store."""
        if not self._view.kept:
            return self.read_anew(job)
        try:
            with said_if_damaged(self.directory):
                return job(self._kept_view())
        except (DBAPIError, DamagedDatabase):
            self._leave_view()  # PostgreSQL answers nothing more in it
            raise

    def read_anew(self, job: Callable[[Connection], T]) -> T:
        """`read` over what the store says now, also where this thread keeps to one view."""
        with said_if_damaged(self.directory), self._readers.begin() as connection:
            begin_view(connection)
            return job(connection)

    @contextlib.contextmanager
    def one_view(self) -> Iterator[None]:
        """All that this thread reads meanwhile is read over one view; after something it writes, over another."""
        if self._view.kept:
            yield
            return
        self._view.kept = True
        try:
            yield
        finally:
            self._view.kept = False
            self._leave_view()

    def _kept_view(self) -> Connection:
        view = self._view
        if view.connection is None:
            with contextlib.ExitStack() as stack:
                view.connection = stack.enter_context(self._readers.begin())
                begin_view(view.connection)
                view.open = stack.pop_all()
        return view.connection

    def _leave_view(self) -> None:
        view = self._view
        stack, view.open, view.connection = view.open, None, None
        if stack is not None:
            stack.close()

    def read_within(self, job: Callable[[Connection], object], wait_s: float) -> None:
        """`read` with a time limit, for callers that must not hang with the database.

        A query still running from an earlier call is waited for first.

        Raises:
            TimeoutError: no answer in time.
        """
        if self._asked is None or self._asked.done():
            self._asked = self._asker.submit(self.read, job)
        self._asked.result(timeout=wait_s)

    @property
    def has_one_writer(self) -> bool:
        """True if all processes write in turn, as with SQLite."""
        return self._engine.dialect.name == "sqlite"

    @contextlib.contextmanager
    def hold(self, name: str, *, wait: bool = True, once: bool = False) -> Iterator[bool]:
        """Hold a lock among all processes that use the store; it is released when its process ends, however it ends.

        Yields True where it is held; False where it is somebody else's and `wait` is False. `once`: nobody will take a
        lock of this name again, so its file is removed.
        """
        if self.is_read_only:
            if wait:
                self.require_writable()
            yield False
            return
        if self.has_one_writer:
            path = self.directory / f"{name}.lock"
            with path.open("w") as file:
                held = _lock_file(file, wait=wait)
                try:
                    yield held
                finally:
                    if held and once:
                        path.unlink(missing_ok=True)
            return
        with self._readers.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.detach()  # a connection of its own: however many locks are held, readers find room in the pool
            try:
                yield _lock_number(connection, name, wait=wait)
            finally:
                with contextlib.suppress(DBAPIError):  # a broken connection has released it already
                    connection.execute(text("SELECT pg_advisory_unlock_all()"))

    def claim_receiver(self) -> None:
        """Become the only receiver of an SQLite store; the claim ends with the process, however it ends.

        Raises:
            StoreError: another process receives into this store.
        """
        if self._engine.dialect.name != "sqlite" or self._claim is not None:
            return
        self.require_writable()
        claim = (self.directory / "receiver.lock").open("w")
        if not _lock_file(claim, wait=False):
            claim.close()
            message = tr("another receiver uses this store; several receivers need PostgreSQL (center.database_url)")
            raise StoreError(message, subject=str(self.directory))
        self._claim = claim

    def close(self) -> None:
        """Finish the waiting jobs and release everything."""
        self._writer.shutdown(wait=True)
        self._asker.shutdown(wait=False)
        self._engine.dispose()
        self._readers.dispose()
        if self._claim is not None:
            self._claim.close()
            self._claim = None

    def __enter__(self) -> CenterStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _changes_of(connection: Connection) -> int:
    """Rows that an SQLite connection has changed so far."""
    return getattr(connection.connection.driver_connection, "total_changes", 0)


def _lock_file(file: IO[str], *, wait: bool) -> bool:
    """Lock a file until it is closed; False where another process has it and `wait` is False."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def _lock_number(connection: Connection, name: str, *, wait: bool) -> bool:
    """Lock a name by an advisory lock of PostgreSQL, for this store alone; False as in `_lock_file`."""
    function = "pg_advisory_lock" if wait else "pg_try_advisory_lock"
    # A host that vanishes without a word keeps the lock for a minute and a half, not for hours.
    for setting, seconds in (("idle", 60), ("interval", 10), ("count", 3)):
        connection.execute(text(f"SET tcp_keepalives_{setting} = {seconds}"))
    query = text(f"SELECT {function}(hashtext(:name), hashtext(current_schema()))")
    found = connection.execute(query, {"name": name}).scalar()
    return wait or bool(found)


def _prepare(url: str, directory: Path, *, now_ms: int, create: bool) -> tuple[str, bytes]:
    """The store's id and the key of its seals; the store is made or upgraded first, where needed."""
    readers = make_engine(url, writing=False)
    try:
        with readers.begin() as connection:
            store_id = find_store_id(connection, str(directory))
            if store_id is not None:
                return store_id, read_key(connection, directory)
        engine = make_engine(url, writing=True, foreign_keys=False)
        try:
            store_id = bring_up_to_date(engine, now_ms=now_ms, directory=directory, create=create)
        finally:
            engine.dispose()
        with readers.begin() as connection:
            return store_id, read_key(connection, directory)
    finally:
        readers.dispose()


def renew_store_id(connection: Connection, now_ms: int) -> str:
    """Give a restored store a new id: every agent then knows that acknowledgements of the old one no longer count."""
    store_id = secrets.token_hex(16)
    connection.execute(tables_receive.store.update().values(store_id=store_id, since_ms=now_ms))
    return store_id


def insert_new(connection: Connection, table: Table) -> Insert:
    """An INSERT that leaves an existing row unchanged."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()
