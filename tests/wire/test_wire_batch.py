# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches to bytes and back."""

from __future__ import annotations

import hashlib
import itertools
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bench import signals
from collector.base.clock_state import ClockState
from collector.base.errors import Garbled
from collector.model.quantity import QUANTITIES
from collector.model.record import Cause, GapRecord, Quality, UnitLayout, UnitRecord
from collector.wire import (
    MAX_PAYLOAD_BYTES,
    SCHEMA_VERSION,
    Batch,
    BatchTimes,
    Signer,
    Stream,
    decode_batch,
    decode_columns,
    decode_times,
    encode_batch,
    encode_columns,
    open_envelope,
    verify_signature,
)
from collector.wire.body import QUANTITY_CODES
from tests.size import sized
from tests.wire.wire_strategies import batches

SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
STREAM = Stream("plant-1", "gateway-1", 0xFEDC_BA98_7654_3210)
LAYOUT = UnitLayout("U1", ("active_power_mw", "on_grid"))


def record(time_utc_ms: int, power_kw: int | None, quality: Quality = Quality.GOOD) -> UnitRecord:
    return UnitRecord("U1", time_utc_ms, (power_kw, 1), (quality, Quality.GOOD))


def reseal(payload: bytes, **changes: object) -> bytes:
    """The payload with header fields exchanged by position and the body's SHA-256 put right."""
    header, signature, body = msgspec.msgpack.decode(payload)
    fields = msgspec.msgpack.decode(header)
    body = changes.pop("body", body)
    fields[8] = hashlib.sha256(body).digest()  # type: ignore[arg-type]
    for position, value in changes.items():
        fields[int(position.removeprefix("f"))] = value
    return msgspec.msgpack.encode([msgspec.msgpack.encode(fields), signature, body])


def unpacked(payload: bytes) -> tuple[bytes, bytes]:
    """Index and columns of a payload of version 2."""
    index, columns = msgspec.msgpack.decode(open_envelope(payload).body)
    unpack = zstandard.ZstdDecompressor().decompress
    return unpack(index) if index.startswith(zstandard.FRAME_HEADER) else index, unpack(columns)


def parts_with(payload: bytes, **parts: bytes) -> bytes:
    """The body of a payload with its index or its columns, as they travel, exchanged."""
    index, columns = msgspec.msgpack.decode(open_envelope(payload).body)
    return msgspec.msgpack.encode([parts.get("index", index), parts.get("columns", columns)])


def assert_times(one: BatchTimes, other: BatchTimes) -> None:
    assert [(u.unit, *u.time_utc_ms.tolist()) for u in one.units] == [
        (u.unit, *u.time_utc_ms.tolist()) for u in other.units
    ]
    assert one.gaps == other.gaps


@given(batches())
@settings(max_examples=sized(60, 200))
@example(Batch(STREAM, 1, (LAYOUT,), (), ()))
def test_decoding_an_encoded_batch_gives_it_back(batch: Batch) -> None:
    payload = encode_batch(batch, SIGNER)
    envelope = open_envelope(payload)
    verify_signature(envelope, SIGNER.public_key)
    assert decode_batch(envelope) == batch
    times = decode_times(envelope)
    assert times.gaps == batch.gaps
    assert {u.unit: u.time_utc_ms.tolist() for u in times.units} == {
        layout.unit: [r.time_utc_ms for r in batch.records if r.unit == layout.unit] for layout in batch.layouts
    }
    assert (envelope.stream, envelope.sequence, envelope.record_count) == (
        batch.stream,
        batch.sequence,
        len(batch.records),
    )
    assert (envelope.first_ms, envelope.last_ms) == (batch.first_ms, batch.last_ms)
    assert envelope.sha256 == hashlib.sha256(envelope.body).digest()


@given(batches())
def test_columns_are_encoded_as_the_records_they_are(batch: Batch) -> None:
    """The same records; what stands in for a missing value is not told, so the bytes may be others."""
    alone = replace(batch, gaps=())
    columns = decode_columns(open_envelope(encode_batch(alone, None)))
    assert decode_batch(open_envelope(encode_columns(alone.stream, alone.sequence, columns.units))) == alone


@given(batches())
def test_the_agent_and_the_center_make_the_same_bytes(batch: Batch) -> None:
    """One in plain Python, the other with arrays."""
    records = tuple(r._replace(values=tuple(v or 0 for v in r.values)) for r in batch.records)
    full = replace(batch, records=records, gaps=())
    payload = encode_batch(full, None)
    assert encode_columns(full.stream, full.sequence, decode_columns(open_envelope(payload)).units) == payload


