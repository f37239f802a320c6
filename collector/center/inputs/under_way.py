# SPDX-License-Identifier: GPL-3.0-or-later
"""Large files taken in the background: every process of the store sees their progress and their result.

A pending file (`pending`) is taken by a thread of the process that was asked for it; its progress is in
takings/<token>. As for runs, that process holds a lock of the store, which ends with the process: where a file is
marked running and its lock is free, its taking was interrupted. Nothing of it counts, and the file is still pending.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import msgspec

from collector.base.clock import SystemClock
from collector.base.durable import write_whole
from collector.base.errors import CollectorError, ConfigError, Missing, Problem, StoreError
from collector.base.text import as_data, from_data, said_by, tr
from collector.center.db.store import CenterStore
from collector.center.inputs.pending import KEPT_S, forget_pending, pending_file
from collector.center.inputs.service import deliver_tables
from collector.center.people.access import Actor, Permission
from collector.tables.limits import InputRules

AT_ONCE_BYTES: Final = 2_000_000  # a smaller file is taken while its sender waits: some 35 000 rows of a plan
RUNNING, DONE, FAILED, INTERRUPTED = "running", "done", "failed", "interrupted"
# Step -> percent of the total time, measured on a region's plan.
TIME_OF_STEPS: Final[Mapping[str, int]] = {"waiting": 0, "reading": 25, "comparing": 10, "writing": 65}
_TOKEN: Final = re.compile(r"[0-9a-f]{32}\Z")

logger: Final = logging.getLogger("collector.center.inputs.under_way")


class FileUnderWay(msgspec.Struct, frozen=True):
    """A file that is being taken, or was within a day. `numbers`: the imports it became.

    `began_ms`: None while it waits behind others. `error`, `problems`: the reason of a failure, as `as_data` writes
    texts.
    """

    token: str
    who: str
    name: str
    kinds: list[str]
    asked_ms: int
    state: str = RUNNING
    step: str = "waiting"
    began_ms: int | None = None
    ended_ms: int | None = None
    numbers: list[int] = []
    error: Any = None
    problems: list[list[Any]] = []

    @property
    def share(self) -> Fraction:
        """The approximate part done, 0..1: the time share of the steps before the present one."""
        names = list(TIME_OF_STEPS)
        return Fraction(sum(TIME_OF_STEPS[name] for name in names[: names.index(self.step)]), 100)

    def left_ms(self, now_ms: int) -> int | None:
        """The approximate time left, ms, from the time used so far; None where it can't be estimated."""
        if self.state != RUNNING or self.began_ms is None or not self.share:
            return None
        return round(max(now_ms - self.began_ms, 0) * (1 - self.share) / self.share)

    @property
    def why(self) -> str:
        """The reason of a failure; empty where there was none."""
        return "" if self.error is None else from_data(self.error)

    @property
    def found(self) -> list[Problem]:
        """All problems of the file."""
        return [Problem(file, row, key, from_data(message)) for file, row, key, message in self.problems]


