# SPDX-License-Identifier: GPL-3.0-or-later
"""segments.csv, the files of evidence found while measuring and, from the same pass, the unpaid time by reason.

There can be millions of rows: they are written table by table and formatted by Arrow, not row by row. The tables are
independent, so they may be formatted in parallel.
"""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from collector.model.interval import LOCAL_OFFSET_MS
from collector.settlement.evidence import EVIDENCE, EvidenceColumn, Traces
from collector.settlement.outside_scope import OUTSIDE, outside_ms
from collector.settlement.settle import Spread
from collector.settlement.statement import SEGMENT_VALUE_DIVISOR, Segments, Statement

SEGMENTS: Final = "segments"
# Every file written here, by its name without ending: its columns.
TRACES: Final[Mapping[str, Sequence[str]]] = {
    SEGMENTS: ("unit", "service", "start", "end", "class", "reason", "value", "value_unit"),
    **{name: [column.name for column in columns] for name, columns in EVIDENCE.items()},
}
_MICRO: Final = 1_000_000
_DAY_S: Final = 86_400
_INSTANT: Final = np.dtype([("date", "S10"), ("T", "S1"), ("time", "S8"), ("offset", "S6")])
_PLAIN: Final = pyarrow.csv.WriteOptions(include_header=False, quoting_style="none", batch_size=16_384)
_LONGEST_DECIMAL: Final = len("-9223372036854.775808")  # of 64 bits, with six places
_FEW_DISTINCT: Final = 1_000_000  # a number of evidence stored finer than this (energy) hardly comes twice
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
class TraceTexts:
    """Segments and evidence as CSV lines.

    `lines` and `rows` (the number of rows) go by the name of the file without its ending; `times` is the unpaid time.
    """

    lines: Mapping[str, Any]
    rows: Mapping[str, int]
    times: UnpaidTimes


@dataclass(frozen=True, slots=True)
class WrittenSegments:
    """As TraceTexts of several parts together, their lines already written, each file from its header on."""

    paths: Mapping[str, Path]
    rows: Mapping[str, int]
    times: UnpaidTimes


@dataclass(frozen=True, slots=True)
class WrittenTraces:
    """The result of writing: the unpaid time, sorted, and the number of rows of each file."""

    unpaid: tuple[UnpaidTime, ...]
    rows: Mapping[str, int]


def header_of(name: str) -> bytes:
    """The first line of a file of `TRACES`."""
    return (",".join(TRACES[name]) + "\n").encode()


def write_segments(
    segments: Segments, folder: Path, *, spread: Spread = map, before: WrittenSegments | None = None
) -> WrittenTraces:
    """Write segments.csv and the evidence files.

    `before`: files of the same disk that begin so; they are moved into the folder, and written on.

    Raises:
        OSError: a file can't be written.
    """
    unpaid: UnpaidTimes = Counter()
    rows = Counter(dict.fromkeys(TRACES, 0))
    if before is not None:
        for name, path in before.paths.items():
            path.rename(folder / f"{name}.csv")
        unpaid.update(before.times)
        rows.update(before.rows)
    with ExitStack() as stack:
        files = {name: stack.enter_context((folder / f"{name}.csv").open("ab")) for name in TRACES}
        for name, file in files.items():
            if not file.tell():
                file.write(header_of(name))
        for texts in spread(_format, segments.parts()):
            for name, text in texts.lines.items():
                files[name].write(text)
            unpaid.update(texts.times)
            rows.update(texts.rows)
    return WrittenTraces(tuple(sorted(UnpaidTime(*key, duration) for key, duration in unpaid.items())), rows)


def with_outside_time(statement: Statement, unpaid: Iterable[UnpaidTime]) -> tuple[UnpaidTime, ...]:
    """The unpaid time of the segments and, as a class of its own, the time outside each scope; sorted."""
    outside = [UnpaidTime(unit, service, OUTSIDE, reason, ms) for unit, service, reason, ms in outside_ms(statement)]
    return tuple(sorted([*unpaid, *outside]))


def _format(part: Callable[[], Traces]) -> TraceTexts:
    return format_traces(part())


def format_traces(traces: Traces) -> TraceTexts:
    """Lines of each file, and the unpaid time of the segments."""
    tables = {SEGMENTS: traces.segments, **traces.evidence}
    rows = {name: table.num_rows for name, table in tables.items() if table.num_rows}
    lines = {name: _as_csv(_as_text(name, tables[name])) for name in rows}
    return TraceTexts(lines, rows, _unpaid(traces.segments) if SEGMENTS in rows else Counter())