def test_every_quantity_has_a_code_of_its_own() -> None:
    assert set(QUANTITY_CODES) == {q.name for q in QUANTITIES}
    assert len(set(QUANTITY_CODES.values())) == len(QUANTITY_CODES)


def test_records_come_back_grouped_by_unit() -> None:
    layouts = (UnitLayout("U1", ("on_grid",)), UnitLayout("U2", ("on_grid",)))
    ticks = [UnitRecord(unit, t, (1,), (Quality.GOOD,)) for t in (1000, 2000) for unit in ("U2", "U1")]
    decoded = decode_batch(open_envelope(encode_batch(Batch(STREAM, 1, layouts, tuple(ticks)), None)))
    assert [(r.unit, r.time_utc_ms) for r in decoded.records] == [
        ("U1", 1000),
        ("U1", 2000),
        ("U2", 1000),
        ("U2", 2000),
    ]


def test_columns_carry_a_missing_value_as_absent_with_its_quality() -> None:
    records = (record(1000, 330_000), record(2000, None, Quality.SILENT), record(3000, 330_010))
    columns = decode_columns(open_envelope(encode_batch(Batch(STREAM, 7, (LAYOUT,), records), SIGNER)))
    (unit,) = columns.units
    assert list(unit.columns) == ["active_power_mw", "on_grid"]
    assert unit.time_utc_ms.tolist() == [1000, 2000, 3000]
    quantities = unit.columns.values()
    assert [column.values.tolist() for column in quantities] == [[330_000, 0, 330_010], [1, 1, 1]]
    assert [column.present.tolist() for column in quantities] == [[True, False, True], [True, True, True]]
    assert [column.qualities.tolist() for column in quantities] == [[0, int(Quality.SILENT), 0], [0, 0, 0]]
    assert not unit.tagged.any()


def test_a_change_keeps_the_tag_of_its_device() -> None:
    change = UnitRecord("U1", 2400, (1, 0), (Quality.GOOD, Quality.LATE_TAG), Cause.CHANGE, 3, device_time_utc_ms=1234)
    columns = decode_columns(open_envelope(encode_batch(Batch(STREAM, 7, (LAYOUT,), (record(1, 1), change)), None)))
    (unit,) = columns.units
    assert unit.tagged.tolist() == [False, True]
    assert unit.device_time_utc_ms.tolist() == [0, 1234]
    assert unit.era.tolist() == [0, 3]


def test_a_batch_may_hold_gaps_only() -> None:
    gap = GapRecord(("U1",), 1000, 5000, "agent_down")
    envelope = open_envelope(encode_batch(Batch(STREAM, 2, (), (), (gap,)), SIGNER))
    assert (envelope.record_count, envelope.first_ms, envelope.last_ms) == (0, 1000, 5000)
    assert decode_columns(envelope).gaps == (gap,)


def test_a_full_minute_of_four_units_takes_at_most_ten_bytes_a_record() -> None:
    ticks = itertools.chain.from_iterable(signals.ticks(60))
    payload = encode_batch(Batch(STREAM, 1000, signals.layouts(), tuple(ticks)), SIGNER)
    assert len(payload) <= 10 * 240


def test_a_signature_of_another_key_is_bad() -> None:
    envelope = open_envelope(encode_batch(Batch(STREAM, 1, (LAYOUT,), (record(1, 2),)), SIGNER))
    with pytest.raises(Garbled) as caught:
        verify_signature(envelope, Ed25519PrivateKey.generate().public_key())
    assert caught.value.code == "bad_signature"


def test_the_signature_covers_every_field_of_the_header() -> None:
    payload = encode_batch(Batch(STREAM, 1, (LAYOUT,), (record(1, 2),)), SIGNER)
    for field, value in (("f1", "plant-2"), ("f2", "other"), ("f3", 5), ("f4", 2), ("f5", 3), ("f6", 0), ("f7", 9)):
        with pytest.raises(Garbled) as caught:
            verify_signature(open_envelope(reseal(payload, **{field: value})), SIGNER.public_key)
        assert caught.value.code == "bad_signature"


def test_a_flipped_bit_in_the_body_is_a_bad_checksum() -> None:
    payload = bytearray(encode_batch(Batch(STREAM, 1, (LAYOUT,), (record(1, 2),)), SIGNER))
    payload[-3] ^= 1
    with pytest.raises(Garbled) as caught:
        open_envelope(bytes(payload))
    assert caught.value.code == "bad_checksum"


def test_another_schema_version_is_named_as_such() -> None:
    payload = encode_batch(Batch(STREAM, 1, (LAYOUT,), (record(1, 2),)), SIGNER)
    with pytest.raises(Garbled) as caught:
        open_envelope(reseal(payload, f0=3))
    assert caught.value.code == "unknown_version"


