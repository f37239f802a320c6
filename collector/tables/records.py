# SPDX-License-Identifier: GPL-3.0-or-later
"""records/: every file of it becomes one table of stored integers in which (unit, time) is unique.

Files are read side by side and put together in the order of their names; nothing depends on how rows are spread over
files. Day files of the lake carry copies of their neighbours' rows (`place`): a copy counts only where the row itself
was not delivered.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.model.interval import format_time
from collector.model.quantity import QUANTITIES, Kind
from collector.tables.columns import Column, Form, LongTable, empty_table
from collector.tables.files import read_delivered
from collector.tables.findings import LISTED_PER_KIND, Findings, nearest
from collector.tables.long import read_long
from collector.tables.parquet import CLOCK, PLACE, read_parquet

_FORM: Final = {Kind.ANALOG: Form.ANALOG, Kind.STATUS: Form.STATUS, Kind.COUNTER: Form.COUNTER}
RECORD_COLUMNS: Final[tuple[Column, ...]] = (
    Column("unit", Form.UNIT, "unit"),
    Column("time", Form.TIME, "time"),
    *(Column(q.name, _FORM[q.kind], q.name, q.scale, required=False, filled=False) for q in QUANTITIES),
)
_SUFFIXES: Final = (".csv", ".parquet", ".xlsx")
_MAX_FILES: Final = 100_000


@dataclass(frozen=True, slots=True)
class Records:
    """All records. `unit_columns`: the quantities each unit has in any file. `sources`: SHA-256 by file name.

    `table` has a column `clock` (ClockState) where day files of the lake were delivered.
    """

    table: pa.Table
    unit_columns: Mapping[str, frozenset[str]]
    sources: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _File:
    long: LongTable | None
    sha256: str
    findings: Findings


def read_records(folder: Path, units: Collection[str] | None, findings: Findings) -> Records | None:
    """Read `folder` (named records/ in findings). `units`: the registered ids; None where the register is unreadable.

    Returns None where nothing usable was found; whether the folder is refused is in `findings`.
    """
    if folder.is_symlink() or not folder.is_dir():
        what = "is a symbolic link; put the folder itself here" if folder.is_symlink() else "is missing"
        findings.add("records/", 0, "", f"{what}; it holds the records as *.csv or *.parquet")
        return None
    paths = _list(folder, findings)
    cores = os.cpu_count() or 1
    threads = len(paths) < cores
    with ThreadPoolExecutor(max_workers=max(1, min(cores, len(paths)))) as pool:
        files = list(pool.map(lambda path: _read_one(path, threads=threads), paths))
    for file in files:
        findings.extend(file.findings)
    good = [file.long for file in files if file.long is not None]
    for long in good:
        check_units(long, units, findings)
    table = _join([long.filled(("unit", "time")) for long in good], findings)
    sources = {f"records/{path.name}": file.sha256 for path, file in zip(paths, files, strict=True)}
    return Records(table, _unit_columns(good), sources)


def _list(folder: Path, findings: Findings) -> list[Path]:
    paths: list[Path] = []
    for path in sorted(folder.iterdir(), key=lambda path: path.name):
        if path.name.startswith((".", "~$")):
            continue  # an editor's or a file system's own
        if path.suffix.lower() in _SUFFIXES:
            paths.append(path)
        else:
            findings.add(f"records/{path.name}", 0, "", "is no record file; expected *.csv, *.parquet or *.xlsx")
    if len(paths) > _MAX_FILES:
        findings.add("records/", 0, "", f"holds {len(paths)} files; at most {_MAX_FILES} are read")
        return []
    return paths


def _read_one(path: Path, *, threads: bool) -> _File:
    findings = Findings()
    delivered = read_delivered(path, f"records/{path.name}", findings)
    if delivered is None:
        return _File(None, "", findings)
    if delivered.suffix == ".parquet":
        by_name = {column.name: column for column in RECORD_COLUMNS}
        long = read_parquet(delivered, by_name, findings, threads=threads)
    else:
        long = read_long(delivered, RECORD_COLUMNS, findings, threads=threads)
    return _File(long, delivered.sha256, findings)


def check_units(long: LongTable, units: Collection[str] | None, findings: Findings) -> None:
    """Find units the register does not know, each once per file, with its first row and how many rows it has."""
    if units is None:
        return
    unknown = sorted(set(unit_names(long.table)) - set(units))
    if not unknown:
        return
    first: dict[str, tuple[int, int]] = {}
    for name in unknown:
        is_it = pc.equal(long.table["unit"].cast(pa.string()), name)
        first[name] = (pc.index(is_it, True).as_py(), pc.sum(is_it).as_py())
    rows = long.rows_of({index for index, _ in first.values()})
    for name, (index, count) in first.items():
        if index >= 0:
            message = f"unknown unit {name!r}: not in register.toml{nearest(name, units)}"
            findings.add(long.name, rows.get(index, 0), "unit", message, kind="unknown unit", count=count)


def unit_names(table: pa.Table) -> list[str]:
    """The distinct units of a table, in no particular order."""
    names: set[str] = set()
    for chunk in table["unit"].chunks:
        known = chunk.dictionary.to_pylist()
        names.update(known[index] for index in pc.unique(chunk.indices).to_pylist() if index is not None)
    return list(names)


def unit_codes(table: pa.Table, names: Sequence[str]) -> np.ndarray[Any, Any]:
    """The place of each row's unit in `names`."""
    place = {name: code for code, name in enumerate(names)}
    parts = []
    for chunk in table["unit"].chunks:
        codes = np.array([place.get(name, -1) for name in chunk.dictionary.to_pylist()] or [0], np.int64)
        parts.append(codes[chunk.indices.to_numpy(zero_copy_only=False)])
    return np.concatenate(parts) if parts else np.array([], np.int64)


