# SPDX-License-Identifier: GPL-3.0-or-later
"""Revisions that make the store of an older program one of this program; run by Alembic, in the caller's transaction.

The number of the newest is `tables_receive.SCHEMA_VERSION`. A new store is made from the metadata and not through here;
a test holds that both ways lead to the same tables, so who changes a table writes a revision.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

HERE: Final = Path(__file__).parent


def upgrade(connection: Connection, *, directory: Path | None = None, to: str = "head", scripts: Path = HERE) -> None:
    """Carry out what the store lacks, up to the revision `to`.

    `directory`: of the store, where a revision may write files; an empty store needs none. `scripts`: a folder with
    env.py and versions/.
    """
    config = _config(connection, scripts)
    config.attributes["directory"] = directory
    command.upgrade(config, to)


def stamp(connection: Connection, revision: str) -> None:
    """Write down that the store is at `revision`, where it was made without Alembic."""
    command.stamp(_config(connection, HERE), revision)


def _config(connection: Connection, scripts: Path) -> Config:
    config = Config()
    # A per cent sign in a path would be taken for a reference to another option.
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