def test_a_header_that_says_other_things_than_the_body_is_malformed() -> None:
    payload = encode_batch(Batch(STREAM, 1, (LAYOUT,), (record(1, 2), record(5, 2))), SIGNER)
    for field, value in (("f5", 3), ("f6", 0), ("f7", 6)):
        with pytest.raises(Garbled) as caught:
            decode_columns(open_envelope(reseal(payload, **{field: value})))
        assert caught.value.code == "malformed"


def test_a_payload_over_the_limit_is_oversized_before_it_is_parsed() -> None:
    with pytest.raises(Garbled) as caught:
        open_envelope(bytes(MAX_PAYLOAD_BYTES + 1))
    assert caught.value.code == "oversized"


def test_a_body_that_would_unpack_to_gigabytes_is_oversized() -> None:
    payload = encode_batch(Batch(STREAM, 1, (LAYOUT,), (record(1, 2),)), SIGNER)
    bomb = zstandard.ZstdCompressor(level=3).compress(bytes(40 * 1024 * 1024))
    assert len(bomb) < 5000
    with pytest.raises(Garbled) as caught:
        decode_columns(open_envelope(reseal(payload, body=parts_with(payload, columns=bomb))))
    assert caught.value.code == "oversized"
    with pytest.raises(Garbled) as caught:
        decode_times(open_envelope(reseal(payload, body=parts_with(payload, index=bomb))))
    assert caught.value.code == "oversized"


def test_a_frame_that_does_not_tell_its_size_is_refused() -> None:
    payload = encode_batch(Batch(STREAM, 1, (LAYOUT,), (record(1, 2),)), SIGNER)
    silent = zstandard.ZstdCompressor(write_content_size=False).compress(bytes(1000))
    with pytest.raises(Garbled):
        decode_columns(open_envelope(reseal(payload, body=parts_with(payload, columns=silent))))


@pytest.mark.parametrize("name", ["", "a/b", "#", "+", "a b", "x" * 65, "../p", "é"])
def test_names_that_would_be_unsafe_in_a_topic_or_path_are_malformed(name: str) -> None:
    payload = encode_batch(Batch(STREAM, 1, (LAYOUT,), (record(1, 2),)), SIGNER)
    with pytest.raises(Garbled) as caught:
        open_envelope(reseal(payload, f1=name))
    assert caught.value.code == "malformed"


def test_what_can_not_be_said_is_refused_when_encoding() -> None:
    for bad in (
        Batch(STREAM, 1, (), (record(1, 2),)),
        Batch(STREAM, 1, (UnitLayout("U1", ("steam_t_per_h", "on_grid")),), (record(1, 2),)),
        Batch(STREAM, 1, (UnitLayout("U1", ("on_grid",)),), (record(1, 2),)),
        Batch(STREAM, 1, (LAYOUT,), (record(1, 1 << 62),)),
        Batch(STREAM, 1, (LAYOUT,), (record(1, 1 << 64),)),
    ):
        with pytest.raises(ValueError, match=r"layout|code|values|beyond|64 bits"):
            encode_batch(bad, None)


@given(st.binary(max_size=400))
@settings(max_examples=sized(80, 300))
def test_random_bytes_are_garbled_and_nothing_else(noise: bytes) -> None:
    with pytest.raises(Garbled):
        decode_batch(open_envelope(noise))


@given(batches(), st.data())
@settings(max_examples=sized(50, 150))
def test_a_body_with_bytes_exchanged_is_garbled_or_a_batch(batch: Batch, data: st.DataObject) -> None:
    good = encode_batch(batch, None)
    index, columns = map(bytearray, unpacked(good))
    for _ in range(data.draw(st.integers(1, 4))):
        raw = index if data.draw(st.booleans()) else columns
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    body = parts_with(good, index=bytes(index), columns=zstandard.ZstdCompressor().compress(bytes(columns)))
    envelope = open_envelope(reseal(good, body=body))
    with suppress(Garbled):
        times = decode_times(envelope)
        with suppress(Garbled):
            assert_times(times, decode_columns(envelope).times)
        assert sum(len(unit.time_utc_ms) for unit in times.units) == envelope.record_count


V1 = Path(__file__).parent / "samples" / "batch-v1.bin"


