# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows laid over rows by the column say what a look at every pair says; a file reads alike however it is written."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from collector.center.inputs.conflicts import HeldRows, cells_of, csv_lines, end_ms_of, lay_over, start_ms_of
from collector.center.inputs.imports import pack, unpack
from collector.center.inputs.kinds import KINDS, TableKind
from collector.center.inputs.parse import read_rows
from collector.sheets.files import Delivered, read_delivered, read_packed
from collector.sheets.findings import Findings
from tests.size import sized

HOUR = 3_600_000
START = 1_772_294_400_000
Row = tuple[str, ...]


def table(kind: str, rows: list[Row], name: str = "") -> Delivered:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([KINDS[kind].columns, *rows])
    return Delivered(name or f"{kind}.csv", text.getvalue().encode(), "")


def without_contradiction(kind: TableKind, rows: Iterator[Row]) -> list[Row]:
    """Rows as far as none claims the place of one before it, each once."""
    kept: list[Row] = []
    for row in rows:
        if not any(claims(kind, row, other) for other in kept) and row not in kept:
            kept.append(row)
    return kept


def claims(kind: TableKind, one: Row, other: Row) -> bool:
    """Whether two rows want the same place: the sentence of the docs, pair by pair."""
    a, b = (dict(zip(kind.columns, row, strict=True)) for row in (one, other))
    if kind.ranges:
        numbers = [tuple(float(row[name]) for pair in kind.ranges for name in pair) for row in (a, b)]
        (low, high, gap, wide), (other_low, other_high, other_gap, other_wide) = numbers
        meet = low < other_high and other_low < high and gap < other_wide and other_gap < wide
        return meet and a["from"] == b["from"]
    same_key = bool(kind.unique) and all(a[name] == b[name] for name in kind.unique)
    same_group = bool(kind.exclusive) and all(a[name] == b[name] for name in kind.exclusive)
    return same_key or (same_group and int(a["start"]) < int(b["end"]) and int(b["start"]) < int(a["end"]))


def plain(row: Row) -> Row:
    """A row with its power as one text: 300.0 is 300."""
    return tuple(cell.removesuffix(".0") for cell in row)


def some_row(kind: str, rng: random.Random) -> Row:
    start = START + rng.randrange(40) * HOUR
    end = start + rng.randrange(1, 5) * HOUR
    unit, spans = rng.choice(["U1", "U2"]), (str(start), str(end))
    return {
        "plan": (unit, *spans, rng.choice(["300", "300.0"]), rng.choice(["", str(START)])),
        "orders": (f"o{rng.randrange(12)}", unit, rng.choice(["spill", "reactive"]), *spans),
        "exclusions": (unit, "*", *spans, "test", rng.choice(["", 'said "so", 起'])),
        "start_stop_table": (
            *(str(low := rng.randrange(5)), f"{low + rng.randrange(1, 3)}{rng.choice(['', '.0'])}"),
            *(
                str(gap := rng.randrange(5)),
                str(gap + rng.randrange(1, 3)),
                "40",
                f"2026-0{rng.randrange(1, 3)}-01",
                "",
            ),
        ),
        "revenue": ("P1", f"2026-{rng.randrange(1, 9):02}", "energy", str(rng.randrange(3)), ""),
    }[kind]


@pytest.mark.parametrize("kind", ["plan", "orders", "exclusions", "revenue", "start_stop_table"])
def test_what_is_there_and_what_is_claimed_is_what_every_pair_says(kind: str) -> None:
    rng = random.Random(kind)
    for _ in range(60):
        held = without_contradiction(KINDS[kind], (some_row(kind, rng) for _ in range(rng.randrange(25))))
        file = without_contradiction(KINDS[kind], (some_row(kind, rng) for _ in range(rng.randrange(1, 25))))
        file += [row for row in held if rng.random() < 0.3 and not any(claims(KINDS[kind], row, o) for o in file)]
        stored = read_rows(kind, table(kind, held))

        def held_in(start_ms: int, end_ms: int, stored: pa.Table = stored) -> Iterator[HeldRows]:
            there = np.ones(len(stored), np.bool_)
            if KINDS[kind].apart:
                there = (start_ms_of(stored) < end_ms) & (end_ms_of(stored) > start_ms)
            for place in np.flatnonzero(there):  # one at a time: the smallest bites there are
                yield HeldRows(np.array([place]), stored.slice(place, 1))

        laid = lay_over(KINDS[kind], read_rows(kind, table(kind, file)), held_in)
        unseen = list(dict.fromkeys(file))
        there = {plain(row) for row in held}
        new = [n for n, row in enumerate(unseen) if plain(row) not in there]
        assert np.flatnonzero(laid.new).tolist() == new
        pairs = [(n, m) for n in new for m, old in enumerate(held) if claims(KINDS[kind], unseen[n], old)]
        assert list(zip(laid.claims.tolist(), laid.claimed.tolist(), strict=True)) == pairs


def test_rows_far_apart_are_not_compared_with_what_lies_between() -> None:
    starts = [START + n * 100 * HOUR for n in range(3)]
    rows: list[Row] = [("U1", str(start), str(start + HOUR), "1", "") for start in starts]
    asked: list[tuple[int, int]] = []

    def held_in(start_ms: int, end_ms: int) -> Iterator[HeldRows]:
        asked.append((start_ms, end_ms))
        yield from ()

    assert lay_over(KINDS["plan"], read_rows("plan", table("plan", rows)), held_in).new.all()
    assert asked == [(start, start + HOUR) for start in starts]


