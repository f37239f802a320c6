# SPDX-License-Identifier: GPL-3.0-or-later
"""What a center has, read from its journal by plain SQL, held against the truth of the plant."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from pyarrow import parquet

from collector.center.lake.day_file import DAY
from collector.center.lake.seal import seal_month
from collector.model.record import Cause, GapRecord, UnitRecord
from collector.wire import decode_batch, open_envelope
from tests.crash.plant_truth import MONTH, Instant


@dataclass(frozen=True)
class Row:
    """One record at the center, its values by quantity where they are usable."""

    stream: tuple[str, str, int]
    record: UnitRecord
    values: dict[str, int | None]


@dataclass
class Journal:
    """Every record and every gap that was committed, in the order of arrival; `refused`: codes in the quarantine."""

    rows: list[Row] = field(default_factory=list)
    gaps: list[tuple[tuple[str, str, int], GapRecord]] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    repeats: int = 0


def read_journal(state: Path) -> Journal:
    """The journal of a center that has stopped."""
    found = Journal()
    database = state / "center.sqlite"
    with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)) as db:
        payloads = [row[0] for row in db.execute("SELECT bytes FROM payload ORDER BY stream_id, sequence")]
        found.repeats = int(db.execute("SELECT total(repeats) FROM batch").fetchone()[0])
        found.refused.update(dict(db.execute("SELECT code, count(*) FROM quarantine GROUP BY code")))
    for payload in payloads:
        batch = decode_batch(open_envelope(payload))
        stream = batch.stream.plant, batch.stream.gateway, batch.stream.epoch
        names = {layout.unit: layout.quantities for layout in batch.layouts}
        for record in batch.records:
            usable = zip(names[record.unit], record.values, record.qualities, strict=True)
            found.rows.append(Row(stream, record, {name: value for name, value, quality in usable if quality.usable}))
        found.gaps += [(stream, gap) for gap in batch.gaps]
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the comparison came to, in records."""

    recorded: int
    in_gaps: int
    usable_values: int


def compare(
    journal: Journal, true: Mapping[str, Mapping[int, Instant]], *, copies: int = 1, values: bool = True,
    since: int = 0, beyond: int | None = None,
) -> Verdict:  # fmt: skip
    """Hold the journal against the truth: each record `copies` times (1: exactly once) or inside a gap record.

    Args:
        journal: what the center has.
        true: the plant's instants.
        copies: how often a record may be there.
        values: compare them too.
        since: before this instant nothing was recorded yet.
        beyond: after this instant there may be records that `true` does not list.

    Raises:
        AssertionError: a record lost, doubled or made up, or a value that is not the plant's.
    """
    gaps: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for _, gap in journal.gaps:
        for unit in gap.units:
            gaps[unit].append((gap.from_ms, gap.to_ms))
    held = Counter((row.record.unit, row.record.time_utc_ms) for row in journal.rows)
    wanted = {(unit, time_ms): instant for unit, instants in true.items() for time_ms, instant in instants.items()}
    doubled = {key: count for key, count in held.items() if count > copies}
    assert not doubled, f"doubled: {_some(doubled)}"
    made_up = {key for key in held.keys() - wanted.keys() if beyond is None or key[1] <= beyond}
    assert not made_up, f"made up: {_some(made_up)}"
    missing = [key for key in wanted if not held[key] and key[1] >= since]
    lost = [key for key in missing if not any(a <= key[1] < b for a, b in gaps[key[0]])]
    assert not lost, f"lost without a word: {len(lost)} of {len(wanted)}: {_some(lost)}"
    usable = 0
    for row in journal.rows if values else ():
        instant = wanted[row.record.unit, row.record.time_utc_ms]
        assert row.record.cause is Cause.TICK or instant.change, f"no change then: {row.record}"
        if row.record.cause is Cause.CHANGE:
            continue  # what else the unit shows between two ticks is as of the tick before
        wrong = {name: value for name, value in row.values.items() if value != instant.values[name]}
        assert not wrong, f"{row.record.unit} at {row.record.time_utc_ms}: {wrong}, truth {instant.values}"
        usable += len(row.values)
    return Verdict(len(journal.rows), len(missing), usable)


def _some(things: object) -> str:
    return ", ".join(map(str, sorted(things)[:10])) if isinstance(things, (list, set, dict)) else str(things)


def read_lake(state: Path) -> Counter[tuple[str, int]]:
    """How often each unit and instant stands in the lake, sealed now; the center must have stopped."""
    found: Counter[tuple[str, int]] = Counter()
    for path in seal_month(state, MONTH):
        table = parquet.read_table(path, columns=["unit", "time"], filters=[("place", "=", DAY)])
        found.update(zip(table["unit"].to_pylist(), table["time"].to_pylist(), strict=True))
    return found