def of_sample() -> Batch:
    """What the sample of version 1 holds: it was made of these records by the last program that made that version."""
    good, start = Quality.GOOD, 1_773_000_000_000
    layouts = (UnitLayout("U1", ("active_power_mw", "on_grid")), UnitLayout("U2", ("frequency_hz",)))
    sync = ClockState.SYNCHRONISED
    change = UnitRecord("U1", start + 1250, (331_000, 0), (good, Quality.LATE_TAG), Cause.CHANGE, 1)
    records = (
        UnitRecord("U1", start, (330_000, 1), (good, good), clock=sync),
        UnitRecord("U1", start + 1000, (None, 1), (Quality.SILENT, good), clock=sync),
        change._replace(device_time_utc_ms=start + 1200),
        UnitRecord("U2", start, (50_010_000,), (good,), clock=sync),
    )
    gap = GapRecord(("U2",), start, start + 60_000, "agent_down", 7, 1, 2)
    return Batch(STREAM, 42, layouts, records, (gap,))


def test_a_batch_of_version_1_is_read_for_ever() -> None:
    envelope = open_envelope(V1.read_bytes())
    assert (envelope.version, SCHEMA_VERSION) == (1, 2)
    assert decode_batch(envelope) == of_sample()
    assert_times(decode_times(envelope), decode_times(open_envelope(encode_batch(of_sample(), None))))


def test_the_index_is_told_without_the_columns_which_are_found_out_when_they_are_decoded() -> None:
    payload = encode_batch(of_sample(), None)
    pack = zstandard.ZstdCompressor().compress
    of_none = unpacked(encode_batch(Batch(STREAM, 1, (), (), ()), None))[1]
    for bad in (b"", b"no frame", pack(unpacked(payload)[1][:-3]), pack(of_none)):
        envelope = open_envelope(reseal(payload, body=parts_with(payload, columns=bad)))
        assert [u.time_utc_ms.tolist() for u in decode_times(envelope).units] == [
            [1_773_000_000_000, 1_773_000_001_000, 1_773_000_001_250],
            [1_773_000_000_000],
        ]
        with pytest.raises(Garbled) as caught:
            decode_columns(envelope)
        assert caught.value.code == "malformed"


@pytest.mark.parametrize(
    "index",
    [
        [["U1"], b"", [[2, 0, 4], [1]], []],  # an axis that nobody has
        [["U1"], b"\x01", [[2, 0, 4]], []],  # one that is not there
        [["U1", "U2"], b"\0", [[1]], []],  # a unit without one
        [["U1", "U1"], b"", [[1]], []],
        [["U 1"], b"", [[2, 0, 4]], []],
        [["U1"], b"", [[2, 0, 5]], []],  # another last time than the header's
        [["U1"], b"", [[2, -1, 5]], []],
        [["U1"], b"", [[3, 0, 2]], []],  # another count
        [["U1"], b"", [[2, 0, 4, 1, 1, b"\0"]], []],  # planes for two records
        [["U1"], b"", [[2, 0, 4, 1, 3, b""]], []],  # a width that is none
        [["U1"], b"", [[2, 0, 1 << 63]], []],
        [["U1"], b"", [[100_001, 0, 0]], []],
        [["U1", "U2"], b"", [[60_000, 0, 0]], []],  # 120 000 records of one axis
        [["U1"], b"", [[2, 0, 4]]],
    ],
)
def test_an_index_that_no_encoder_makes_is_malformed(index: list[object]) -> None:
    payload = encode_batch(Batch(STREAM, 1, (LAYOUT,), (record(1, 2), record(5, 2))), SIGNER)
    assert unpacked(payload)[0] == msgspec.msgpack.encode([["U1"], b"", [[2, 0, 4]], []])
    for decode in (decode_times, decode_columns):
        with pytest.raises(Garbled) as caught:
            decode(open_envelope(reseal(payload, body=parts_with(payload, index=msgspec.msgpack.encode(index)))))
        assert caught.value.code == "malformed"


def test_units_with_the_same_times_share_them_and_regular_times_take_three_numbers() -> None:
    ticks = tuple(itertools.chain.from_iterable(signals.ticks(60)))
    start = ticks[0].time_utc_ms
    units = [layout.unit for layout in signals.layouts()]
    index, _ = unpacked(encode_batch(Batch(STREAM, 1, signals.layouts(), ticks), SIGNER))
    assert msgspec.msgpack.decode(index) == [units, b"", [[60, 0, 1000]], []]
    # A change of the first unit a quarter of a second after its first tick: 250, 750, 1000 … ms, less 250 and by 250.
    change = ticks[0]._replace(time_utc_ms=start + 250, cause=Cause.CHANGE)
    by_unit = sorted([*ticks, change], key=lambda r: (units.index(r.unit), r.time_utc_ms))
    index, _ = unpacked(encode_batch(Batch(STREAM, 1, signals.layouts(), tuple(by_unit)), SIGNER))
    rest = bytes([2 * 2, *[2 * 3] * 58])  # zigzag: twice the number
    assert msgspec.msgpack.decode(index) == [units, b"\0\1\1\1", [[61, 0, 250, 250, 1, rest], [60, 0, 1000]], []]
