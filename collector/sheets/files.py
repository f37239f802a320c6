# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes, text and CSV rows of a file: regular files of bounded size only.

A folder may come from another company: a link may point at /etc, a pipe never ends, a file may be larger than memory.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import zstandard

from collector.base.text import tr
from collector.sheets.findings import Findings, Unreadable

MAX_BYTES: Final = 4 * 1024**3
MAX_XLSX_BYTES: Final = 64 * 1024**2
MAX_REGISTER_BYTES: Final = 32 * 1024**2
_PACK_ABOVE_BYTES: Final = 8 * 1024**2
_PIECE_BYTES: Final = 1024**2
# Opening a pipe does not wait for its writer.
_REGULAR: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
# In another company's folder no link is followed.
OPEN_FLAGS: Final = _REGULAR | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A file as it was read. `name`: its name in the folder, with `/`; `sha256`: hexadecimal.

    `kept`: its bytes; where `packed`, a zstd frame of them: a region's plan of a month shrinks to a fiftieth. `table`:
    the table of formats.md that is meant; it decides the headings and, in a file of several tables (E text), which one
    is read. `ignored`: headings of columns that are ignored.
    """

    name: str
    kept: bytes
    sha256: str
    table: str = ""
    packed: bool = False
    ignored: frozenset[str] = frozenset()

    @property
    def data(self) -> bytes:
        """All bytes at once; a packed file is unpacked at every call. `pieces` needs less memory."""
        return b"".join(self.pieces()) if self.packed else self.kept

    def pieces(self) -> Iterator[bytes]:
        """The bytes, unpacked piece by piece."""
        if self.packed:
            yield from zstandard.ZstdDecompressor().read_to_iter(self.kept, write_size=_PIECE_BYTES)
        else:
            yield self.kept

    @property
    def suffix(self) -> str:
        """The suffix in lower case: `.csv`, `.xlsx`, `.parquet`, `.toml`, `.e`."""
        return Path(self.name).suffix.lower()


def read_regular(path: Path, limit: int, flags: int = _REGULAR) -> bytes:
    """The bytes of a regular file.

    Raises:
        Unreadable: not a regular file, unreadable, or more bytes than `limit`.
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
            if len(data) > status.st_size:  # the file is growing
                data += file.read(limit + 1 - len(data))
    except OSError as error:
        raise Unreadable("unreadable", reason=error.strerror) from error
    if len(data) > limit:
        raise Unreadable("too_big", size=f"more than {limit} bytes", limit=f"{limit} bytes")
    return data


def read_delivered(path: Path, name: str, findings: Findings) -> Delivered | None:
    """Read a file once, so that the hash is of the same bytes that are computed from. None where it was refused."""
    return _read(path, name, findings, pack=False)


def read_packed(path: Path, name: str, findings: Findings) -> Delivered | None:
    """Read a file as `read_delivered` does; a long one is compressed while it is read."""
    return _read(path, name, findings, pack=True)


def _read(path: Path, name: str, findings: Findings, *, pack: bool) -> Delivered | None:
    limit = {".xlsx": MAX_XLSX_BYTES, ".toml": MAX_REGISTER_BYTES}.get(path.suffix.lower(), MAX_BYTES)
    try:
        packed = _pack_long(path, name, limit) if pack else None
        if packed is not None:
            return packed
        data = read_regular(path, limit, OPEN_FLAGS)
    except Unreadable as refused:
        if path.is_symlink():
            findings.add(name, 0, "", tr("is a symbolic link; put the file itself here"))
        else:
            findings.refuse(name, refused)
        return None
    return Delivered(name, data, hashlib.sha256(data).hexdigest())


def _pack_long(path: Path, name: str, limit: int) -> Delivered | None:
    """A long regular file, compressed piece by piece; None for any other file, which `read_regular` reads or refuses.

    Raises:
        Unreadable: the file changed meanwhile.
    """
    with contextlib.suppress(OSError), os.fdopen(os.open(path, OPEN_FLAGS), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or not _PACK_ABOVE_BYTES < status.st_size <= limit:
            return None
        digest, packer, parts, count = hashlib.sha256(), zstandard.ZstdCompressor(level=3).compressobj(), [], 0
        while count <= status.st_size and (piece := file.read(_PIECE_BYTES)):
            count += len(piece)
            digest.update(piece)
            parts.append(packer.compress(piece))
        if count != status.st_size:
            raise Unreadable("unreadable", reason="it changed while it was read; try again")
        return Delivered(name, b"".join([*parts, packer.flush()]), digest.hexdigest(), packed=True)
    return None


def decode_text(data: bytes) -> str:
    """The text of a CSV or E file. Raises as `decode`."""
    return decode(data)[0]


def decode(data: bytes) -> tuple[str, str]:
    """The text of a CSV or E file and its encoding: UTF-8, a BOM tolerated, or GBK.

    Raises:
        Unreadable: the bytes are not text in one of these encodings.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable("utf16")
    if (at := data.find(b"\0")) >= 0:
        raise Unreadable("nul", data.count(b"\n", 0, at) + 1)
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding), "GBK" if encoding == "gb18030" else "UTF-8"
        except UnicodeDecodeError:
            continue
    raise Unreadable("encoding")


def other_delimiter(cells: Sequence[str]) -> str:
    """The separator of a first row that has no commas: TAB or ;, else an empty text."""
    names = {"\t": "TAB", ";": ";"}
    return next((name for sign, name in names.items() if len(cells) == 1 and cells[0].count(sign) >= 2), "")


def csv_rows(lines: Iterable[str], lines_before: int = 0, separator: str = ",") -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of every row of a CSV, blank ones too. `line`: the file's line in which the row ends.

    Raises:
        Unreadable: the CSV is malformed from here on.
    """
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        for cells in reader:
            yield lines_before + reader.line_num, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise Unreadable("not_csv", lines_before + reader.line_num, reason=error) from error
