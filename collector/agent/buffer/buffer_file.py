# SPDX-License-Identifier: GPL-3.0-or-later
"""The SQLite file under the buffer: schema, one writer, one transaction at a time, durable when it returns.

Its tables are made in `ledger_schema.py` by sqlite-utils; the hot path is plain sqlite3. The file runs in WAL with
`synchronous=FULL`: a commit is on the disk when it returns. (In simulated time NORMAL: a commit outlives any kill of
the process, but not a power cut, which ends the simulated plants as well.) A lock file beside it keeps a second agent
out; if somebody removes that file, the last process to open the buffer owns it, and the other one stops at its next
transaction. Readers (`agent status`, the sqlite3 shell) may look at any time.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from collector.agent.buffer.ledger_schema import CURRENT, bring_up_to_date, fingerprint
from collector.base.errors import CollectorError, Garbled, StoreError
from collector.base.text import tr
from collector.wire import Stream, is_name, open_envelope

PENDING: Final = 0  # sealed, not freed
FREED: Final = 1  # acknowledged by the present store, payload still in the file

# a check of a larger file would delay the start; its damage shows when pages are read
_FULL_CHECK_BELOW_BYTES: Final = 64 * 1024 * 1024
_NULLABLE: Final = frozenset(
    {"heard_store", "refused", "freed_ms", "told_stream", "told_seq", "era", "time_utc_ms"}
    | {"last_stream", "last_sequence", "for_sequence", "place"}
)
_WAL_PAGES: Final = 500
_CACHE_KIB: Final = 512  # small: the file is written far more than read
# Errors that are not the file's fault: no room, no rights, no medium, other processes. All others mean damage.
_CIRCUMSTANCES: Final = (
    0, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_PROTOCOL,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StreamRow:
    """A stream of this file. `current`: new batches are sealed into it; one per plant."""

    id: int
    stream: Stream
    current: bool


class Lock:
    """Holds `<file>.lock`, with the process number in it, as long as the process lives: one agent writes the file.

    A lock file left by a killed process locks nothing.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._descriptor = os.open(
                path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except OSError as error:
            raise StoreError(
                tr("the lock file can't be made: {strerror}", strerror=error.strerror), subject=str(path)
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip() or "?"
            os.close(self._descriptor)
            raise StoreError(
                tr("another agent (process {number}) is using this buffer; stop it first", number=holder),
                subject=str(path),
            ) from error
        with suppress(OSError):  # on a full disk the number is missing
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Release the lock, so that another process may open the file."""
        os.close(self._descriptor)


class Ledger:
    """An open buffer file. Not thread-safe; `Buffer` serialises its calls."""

    def __init__(
        self, path: Path, gateway: str, *, wal_pages: int = _WAL_PAGES, outlives_power_cuts: bool = True
    ) -> None:
        self.path = path
        self.gateway = gateway
        self._synchronous = "FULL" if outlives_power_cuts else "NORMAL"
        self._writer = ""
        try:
            self.db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
        except sqlite3.Error as error:
            raise StoreError(tr("can't be opened: {error}", error=error), subject=str(path)) from error
        try:
            self._prepare(wal_pages)
        except BaseException:
            self.db.close()
            raise

    def _prepare(self, wal_pages: int) -> None:
        with self.errors():
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute(f"PRAGMA synchronous = {self._synchronous}")
            self.db.execute("PRAGMA foreign_keys = ON")
            self.db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            self.db.execute(f"PRAGMA wal_autocheckpoint = {wal_pages}")
            self.db.execute(f"PRAGMA journal_size_limit = {wal_pages * 4096}")
            self.db.execute("PRAGMA busy_timeout = 5000")  # readers of the status are done quickly
            self._migrate()
            self.page_bytes = int(self.value("PRAGMA page_size"))
            owner = self.db.execute("SELECT value FROM meta WHERE key = 'gateway'").fetchone()
        if owner is None:
            with self.transaction():
                self.db.execute("INSERT INTO meta VALUES ('gateway', ?)", (self.gateway,))
        elif owner[0] != self.gateway:
            if not (isinstance(owner[0], str) and is_name(owner[0])) or self._holds_own_batches():
                raise Damaged(tr("its owner's name can't be read"), subject=str(self.path))
            raise StoreError(
                tr("belongs to gateway {owner!r}, not {gateway!r}", owner=owner[0], gateway=self.gateway),
                subject=str(self.path),
            )

    def _holds_own_batches(self) -> bool:
        """True if a sealed batch of the file names our gateway."""
        with self.errors():
            rows = self.db.execute("SELECT payload FROM batches ORDER BY id DESC LIMIT 64").fetchall()
        for (payload,) in rows:
            with suppress(Garbled, TypeError):
                if open_envelope(payload).stream.gateway == self.gateway:
                    return True
        return False

    def _migrate(self) -> None:
        """Bring the tables up to date. If that fails on names, the stored text of the schema is damaged."""
        try:
            if fingerprint(self.db) != CURRENT:
                bring_up_to_date(self.db)
        except sqlite3.Error as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
                raise
            raise Damaged(tr("the tables can't be understood: {error}", error=error), subject=str(self.path)) from error
        except (KeyError, AttributeError, TypeError, ValueError) as error:
            raise Damaged(
                tr("the tables can't be understood: {error!r}", error=error), subject=str(self.path)
            ) from error

    @property
    def suspect_path(self) -> Path:
        """A marker: the file was found damaged while in use, set it aside at the next start."""
        return self.path.with_name(self.path.name + ".suspect")

    def damage(self) -> str | None:
        """The damage of the file, None if nothing was found: pages and indexes (of small files) and B6."""
        if self.suspect_path.exists():
            return "found damaged while in use"
        try:
            if fingerprint(self.db) != CURRENT:
                return "its tables are not those of a buffer"
            if self.path.stat().st_size < _FULL_CHECK_BELOW_BYTES:
                found = self.db.execute("PRAGMA integrity_check(1)").fetchone()[0]
                if found != "ok":
                    return str(found)
            return self._wrong_types() or self._broken_counts() or self._mixed_commits()
        except (sqlite3.Error, ValueError, TypeError) as error:
            return str(error)

    def _wrong_types(self) -> str | None:
        """A value of another type than its column's, in any table except a large one of batches."""
        tables = [name for (name,) in self.db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        if self.path.stat().st_size >= _FULL_CHECK_BELOW_BYTES:
            tables.remove("batches")
        for table in tables:
            for _, column, kind, _, _, is_key in self.db.execute(f'PRAGMA table_info("{table}")').fetchall():
                allowed = f"'{kind.lower()}'" + (", 'null'" if column in _NULLABLE and not is_key else "")
                sql = f'SELECT count(*) FROM "{table}" WHERE typeof("{column}") NOT IN ({allowed})'
                if self.value(sql):
                    return f"{table}.{column} holds something else than {kind}"
        return None

    def _broken_counts(self) -> str | None:
        """B6 and B1: sealed = freed + pending + gone, and as many sealed as sequences were given."""
        rows = self.db.execute("SELECT id, next_sequence, sealed, freed, evicted + unconfirmed FROM streams").fetchall()
        for stream, following, sealed, freed, gone in rows:
            pending = self.value("SELECT count(*) FROM batches WHERE stream = ? AND state = 0", stream)
            kept = self.value("SELECT count(*) FROM batches WHERE stream = ? AND state = 1", stream)
            if sealed != freed + pending + gone or sealed != following - 1 or kept > freed:
                return f"stream {stream}: {sealed} sealed, {freed} freed, {pending} pending, {gone} gone"
        return None

    def _mixed_commits(self) -> str | None:
        """Rows of which one is of a later commit than the other: a write-ahead log was cut short beside a checkpoint.

        Each page may then be of any commit, and SQLite's own check finds nothing. A unit's last record in a batch that
        no stream has sealed yet would hide that the batch is lost; so would a sequence that no row names. The open tail
        is compared where it is read (`Sealer.load`).
        """
        ahead = self.value(
            "SELECT count(*) FROM units WHERE last_sequence IS NOT NULL AND NOT EXISTS"
            " (SELECT 1 FROM streams WHERE streams.id = last_stream AND last_sequence < next_sequence)"
        )
        if ahead:
            return f"{ahead} units have their last record in a batch that is not sealed"
        for stream, following in self.db.execute("SELECT id, next_sequence FROM streams ORDER BY id").fetchall():
            kept, last_kept = self.db.execute(
                "SELECT count(*), coalesce(max(sequence), 0) FROM batches WHERE stream = ?", (stream,)
            ).fetchone()
            gone, last_gone = self.db.execute(
                "SELECT coalesce(sum(to_seq - from_seq + 1), 0), coalesce(max(to_seq), 0) FROM lost WHERE stream = ?",
                (stream,),
            ).fetchone()
            if kept + gone != following - 1 or max(last_kept, last_gone) != following - 1:
                return f"stream {stream}: {following - 1} sequences given, {kept} kept and {gone} gone"
        return None

    def value(self, sql: str, *parameters: Any) -> Any:
        """The first column of the first row."""
        return self.db.execute(sql, parameters).fetchone()[0]

    def used_bytes(self) -> int:
        """Bytes in use in the file; free pages inside it don't count, as they are used again."""
        pages: int = self.value("PRAGMA page_count") - self.value("PRAGMA freelist_count")
        return pages * self.page_bytes

    def damaged(self, message: str) -> Damaged:
        """The error to raise where the file turned out damaged in use; the next start sets it aside."""
        with suppress(OSError):
            self.suspect_path.touch()
        return Damaged(message, subject=str(self.path))

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Turn every error into one of ours; damage leaves a marker, so that the next start sets the file aside."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0)
            if code & 0xFF in _CIRCUMSTANCES and code != sqlite3.SQLITE_IOERR_SHORT_READ:
                raise StoreError(tr("can't be used: {error}", error=error), subject=str(self.path)) from error
            raise self.damaged(tr("the file is damaged: {error}", error=error)) from error
        except (CollectorError, MemoryError):
            raise
        except Exception as error:
            # A flipped bit turns a number into a text, or a name into another: any kind of error may follow.
            raise self.damaged(tr("the file is damaged, or this program is wrong: {error!r}", error=error)) from error

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all or nothing; committed and on the disk when it ends.

        Raises:
            StoreError: disk full, I/O error, damage; nothing of the transaction is in the file.
        """
        with self.errors():
            self.db.execute("BEGIN IMMEDIATE")
            try:
                self._require_ours()
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    with suppress(sqlite3.Error):
                        self.db.execute("ROLLBACK")
                raise

    def take_over(self) -> None:
        """Become the one writer of the file from now on (inside a transaction)."""
        self._writer = secrets.token_hex(8)
        self.db.execute("INSERT OR REPLACE INTO meta VALUES ('writer', ?)", (self._writer,))

    def _require_ours(self) -> None:
        if self._writer and self.db.execute("SELECT value FROM meta WHERE key = 'writer'").fetchone() != (
            self._writer,
        ):
            message = tr(
                "another agent has opened this buffer since, though this one holds its lock file: was that removed? "
                "This one stops; let one of the two run"
            )
            raise TakenOver(message, subject=str(self.path))

    def streams(self) -> list[StreamRow]:
        """Every stream of the file, oldest first."""
        rows = self.db.execute("SELECT id, plant, epoch, current FROM streams ORDER BY id").fetchall()
        return [
            StreamRow(number, Stream(plant, self.gateway, int(epoch, 16)), bool(current))
            for number, plant, epoch, current in rows
        ]

    def add_stream(self, plant: str, *, epoch: int | None = None, current: bool = True) -> StreamRow:
        """Insert a stream with a new epoch (inside a transaction); a current one replaces the plant's former stream."""
        epoch = secrets.randbits(64) if epoch is None else epoch
        if current:
            self.db.execute("UPDATE streams SET current = 0 WHERE plant = ?", (plant,))
        cursor = self.db.execute(
            "INSERT INTO streams (plant, epoch, current, conflicted, next_sequence, sealed, freed, evicted,"
            " records_sealed, records_freed, records_evicted, records_resealed)"
            " VALUES (?, ?, ?, 0, 1, 0, 0, 0, 0, 0, 0, 0)",
            (plant, f"{epoch:016x}", int(current)),
        )
        return StreamRow(int(cursor.lastrowid or 0), Stream(plant, self.gateway, epoch), current)

    def close(self) -> None:
        """Close the file; committed data stays."""
        self.db.close()


class Unusable(StoreError):  # noqa: N818 - a state of the file
    """The file can't be used by this process any more, which stops."""


class Damaged(Unusable):
    """The file itself is damaged: the next start sets it aside."""


class TakenOver(Unusable):
    """Another process has opened the file as its writer."""
