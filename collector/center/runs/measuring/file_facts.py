# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts about a day file that a closing needs without reading it: its units, their columns, and its edges.

A day file is self-contained: its head holds each unit's last record before the day, its tail the first minutes of the
next. A day is measured from this file alone, which gives the same result as reading the whole month exactly when these
copies equal the records in the neighbouring files. The facts carry a digest of each edge, so that this is checked, not
assumed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa

from collector.center.db.storage.lake_place import LakePath
from collector.center.lake.day_file import read_unit_tables
from collector.center.lake.pieces import DAY, HEAD, TAIL
from collector.center.receive.day_index import EDGE_MS
from collector.model.interval import local_midnight_ms
from collector.model.quantity import BY_NAME

_NOTHING: Final = b""
_READ_NOT: Final = frozenset({"cause", "era", "device_time"})


class UnitFacts(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One unit in a day file: its columns, and digests of its edges (empty where there are no such records).

    `last`: of its last record of the day; `begin`: of records in the first `EDGE_MS` of it; `tail`: of records after
    it.
    """

    columns: tuple[str, ...]
    head: bytes
    last: bytes
    begin: bytes
    tail: bytes


FileFacts = dict[str, UnitFacts]
_decoder: Final = msgspec.msgpack.Decoder(FileFacts)


def encode_facts(facts: FileFacts) -> bytes:
    """The facts as bytes for the store."""
    return msgspec.msgpack.encode(facts, order="sorted")


def decode_facts(data: bytes) -> FileFacts:
    """The facts from the bytes in the store."""
    return _decoder.decode(data)


def read_facts(path: LakePath, sha256: str, day: str) -> FileFacts:
    """Read the facts of a day file.

    Raises:
        Altered: it is not the one with this hash.
    """
    early_ms = local_midnight_ms(date.fromisoformat(day)) + EDGE_MS
    facts = {}
    for unit, whole in read_unit_tables(path, sha256):
        table = whole.select([name for name in whole.column_names if name not in _READ_NOT])
        place = table["place"].to_numpy()
        of_day = np.flatnonzero(place == DAY)
        facts[unit] = UnitFacts(
            columns=_columns(table),
            head=_digest(table, np.flatnonzero(place == HEAD)),
            last=_digest(table, of_day[-1:]),
            begin=_digest(table, of_day[table["time"].to_numpy()[of_day] < early_ms]),
            tail=_digest(table, np.flatnonzero(place == TAIL)),
        )
    return facts


def _columns(table: pa.Table) -> tuple[str, ...]:
    """The quantities that a unit's records carry: their quality is not null throughout."""
    present = set(table.column_names)

    def carried(name: str) -> bool:
        return f"{name}_quality" not in present or table[f"{name}_quality"].null_count < len(table)

    return tuple(name for name in BY_NAME if name in present and carried(name))


def _digest(table: pa.Table, rows: np.ndarray[Any, Any]) -> bytes:
    """The digest of time, clock, values and qualities of some rows of one unit; columns without values don't count."""
    if not len(rows):
        return _NOTHING
    part = table.take(pa.array(rows))
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(part.column_names):
        if name == "place" or part[name].null_count == len(part):
            continue
        text = part[name].cast(pa.string()).fill_null("").combine_chunks()
        digest.update(name.encode())
        for buffer in text.buffers()[1:]:
            digest.update(buffer)
    return digest.digest()


def edges_agree(files: Sequence[tuple[str, FileFacts]], units: Iterable[str]) -> bool:
    """True if heads and tails equal the records of the neighbouring files. `files`: day (ISO) and facts, by day."""
    following = [(date.fromisoformat(day) + timedelta(days=1)).isoformat() for day, _ in files]
    return all(_unit_agrees(files, following, unit) for unit in units)


_ABSENT: Final = UnitFacts((), _NOTHING, _NOTHING, _NOTHING, _NOTHING)


def _unit_agrees(files: Sequence[tuple[str, FileFacts]], following: Sequence[str], unit: str) -> bool:
    before: bytes | None = None  # the record before the file; None: not known yet
    of_day: Mapping[str, UnitFacts] = {day: facts.get(unit, _ABSENT) for day, facts in files}
    for (day, found), next_day in zip(of_day.items(), following, strict=True):
        if before is not None and found.head != before:
            return False
        before = found.last or found.head
        after = of_day.get(next_day)
        if after is not None and after.begin != found.tail:
            return False
        if after is None and found.tail and day != files[-1][0]:
            return False  # records of a day without a file
    return True


def columns_of(facts: Iterable[FileFacts]) -> dict[str, frozenset[str]]:
    """The quantities of each unit in any of its files, as reading the files themselves finds them."""
    columns: dict[str, set[str]] = {}
    for file in facts:
        for unit, found in file.items():
            columns.setdefault(unit, set()).update(found.columns)
    return {unit: frozenset(names) for unit, names in sorted(columns.items())}
