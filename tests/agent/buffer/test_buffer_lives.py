# SPDX-License-Identifier: GPL-3.0-or-later
"""A buffer file damaged in any way, then the agent's whole life on it: it starts, sends, is acknowledged, starts again.

Every record that was in a batch arrives once or lies in a gap. Random damages, ten times as many as DAMAGES says;
SEED for others.
"""

from __future__ import annotations

import copy
import os
import random
import shutil
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from collector.agent.buffer.buffer_file import Damaged
from tests.agent.buffer.agent_buffers import (
    T0,
    ack,
    open_buffer,
    pending,
    record,
    seal_one,
)
from tests.agent.buffer.arrived import Center, live
from tests.size import sized

LIVES = 10 * int(os.environ.get("DAMAGES", sized(2, 4)))
SEED = int(os.environ.get("SEED", "1"))
BATCHES, FREED = 40, 10
# More than a page holds: most payloads of a busy gateway go on in chains of pages.
WIDE = 3000


@dataclass(frozen=True)
class Whole:
    """A buffer before the damage: its file, (unit, time) of all records in batches, and the center that has some."""

    path: Path
    sent: set[tuple[str, int]]
    center: Center


def fill(path: Path) -> Whole:
    """40 batches of U1, every fourth of many pages, ten of them at the center; an open tail."""
    sent, center = set(), Center()
    with closing(open_buffer(path)) as buffer:
        for second in range(10, 10 * BATCHES + 1, 10):
            if second % 40:
                seal_one(buffer, second)
                sent.add(("U1", T0 + second * 1000))
                continue
            dice = random.Random(second)
            rows = [record(second + n / 1000, power_kw=dice.randrange(10**9)) for n in range(WIDE)]
            buffer.append(rows)
            buffer.seal_all()
            sent |= {(row.unit, row.time_utc_ms) for row in rows}
        for outgoing in pending(buffer)[:FREED]:
            center.receive(outgoing)
        ack(buffer, outgoing.epoch, FREED)
        for second in range(10 * BATCHES + 10, 10 * BATCHES + 13):
            buffer.append([record(second), record(second, unit="U2")])
    return Whole(path, sent, center)


def live_on(path: Path, whole: Whole) -> tuple[list[str], Center]:
    """Three starts, one more for each time the file turned out damaged in use: then all is told. What was salvaged."""
    center, sent = copy.deepcopy(whole.center), whole.sent
    said: list[str] = []
    stopped = 0
    while len(said) < 3:
        try:
            said.append(live(path, center, 1000 * (len(said) + 1)))
        except Damaged:
            stopped += 1
            assert stopped < 3, "a restart helps"
    arrived = Counter((unit, time_ms) for unit, _, time_ms in center.records.elements())
    spans = [(g.from_ms, g.to_ms) for g in center.gaps if "U1" in g.units]
    lost = [time_ms for unit, time_ms in sent if not arrived[unit, time_ms]]
    assert all(any(a <= time_ms < b for a, b in spans) for time_ms in lost), (said, sorted(lost)[:3], spans)
    assert {arrived[each] for each in sent} <= {0, 1}
    assert not any("nothing could be salvaged" in words for words in said), said
    assert not said[-1], "a file that was salvaged is a whole one"
    return said, center


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    return fill(tmp_path_factory.mktemp("whole") / "b")


