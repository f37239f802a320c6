# SPDX-License-Identifier: GPL-3.0-or-later
"""The databases of the center's tests: SQLite in the test's folder, and a real PostgreSQL where one is installed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from tests.center import center_batches
from tests.center.db.postgresql_server import find_programs, plain_url, running_server
from tests.center.object_store import KEYS, ObjectStore, running_object_store

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The server's address without a database name."""
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed: these tests say nothing here")
    with running_server(programs) as url:
        yield url


@pytest.fixture
def new_postgresql_url(postgresql_server: str) -> Callable[[], str]:
    """Makes an empty database at each call; its address as `center.database_url` names it."""

    def make() -> str:
        name = f"test_{next(_numbers)}"
        with psycopg.connect(plain_url(postgresql_server) + "postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return postgresql_server + name

    return make


@pytest.fixture
def new_schema_url(postgresql_server: str) -> Callable[[], str]:
    """As `new_postgresql_url`, and much cheaper: a schema each of one database."""

    def make() -> str:
        name = f"test_{next(_numbers)}"
        with psycopg.connect(plain_url(postgresql_server) + "postgres", autocommit=True) as connection:
            connection.execute(f'CREATE SCHEMA "{name}"'.encode())
        return f"{postgresql_server}postgres?options=-csearch_path%3D{name}"

    return make


@pytest.fixture
def postgresql_url(new_postgresql_url: Callable[[], str]) -> str:
    """An empty PostgreSQL database, for what SQLite can't do."""
    return new_postgresql_url()


@pytest.fixture(params=["sqlite", "postgresql"])
def new_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Both databases in turn; an address of an empty one at each call."""
    if request.param == "postgresql":
        make: Callable[[], str] = request.getfixturevalue("new_postgresql_url")
        return make
    return lambda: f"sqlite:///{tmp_path}/database-{next(_numbers)}.sqlite"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """Both databases in turn, as center.toml names them: nothing for SQLite in the state directory."""
    return "" if request.param == "sqlite" else str(request.getfixturevalue("postgresql_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def on_both(request: pytest.FixtureRequest) -> Iterator[None]:
    """Runs a test twice, its `new_store` on SQLite and on PostgreSQL: `pytestmark = pytest.mark.usefixtures(…)`."""
    if request.param == "sqlite":
        yield
        return
    center_batches.in_use.append(center_batches.Databases(request.getfixturevalue("new_schema_url")))
    yield
    center_batches.in_use.pop()


@pytest.fixture(scope="session")
def object_store_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real S3 server, for all tests of this process."""
    with running_object_store(tmp_path_factory.mktemp("moto") / "moto.log") as server:
        yield server


@pytest.fixture
def object_store(object_store_server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    """The same, with credentials in the environment as a service has them."""
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    return object_store_server
