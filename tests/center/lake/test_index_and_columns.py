# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches of both schema versions make the same day; what is good in its index alone is set aside at sealing."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec
import pytest
import zstandard
from sqlalchemy import select

from collector import wire
from collector.center.db.store import CenterStore
from collector.center.db.tables_receive import payload, unit_day
from collector.center.lake.seal import find_stale_days, seal_month_of
from collector.center.operate.integrity import check_store
from collector.center.receive.arrivals import Rejected
from collector.center.receive.quarantine import list_quarantine
from collector.model.interval import DAY_MS
from tests.center.center_batches import (
    NOON,
    batch_topic,
    deliver,
    minutes,
    new_signer,
    new_store,
    open_admission,
    payload_of,
)
from tests.center.lake.sealed_days import MARCH, rows, seal

pytestmark = pytest.mark.usefixtures("on_both")
# Of the records of `minutes("U1", NOON, 5)`, made by the last program that made version 1.
V1 = Path(__file__).parent / "samples" / "minutes-v1.bin"


def with_columns(good: bytes, columns: bytes, signer: wire.Signer | None = None) -> bytes:
    """A batch that its plant made so: a good index, these columns, a header and a signature that fit."""
    header, _, body = msgspec.msgpack.decode(good)
    index, _ = msgspec.msgpack.decode(body)
    fields, body = msgspec.msgpack.decode(header), msgspec.msgpack.encode([index, columns])
    fields[8] = hashlib.sha256(body).digest()
    header = msgspec.msgpack.encode(fields)
    return msgspec.msgpack.encode([header, signer.sign(header) if signer else b"", body])


def unit_days(store: CenterStore) -> list[tuple[str, str, int, int]]:
    columns = (unit_day.c.unit, unit_day.c.day, unit_day.c.received, unit_day.c.last_ms)
    return store.read(lambda c: [tuple(row) for row in c.execute(select(*columns).order_by(*columns))])


def test_a_batch_of_version_1_makes_the_same_day_file_as_one_of_version_2(tmp_path: Path) -> None:
    names = []
    for number, made in enumerate((V1.read_bytes(), payload_of(1, minutes("U1", NOON, 5)))):
        assert wire.open_envelope(made).version == number + 1
        with new_store(tmp_path / str(number)) as store:
            assert deliver(store, [made]).records == 5
            names.append(seal(store)["2026-03-10"].name)
            assert unit_days(store) == [("U1", "2026-03-10", 5, NOON + 4 * 60_000)]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    "columns",
    [b"", b"no frame", zstandard.ZstdCompressor().compress(msgspec.msgpack.encode([[b""], b"", [], [], b""]))],
)
def test_a_batch_whose_columns_are_none_is_told_and_left_out_of_its_days(tmp_path: Path, columns: bytes) -> None:
    signer = new_signer(tmp_path, "plant")
    admission = open_admission(signer=signer)
    # It reaches from the 10th into the 11th, where it has the last records.
    bad = with_columns(payload_of(2, minutes("U1", NOON + DAY_MS // 2 - 120_000, 4), signer=signer), columns, signer)
    with new_store(tmp_path) as store:
        good = [
            payload_of(1, minutes("U1", NOON, 5), signer=signer),
            payload_of(3, minutes("U2", NOON, 1), signer=signer),
        ]
        assert deliver(store, [*good, bad], admission=admission).committed == 3
        files = seal(store)
        assert rows(files["2026-03-10"], "unit", "time") == [
            *(("U1", NOON + n * 60_000) for n in range(5)),
            ("U2", NOON),
        ]
        # The head of the 11th is of the batches that count.
        assert rows(files["2026-03-11"], "unit", "time", "place") == [("U1", NOON + 240_000, -1), ("U2", NOON, -1)]
        assert unit_days(store) == [("U1", "2026-03-10", 5, NOON + 240_000), ("U2", "2026-03-10", 1, NOON)]
        [told] = store.read(list_quarantine)
        assert (told["code"], told["plant"], told["gateway"], told["sequence"]) == ("bad_columns", "P1", "g1", 2)
        assert store.read(find_stale_days) == []
        assert check_store(store) == []
        # The plant has its acknowledgement; the bytes are there for who wants to know what was in them.
        assert bad in [bytes(b) for b in store.read(lambda c: c.execute(select(payload.c.bytes)).scalars().all())]
        assert deliver(store, [bad], admission=admission).repeated == 1
        assert seal_month_of(store, MARCH) == tuple(files.values())


def test_a_unit_that_is_not_the_plants_is_seen_in_the_index() -> None:
    made = with_columns(payload_of(1, minutes("U1", NOON, 5)), b"")
    refused = open_admission(units=("U2",)).admit(batch_topic(), made)
    assert isinstance(refused, Rejected)
    assert refused.code == "foreign_unit"
