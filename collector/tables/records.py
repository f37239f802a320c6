# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of records/: all its files become one table of stored integers in which (unit, time) is unique.

Files are read in parallel and joined in the order of their names; the result does not depend on how rows are spread
over files. Day files of the lake hold copies of rows of neighbouring days (`place`): a copy is used only where the row
itself was not delivered.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.base.text import tr
from collector.model.interval import format_time
from collector.model.quantity import QUANTITIES, QuantityKind
from collector.sheets.files import Delivered, read_delivered
from collector.sheets.findings import LISTED_PER_KIND, Findings, nearest
from collector.tables.columns import CellForm, Column, LongTable, empty_table
from collector.tables.parquet import CLOCK, PLACE, read_parquet
from collector.tables.read_long_table import read_long

_FORM: Final = {
    QuantityKind.ANALOG: CellForm.ANALOG,
    QuantityKind.STATUS: CellForm.STATUS,
    QuantityKind.COUNTER: CellForm.COUNTER,
}
RECORD_COLUMNS: Final[tuple[Column, ...]] = (
    Column("unit", CellForm.UNIT, "unit"),
    Column("time", CellForm.TIME, "time"),
    *(Column(q.name, _FORM[q.kind], q.name, q.scale, required=False, filled=False) for q in QUANTITIES),
)
RECORD_SUFFIXES: Final = (".csv", ".parquet", ".xlsx", ".e")
_MAX_FILES: Final = 100_000
_SMALL_BYTES: Final = 1 << 20
_GROUP_FILES: Final = 32
_LONG_RUN: Final = 256  # rows; slicing a run costs about as much as copying this many


@dataclass(frozen=True, slots=True)
class Records:
    """All records. `unit_columns`: the quantities each unit has in any file. `sources`: SHA-256 by file name.

    `table` has a column `clock` (ClockState) where day files of the lake were delivered.
    """

    table: pa.Table
    unit_columns: Mapping[str, frozenset[str]]
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _FileRows:
    long: LongTable | None
    sha256: str
    findings: Findings


def read_records(
    folder: Path, units: Collection[str] | None, findings: Findings, *, ignored: frozenset[str] = frozenset()
) -> Records | None:
    """Read `folder` (named records/ in findings). `units`: the registered ids; None where the register is unreadable.

    `ignored`: headings of columns to ignore.

    Returns None where the folder holds no usable record; `findings` tells whether the folder is refused.
    """
    paths = list_record_files(folder, findings)
    return None if paths is None else read_record_files(paths, units, findings, ignored=ignored)


def read_record_files(
    paths: Sequence[Path],
    units: Collection[str] | None,
    findings: Findings,
    *,
    cores: int | None = None,
    ignored: frozenset[str] = frozenset(),
) -> Records:
    """Read chosen files like `read_records`, in the order of their names; findings name them records/NAME.

    `cores`: number of cores to use (default: all). `ignored`: headings of columns to ignore.
    """
    cores = cores or os.cpu_count() or 1
    read = partial(_read_some, threads=len(paths) < cores, ignored=ignored)
    if cores == 1:
        files = [file for some in map(read, _groups(paths)) for file in some]
    else:
        with ThreadPoolExecutor(max_workers=max(1, min(cores, len(paths)))) as pool:
            files = [file for some in pool.map(read, _groups(paths)) for file in some]
    for file in files:
        findings.extend(file.findings)
    good = [file.long for file in files if file.long is not None]
    for long in good:
        check_units(long, units, findings)
    table = _join([long.filled(("unit", "time")) for long in good], findings)
    sources = {f"records/{path.name}": file.sha256 for path, file in zip(paths, files, strict=True)}
    return Records(table, _unit_columns(good), sources)


def read_record_file(
    delivered: Delivered, units: Collection[str] | None, findings: Findings
) -> tuple[LongTable, Records] | None:
    """Read one file: its table as delivered, and its records sorted. None where it holds no usable record."""
    file = _read([(delivered, findings)], threads=True)[0]
    if file is None:
        return None
    check_units(file, units, findings)
    filled = file.filled(("unit", "time"))
    return filled, Records(_join([filled], findings), _unit_columns([file]), {delivered.name: delivered.sha256})


