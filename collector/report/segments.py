# SPDX-License-Identifier: GPL-3.0-or-later
"""segments.csv, and from the same pass the time that was not paid, by unit, service and reason.

Segments can be millions: they are written table by table, formatted by Arrow and not row by row. Tables do not know of
each other, so they may be formatted side by side.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from collector.model.interval import LOCAL_OFFSET_MS
from collector.settlement.settle import Spread
from collector.settlement.statement import SEGMENT_VALUE_DIVISOR, Segments

SEGMENT_COLUMNS: Final = ("unit", "service", "start", "end", "class", "reason", "value", "value_unit")
_MICRO: Final = 1_000_000
_KEYS: Final = ["unit", "service", "class", "reason"]
_Times = Counter[tuple[str, str, str, str]]  # ms by unit, service, class, reason


@dataclass(frozen=True, slots=True, order=True)
class UnpaidTime:
    """Time of a determinant's scope that did not count, and why."""

    unit: str
    service: str
    cause: str
    reason: str
    duration_ms: int


def write_segments(segments: Segments, path: Path, *, spread: Spread = map) -> tuple[UnpaidTime, ...]:
    """Write segments.csv; returns the unpaid time, sorted.

    Raises:
        OSError: the file can't be written.
    """
    unpaid: _Times = Counter()
    with path.open("wb") as file:
        file.write((",".join(SEGMENT_COLUMNS) + "\n").encode())
        for text, times in spread(_format, segments.parts()):
            file.write(text)
            unpaid.update(times)
    return tuple(sorted(UnpaidTime(*key, duration) for key, duration in unpaid.items()))


def _format(part: Callable[[], pa.Table]) -> tuple[Any, _Times]:
    """A table as CSV bytes, and its unpaid time."""
    table = part()
    return (_as_csv(table), _unpaid(table)) if table.num_rows else (b"", Counter())


def _as_csv(table: pa.Table) -> Any:
    text = _as_text(table)
    for style in ("none", "needed"):
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style=style)
        sink = pa.BufferOutputStream()
        try:
            pyarrow.csv.write_csv(text, sink, options)
        except pa.ArrowInvalid:  # an id with a comma or a quote: then every text is quoted
            continue
        return sink.getvalue()
    raise AssertionError("quoting writes anything")


def _as_text(table: pa.Table) -> pa.Table:
    columns = {
        "unit": table["unit"].cast(pa.string()),
        "service": table["service"].cast(pa.string()),
        "start": _local_times(table["start"]),
        "end": _local_times(table["end"]),
        "class": table["class"].cast(pa.string()),
        "reason": pc.fill_null(table["reason"].cast(pa.string()), ""),
        "value": _values(table),
        "value_unit": table["value_unit"].cast(pa.string()),
    }
    return pa.table(columns)


def _local_times(times: Any) -> Any:
    """ISO 8601 with +08:00."""
    texts = pc.add(times, LOCAL_OFFSET_MS).cast(pa.timestamp("ms")).cast(pa.string())  # 2026-03-01 00:00:00.000
    texts = pc.replace_substring_regex(pc.binary_replace_slice(texts, 10, 11, "T"), r"\.000$", "")
    return pc.binary_join_element_wise(texts, "+08:00", "")


def _values(table: pa.Table) -> Any:
    """Stored integers as decimals with six places, half away from zero."""
    unit = table["value_unit"].cast(pa.string()).to_numpy(zero_copy_only=False)
    raw = table["value"].combine_chunks()
    stored = raw.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    micro = np.zeros(len(stored), np.int64)
    for name, divisor in SEGMENT_VALUE_DIVISOR.items():
        mine = unit == name
        common = math.gcd(divisor, _MICRO)
        scaled, step = stored[mine] * (_MICRO // common), divisor // common
        rounded = (2 * np.abs(scaled) + step) // (2 * step)
        micro[mine] = np.where(scaled < 0, -rounded, rounded)
    words = np.empty((len(micro), 2), np.int64)
    words[:, 0], words[:, 1] = micro, micro >> 63
    kind = pa.decimal128(38, 6)
    return pa.Array.from_buffers(kind, len(micro), [raw.is_valid().buffers()[1], pa.py_buffer(words)])


def _unpaid(table: pa.Table) -> _Times:
    timed = table.select(_KEYS).append_column("ms", pc.subtract(table["end"], table["start"]))
    sums = timed.group_by(_KEYS, use_threads=False).aggregate([("ms", "sum")])
    found: _Times = Counter()
    for row in sums.to_pylist():
        if row["class"] != "counted":
            found[row["unit"], row["service"], row["class"], row["reason"] or ""] += row["ms_sum"]
    return found
