# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that were uploaded for a preview and are not taken yet: kept for a day, visible to their sender only.

pending/<token>: msgpack of sender, file name and bytes; the token is from their SHA-256. They have no effect on
anything.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Final

import msgspec

from collector.base.clock import SystemClock
from collector.base.durable import write_whole
from collector.base.errors import Missing
from collector.base.text import tr
from collector.center.db.store import CenterStore
from collector.center.inputs.service import delivered_of
from collector.center.people.access import Actor, Permission
from collector.sheets.files import Delivered

MOST: Final = 20  # files; beyond, the oldest are removed
KEPT_S: Final = 86_400
_TOKEN: Final = re.compile(r"[0-9a-f]{32}\Z")


class _Kept(msgspec.Struct, array_like=True):
    who: str
    name: str
    data: bytes


def keep_pending(store: CenterStore, name: str, data: bytes, *, actor: Actor) -> str:
    """Keep a file until it is taken or forgotten; returns its token.

    Raises:
        Denied: the role may not import.
        ConfigError: the file has no usable name, or is larger than the limit of its type.
        OSError: the disk refuses.
    """
    actor.require(Permission.IMPORT)
    delivered = delivered_of(name, data)
    folder = _folder(store)
    folder.mkdir(exist_ok=True)
    _forget_old(folder)
    token = hashlib.sha256(f"{actor.name}\n{delivered.name}\n".encode() + data).hexdigest()[:32]
    write_whole(folder / token, msgspec.msgpack.encode(_Kept(actor.name, delivered.name, data)))
    return token


def pending_file(store: CenterStore, token: str, *, actor: Actor) -> Delivered:
    """A file that waits to be taken.

    Raises:
        Missing: there is none, or it is somebody else's: the error is the same for both.
    """
    path = _folder(store) / token
    if _TOKEN.match(token) and path.is_file():
        kept = msgspec.msgpack.decode(path.read_bytes(), type=_Kept)
        if kept.who == actor.name:
            return delivered_of(kept.name, kept.data)
    raise Missing(tr("no such file waits to be taken; send it again"), subject=token[:32])


def forget_pending(store: CenterStore, token: str) -> None:
    """Remove a file that was taken, or is not wanted; no effect for a text that is not a token."""
    if _TOKEN.match(token):
        (_folder(store) / token).unlink(missing_ok=True)


def _folder(store: CenterStore) -> Path:
    return store.directory / "pending"


def _forget_old(folder: Path) -> None:
    files = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for place, path in enumerate(files):
        # By the machine's clock, as in the file system, not by the store's.
        if place >= MOST - 1 or path.stat().st_mtime < SystemClock().now_utc_ms() / 1000 - KEPT_S:
            path.unlink(missing_ok=True)