def list_record_files(folder: Path, findings: Findings) -> list[Path] | None:
    """The files of `folder` (named records/ in findings), by name; None where there is no such folder."""
    if folder.is_symlink() or not folder.is_dir():
        what = tr("is a symbolic link; put the folder itself here") if folder.is_symlink() else tr("is missing")
        findings.add("records/", 0, "", tr("{what}; it holds the records as *.csv or *.parquet", what=what))
        return None
    paths: list[Path] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith((".", "~$")):
            continue  # a hidden or temporary file
        if path.suffix.lower() in RECORD_SUFFIXES:
            paths.append(path)
        else:
            findings.add(
                f"records/{path.name}", 0, "", tr("is no record file; expected *.csv, *.parquet, *.xlsx or *.e")
            )
    if len(paths) > _MAX_FILES:
        findings.add(
            "records/",
            0,
            "",
            tr("holds {count} files; at most {max_files} are read", count=len(paths), max_files=_MAX_FILES),
        )
        return []
    return paths


def _groups(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """Group files for one worker each: consecutive small Parquet files, or a single file."""
    group: list[Path] = []
    for path in paths:
        small = path.suffix.lower() == ".parquet" and path.lstat().st_size <= _SMALL_BYTES
        if group and (not small or len(group) == _GROUP_FILES):
            yield group
            group = []
        if small:
            group.append(path)
        else:
            yield [path]
    if group:
        yield group


def _read_some(paths: Sequence[Path], *, threads: bool, ignored: frozenset[str]) -> list[_FileRows]:
    found = [Findings() for _ in paths]
    delivered = [read_delivered(path, f"records/{path.name}", f) for path, f in zip(paths, found, strict=True)]
    good = [(replace(file, ignored=ignored), f) for file, f in zip(delivered, found, strict=True) if file is not None]
    longs = _read(good, threads=threads)
    of_name = {file.name: long for (file, _), long in zip(good, longs, strict=True)}
    return [
        _FileRows(None, "", f) if file is None else _FileRows(of_name[file.name], file.sha256, f)
        for file, f in zip(delivered, found, strict=True)
    ]


def _read(group: Sequence[tuple[Delivered, Findings]], *, threads: bool) -> list[LongTable | None]:
    """Read files of one kind into integer columns; None for a refused file."""
    if group and group[0][0].suffix == ".parquet":
        return read_parquet(group, {column.name: column for column in RECORD_COLUMNS}, threads=threads)
    return [read_long(replace(file, table="records"), RECORD_COLUMNS, f, threads=threads) for file, f in group]


def check_units(long: LongTable, units: Collection[str] | None, findings: Findings) -> None:
    """Report units that are not in the register, each once per file, with its first row and number of rows."""
    known = frozenset(units or ())
    if units is None or all(known.issuperset(chunk.dictionary.to_pylist()) for chunk in long.table["unit"].chunks):
        return
    unknown = sorted(set(unit_names(long.table)) - known)
    if not unknown:
        return
    first: dict[str, tuple[int, int]] = {}
    for name in unknown:
        is_it = pc.equal(long.table["unit"].cast(pa.string()), name)
        first[name] = (pc.index(is_it, True).as_py(), pc.sum(is_it).as_py())
    rows = long.rows_of({index for index, _ in first.values()})
    for name, (index, count) in first.items():
        if index >= 0:
            message = tr("unknown unit {name!r}: not in register.toml{hint}", name=name, hint=nearest(name, units))
            findings.add(long.name, rows.get(index, 0), "unit", message, kind="unknown unit", count=count)


def unit_names(table: pa.Table) -> list[str]:
    """The distinct units of a table, in no particular order."""
    names: set[str] = set()
    for chunk in table["unit"].chunks:
        known = chunk.dictionary.to_pylist()
        names.update(known[index] for index in pc.unique(chunk.indices).to_pylist() if index is not None)
    return list(names)


def unit_codes(table: pa.Table, names: Sequence[str]) -> np.ndarray[Any, Any]:
    """The index in `names` of each row's unit."""
    place = {name: code for code, name in enumerate(names)}
    parts = []
    for chunk in table["unit"].chunks:
        codes = np.array([place.get(name, -1) for name in chunk.dictionary.to_pylist()] or [0], np.int32)
        parts.append(codes[chunk.indices.to_numpy(zero_copy_only=False)])
    return np.concatenate(parts) if parts else np.array([], np.int32)


@dataclass(frozen=True, slots=True)
class _JoinedFiles:
    """The rows of all files, one after the other. `unit` is an index into `names`."""

    names: Sequence[str]
    unit: np.ndarray[Any, Any]
    time: np.ndarray[Any, Any]
    first_ms: int
    last_ms: int

    @classmethod
    def of(cls, files: Sequence[LongTable]) -> _JoinedFiles:
        names = sorted({name for file in files for name in unit_names(file.table)})
        unit = np.concatenate([unit_codes(file.table, names) for file in files])
        time = np.concatenate([file.table["time"].to_numpy() for file in files])
        first, last = (int(time.min()), int(time.max())) if len(time) else (0, 0)
        return cls(names, unit, time, first, last)

    def key(self, rows: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Sort keys of rows: by unit, then time."""
        span = self.last_ms - self.first_ms + 1
        return np.asarray(self.unit[rows].astype(np.int64) * span + (self.time[rows] - self.first_ms))


def _join(files: Sequence[LongTable], findings: Findings) -> pa.Table:
    """Join the files into one table by unit, then time; resolve copies, report duplicates."""
    if not files:
        return empty_table([column for column in RECORD_COLUMNS if column.required])
    rows = _JoinedFiles.of(files)
    if not len(rows.time):
        return pa.concat_tables([_without_place(file.table) for file in files], promote_options="default")
    kept = np.ones(len(rows.time), bool)
    if any(PLACE in file.table.column_names for file in files):
        copy = np.concatenate([_is_copy(file.table) for file in files])
        _settle_copies(kept, rows, copy, files, findings)
    starts, ends = _runs(kept, rows)
    if bool((rows.key(starts[1:]) > rows.key(ends[:-1] - 1)).all()):
        return _gather(files, starts, ends, rows)
    _find_duplicates(rows, np.flatnonzero(kept), files, findings)
    joined = pa.concat_tables([_without_place(file.table) for file in files], promote_options="default")
    return joined.unify_dictionaries().filter(pa.array(kept))


def _is_copy(table: pa.Table) -> np.ndarray[Any, Any]:
    """Mask of the rows of a day file that are copies for a neighbouring day."""
    if PLACE not in table.column_names:
        return np.zeros(len(table), bool)
    return np.asarray(pc.fill_null(table[PLACE], 0).to_numpy() != 0)


def _without_place(table: pa.Table) -> pa.Table:
    return table.drop_columns([PLACE]) if PLACE in table.column_names else table


def _runs(kept: np.ndarray[Any, Any], rows: _JoinedFiles) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Begin and end of each run of kept rows of one unit in order of time; runs sorted by unit and first time."""
    time, unit = rows.time, rows.unit
    broken = (time[1:] <= time[:-1]) | (unit[1:] != unit[:-1]) | (kept[1:] != kept[:-1])
    edges = np.concatenate([[0], np.flatnonzero(broken) + 1, [len(time)]])
    starts, ends = edges[:-1], edges[1:]
    mine = kept[starts]
    starts, ends = starts[mine], ends[mine]
    order = np.argsort(rows.key(starts), kind="stable")
    return starts[order], ends[order]


def _gather(
    files: Sequence[LongTable], starts: np.ndarray[Any, Any], ends: np.ndarray[Any, Any], rows: _JoinedFiles
) -> pa.Table:
    """Join the runs; long runs are slices of the files' own memory, so that they are not copied."""
    columns = [_without_place(file.table).drop_columns(["unit"]) for file in files]
    if len(starts) * _LONG_RUN > len(rows.unit):
        joined = pa.concat_tables(columns, promote_options="default").combine_chunks()
        length = ends - starts
        begin = np.cumsum(length) - length  # start of each run in the result
        joined = joined.take(pa.array(np.arange(int(length.sum())) + np.repeat(starts - begin, length)))
    else:
        offsets = np.cumsum([0, *(len(file.table) for file in files)])
        parts = []
        goes_on = starts[1:] == ends[:-1]  # the next unit begins where one ends, as in most files: one slice for both
        begins, until = starts[np.append(True, ~goes_on)], ends[np.append(~goes_on, True)]
        for a, b in _within_files(begins, until, offsets):
            at = int(np.searchsorted(offsets, a, side="right")) - 1
            parts.append(columns[at].slice(a - int(offsets[at]), b - a))
        joined = pa.concat_tables(parts, promote_options="default")
    of_row = np.repeat(rows.unit[starts], ends - starts)
    codes = pa.DictionaryArray.from_arrays(pa.array(of_row), pa.array(rows.names, pa.string()))
    return joined.add_column(0, "unit", codes)


def _within_files(
    starts: np.ndarray[Any, Any], ends: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any]
) -> Iterator[tuple[int, int]]:
    """The runs, split at the ends of files."""
    for a, b in zip(starts.tolist(), ends.tolist(), strict=True):
        inner = offsets[np.searchsorted(offsets, a, side="right") : np.searchsorted(offsets, b, side="left")].tolist()
        yield from zip([a, *inner], [*inner, b], strict=True)


def _settle_copies(
    kept: np.ndarray[Any, Any],
    rows: _JoinedFiles,
    copy: np.ndarray[Any, Any],
    files: Sequence[LongTable],
    findings: Findings,
) -> None:
    """Drop from `kept` the copies of delivered rows, and all but the first copy of a row that was not delivered.

    Copies that differ become findings.
    """
    copies = np.flatnonzero(copy)
    # Copies are few, so the other rows are searched for among them: first by time alone.
    times = pa.array(np.unique(rows.time[copies]))
    near = pc.is_in(pa.array(rows.time), value_set=times).to_numpy(zero_copy_only=False) & ~copy
    keys = rows.key(copies)
    lone = ~np.isin(keys, rows.key(np.flatnonzero(near)))
    kept[copies] = False
    by_key = np.argsort(keys[lone], kind="stable")
    order, keys = copies[lone][by_key], keys[lone][by_key]
    is_first = np.ones(len(order), bool)
    is_first[1:] = keys[1:] != keys[:-1]
    kept[order[is_first]] = True
    again = np.flatnonzero(~is_first)
    if len(again):
        left, right = (_row_values(order[at], files) for at in (again, again - 1))
        differing = {int(order[again[n]]) for n, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1]}
        for name, row in sorted(_places(differing, files).values()):
            findings.add(name, row, "time", tr("differs from the copy of this row in another day file; seal again"))


