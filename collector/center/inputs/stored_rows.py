# SPDX-License-Identifier: GPL-3.0-or-later
"""The rows of each import as one immutable Parquet file, and the overlay that gives the rows in force.

imported/<sha256>.parquet holds the rows that an import added, by start, then in the order of the delivered file. Its
columns are the kind's (instants as UTC ms, other cells as written), `row` of the delivered file, and for a plan
`power_kw`. It is written before the import is listed, and verified whenever it is opened.

The rows in force are an overlay: the rows of all imports that are not undone, less the rows replaced by another such
import (`replaced_rows`, a bitmap per pair of imports). So undoing writes one row, however many rows come back.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard
from sqlalchemy import Connection, insert, select

from collector.base.clock import SystemClock
from collector.base.durable import flush, half_written
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import effective, imported, replaced_rows
from collector.center.db.verified import read_verified
from collector.center.inputs.conflicts import ROWS_AT_ONCE, HeldRows, cells_of, end_ms_of, start_ms_of, stretches
from collector.center.inputs.kinds import KINDS, TIMES, TableKind

_STRAY_S: Final = 86_400.0  # a file not listed by an import for this long was left by a killed one
EVER: Final = (-(2**62), 2**62)

Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def write_rows(folder: Path, kind: TableKind, rows: pa.Table, chosen: Bools) -> tuple[str, tuple[int, int]]:
    """Write the chosen rows as a file that appears whole or not at all.

    Returns its SHA-256, which names it, and the time that its rows touch.

    Raises:
        OSError: the disk refuses.
    """
    folder.mkdir(exist_ok=True)
    temporary = half_written(folder / "rows")
    schema = pa.schema(
        [pa.field(f.name, pa.string() if pa.types.is_dictionary(f.type) else f.type) for f in rows.schema]
    )
    spans: list[tuple[int, int]] = []
    options: dict[str, Any] = {"compression": "zstd", "use_dictionary": [n for n in rows.column_names if n != "row"]}
    try:
        with pq.ParquetWriter(temporary, schema, column_encoding={"row": "DELTA_BINARY_PACKED"}, **options) as writer:
            # A stretch at a time, so that memory never holds the rows twice.
            for places, _, _ in stretches(kind, rows):
                some = _by_start(rows, places[chosen[places]]).cast(schema)
                if len(some):
                    spans.append((int(start_ms_of(some)[0]), int(end_ms_of(some).max())))
                    writer.write_table(some, row_group_size=ROWS_AT_ONCE)
        flush(temporary)
        with temporary.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        temporary.rename(path_of(folder, sha256))
    finally:
        temporary.unlink(missing_ok=True)
    flush(folder)
    flush(folder.parent)
    return sha256, (min((a for a, _ in spans), default=0), max((b for _, b in spans), default=0))


def _by_start(rows: pa.Table, places: Int64s) -> pa.Table:
    """Chosen rows by start; rows of one instant in the order of the file."""
    if "start" in rows.column_names:
        places = places[np.argsort(rows["start"].take(pa.array(places)).to_numpy(), kind="stable")]
    return rows.take(pa.array(places))


def path_of(folder: Path, sha256: str) -> Path:
    """The path of the file with this hash."""
    return folder / f"{sha256}.parquet"


def add_replaced(connection: Connection, replaced: Mapping[int, Int64s], by_import_id: int) -> None:
    """Record the rows, by import, that an import replaces."""
    for import_id, places in replaced.items():
        bits = np.zeros(int(places.max()) + 1, np.bool_)
        bits[places] = True
        packed = zstandard.ZstdCompressor().compress(np.packbits(bits).tobytes())
        values = {"import_id": import_id, "by_import_id": by_import_id, "places": packed}
        connection.execute(insert(replaced_rows).values(values))


def _bits(packed: bytes) -> Bools:
    return np.unpackbits(np.frombuffer(zstandard.ZstdDecompressor().decompress(packed), np.uint8)).astype(np.bool_)


class _ImportFile:
    """The file of an import, opened at the first request for rows. `left_out`: bitmaps of rows that don't count."""

    def __init__(self, number: int, path: Path, sha256: str, kind: str, left_out: Collection[Bools]) -> None:
        self.number, self._path, self._sha256, self._left_out = number, path, sha256, left_out
        self._texts = [name for name in KINDS[kind].columns if name not in TIMES]
        self._has_times = "start" in KINDS[kind].columns

    @cached_property
    def _file(self) -> pq.ParquetFile:
        data = pa.BufferReader(read_verified(self._path, self._sha256))
        return pq.ParquetFile(data, read_dictionary=self._texts)

    @cached_property
    def _counting(self) -> Bools:
        counting = np.ones(self._file.metadata.num_rows, np.bool_)
        for bits in self._left_out:
            some = bits[: len(counting)]  # a bitmap is padded to whole bytes
            counting[: len(some)] &= ~some
        return counting

    def touching(self, start_ms: int, end_ms: int) -> Iterator[HeldRows]:
        """Rows that count and touch a stretch of time, one row group after the other."""
        first = 0
        for group in range(self._file.num_row_groups):
            count = self._file.metadata.row_group(group).num_rows
            places = first + np.flatnonzero(self._counting[first : first + count])
            if len(places) and self._may_touch(group, start_ms, end_ms):
                rows = self._file.read_row_group(group)
                if self._has_times:
                    begins, ends = start_ms_of(rows)[places - first], end_ms_of(rows)[places - first]
                    places = places[(begins < end_ms) & (ends > start_ms)]
                if len(places) < count:
                    rows = rows.take(pa.array(places - first))
                yield HeldRows((self.number << 32) + places, rows)
            first += count

    def _may_touch(self, group: int, start_ms: int, end_ms: int) -> bool:
        if not self._has_times:
            return True
        names, found = self._file.schema_arrow.names, self._file.metadata.row_group(group)
        start, end = (found.column(names.index(name)).statistics for name in ("start", "end"))
        return bool(start.min < end_ms and end.max > start_ms)

    def at(self, places: Int64s) -> pa.Table:
        """Rows by their places, whether they count or not."""
        return self._file.read().take(pa.array(places))