def copied(whole: Whole, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for each in whole.path.parent.glob("b*"):
        shutil.copy(each, folder / each.name)
    return folder / "b"


def flip(path: Path, dice: random.Random) -> str:
    content = bytearray(path.read_bytes())
    places = [dice.randrange(len(content)) for _ in range(dice.choice((1, 1, 5, 50)))]
    for at in places:
        content[at] ^= 1 << dice.randrange(8)
    path.write_bytes(content)
    return f"bits at {places}"


def truncate(path: Path, dice: random.Random) -> str:
    at = dice.randrange(path.stat().st_size)
    os.truncate(path, at)
    return f"cut at {at}"


def blank(path: Path, dice: random.Random) -> str:
    with path.open("r+b") as file:
        at, length = dice.randrange(path.stat().st_size), dice.choice((16, 512, 4096, 20_000))
        file.seek(at)
        file.write(dice.choice((bytes(length), dice.randbytes(length))))
    return f"{length} bytes at {at}"


TABLES = ("meta", "recorded", "stores", "units", "streams", "tail", "batches", "lost", "_sqlite_migrations")
STRANGE = (None, "text", "", b"\xff\x00", -1, 0, 1, 2.5, 1 << 62, "U1", "é\x00")


def change_rows(path: Path, dice: random.Random) -> str:
    """A value of any type in any column, deleted rows, payloads exchanged."""
    with closing(sqlite3.connect(path)) as db, db:
        table = dice.choice(TABLES)
        ids = [row[0] for row in db.execute(f'SELECT rowid FROM "{table}"')]
        chosen = dice.sample(ids, dice.randrange(1, len(ids) + 1)) if ids and dice.random() < 0.3 else ids[-1:]
        kind = dice.choice(("set", "set", "set", "delete", "exchange"))
        if kind == "exchange":
            a, b = dice.sample([row[0] for row in db.execute("SELECT id FROM batches")], 2)
            columns = dice.choice(("payload", "payload, sha256", "sequence"))
            rows = {n: db.execute(f"SELECT {columns} FROM batches WHERE id = ?", (n,)).fetchone() for n in (a, b)}
            setting = ", ".join(f"{name} = ?" for name in columns.split(", "))
            db.execute("UPDATE batches SET sequence = -7 WHERE id = ?", (b,)) if columns == "sequence" else None
            db.execute(f"UPDATE batches SET {setting} WHERE id = ?", (*rows[b], a))
            db.execute(f"UPDATE batches SET {setting} WHERE id = ?", (*rows[a], b))
            return f"{columns} of {a} and {b} exchanged"
        marks = ",".join("?" * len(chosen))
        if kind == "delete":
            db.execute(f'DELETE FROM "{table}" WHERE rowid IN ({marks})', chosen)
            return f"{len(chosen)} rows of {table} deleted"
        column = dice.choice([row[1] for row in db.execute(f'PRAGMA table_info("{table}")')])
        value = dice.choice(STRANGE)
        with suppress(sqlite3.IntegrityError):  # a rowid takes numbers only
            db.execute(f'UPDATE OR IGNORE "{table}" SET "{column}" = ? WHERE rowid IN ({marks})', (value, *chosen))
        return f"{table}.{column} = {value!r} in {len(chosen)} rows"


@pytest.mark.parametrize("damage", [flip, truncate, blank, change_rows])
def test_whatever_a_buffer_file_holds_the_agent_starts_and_each_record_arrives_once_or_is_in_a_gap(
    tmp_path: Path, whole: Whole, damage: Callable[[Path, random.Random], str]
) -> None:
    for number in range(LIVES // 4):
        dice = random.Random(f"{SEED} {damage.__name__} {number}")
        path = copied(whole, tmp_path / str(number))
        done = damage(path, dice)
        try:
            live_on(path, whole)
        except Exception as error:
            error.add_note(f"life {number}: {done}")
            raise
        shutil.rmtree(path.parent)


@pytest.mark.parametrize("kept", [0.95, 0.8, 0.65])
def test_of_a_file_cut_short_every_batch_that_is_whole_in_it_is_salvaged(
    tmp_path: Path, whole: Whole, kept: float
) -> None:
    path = copied(whole, tmp_path / "cut")
    size = path.stat().st_size // 4096 * 4096
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        last_page = pages_of_batches(path, db)
    os.truncate(path, int(size * kept))
    still = {sequence for sequence, page in last_page.items() if page * 4096 <= int(size * kept)}
    assert max(still) > FREED
    said, center = live_on(path, whole)
    assert said[0]
    (epoch,) = {epoch for epoch, _ in whole.center.payloads}
    assert still <= {sequence for each, sequence in center.payloads if each == epoch}


@pytest.mark.parametrize("spoilt", ["header", "schema", "all of it"])
def test_with_page_one_spoilt_every_batch_is_salvaged_from_the_bare_pages(
    tmp_path: Path, whole: Whole, spoilt: str
) -> None:
    path = copied(whole, tmp_path / "first")
    with path.open("r+b") as file:
        at, length = {"header": (0, 100), "schema": (100, 400), "all of it": (0, 4096)}[spoilt]
        file.seek(at)
        file.write(random.Random(7).randbytes(length))
    _, center = live_on(path, whole)
    assert whole.sent <= {(unit, time_ms) for unit, _, time_ms in center.records}
    assert max(center.records.values()) == 1


def pages_of_batches(path: Path, db: sqlite3.Connection) -> dict[int, int]:
    """Sequence of each batch of P1 and the highest page its payload needs, by the file format's own rules."""
    content = path.read_bytes()
    found = {}
    for sequence, payload in db.execute("SELECT sequence, payload FROM batches WHERE stream = 1"):
        at = content.find(payload[:60])
        page = at // 4096
        highest = page + 1
        # The part on a table's page ends where what remains fills pages of 4092 bytes; a pointer follows it.
        for end in range(at + 60, (page + 1) * 4096 - 3):
            (following,) = struct.unpack(">I", content[end : end + 4])
            chain: list[int] = []
            rest = payload[end - at :]
            while rest and 2 <= following <= len(content) // 4096 and len(chain) < 50:
                begin = (following - 1) * 4096
                if content[begin + 4 : begin + 4 + len(rest[:4092])] != rest[:4092]:
                    break
                chain.append(following)
                rest = rest[4092:]
                (following,) = struct.unpack(">I", content[begin : begin + 4])
            if chain and not rest:
                highest = max(highest, *chain)
                break
        else:
            assert content[at : at + len(payload)] == payload, "whole on its page"
        found[sequence] = highest
    return found