def _row_values(rows: np.ndarray[Any, Any], files: Sequence[LongTable]) -> list[dict[str, Any]]:
    """The values of rows of the joined table, without unit and time."""
    tables = [_without_place(file.table).drop_columns(["unit", "time"]) for file in files]
    values: list[dict[str, Any]] = pa.concat_tables(tables, promote_options="default").take(pa.array(rows)).to_pylist()
    return values


def _find_duplicates(
    rows: _JoinedFiles, kept: np.ndarray[Any, Any], files: Sequence[LongTable], findings: Findings
) -> None:
    order = kept[np.argsort(rows.key(kept), kind="stable")]
    same = rows.key(order[1:]) == rows.key(order[:-1])
    again, before = order[1:][same], order[:-1][same]
    pairs = list(zip(again[:LISTED_PER_KIND].tolist(), before[:LISTED_PER_KIND].tolist(), strict=True))
    places = _places({index for pair in pairs for index in pair}, files)
    for index, earlier in pairs:
        (name, row), (other, other_row) = places[index], places[earlier]
        what = tr("{unit} at {time}", unit=rows.names[rows.unit[index]], time=format_time(int(rows.time[index])))
        message = tr(
            "{what} is there twice, also in {other} row {other_row}; keep one",
            what=what,
            other=other,
            other_row=other_row,
        )
        findings.add(name, row, "time", message, kind="duplicate")
    if len(again) > LISTED_PER_KIND:
        findings.add(
            "records/", 0, "time", tr("{count} more records are there twice", count=len(again) - LISTED_PER_KIND)
        )


def _places(indices: set[int], files: Sequence[LongTable]) -> dict[int, tuple[str, int]]:
    """File and file row of rows of the joined table; reads once each file that has any."""
    places: dict[int, tuple[str, int]] = {}
    start = 0
    for file in files:
        mine = {index - start for index in indices if start <= index < start + len(file.table)}
        rows = file.rows_of(mine) if mine else {}
        places |= {start + index: (file.name, rows.get(index, 0)) for index in mine}
        start += len(file.table)
    return places


def _unit_columns(files: Sequence[LongTable]) -> dict[str, frozenset[str]]:
    columns: dict[str, frozenset[str]] = {}
    for file in files:
        present = frozenset(file.table.column_names) - {"unit", "time", PLACE, CLOCK}
        for unit in unit_names(file.table):
            columns[unit] = columns.get(unit, frozenset()) | (present - file.lacking.get(unit, frozenset()))
    return dict(sorted(columns.items()))
