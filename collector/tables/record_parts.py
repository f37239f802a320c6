# SPDX-License-Identifier: GPL-3.0-or-later
"""Which record files may hold records of the same units, told by their ends and without reading them.

Files of different units can be read, measured and forgotten one after the other. What is told here is a guess: a file
sorted by time may hold units that its ends do not show. Whoever reads a part finds out (`Part.holds`).
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
class Part:
    """Files of units in [first, until) in order of id; `until` None: and all beyond."""

    paths: tuple[Path, ...]
    first: str
    until: str | None

    def holds(self, unit: str) -> bool:
        """Whether a unit belongs to the part."""
        return self.first <= unit and (self.until is None or unit < self.until)


def find_parts(paths: Sequence[Path], extents: Sequence[Extent | None], together: Iterable[Extent] = ()) -> list[Part]:
    """The files in parts, in order of unit id; one part where nothing can be told. Every unit is of one part.

    `extents`: `unit_extent` of each file. `together`: first and last of units that must be of one part.
    """
    known = [(*extent, path) for extent, path in zip(extents, paths, strict=True) if extent is not None]
    if len(known) < len(paths) or not paths:
        return [Part(tuple(paths), "", None)]
    lows: list[str] = []
    reached = ""
    for low, high in sorted([*((low, high) for low, high, _ in known), *together]):
        if not lows or low > reached:
            lows.append(low)
        reached = max(reached, high)
    bounds = zip(["", *lows[1:]], [*lows[1:], None], strict=True)
    parts = [Part((), first, until) for first, until in bounds]
    return [Part(tuple(p for low, _, p in known if part.holds(low)), part.first, part.until) for part in parts]


def unit_extent(path: Path) -> Extent | None:
    """The first and last unit in order of id, as far as the ends of a file tell; None: they do not."""
    tell = {".parquet": _of_parquet, ".csv": _of_csv}.get(path.suffix.lower())
    if tell is None:
        return None
    try:
        with os.fdopen(os.open(path, OPEN_FLAGS), "rb") as file:
            return tell(file) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
    except (OSError, ValueError, csv.Error, pa.ArrowException):
        return None  # whoever reads it says what is wrong


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
    """By the first and the last row."""
    head = file.read(_END_BYTES).split(b"\n")
    file.seek(max(file.seek(0, os.SEEK_END) - _END_BYTES, 0))
    tail = file.read().rstrip().rsplit(b"\n", 1)
    header = csv_header(head[0].decode("utf-8-sig")) or ()
    if len(head) < 3 or len(tail) < 2 or header.count("unit") != 1:
        return None
    place = header.index("unit")
    rows = [next(csv.reader([line.decode()]), []) for line in (head[1], tail[1])]
    if any(len(row) != len(header) for row in rows):
        return None
    first, last = sorted(row[place].strip() for row in rows)
    return first, last
