# SPDX-License-Identifier: GPL-3.0-or-later
"""Revisions that bring the store of an older program to this program's schema; run by Alembic, in one transaction.

The newest revision's number is `tables_receive.SCHEMA_VERSION`. A new store is made from the metadata, without
revisions; a test holds that both ways give the same tables, so every change of a table needs a revision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

HERE: Final = Path(__file__).parent


def upgrade(connection: Connection, *, directory: Path | None = None, to: str = "head", scripts: Path = HERE) -> None:
    """Run the missing revisions of a store, up to the revision `to`.

    `directory`: of the store, where a revision may write files; an empty store needs none. `scripts`: a folder with
    env.py and versions/.
    """
    config = _config(connection, scripts)
    config.attributes["directory"] = directory
    command.upgrade(config, to)


def stamp(connection: Connection, revision: str) -> None:
    """Record that the store is at `revision`, where it was made without Alembic."""
    command.stamp(_config(connection, HERE), revision)


def _config(connection: Connection, scripts: Path) -> Config:
    config = Config()
    # Alembic would take a per cent sign in a path for a reference to another option.
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
