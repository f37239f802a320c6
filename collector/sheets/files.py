# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of a delivered file, and nothing else's: regular files inside the folder, of bounded size.

A folder may come from another company: a link may point at /etc, a pipe never ends, a file may be larger than memory.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.base.text import tr
from collector.sheets.findings import Findings

MAX_BYTES: Final = 4 * 1024**3
MAX_XLSX_BYTES: Final = 64 * 1024**2
MAX_REGISTER_BYTES: Final = 32 * 1024**2
# No link is followed, and opening a pipe does not wait for its writer.
OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A file as it was read. `name`: its name in the folder, with `/`; `sha256`: hexadecimal.

    `table`: which one is meant of a file that holds several (E text).
    """

    name: str
    data: bytes
    sha256: str
    table: str = ""

    @property
    def suffix(self) -> str:
        """`.csv`, `.xlsx`, `.parquet`, `.toml`, `.e`: lower case."""
        return Path(self.name).suffix.lower()


def read_delivered(path: Path, name: str, findings: Findings) -> Delivered | None:
    """Read a file once, so that what is hashed is what is computed from. None where it was refused."""
    limit = {".xlsx": MAX_XLSX_BYTES, ".toml": MAX_REGISTER_BYTES}.get(path.suffix.lower(), MAX_BYTES)
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except OSError as error:
        link = path.is_symlink()
        what = (
            tr("is a symbolic link; put the file itself here")
            if link
            else tr("can't be read: {strerror}", strerror=error.strerror)
        )
        findings.add(name, 0, "", what)
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            findings.add(name, 0, "", tr("is not a regular file"))
            return None
        if status.st_size > limit:
            findings.add(
                name,
                0,
                "",
                tr("has {st_size} bytes; at most {limit} are read; split it", st_size=status.st_size, limit=limit),
            )
            return None
        data = file.read(status.st_size + 1)
        if len(data) > status.st_size:  # it grows
            data += file.read(limit + 1 - len(data))
    if len(data) > limit:
        findings.add(name, 0, "", tr("grew beyond {limit} bytes while it was read", limit=limit))
        return None
    return Delivered(name, data, hashlib.sha256(data).hexdigest())


def text_of(delivered: Delivered, findings: Findings) -> str | None:
    """The text of a CSV file: UTF-8, a BOM tolerated, GBK recognised. None where it was refused."""
    data = delivered.data
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        findings.add(delivered.name, 0, "", tr("is UTF-16; save it as CSV UTF-8"))
        return None
    if (at := data.find(b"\0")) >= 0:
        findings.add(delivered.name, data.count(b"\n", 0, at) + 1, "", tr("holds a NUL byte; this is no CSV text"))
        return None
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    findings.add(delivered.name, 0, "", tr("is neither UTF-8 nor GBK text; save it as CSV UTF-8"))
    return None