PLAIN = """unit,start,end,power_mw
U1,2026-03-01T00:00:00+08:00,2026-03-01T01:00:00+08:00,300.0
U2,1772294400000,1772298000000,
"""


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.rstrip("\n"),
        "\ufeff" + PLAIN,
        PLAIN.replace("U1,", ' "U1" ,').replace(' "U1" ,', '"U1 ",'),
        PLAIN.replace(",300.0", " , 300.0\t").replace("unit,", " unit ,"),
        PLAIN.replace("U2", "\u00a0U2\x1f"),
        PLAIN.replace("\n", ",\n").replace("power_mw,", "power_mw,issued"),
    ],
)
def test_rows_are_the_same_however_the_file_is_written(text: str) -> None:
    rows = read_rows("plan", Delivered("plan.csv", text.encode(), ""))
    assert cells_of(KINDS["plan"], rows) == [
        ("U1", "1772294400000", "1772298000000", "300.0", ""),
        ("U2", "1772294400000", "1772298000000", "", ""),
    ]
    assert rows["row"].to_pylist() == [2, 3]


def test_rows_keep_their_place_in_the_file_beside_blank_lines() -> None:
    text = PLAIN.replace("\nU2", "\n\n , ,,\nU2")
    assert read_rows("plan", Delivered("plan.csv", text.encode(), ""))["row"].to_pylist() == [2, 5]


def test_a_row_in_the_middle_of_a_long_file_is_read_with_its_neighbours() -> None:
    """Longer than two blocks: one with a quote in it, read row by row as a whole, and one without."""
    count = 230_000
    lines = [f"U1,{START + n * HOUR},{START + (n + 1) * HOUR},{n}.5" for n in range(count)]
    for odd in ("", '"'):
        lines[70_000] = f"{odd}U1{odd},{START + 70_000 * HOUR},{START + 70_001 * HOUR},7"
        data = "\n".join(["unit,start,end,power_mw", *lines, ""]).encode()
        assert len(data) > 2 * (4 << 20)
        rows = read_rows("plan", Delivered("plan.csv", data, ""))
        assert rows["row"].to_pylist() == list(range(2, count + 2))
        assert cells_of(KINDS["plan"], rows.take([70_000, 229_999])) == [
            ("U1", str(START + 70_000 * HOUR), str(START + 70_001 * HOUR), "7", ""),
            ("U1", str(START + 229_999 * HOUR), str(START + 230_000 * HOUR), "229999.5", ""),
        ]


def test_rows_written_as_csv_are_what_the_csv_module_writes() -> None:
    rows: list[Row] = [("U1", "*", str(START), str(START + HOUR), "test", text) for text in ('a,"b"', "", "起", "c")]
    text = b"".join(csv_lines(KINDS["exclusions"], read_rows("exclusions", table("exclusions", rows))))
    assert text == table("exclusions", rows).data.split(b"\n", 1)[1]


@pytest.mark.parametrize("odd", ["", '"'])
def test_a_plan_read_by_the_column_or_by_the_cell_has_the_same_integers_and_texts(odd: str) -> None:
    """Half a kilowatt is rounded away from zero, as everywhere; the text stays as it was written."""
    powers = ["300", "300.0", "0.0005", "-0.0005", "12.34449999", ""]
    spans = [(START + n * HOUR, START + (n + 1) * HOUR) for n in range(len(powers))]
    lines = [f"{odd}U1{odd},{a},{b},{power}\n" for (a, b), power in zip(spans, powers, strict=True)]
    rows = read_rows("plan", Delivered("plan.csv", ("unit,start,end,power_mw\n" + "".join(lines)).encode(), ""))
    assert rows["power_kw"].to_pylist() == [300_000, 300_000, 1, -1, 12_344, None]
    assert rows["power_mw"].to_pylist() == powers


@pytest.mark.parametrize(("odd", "end"), [('"', ""), ("\n", "\r\n"), (" ", "\n"), ("", "")][: sized(2, 4)])
def test_a_long_file_packed_as_it_is_read_gives_the_same_rows(odd: str, end: str, tmp_path: Path) -> None:
    """In blocks, and beside it the file read whole; odd: a quoted cell, a blank line, blanks around a cell."""
    count = 260_000
    lines = [f"U{n % 7},{START + n * HOUR},{START + (n + 1) * HOUR},{n % 900}.5" for n in range(count)]
    lines[200_000] = f"{odd}U1{odd}{lines[200_000][2:]}" if odd != "\n" else f"\n{lines[200_000]}"
    path, findings = tmp_path / "plan.csv", Findings()
    path.write_bytes(((end or "\n").join(["unit,start,end,power_mw", *lines]) + end).encode())
    packed, plain = read_packed(path, "plan.csv", findings), read_delivered(path, "plan.csv", findings)
    assert packed is not None
    assert plain is not None
    assert (packed.packed, plain.packed, packed.sha256, packed.data) == (True, False, plain.sha256, plain.data)
    found, expected = read_rows("plan", packed), read_rows("plan", plain)
    assert len(found) == count
    assert found.to_pylist()[-2:] == expected.to_pylist()[-2:]
    assert cells_of(KINDS["plan"], found) == cells_of(KINDS["plan"], expected)
    assert found["row"].equals(expected["row"])
    assert unpack(pack(packed)) == plain.data
