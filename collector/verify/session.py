# SPDX-License-Identifier: GPL-3.0-or-later
"""The session of a verification: verdicts, by whom and when, one JSON object per line in an append-only file.

A line is flushed to the disk before the next question. A process killed at any moment leaves at most one incomplete
line, which is ignored and cut off by the next writer; any other unreadable line is an error, never skipped. One process
writes at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec

from collector.base.durable import flush
from collector.base.errors import StoreError
from collector.base.text import tr

VERSION: Final = 1


class Head(msgspec.Struct, frozen=True, tag_field="kind", tag="session"):
    """The first line of a session."""

    version: int
    gateway: str
    started_utc_ms: int


class ExpectedRow(msgspec.Struct, frozen=True):
    """A row of a sheet of expectations: one step of one point."""

    device: str
    point: str
    step: str
    expected: str
    tolerance: str


class Expectations(msgspec.Struct, frozen=True, tag_field="kind", tag="expectations"):
    """A sheet of expectations that was loaded; the last one counts, and only for the points it names."""

    file: str
    sha256: str
    at_utc_ms: int
    rows: list[ExpectedRow]


class Verdict(msgspec.Struct, frozen=True, tag_field="kind", tag="verdict"):
    """The verdict on one observation of one step of a point. Values are decimal text in `value_unit`; times UTC ms.

    `cells`: how the point was read (`items.Item.cells`); `source`: device or agent; `raw`: hex of the bytes received.
    """

    device: str
    point: str
    step: str
    expected: str
    tolerance: str
    value: str
    value_unit: str
    quality: str
    raw: str
    device_time_utc_ms: int | None
    read_utc_ms: int
    source: str
    verdict: Literal["pass", "fail"]
    who: str
    at_utc_ms: int
    note: str
    program: str
    cells: dict[str, str]


class CenterValue(msgspec.Struct, frozen=True, tag_field="kind", tag="stored"):
    """The value the center stored for verdict number `of` (the first is 1). `value`: empty where it has none."""

    of: int
    value: str
    quality: str
    time_utc_ms: int
    source: str
    at_utc_ms: int


Line = Head | Expectations | Verdict | CenterValue
_DECODER: Final = msgspec.json.Decoder(Line)


@dataclass
class Session:
    """A session up to now. `verdicts`: in the order given; `stored`: by number of the verdict.

    `sha256`: of the file's lines when it was loaded; a printed sheet names the session by it.
    """

    gateway: str
    verdicts: list[Verdict] = field(default_factory=list)
    stored: dict[int, CenterValue] = field(default_factory=dict)
    expectations: Expectations | None = None
    started_utc_ms: int | None = None
    sha256: str = ""

    def take(self, line: Line) -> None:
        """Add one line to the session.

        Raises:
            StoreError: the line belongs to another gateway, or to a later version of this program.
        """
        if isinstance(line, Verdict):
            self.verdicts.append(line)
        elif isinstance(line, CenterValue):
            self.stored[line.of] = line
        elif isinstance(line, Expectations):
            self.expectations = line
        elif line.version != VERSION:
            raise StoreError(
                tr("version {version}; this program knows {version_2}", version=line.version, version_2=VERSION)
            )
        elif line.gateway != self.gateway:
            raise StoreError(
                tr(
                    "is of gateway {gateway!r}, the configuration is of {gateway_2!r}",
                    gateway=line.gateway,
                    gateway_2=self.gateway,
                )
            )
        else:
            self.started_utc_ms = line.started_utc_ms


def load_session(path: Path, gateway: str) -> Session:
    """Load the session of a file; an empty session where there is none.

    Raises:
        StoreError: a line can't be read, the session is another gateway's, or permission is denied.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    except OSError as error:
        raise StoreError(tr("can't be read: {strerror}", strerror=error.strerror), subject=str(path)) from error
    data = data[: data.rfind(b"\n") + 1]
    session = Session(gateway, sha256=hashlib.sha256(data).hexdigest())
    for number, line in enumerate(data.splitlines(), 1):
        try:
            session.take(_DECODER.decode(line))
        except msgspec.DecodeError as error:
            message = tr(
                "line {number} is no line of a session ({error}); the lines before and after it are untouched",
                number=number,
                error=error,
            )
            raise StoreError(message, subject=str(path)) from error
        except StoreError as error:
            raise StoreError(error.message, subject=str(path)) from error
    if session.verdicts and session.started_utc_ms is None:
        raise StoreError(tr("its first line is missing"), subject=str(path))
    return session


class Pen:
    """The only writer of a session's file."""

    def __init__(self, path: Path, descriptor: int, session: Session) -> None:
        self._path = path
        self._descriptor = descriptor
        self.session = session

    def write(self, line: Line) -> None:
        """Append a line; it is on the disk when this returns.

        Raises:
            StoreError: writing failed.
        """
        data = msgspec.json.encode(line) + b"\n"
        size = os.fstat(self._descriptor).st_size
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            os.ftruncate(self._descriptor, size)  # half a line followed by another one would make the file unreadable
            message = tr("can't be written: {strerror}; nothing was recorded", strerror=error.strerror)
            raise StoreError(message, subject=str(self._path)) from error
        self.session.take(line)


@contextmanager
def open_session(path: Path, gateway: str, now_utc_ms: int) -> Iterator[Pen]:
    """Open the session of a file for writing; the file is created where there is none.

    Raises:
        StoreError: another process is writing, or as `load_session`.
    """
    try:
        is_new = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    except OSError as error:
        message = tr("can't be written: {strerror}; --session names another place", strerror=error.strerror)
        raise StoreError(message, subject=str(path)) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(tr("somebody else is verifying with this session"), subject=str(path)) from error
        session = load_session(path, gateway)
        _cut_off_torn_line(path, descriptor)
        pen = Pen(path, descriptor, session)
        if session.started_utc_ms is None:
            pen.write(Head(VERSION, gateway, now_utc_ms))
        if is_new:
            flush(path.parent)
        yield pen
    finally:
        os.close(descriptor)


def _cut_off_torn_line(path: Path, descriptor: int) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole != len(data):
        os.ftruncate(descriptor, whole)
        os.fsync(descriptor)
