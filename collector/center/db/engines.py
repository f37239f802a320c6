# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLAlchemy engines for the center: when a transaction begins, what it sees, how safely it is written."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, event

from collector.center.db.seals.seal_key import KEY_OPTION

BUSY_TIMEOUT_MS: Final = 60_000
_WAL_ATTEMPTS: Final = 100
_WAL_PAUSE_S: Final = 0.05


def read_only_url(database: Path) -> str:
    """The URL of an SQLite file that is opened without writing anything, not even files beside it.

    Without a WAL beside it nobody has the file open, and SQLite is told that it does not change; else the WAL's index
    must exist too, as SQLite would have to create it.
    """
    wal = database.with_name(database.name + "-wal")
    fixed = "" if wal.exists() and wal.stat().st_size else "&immutable=1"
    return f"sqlite:///file:{quote(str(database.absolute()))}?mode=ro{fixed}&uri=true"


def make_engine(url: str, *, writing: bool, foreign_keys: bool = True, seal_key: bytes | None = None) -> Engine:
    """An engine of one connection for a writer, of several for readers.

    `foreign_keys`: False where a migration recreates tables, which SQLite's checks would refuse. `seal_key`: of an
    opened store; rows are sealed with it and checked against their seals.
    """
    # pre_ping: after a restart of the database server, dead connections of the pool are replaced.
    sizes = {"pool_size": 1, "max_overflow": 0} if writing else {"pool_size": 4, "max_overflow": 16}
    options = {} if seal_key is None else {KEY_OPTION: seal_key}
    engine = create_engine(url, **sizes, pool_pre_ping=True, execution_options=options)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_read_only if "mode=ro" in url else _prepare_sqlite)
        if foreign_keys:
            event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys=ON").close())
        statement = "BEGIN IMMEDIATE" if writing else "BEGIN"
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(statement))
    elif not writing:
        # A sealing run reads several tables; as in SQLite, all of them must show one state.
        engine = engine.execution_options(isolation_level="REPEATABLE READ")
    return engine


def _prepare_read_only(connection: Any, _record: object) -> None:
    connection.isolation_level = None


def _prepare_sqlite(connection: Any, _record: object) -> None:
    # sqlite3 would begin transactions itself, late and deferred; here `begin` begins them.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}").close()
    _use_wal(connection)
    for pragma in ("synchronous=FULL", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}").close()


def _use_wal(connection: Any) -> None:
    """Switch to WAL, once in a file's life, with retries: SQLite does not wait for others that do the same."""
    for attempt in range(1, _WAL_ATTEMPTS + 1):
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError:
            if attempt == _WAL_ATTEMPTS:
                raise
            time.sleep(_WAL_PAUSE_S)
        else:
            return
