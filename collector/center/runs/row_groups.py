# SPDX-License-Identifier: GPL-3.0-or-later
"""Some row groups of a Parquet file whose hash the store lists, without hashing all of it each time.

Where the file is read whole and is as it was written, each of its row groups is hashed too. These hashes are kept in
memory under the hash of the whole; afterwards the bytes of the groups that are wanted are read and hashed at each use,
and no others. The end of the file, which says where the groups are, is kept as it was then.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from collector.base.text import tr
from collector.center.db.verified import altered

_KEPT_FILES: Final = 8


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group: where its bytes lie in the file, their SHA-256, and the least and greatest unit named in it."""

    number: int
    begin: int
    end: int
    sha256: str
    first_unit: str
    last_unit: str


class HashedGroups:
    """The row groups of one file, `unit` their first column, as they were when the whole file was verified."""

    def __init__(self, data: bytes) -> None:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            self._metadata = file.metadata
        self._size = len(data)
        view = memoryview(data)
        self._groups = tuple(_group(self._metadata.row_group(n), n, view) for n in range(self._metadata.num_row_groups))

    def read_unit(self, path: Path, unit: str, columns: Sequence[str] | None = None) -> pa.Table:
        """The row groups that may hold rows of a unit, whole; `columns`: those wanted, None: all.

        Raises:
            Altered: the bytes of one of them are not what they were.
        """
        wanted = [group for group in self._groups if group.first_unit <= unit <= group.last_unit]
        parts = [(group, _read(path, group)) for group in wanted]
        source = pa.PythonFile(_Parts(self._size, [(group.begin, data) for group, data in parts]), mode="r")
        with pq.ParquetFile(source, metadata=self._metadata, pre_buffer=False) as file:
            names = None if columns is None else [*columns]
            return file.read_row_groups([group.number for group in wanted], columns=names, use_threads=False)


def _group(facts: pq.RowGroupMetaData, number: int, data: memoryview) -> RowGroup:
    begin, end = len(data), 0
    for place in range(facts.num_columns):
        chunk = facts.column(place)
        first = chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
        begin, end = min(begin, first), max(end, first + chunk.total_compressed_size)
    named = facts.column(0).statistics
    digest = hashlib.sha256(data[begin:end]).hexdigest()
    return RowGroup(number, begin, end, digest, named.min, named.max)


def _read(path: Path, group: RowGroup) -> bytes:
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(group.begin)
            data = file.read(group.end - group.begin)
    except OSError as error:
        raise altered(path, group.sha256, tr("no file ({strerror})", strerror=error.strerror)) from error
    found = hashlib.sha256(data).hexdigest()
    if found != group.sha256:
        raise altered(path, group.sha256, found)
    return data


class _Parts(io.RawIOBase):
    """A file of which some parts are in memory; nothing else of it can be read."""

    def __init__(self, size: int, parts: list[tuple[int, bytes]]) -> None:
        super().__init__()
        self._size, self._parts, self._at = size, parts, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        for begin, data in self._parts:
            if begin <= self._at < begin + len(data):
                found = data[self._at - begin : None if size < 0 else self._at - begin + size]
                self._at += len(found)
                return found
        return b""


_kept: OrderedDict[tuple[str, str], HashedGroups] = OrderedDict()
_keeping: Final = threading.Lock()


def known_groups(path: Path, sha256: str) -> HashedGroups | None:
    """The row groups of a file that was read with this hash, where they are kept."""
    with _keeping:
        found = _kept.get((str(path), sha256))
        if found is not None:
            _kept.move_to_end((str(path), sha256))
        return found


def keep_groups(path: Path, sha256: str, data: bytes) -> HashedGroups:
    """The row groups of a file whose bytes have this hash, kept for whoever reads it next."""
    groups = HashedGroups(data)
    with _keeping:
        _kept[str(path), sha256] = groups
        while len(_kept) > _KEPT_FILES:
            _kept.popitem(last=False)
    return groups
