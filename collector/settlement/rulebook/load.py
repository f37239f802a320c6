# SPDX-License-Identifier: GPL-3.0-or-later
"""Loading a rulebook from its directory: one TOML file per article, every value dated and cited, nothing skipped.

A file holds `article`, `title` and any of [[area]], [[service]], [[value]], [[reading]]; `rulebook.toml` names the
rule. Rows are append-only: a new row with a later `from` takes over; an old one is never edited. All problems are
reported at once.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final

from collector.base.errors import ConfigError
from collector.base.text import tr
from collector.settlement.rulebook.declarations import Declarations
from collector.settlement.rulebook.rules import Rulebook
from collector.settlement.rulebook.toml_keys import Table

__all__ = ["Rulebook", "load_rulebook"]

_BOOK_KEYS: Final = frozenset({"id", "title", "text", "revises"})
_HEAD: Final = "rulebook.toml"
_KEPT_BOOKS: Final = 8  # a center reads the few it has again and again: for each run, page and check


def load_rulebook(directory: Path) -> Rulebook:
    """Load the rulebook in `directory`.

    Raises:
        ConfigError: every problem found, each with file and place.
    """
    return rulebook_of(read_rulebook_files(directory), str(directory))


def rulebook_of(files: Mapping[str, bytes], where: str) -> Rulebook:
    """Build a rulebook from the content of its files. `where`: their directory. Raises as `load_rulebook`."""
    # Its whole path matters only to a problem: the copies of one rulebook, of each run, are one here.
    return _built(tuple(files.items()), Path(where).name if _HEAD in files else where)


@lru_cache(maxsize=_KEPT_BOOKS)
def _built(contents: tuple[tuple[str, bytes], ...], where: str) -> Rulebook:
    files = dict(contents)
    loader = Declarations()
    head: Table = {}
    tables: dict[str, Table] = {}
    if _HEAD not in files:
        loader.problem(where, "", tr("no rulebook.toml here: a rulebook is a directory with one file per article"))
    for name, raw in files.items():
        try:
            table: Table = tomllib.loads(raw.decode())
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            loader.problem(name, "", tr("not TOML: {error}", error=error))
            continue
        if name == _HEAD:
            loader.known(name, "", table, _BOOK_KEYS)
            head = table
        else:
            tables[name] = table
            loader.announce(name, table)
    for name, table in tables.items():
        loader.revise(name, table, tables.values())
    for name, table in tables.items():  # once all areas and rows are known
        loader.file(name, table)
    loader.complete()
    if loader.problems:
        raise ConfigError(sorted(loader.problems))
    title, book = str(head.get("title", "")), str(head.get("id", Path(where).name))
    return Rulebook(book, title, loader.values, loader.services, loader.readings, loader.areas, hash_of_files(files))


def read_rulebook_files(directory: Path) -> dict[str, bytes]:
    """Read the files of a rulebook, by name; empty where there is no such directory.

    A revision (`revises` in rulebook.toml) has also the files of the rulebook beside it that it names. A copy of them
    all stands for itself: nothing is beside it.
    """
    files = {path.name: path.read_bytes() for path in directory.glob("*.toml")} if directory.is_dir() else {}
    try:
        revised = tomllib.loads(files.get(_HEAD, b"").decode()).get("revises")
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        revised = None  # found when it is loaded
    if isinstance(revised, str) and re.fullmatch(r"[\w-]+", revised):
        files = {**{p.name: p.read_bytes() for p in (directory.parent / revised).glob("*.toml")}, **files}
    return dict(sorted(files.items()))


def hash_of_files(files: Mapping[str, bytes]) -> str:
    """The rulebook hash: SHA-256 over names and bytes of its files in order of name."""
    digest = hashlib.sha256()
    for name, raw in files.items():
        digest.update(f"{name}\0{len(raw)}\0".encode() + raw)
    return digest.hexdigest()
