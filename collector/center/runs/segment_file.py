# SPDX-License-Identifier: GPL-3.0-or-later
"""segments.parquet: a run's segments in one row group per unit, so that a page reads only those of its unit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from collector.center.runs.row_groups import HashedGroups
from collector.settlement.evidence import Traces
from collector.settlement.statement import SEGMENT_SCHEMA

_TEXTS: Final = frozenset({"unit", "service", "class", "reason", "value_unit"})
_STORED: Final = pa.schema(
    [(field.name, pa.string() if field.name in _TEXTS else field.type) for field in SEGMENT_SCHEMA]
)
_INTEGERS: Final = [field.name for field in _STORED if field.name not in _TEXTS]


class SegmentFile:
    """Writes the segments of tables that pass through; the same tables give the same bytes."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(
            path,
            _STORED,
            compression="zstd",
            compression_level=3,
            use_dictionary=sorted(_TEXTS),
            column_encoding=dict.fromkeys(_INTEGERS, "DELTA_BINARY_PACKED"),
            version="2.6",
        )

    def note(self, make: Callable[[], Traces]) -> Traces:
        """Return the result of `make`, after writing its segments: a row group per unit, rows in their order."""
        traces = make()
        stored = traces.segments.cast(_STORED).combine_chunks()
        for first, last in _runs(stored):
            self._writer.write_table(stored.slice(first, last - first))
        return traces

    def __enter__(self) -> SegmentFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()


def _runs(table: pa.Table) -> Iterator[tuple[int, int]]:
    """First and last + 1 row of each run of rows of one unit."""
    codes = pc.run_end_encode(table["unit"].combine_chunks())
    begin = 0
    for end in codes.run_ends.to_pylist():
        yield begin, end
        begin = end


def read_segments_of(groups: HashedGroups, path: Path, unit: str) -> pa.Table:
    """The segments of a unit out of a segment file, by service and time as they were written.

    Raises:
        Altered: these row groups are not as they were.
    """
    return groups.read_unit(path, unit).cast(SEGMENT_SCHEMA).unify_dictionaries()
