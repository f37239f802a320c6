# SPDX-License-Identifier: GPL-3.0-or-later
"""The findings of doctor in the buffer file, beside a running agent or without one."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from collector.agent.buffer.capacity import Capacity, compute_capacity, open_beside
from collector.agent.buffer.counts import compute_counts
from collector.agent.operate.doctor_words import CODES, Trouble
from collector.agent.operate.health import alarm_of
from collector.agent.paths import buffer_path
from collector.base.clock import SystemClock
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.model.interval import format_time
from collector.points.agent_config import AgentConfig
from collector.wire import FINAL
from collector.wire.spool import waiting

_AHEAD_MS: Final = 60_000
_NOT_TAKEN_MS: Final = 3_600_000


def is_locked(path: Path) -> bool:
    """True if a process holds the buffer."""
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def one_way_troubles(config: AgentConfig) -> Iterator[Trouble]:
    """The batches that a one-way device leaves unconfirmed, and files that it no longer takes."""
    uplink = config.settings.uplink
    if not uplink.is_one_way:
        return
    unconfirmed = 0
    # `buffer_troubles` reports problems of the buffer itself.
    with suppress(StoreError, sqlite3.Error), closing(open_beside(buffer_path(config))) as db:
        unconfirmed = compute_counts(db).unconfirmed
    yield Trouble(
        "warning",
        "uplink.ack",
        tr(
            "none: the center confirms nothing; batches are given up {days} days after they were handed over"
            " ({unconfirmed} so far), and their gap records say unconfirmed",
            days=uplink.keep_days,
            unconfirmed=unconfirmed,
        ),
        tr("compare with the center's gap map now and then; kept batches are sent again when somebody carries an ask"),
    )
    lying = [path.stat().st_mtime for path in waiting(config.resolve(uplink.folder) / "out") if path.exists()]
    if lying and SystemClock().now_utc_ms() - min(lying) * 1000 > _NOT_TAKEN_MS:
        yield Trouble(
            "error",
            tr("folder {folder}", folder=str(config.resolve(uplink.folder) / "out")),
            tr(
                "{count} files lie there, the oldest since {at}: the isolation device does not take them",
                count=len(lying),
                at=format_time(round(min(lying) * 1000)),
            ),
            tr("the device, its carrier program and the folder's rights"),
        )


def buffer_troubles(config: AgentConfig) -> Iterator[Trouble]:
    """Every problem of the buffer and its disk space; reads the file beside a running agent."""
    path = buffer_path(config)
    for aside in sorted(path.parent.glob(f"{path.name}.damaged-*")):
        if not aside.name.endswith(("-wal", "-shm")):
            yield Trouble(
                "warning",
                str(aside),
                tr("a damaged buffer was set aside; what could be read went on"),
                tr("look at the disk (smartctl, power supply), then delete the file"),
            )
    if path.with_name(path.name + ".suspect").exists():
        yield Trouble(
            "error", str(path), tr("was found damaged while in use"), tr("restart the agent: it sets it aside")
        )
    try:
        capacity = compute_capacity(config)
        refused = refusals(path)
    except StoreError as error:
        yield Trouble("error", str(path), error.message, tr("start the agent; is the state folder readable?"))
        return
    for code, batches in refused.items():
        remedy = CODES.get(code, tr("ask the center's people what it means"))
        word = tr("refused") if code in FINAL else tr("kept and offered again, refused for now")
        yield Trouble(
            "error", tr("center"), tr("{batches} batches {word}: {code}", batches=batches, word=word, code=code), remedy
        )
    yield from _room(config, capacity)


def times_ahead(path: Path, now_ms: int) -> Iterator[Trouble]:
    """Records with a time in the future: the clock was wrong when they were made."""
    try:
        ahead = records_ahead(path, now_ms)
    except StoreError:
        return  # buffer_troubles reports this
    if ahead is not None:
        yield Trouble(
            "error",
            tr("clock"),
            tr("{ahead} batches hold records of times to come, up to {at}", ahead=ahead[0], at=format_time(ahead[1])),
            tr("the clock was ahead when they were made; tell the center's people, who see them in `center findings`"),
        )


def records_ahead(path: Path, now_ms: int) -> tuple[int, int] | None:
    """The number of batches with records more than a minute after `now_ms`, and the last time of any (UTC ms).

    Raises:
        StoreError: the buffer can't be read.
    """
    try:
        with closing(open_beside(path)) as db:
            count, last_ms = db.execute(
                "SELECT count(*), max(last_ms) FROM batches WHERE records > 0 AND last_ms > ?"
                " AND typeof(last_ms) = 'integer'",
                (now_ms + _AHEAD_MS,),
            ).fetchone()
    except sqlite3.Error as error:
        raise StoreError(tr("can't be read: {error}", error=error), subject=str(path)) from error
    return (count, last_ms) if count else None


def _room(config: AgentConfig, capacity: Capacity) -> Iterator[Trouble]:
    if alarm := alarm_of(capacity.unsent_ratio):
        yield Trouble(
            "error" if alarm == "critical" else "warning",
            tr("buffer"),
            tr(
                "{unsent_ratio} full of unsent data, {hours_left} h left",
                unsent_ratio=f"{capacity.unsent_ratio:.0%}",
                hours_left=f"{capacity.hours_left:.1f}",
            ),
            tr("repair the way to the center, or raise buffer.max_bytes"),
        )
    free = shutil.disk_usage(buffer_path(config).parent).free
    if free < capacity.max_bytes - capacity.used_bytes:
        yield Trouble(
            "warning",
            tr("disk"),
            tr(
                "{free} MB free, the buffer may still grow by {more} MB",
                free=f"{free / 1000000.0:.0f}",
                more=f"{(capacity.max_bytes - capacity.used_bytes) / 1000000.0:.0f}",
            ),
            tr("make room, or lower buffer.max_bytes"),
        )
    if capacity.full_catch_up_s == float("inf"):
        yield Trouble(
            "error",
            "uplink.rate_cap_bytes_per_s",
            tr("is less than what is recorded: a backlog never ends"),
            tr("raise it above {least}", least=f"{capacity.bytes_per_record * capacity.records_per_hour / 3600:.0f}"),
        )


def refusals(path: Path) -> dict[str, int]:
    """Batches in the buffer with a refusal of the center, by code.

    Raises:
        StoreError: it can't be read.
    """
    try:
        with closing(open_beside(path)) as db:
            rows = db.execute("SELECT refused, count(*) FROM batches WHERE refused IS NOT NULL GROUP BY refused")
            return dict(rows.fetchall())
    except sqlite3.Error as error:
        raise StoreError(tr("can't be read: {error}", error=error), subject=str(path)) from error