class RowsInForce:
    """The rows of a kind that are in force in one view of the store.

    `folder`: of the files; `but`: leave one import out. All functions that read rows raise:
        Altered: a file of an import is not the one that was written, or is gone.
    """

    def __init__(self, connection: Connection, folder: Path, kind: str, *, but: int = 0) -> None:
        self._kind = kind
        columns = (imported.c.id, imported.c.rows_sha256, imported.c.first_ms, imported.c.last_ms)
        listed = connection.execute(select(*columns).where((imported.c.kind == kind) & effective)).all()
        counting = select(imported.c.id).where((imported.c.kind == kind) & effective)
        both = replaced_rows.c.import_id.in_(counting) & replaced_rows.c.by_import_id.in_(counting)
        left_out: dict[int, list[Bools]] = defaultdict(list)
        for row in connection.execute(select(replaced_rows).where(both)):
            left_out[row.import_id].append(_bits(row.places))
        self._files = {
            r.id: (_ImportFile(r.id, path_of(folder, r.rows_sha256), r.rows_sha256, kind, left_out[r.id]), r)
            for r in sorted(listed, key=lambda each: int(each.id))
            if r.id != but and r.rows_sha256 is not None
        }

    @property
    def any(self) -> bool:
        """True if there may be any rows."""
        return bool(self._files)

    def touching(self, start_ms: int, end_ms: int) -> Iterator[HeldRows]:
        """Rows that touch a stretch of time, in parts; for a kind without intervals, all rows."""
        for file, row in self._files.values():
            if "start" not in KINDS[self._kind].columns or (row.first_ms < end_ms and row.last_ms > start_ms):
                yield from file.touching(start_ms, end_ms)

    def met(self, start_ms: int, end_ms: int) -> Iterator[HeldRows]:
        """Rows that can conflict with rows of a stretch of time; for a kind that is not `apart`, all rows."""
        return self.touching(start_ms, end_ms) if KINDS[self._kind].apart else self.touching(*EVER)

    def table(self, start_ms: int = EVER[0], end_ms: int = EVER[1]) -> pa.Table | None:
        """Rows that touch a stretch of time, in the order of start and import; None where there are none."""
        parts = [held.rows for held in self.touching(start_ms, end_ms)]
        if not parts:
            return None
        table = pa.concat_tables(parts).unify_dictionaries()
        start = start_ms_of(table)
        if (start[1:] < start[:-1]).any():
            table = table.take(pa.array(np.argsort(start, kind="stable")))
        return table

    def origins(self, numbers: Int64s) -> dict[int, tuple[int, int, tuple[str, ...]]]:
        """For some of these rows: their import, their row in its file, and their cells."""
        found: dict[int, tuple[int, int, tuple[str, ...]]] = {}
        for import_id in np.unique(numbers >> 32).tolist():
            mine = numbers[numbers >> 32 == import_id]
            rows = self._files[import_id][0].at(mine & 0xFFFFFFFF)
            cells = cells_of(KINDS[self._kind], rows)
            for number, row, texts in zip(mine.tolist(), rows["row"].to_pylist(), cells, strict=True):
                found[number] = (import_id, row, texts)
        return found


def rows_replaced_by(connection: Connection, folder: Path, kind: str, import_id: int) -> Iterator[pa.Table]:
    """The rows that an import replaced, import by import."""
    whose = replaced_rows.join(imported, imported.c.id == replaced_rows.c.import_id)
    query = select(imported.c.id, imported.c.rows_sha256, replaced_rows.c.places).select_from(whose)
    for row in connection.execute(query.where(replaced_rows.c.by_import_id == import_id).order_by(imported.c.id)):
        file = _ImportFile(row.id, path_of(folder, row.rows_sha256), row.rows_sha256, kind, ())
        yield file.at(np.flatnonzero(_bits(row.places)))


def listed_files(connection: Connection) -> list[str]:
    """SHA-256 of the file of every import, undone ones too."""
    query = select(imported.c.rows_sha256).where(imported.c.rows_sha256.is_not(None)).distinct()
    return sorted(connection.execute(query).scalars())


def remove_strays(store: CenterStore) -> None:
    """Remove files that killed imports left a day ago, unless an import is running."""
    with store.hold("imports", wait=False) as held:
        if not held or not store.imported.is_dir():
            return
        # File times are by the machine's clock, not by the store's.
        listed, now_s = set(store.read(listed_files)), SystemClock().now_utc_ms() / 1000
        for path in store.imported.iterdir():
            if path.stem not in listed and now_s - path.stat().st_mtime > _STRAY_S:
                path.unlink(missing_ok=True)