def _as_text(name: str, table: pa.Table) -> pa.Table:
    if name == SEGMENTS:
        return _segments_as_text(table)

    def text(column: EvidenceColumn) -> Any:
        found = table[column.name]
        if column.form == "number":
            return _decimal_texts(found, column.divisor)
        return _known_times(found) if column.form == "instant" else pc.fill_null(found.cast(pa.string()), "")

    return pa.table({column.name: text(column) for column in EVIDENCE[name]})


def _known_times(times: Any) -> Any:
    """Instants as text; null where there is none."""
    if not times.null_count:
        return _local_times(times)
    return pc.if_else(times.is_valid(), _local_times(pc.fill_null(times, 0)), None)


def _as_csv(text: pa.Table) -> Any:
    """Lines of a table of texts and decimals, into memory of the size they can have at most.

    A stream that grows copies what it has at each step: a third of the time.
    """
    room = pa.allocate_buffer(_most_bytes(text))
    sink = pa.FixedSizeBufferWriter(room)
    try:
        pyarrow.csv.write_csv(text, sink, _PLAIN)
    except pa.ArrowInvalid:  # an id holds a comma or a quote
        return _quoted(text)
    return room.slice(0, sink.tell())


def _most_bytes(text: pa.Table) -> int:
    """The bytes of the lines of a table, if each number were as long as can be."""
    found: int = text.num_rows * text.num_columns  # a comma or the line's end after each
    for column in text.itercolumns():
        if pa.types.is_decimal(column.type):
            found += text.num_rows * _LONGEST_DECIMAL
        else:
            found += sum(len(chunk.buffers()[-1] or b"") for chunk in column.chunks)
    return found


def _quoted(text: pa.Table) -> bytes:
    """Format a table as CSV with quotes only around the texts that need them.

    Arrow would quote every text, so that the bytes would depend on which units are written together.
    """
    lines = io.StringIO(newline="")
    columns = (pc.fill_null(column.cast(pa.string()), "").to_pylist() for column in text.itercolumns())
    csv.writer(lines, lineterminator="\n").writerows(zip(*columns, strict=True))
    return lines.getvalue().encode()


def _segments_as_text(table: pa.Table) -> pa.Table:
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


def instant_texts(times_utc_ms: Sequence[int]) -> list[str]:
    """Many instants as local ISO 8601 with offset, as `numbers.format_instant` has one."""
    found: list[str] = _local_times(np.array(times_utc_ms, np.int64)).to_pylist() if times_utc_ms else []
    return found


def _local_times(times: Any) -> Any:
    """UTC ms as ISO 8601 with +08:00, formatted column by column from tables of days and seconds."""
    local = np.asarray(times) + LOCAL_OFFSET_MS
    second = local // 1000  # and not np.divmod, which is several times slower
    ms, day = local - second * 1000, second // _DAY_S
    of_day = second - day * _DAY_S
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
    """Values of segments in their units."""
    codes, names = _codes(table["value_unit"])
    divisors = np.array([SEGMENT_VALUE_DIVISOR.get(name, 1) for name in names], dtype=np.int64)
    return _decimals(table["value"], divisors[codes] if len(names) > 1 else int(divisors[0]))


def _decimal_texts(column: Any, divisor: int) -> Any:
    """Stored integers as decimals with six places; as texts, each distinct number once, where few are distinct."""
    if column.null_count == len(column):
        return pa.nulls(len(column), pa.string())
    if divisor > _FEW_DISTINCT:
        return _decimals(column, divisor)
    distinct = column.combine_chunks().dictionary_encode()
    texts = _decimals(distinct.dictionary, divisor).cast(pa.string())
    return pa.DictionaryArray.from_arrays(distinct.indices, texts).cast(pa.string())


def _decimals(column: Any, divisor: int | np.ndarray[Any, Any]) -> Any:
    """Stored integers as decimals with six places, half away from zero."""
    raw = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    stored = raw.fill_null(0).to_numpy(zero_copy_only=False)
    common = np.gcd(divisor, _MICRO)
    micro, step = stored * (_MICRO // common), divisor // common
    if np.any(step != 1):
        rounded = (2 * np.abs(micro) + step) // (2 * step)
        micro = np.where(micro < 0, -rounded, rounded)
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
