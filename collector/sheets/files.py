# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes and text of a file, and nothing else's: regular files of bounded size; rows of a CSV.

A folder may come from another company: a link may point at /etc, a pipe never ends, a file may be larger than memory.
"""

from __future__ import annotations

import csv
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.base.text import tr
from collector.sheets.findings import Findings, Unreadable

MAX_BYTES: Final = 4 * 1024**3
MAX_XLSX_BYTES: Final = 64 * 1024**2
MAX_REGISTER_BYTES: Final = 32 * 1024**2
# Opening a pipe does not wait for its writer.
_REGULAR: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
# In a folder of somebody else's no link is followed.
OPEN_FLAGS: Final = _REGULAR | getattr(os, "O_NOFOLLOW", 0)


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


def read_regular(path: Path, limit: int, flags: int = _REGULAR) -> bytes:
    """The bytes of a regular file.

    Raises:
        Unreadable: it is none, can't be read, or has more bytes than `limit`.
    """
    try:
        descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("unreadable", reason="is not a regular file")
            if status.st_size > limit:
                raise Unreadable("too_big", size=f"{status.st_size} bytes", limit=f"{limit} bytes")
            data = file.read(status.st_size + 1)
            if len(data) > status.st_size:  # it grows
                data += file.read(limit + 1 - len(data))
    except OSError as error:
        raise Unreadable("unreadable", reason=error.strerror) from error
    if len(data) > limit:
        raise Unreadable("too_big", size=f"more than {limit} bytes", limit=f"{limit} bytes")
    return data


def read_delivered(path: Path, name: str, findings: Findings) -> Delivered | None:
    """Read a file once, so that what is hashed is what is computed from. None where it was refused."""
    limit = {".xlsx": MAX_XLSX_BYTES, ".toml": MAX_REGISTER_BYTES}.get(path.suffix.lower(), MAX_BYTES)
    try:
        data = read_regular(path, limit, OPEN_FLAGS)
    except Unreadable as refused:
        if path.is_symlink():
            findings.add(name, 0, "", tr("is a symbolic link; put the file itself here"))
        else:
            findings.refuse(name, refused)
        return None
    return Delivered(name, data, hashlib.sha256(data).hexdigest())


def decode_text(data: bytes) -> str:
    """The text of a CSV or E file: UTF-8, a BOM tolerated, GBK recognised.

    Raises:
        Unreadable: it is no such text.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("utf16")
    if (at := data.find(b"\0")) >= 0:
        raise Unreadable("nul", data.count(b"\n", 0, at) + 1)
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise Unreadable("encoding")


def other_delimiter(cells: Sequence[str]) -> str:
    """TAB or ; where it stands between the cells of a first row instead of commas, else nothing."""
    names = {"\t": "TAB", ";": ";"}
    return next((name for sign, name in names.items() if len(cells) == 1 and cells[0].count(sign) >= 2), "")


def csv_rows(lines: Iterable[str], lines_before: int = 0) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row of a CSV, blank ones too. `line`: the one in which it ends, in the file as a whole.

    Raises:
        Unreadable: from here on it is no proper CSV.
    """
    reader = csv.reader(lines, strict=True)
    try:
        for cells in reader:
            yield lines_before + reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise Unreadable("not_csv", lines_before + reader.line_num, reason=error) from error
