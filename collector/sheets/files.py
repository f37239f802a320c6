# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes of a delivered file, and nothing else's: regular files inside the folder, of bounded size.

A folder may come from another company: a link may point at /etc, a pipe never ends, a file may be larger than memory.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import zstandard

from collector.sheets.findings import Findings

MAX_BYTES: Final = 4 * 1024**3
MAX_XLSX_BYTES: Final = 64 * 1024**2
MAX_REGISTER_BYTES: Final = 32 * 1024**2
_PACK_ABOVE_BYTES: Final = 8 * 1024**2
_PIECE_BYTES: Final = 1024**2
# No link is followed, and opening a pipe does not wait for its writer.
OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


@dataclass(frozen=True, slots=True)
class Delivered:
    """A file as it was read. `name`: its name in the folder, with `/`; `sha256`: hexadecimal.

    `kept`: its bytes, or a zstd frame of them where `packed`: a month's plan of a region takes a fiftieth so. `table`:
    which one is meant of a file that holds several (E text).
    """

    name: str
    kept: bytes
    sha256: str
    table: str = ""
    packed: bool = False

    @property
    def data(self) -> bytes:
        """The bytes; of a packed file made at every call: `pieces` holds few of them at once."""
        return b"".join(self.pieces()) if self.packed else self.kept

    def pieces(self) -> Iterator[bytes]:
        """The bytes, some at a time."""
        if self.packed:
            yield from zstandard.ZstdDecompressor().read_to_iter(self.kept, write_size=_PIECE_BYTES)
        else:
            yield self.kept

    @property
    def suffix(self) -> str:
        """`.csv`, `.xlsx`, `.parquet`, `.toml`, `.e`: lower case."""
        return Path(self.name).suffix.lower()


def read_delivered(path: Path, name: str, findings: Findings) -> Delivered | None:
    """Read a file once, so that what is hashed is what is computed from. None where it was refused."""
    return _read(path, name, findings, pack_above=MAX_BYTES)


def read_packed(path: Path, name: str, findings: Findings) -> Delivered | None:
    """The same, a long file packed as it is read."""
    return _read(path, name, findings, pack_above=_PACK_ABOVE_BYTES)


def _read(path: Path, name: str, findings: Findings, *, pack_above: int) -> Delivered | None:
    limit = {".xlsx": MAX_XLSX_BYTES, ".toml": MAX_REGISTER_BYTES}.get(path.suffix.lower(), MAX_BYTES)
    try:
        descriptor = os.open(path, OPEN_FLAGS)
    except OSError as error:
        link = path.is_symlink()
        what = "is a symbolic link; put the file itself here" if link else f"can't be read: {error.strerror}"
        findings.add(name, 0, "", what)
        return None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            findings.add(name, 0, "", "is not a regular file")
            return None
        if status.st_size > limit:
            findings.add(name, 0, "", f"has {status.st_size} bytes; at most {limit} are read; split it")
            return None
        if status.st_size > pack_above:
            return _pack(file, name, status.st_size, findings)
        data = file.read(status.st_size + 1)
        if len(data) > status.st_size:  # it grows
            data += file.read(limit + 1 - len(data))
    if len(data) > limit:
        findings.add(name, 0, "", f"grew beyond {limit} bytes while it was read")
        return None
    return Delivered(name, data, hashlib.sha256(data).hexdigest())


def _pack(file: BinaryIO, name: str, size: int, findings: Findings) -> Delivered | None:
    digest, packer, parts, count = hashlib.sha256(), zstandard.ZstdCompressor(level=3).compressobj(), [], 0
    while count <= size and (piece := file.read(_PIECE_BYTES)):
        count += len(piece)
        digest.update(piece)
        parts.append(packer.compress(piece))
    if count != size:
        findings.add(name, 0, "", "changed while it was read; try again")
        return None
    return Delivered(name, b"".join([*parts, packer.flush()]), digest.hexdigest(), packed=True)


def text_of(delivered: Delivered, findings: Findings) -> str | None:
    """The text of a CSV file: UTF-8, a BOM tolerated, GBK recognised. None where it was refused."""
    data = delivered.data
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        findings.add(delivered.name, 0, "", "is UTF-16; save it as CSV UTF-8")
        return None
    if (at := data.find(b"\0")) >= 0:
        findings.add(delivered.name, data.count(b"\n", 0, at) + 1, "", "holds a NUL byte; this is no CSV text")
        return None
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    findings.add(delivered.name, 0, "", "is neither UTF-8 nor GBK text; save it as CSV UTF-8")
    return None