def _join(files: Sequence[LongTable], findings: Findings) -> pa.Table:
    """One table, copies settled, duplicates found."""
    if not files:
        return empty_table([column for column in RECORD_COLUMNS if column.required])
    joined = pa.concat_tables([file.table for file in files], promote_options="default").unify_dictionaries()
    if not len(joined):
        return joined.drop_columns([PLACE]) if PLACE in joined.column_names else joined
    names = sorted(unit_names(joined))
    time = joined["time"].to_numpy()
    first = int(time.min())
    keys = unit_codes(joined, names) * (int(time.max()) - first + 1) + (time - first)
    kept: np.ndarray[Any, Any] | None = None
    if PLACE in joined.column_names:
        place = pc.fill_null(joined[PLACE], 0).to_numpy()
        joined = joined.drop_columns([PLACE])
        kept = _settle_copies(joined, keys, place != 0, files, findings)
    if not bool((np.diff(keys) > 0).all()):
        _find_duplicates(keys, kept, joined, files, findings)
    return joined if kept is None else joined.take(pa.array(kept)).combine_chunks()


def _settle_copies(
    table: pa.Table,
    keys: np.ndarray[Any, Any],
    copy: np.ndarray[Any, Any],
    files: Sequence[LongTable],
    findings: Findings,
) -> np.ndarray[Any, Any]:
    """Which rows stay: the rows themselves, and of copies without a row the first. Copies that differ are found."""
    own, copies = np.flatnonzero(~copy), np.flatnonzero(copy)
    orphans = copies[~np.isin(keys[copies], keys[own])]
    order = orphans[np.argsort(keys[orphans], kind="stable")]
    is_first = np.ones(len(order), bool)
    is_first[1:] = keys[order[1:]] != keys[order[:-1]]
    again = np.flatnonzero(~is_first)
    if len(again):
        values = [column for column in table.column_names if column not in ("unit", "time")]
        rows = table.select(values)
        left, right = (rows.take(pa.array(order[at])).to_pylist() for at in (again, again - 1))
        differing = {int(order[again[n]]) for n, pair in enumerate(zip(left, right, strict=True)) if pair[0] != pair[1]}
        for name, row in sorted(_places(differing, files).values()):
            findings.add(name, row, "time", "differs from the copy of this row in another day file; seal again")
    return np.sort(np.concatenate([own, order[is_first]]))


def _find_duplicates(
    keys: np.ndarray[Any, Any],
    kept: np.ndarray[Any, Any] | None,
    table: pa.Table,
    files: Sequence[LongTable],
    findings: Findings,
) -> None:
    rows = np.arange(len(keys)) if kept is None else kept
    if not bool((np.diff(np.sort(keys[rows])) == 0).any()):
        return
    order = rows[np.argsort(keys[rows], kind="stable")]
    again = order[1:][keys[order[1:]] == keys[order[:-1]]]
    before = order[:-1][keys[order[1:]] == keys[order[:-1]]]
    pairs = list(zip(again[:LISTED_PER_KIND].tolist(), before[:LISTED_PER_KIND].tolist(), strict=True))
    places = _places({index for pair in pairs for index in pair}, files)
    for index, earlier in pairs:
        (name, row), (other, other_row) = places[index], places[earlier]
        unit, time = table["unit"][index].as_py(), format_time(table["time"][index].as_py())
        message = f"{unit} at {time} is there twice, also in {other} row {other_row}; keep one"
        findings.add(name, row, "time", message, kind="duplicate")
    if len(again) > LISTED_PER_KIND:
        findings.add("records/", 0, "time", f"{len(again) - LISTED_PER_KIND} more records are there twice")


def _places(indices: set[int], files: Sequence[LongTable]) -> dict[int, tuple[str, int]]:
    """File and row of rows of the joined table; one pass over each file that has any."""
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
