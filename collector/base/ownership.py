# SPDX-License-Identifier: GPL-3.0-or-later
"""The owner of a file that could not be used, and the command that helps: for errors of the wrong user.

The program runs as the user of a service; a verb that root ran once leaves files which that user can't open.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from collector.base.errors import CollectorError
from collector.base.text import Text, tr

_SQLITE: Final = ("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM", "SQLITE_IOERR_ACCESS")
# Folders that no service may own, whatever is meant by a path below them; with them each folder right below `_SHARED`.
_OF_THE_SYSTEM: Final = frozenset(map(Path, ("/", "/root", "/etc", "/var", "/home", "/usr", "/boot", "/run", "/tmp")))
_SHARED: Final = frozenset(map(Path, ("/var", "/home", "/usr")))
# PostgreSQL's answer to a user without an account there; these sentences have no code of their own.
_NOT_THEIR_DATABASE: Final = ("Peer authentication failed", 'role "root" does not exist')


def remedy_for(error: BaseException) -> Text | None:
    """The owner of what an error could not use, and the command that mends it; None where rights are not the cause."""
    chain = list(_chain(error))
    if any(word in str(each) for each in chain for word in _NOT_THEIR_DATABASE):
        return tr(
            "the database knows people by the system's user: as root, runuser -u collector -- and this command again"
        )
    return remedy_of(_paths(chain))


def remedy_of(paths: Iterable[Path], mode: int = os.R_OK | os.W_OK) -> Text | None:
    """The owner and the command, as `remedy_for`, for the first of some paths that this user may not read, or write."""
    found = next(filter(None, (first_closed(path, mode) for path in paths)), None)
    if found is None:
        return None
    user, owner = _name(os.geteuid()), _name(found.stat().st_uid)
    values = {"path": found, "owner": owner, "user": user}
    if owner == user:
        return tr("{path} belongs to {user}, but its mode forbids it: chmod u+rwX {path}", **values)
    if found in _OF_THE_SYSTEM or found.parent in _SHARED:
        return tr(
            "{path} is a folder of the system that {user} may not use: name a place that {user} owns, or a file that "
            "it may read there, as made by install -o root -g {user} -m 0640",
            **values,
        )
    if found.parent.stat().st_uid == os.geteuid():
        return tr("{path} belongs to {owner} and not to {user}: as root, chown -R {user}: {path}", **values)
    if owner == "root":
        return tr(
            "{path} belongs to root, and {user} may not use it: as root, chown -R {user}: {path}, or run this as root",
            **values,
        )
    return tr(
        "{path} belongs to {owner}, and {user} may not use it: as root, runuser -u {owner} -- and this command again, "
        "or where {user} is the right one, chown -R {user}: {path}",
        **values,
    )


def first_closed(path: Path, mode: int = os.R_OK | os.W_OK) -> Path | None:
    """The first folder on the way to a path, the path itself, or the first entry of it, that this user may not use."""
    path = path.absolute()
    for folder in reversed(path.parents):
        if not folder.is_dir():
            return None
        if not _may(folder, os.X_OK):
            return folder
    if not path.exists():
        return None if _may(path.parent, os.W_OK | os.X_OK) else path.parent
    if not path.is_dir():
        return None if _may(path, mode) else path
    if not _may(path, mode | os.X_OK):
        return path
    return next((entry for entry in sorted(path.iterdir()) if not _may(entry, mode)), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, the error first."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _paths(chain: Sequence[BaseException]) -> Iterator[Path]:
    """The paths that errors name; none where file rights can't be the cause."""
    if not any(map(_is_of_rights, chain)):
        return
    for each in chain:
        if isinstance(each, OSError) and isinstance(each.filename, str | os.PathLike):
            yield Path(each.filename)
        if isinstance(each, CollectorError) and os.sep in each.subject:
            yield Path(each.subject)


def _is_of_rights(error: BaseException) -> bool:
    return isinstance(error, PermissionError) or getattr(error, "sqlite_errorname", "").startswith(_SQLITE)


def _may(path: Path, mode: int) -> bool:
    return os.access(path, mode, effective_ids=True)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
