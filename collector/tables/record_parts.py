# SPDX-License-Identifier: GPL-3.0-or-later
"""Record files grouped by the units they may share, judged by first and last rows without reading the files.

Files of different units can be read, measured and dropped one after the other. The grouping is a guess: a file sorted
by time may hold units that its ends do not show. The reader of a part must check every unit with `UnitRange.holds`.
"""

from __future__ import annotations

import csv
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from collector.sheets.files import OPEN_FLAGS
from collector.sheets.grid import csv_header

_END_BYTES: Final = 65_536

Extent = tuple[str, str]  # the first and the last unit of a file, in order of id


@dataclass(frozen=True, slots=True)
class UnitRange:
    """Files of the units with ids in [first, until); `until` None: no upper bound."""

    paths: tuple[Path, ...]
    first: str
    until: str | None

    def holds(self, unit: str) -> bool:
        """True if a unit belongs to the part."""
        return self.first <= unit and (self.until is None or unit < self.until)


def find_parts(
    paths: Sequence[Path], extents: Sequence[Extent | None], together: Iterable[Extent] = ()
) -> list[UnitRange]:
    """Group files into parts, in order of unit id; one part where the ends show nothing. Every unit is in one part.

    `extents`: `unit_extent` of each file. `together`: first and last of units that must be in the same part.
    """
    known = [(*extent, path) for extent, path in zip(extents, paths, strict=True) if extent is not None]
    if len(known) < len(paths) or not paths:
        return [UnitRange(tuple(paths), "", None)]
    lows: list[str] = []
    reached = ""
    for low, high in sorted([*((low, high) for low, high, _ in known), *together]):
        if not lows or low > reached:
            lows.append(low)
        reached = max(reached, high)
    bounds = zip(["", *lows[1:]], [*lows[1:], None], strict=True)
    parts = [UnitRange((), first, until) for first, until in bounds]
    return [UnitRange(tuple(p for low, _, p in known if part.holds(low)), part.first, part.until) for part in parts]


def unit_extent(path: Path) -> Extent | None:
    """The lowest and highest unit id, as far as the ends of a file show it; None where they do not."""
    tell = {".parquet": _of_parquet, ".csv": _of_csv}.get(path.suffix.lower())
    if tell is None:
        return None
    try:
        with os.fdopen(os.open(path, OPEN_FLAGS), "rb") as file:
            return tell(file) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except (OSError, ValueError, csv.Error, pa.ArrowException):
        return None  # reading the file will report the error


def _of_parquet(file: BinaryIO) -> Extent | None:
    metadata = pq.read_metadata(file)
    columns = metadata.schema.names
    if columns.count("unit") != 1 or metadata.num_columns != len(columns):
        return None
    place = columns.index("unit")
    extents: list[tuple[Any, Any]] = []
    for group in range(metadata.num_row_groups):
        statistics = metadata.row_group(group).column(place).statistics
        if statistics is None or not statistics.has_min_max:
            return None
        extents.append((statistics.min, statistics.max))
    if not extents or not all(isinstance(unit, str) for extent in extents for unit in extent):
        return None
    return min(low for low, _ in extents), max(high for _, high in extents)


def _of_csv(file: BinaryIO) -> Extent | None:
    """The extent of a CSV file, by its first and last row."""
    head = file.read(_END_BYTES).split(b"\n")
    file.seek(max(file.seek(0, os.SEEK_END) - _END_BYTES, 0))
    tail = file.read().rstrip().rsplit(b"\n", 1)
    header, separator = csv_header(head[0].decode("utf-8-sig")) or ((), ",")
    if len(head) < 3 or len(tail) < 2 or header.count("unit") != 1:
        return None
    place = header.index("unit")
    rows = [next(csv.reader([line.decode()], delimiter=separator), []) for line in (head[1], tail[1])]
    if any(len(row) != len(header) for row in rows):
        return None
    first, last = sorted(row[place].strip() for row in rows)
    return first, last
