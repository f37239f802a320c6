# SPDX-License-Identifier: GPL-3.0-or-later
"""segments.csv and, from the same pass, the unpaid time by unit, service and reason.

There can be millions of segments: they are written table by table and formatted by Arrow, not row by row. The tables
are independent, so they may be formatted in parallel.
"""

from __future__ import annotations

import math
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
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
_DAY_S: Final = 86_400
_INSTANT: Final = np.dtype([("date", "S10"), ("T", "S1"), ("time", "S8"), ("offset", "S6")])
_COPY_BYTES: Final = 1 << 20
_KEYS: Final = ["unit", "service", "class", "reason"]
UnpaidTimes = Counter[tuple[str, str, str, str]]  # ms by unit, service, class, reason


@dataclass(frozen=True, slots=True, order=True)
class UnpaidTime:
    """Unpaid time of a determinant, with class and reason."""

    unit: str
    service: str
    cause: str
    reason: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class WrittenSegments:
    """Segments already written as lines of segments.csv to a file of their own, and their unpaid time."""

    path: Path
    times: UnpaidTimes


def write_segments(
    segments: Segments, path: Path, *, spread: Spread = map, before: Iterable[WrittenSegments] = ()
) -> tuple[UnpaidTime, ...]:
    """Write segments.csv; returns the unpaid time, sorted. `before`: written files to begin with, in this order.

    Raises:
        OSError: the file can't be written.
    """
    unpaid: UnpaidTimes = Counter()
    with path.open("wb") as file:
        file.write((",".join(SEGMENT_COLUMNS) + "\n").encode())
        for written in before:
            with written.path.open("rb") as lines:
                shutil.copyfileobj(lines, file, _COPY_BYTES)
            unpaid.update(written.times)
        for text, times in spread(_format, segments.parts()):
            file.write(text)
            unpaid.update(times)
    return tuple(sorted(UnpaidTime(*key, duration) for key, duration in unpaid.items()))


def _format(part: Callable[[], pa.Table]) -> tuple[Any, UnpaidTimes]:
    return format_segments(part())


def format_segments(table: pa.Table) -> tuple[Any, UnpaidTimes]:
    """Format a table as bytes of segments.csv, and sum its unpaid time."""
    return (_as_csv(table), _unpaid(table)) if table.num_rows else (b"", Counter())


def _as_csv(table: pa.Table) -> Any:
    text = _as_text(table)
    for style in ("none", "needed"):
        options = pyarrow.csv.WriteOptions(include_header=False, quoting_style=style)
        sink = pa.BufferOutputStream()
        try:
            pyarrow.csv.write_csv(text, sink, options)
        except pa.ArrowInvalid:  # an id holds a comma or a quote: quote every text
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
    """UTC ms as ISO 8601 with +08:00, formatted column by column from tables of days and seconds."""
    second, ms = np.divmod(times.to_numpy() + LOCAL_OFFSET_MS, 1000)
    day, of_day = np.divmod(second, _DAY_S)
    first = int(day.min())
    dates = np.arange(first, int(day.max()) + 1).astype("datetime64[D]").astype("S10")
    texts = np.empty(len(day), _INSTANT)
    texts["date"], texts["T"], texts["time"], texts["offset"] = dates[day - first], b"T", _clock()[of_day], b"+08:00"
    signs = texts.view(np.uint8).reshape(len(day), _INSTANT.itemsize)
    if not ms.any():
        return _fixed_texts(signs)
    offsets = pa.array(["+08:00", *(f".{n:03d}+08:00" for n in range(1, 1000))])
    return pc.binary_join_element_wise(_fixed_texts(signs[:, : -len("+08:00")]), offsets.take(pa.array(ms)), "")


@cache
def _clock() -> np.ndarray[Any, Any]:
    """The texts 00:00:00 to 23:59:59, one per second of the day."""
    digits = np.array([f"{n:02d}" for n in range(60)], "S2")
    texts = np.empty((24, 60, 60), [("h", "S2"), ("-", "S1"), ("m", "S2"), (":", "S1"), ("s", "S2")])
    texts["h"], texts["m"], texts["s"] = digits[:24, None, None], digits[:, None], digits
    texts["-"] = texts[":"] = b":"
    return texts.view("S8").ravel()


def _fixed_texts(signs: np.ndarray[Any, Any]) -> Any:
    """An Arrow column of texts of equal length, each given as a row of characters."""
    count, length = signs.shape
    offsets = np.arange(count + 1, dtype=np.int32) * length
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(signs))]
    return pa.Array.from_buffers(pa.string(), count, buffers)


def _values(table: pa.Table) -> Any:
    """Stored integers as decimals with six places, half away from zero."""
    unit, names = _codes(table["value_unit"])
    raw = table["value"].combine_chunks()
    stored = raw.fill_null(0).to_numpy(zero_copy_only=False)
    micro = np.zeros(len(stored), np.int64)
    for name, divisor in SEGMENT_VALUE_DIVISOR.items():
        if name not in names:
            continue
        mine = unit == names.index(name)
        common = math.gcd(divisor, _MICRO)
        scaled, step = stored[mine] * (_MICRO // common), divisor // common
        rounded = (2 * np.abs(scaled) + step) // (2 * step)
        micro[mine] = np.where(scaled < 0, -rounded, rounded)
    words = np.empty((len(micro), 2), np.int64)
    words[:, 0], words[:, 1] = micro, micro >> 63
    kind = pa.decimal128(38, 6)
    return pa.Array.from_buffers(kind, len(micro), [raw.is_valid().buffers()[1], pa.py_buffer(words)])


def _unpaid(table: pa.Table) -> UnpaidTimes:
    duration = pc.subtract(table["end"], table["start"]).to_numpy()
    coded = [_codes(table[name]) for name in _KEYS]
    shape = [len(names) for _, names in coded]
    sums = np.zeros(math.prod(shape), np.int64)
    np.add.at(sums, np.ravel_multi_index([codes for codes, _ in coded], shape), duration)
    found: UnpaidTimes = Counter()
    for place in np.flatnonzero(sums).tolist():
        at = np.unravel_index(place, shape)
        unit, service, cause, reason = (names[int(n)] for n, (_, names) in zip(at, coded, strict=True))
        if cause != "counted":
            found[unit, service, cause, reason] = int(sums[place])
    return found


def _codes(column: Any) -> tuple[np.ndarray[Any, Any], list[str]]:
    """A column with few distinct texts as indices into the list of them; null becomes an empty text."""
    encoded = column.unify_dictionaries().combine_chunks()
    names = encoded.dictionary.to_pylist()
    return pc.fill_null(encoded.indices, len(names)).to_numpy(zero_copy_only=False), [*names, ""]