class TakingsInBackground:
    """Takes files in the background, one after the other, in a thread of its own."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="center-import")
        self._stopping = threading.Event()

    def start(
        self, store: CenterStore, token: str, kinds: Sequence[str], *, actor: Actor, replace: bool,
        rules: InputRules | None,
    ) -> FileUnderWay:  # fmt: skip
        """Ask for a file that waits, and have it taken.

        Raises:
            Denied: the role may not import.
            Missing: no such file waits.
            StoreError: it is being taken already.
        """
        actor.require(Permission.IMPORT)
        delivered = pending_file(store, token, actor=actor)
        with contextlib.ExitStack() as claiming:
            if not claiming.enter_context(store.hold(_lock(token), wait=False, once=True)):
                raise StoreError(tr("is being taken already"), subject=delivered.name)
            taking = FileUnderWay(token, actor.name, delivered.name, list(kinds), store.clock.now_utc_ms())
            _write(store, taking)
            claim = claiming.pop_all()

        def take(tell: Callable[[str], None]) -> list[int]:
            done = deliver_tables(
                store, kinds, delivered, actor=actor, replace=replace, rules=rules, tell=tell
            )  # fmt: skip
            return [each.import_id for each in done if each.import_id is not None]

        self._pool.submit(self._carry_out, store, taking, take, claim)
        return taking

    def close(self) -> None:
        """Wait for the file in progress; files behind it are not begun, and are marked interrupted."""
        self._stopping.set()
        self._pool.shutdown(wait=True)

    def _carry_out(
        self,
        store: CenterStore,
        taking: FileUnderWay,
        take: Callable[[Callable[[str], None]], list[int]],
        claim: contextlib.ExitStack,
    ) -> None:
        with claim:
            if self._stopping.is_set():
                return
            now, order = store.clock.now_utc_ms, list(TIME_OF_STEPS)
            told = msgspec.structs.replace(taking, began_ms=now())

            def tell(step: str) -> None:
                nonlocal told
                # with several tables, only the first one moves the progress
                if order.index(step) > order.index(told.step):
                    told = msgspec.structs.replace(told, step=step)
                    _write(store, told)

            try:
                numbers = take(tell)
            except Exception as error:
                _write(store, msgspec.structs.replace(_failed(told, error), ended_ms=now()))
                return
            _write(store, msgspec.structs.replace(told, state=DONE, ended_ms=now(), numbers=numbers))
            forget_pending(store, taking.token)


def _failed(told: FileUnderWay, error: Exception) -> FileUnderWay:
    """The record of a failure: with everything wrong in the file, or the other error."""
    if isinstance(error, ConfigError):
        listed = [[p.file, p.row, p.key, as_data(p.message)] for p in error.problems]
        return msgspec.structs.replace(told, state=FAILED, error=as_data(error.head), problems=listed)
    if isinstance(error, CollectorError | OSError):  # e.g. a full disk: its own message is shown
        return msgspec.structs.replace(told, state=FAILED, error=as_data(said_by(error)))
    logger.error("%s was not taken", told.name, exc_info=error)
    fault = tr("an internal fault; it is in the log of the center")
    return msgspec.structs.replace(told, state=FAILED, error=as_data(fault))


def taking_of(store: CenterStore, token: str) -> FileUnderWay | None:
    """The progress of taking a file; None where nobody asked for it, or days ago."""
    path = _folder(store) / token
    if not _TOKEN.match(token) or not path.is_file():
        return None
    found = msgspec.json.decode(path.read_bytes(), type=FileUnderWay)
    if found.state != RUNNING:
        return found
    with store.hold(_lock(token), wait=False, once=True) as free:
        if not free:
            return found
        found = msgspec.json.decode(path.read_bytes(), type=FileUnderWay)  # it ended before it released the lock
        if found.state == RUNNING:
            found = msgspec.structs.replace(found, state=INTERRUPTED, ended_ms=store.clock.now_utc_ms())
            if not store.is_read_only:
                _write(store, found)
    return found


def needed_taking(store: CenterStore, token: str, *, actor: Actor) -> FileUnderWay:
    """The progress of taking a file.

    Raises:
        Denied: the role may not import.
        Missing: nobody asked for it, or days ago.
    """
    actor.require(Permission.IMPORT)
    found = taking_of(store, token)
    if found is None:
        raise Missing(tr("no such file is being taken"), subject=token[:32])
    return found


def list_takings(store: CenterStore, *, actor: Actor) -> list[FileUnderWay]:
    """Every file that is being taken or was within a day, the latest first.

    Raises:
        Denied: the role may not import.
    """
    actor.require(Permission.IMPORT)
    folder = _folder(store)
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    found = [each for name in names if (each := taking_of(store, name)) is not None]
    return sorted(found, key=lambda each: each.asked_ms, reverse=True)


def _write(store: CenterStore, taking: FileUnderWay) -> None:
    folder = _folder(store)
    folder.mkdir(exist_ok=True)
    old_s = SystemClock().now_utc_ms() / 1000 - KEPT_S  # the machine's clock, as the file system's is
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process removed it
            if path.stat().st_mtime < old_s:
                path.unlink()
    write_whole(folder / taking.token, msgspec.json.encode(taking))


def _folder(store: CenterStore) -> Path:
    return store.directory / "takings"


def _lock(token: str) -> str:
    return f"taking-{token}"
