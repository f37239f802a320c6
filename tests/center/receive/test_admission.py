# SPDX-License-Identifier: GPL-3.0-or-later
"""What is let in, and with which code everything else is turned away."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector import wire
from collector.center.receive.admission import Admission, EnrolledPlant
from collector.center.receive.arrivals import Accepted, AgentState, Rejected
from collector.model.record import GapRecord
from tests.center.center_batches import (
    EPOCH,
    NOON,
    WIDE,
    FixedClock,
    batch_topic,
    minutes,
    new_signer,
    open_admission,
    payload_of,
)


def _rejected(admission: Admission, payload: bytes, topic: str = batch_topic()) -> Rejected:
    arrival = admission.admit(topic, payload)
    assert isinstance(arrival, Rejected)
    return arrival


def test_an_accepted_batch_is_indexed_by_unit_and_local_day() -> None:
    across = payload_of(1, minutes("U1", NOON + 43_140_000, 3))  # 23:59, 00:00, 00:01
    arrival = open_admission().admit(batch_topic(), across)
    assert isinstance(arrival, Accepted)
    assert arrival.stream == ("P1", "g1", EPOCH)
    assert [(p.unit, p.day, p.count) for p in arrival.parts] == [("U1", "2026-03-10", 1), ("U1", "2026-03-11", 2)]
    bits = [int.from_bytes(p.minutes, "big") for p in arrival.parts]
    assert bits == [1, (1 << 1439) | (1 << 1438)]


def test_a_signed_batch_is_let_in_and_its_unsigned_twin_is_not(tmp_path: Path) -> None:
    signer = new_signer(tmp_path, "own")
    admission = open_admission(signer=signer)
    records = minutes("U1", NOON, 2)
    assert isinstance(admission.admit(batch_topic(), payload_of(1, records, signer=signer)), Accepted)
    unsigned = _rejected(admission, payload_of(1, records))
    assert (unsigned.code, unsigned.authentic, unsigned.sequence) == ("bad_signature", False, 1)


def test_a_forged_signature_is_turned_away(tmp_path: Path) -> None:
    own, other = new_signer(tmp_path, "own"), new_signer(tmp_path, "other")
    assert (
        _rejected(open_admission(signer=own), payload_of(1, minutes("U1", NOON, 2), signer=other)).code == "unknown_key"
    )
    other.key_id = own.key_id  # names the plant's key and signs with its own
    forged = _rejected(open_admission(signer=own), payload_of(1, minutes("U1", NOON, 2), signer=other))
    assert (forged.code, forged.authentic) == ("bad_signature", False)


def test_another_plants_unit_is_turned_away_also_in_a_gap_record() -> None:
    admission = open_admission()
    foreign = _rejected(admission, payload_of(1, minutes("V1", NOON, 2)))
    assert (foreign.code, foreign.authentic) == ("foreign_unit", True)
    gap = GapRecord(("U1", "V1"), NOON, NOON + 1, "agent_down")
    assert _rejected(admission, payload_of(1, [], gaps=[gap])).code == "foreign_unit"


def test_a_batch_on_another_plants_topic_is_turned_away() -> None:
    admission = open_admission()
    assert _rejected(admission, payload_of(1, minutes("U1", NOON, 1)), batch_topic("P2")).code == "wrong_topic"
    assert _rejected(admission, payload_of(1, minutes("U1", NOON, 1)), batch_topic("P1", "g2")).code == "wrong_topic"


def test_a_plant_that_is_not_enrolled_is_turned_away() -> None:
    stranger = payload_of(1, minutes("U1", NOON, 1), plant="P9")
    assert _rejected(open_admission(), stranger, batch_topic("P9")).code == "unknown_plant"


def test_topics_that_are_none_are_turned_away() -> None:
    for topic in ("collector/v1/P1/g1", "other/v1/P1/g1/batch", "collector/v1/../g1/batch", "collector/v1//g1/batch"):
        assert _rejected(open_admission(), b"x", topic).code == "topic"


def test_too_large_a_batch_is_turned_away_by_its_size() -> None:
    payload = payload_of(3, minutes("U1", NOON, 50))
    plants = {"P1": EnrolledPlant(frozenset({"U1"}), {})}
    limits = WIDE.model_copy(update={"max_batch_bytes": len(payload) - 1})
    small = Admission(root="collector", plants=plants, limits=limits, clock=FixedClock())
    rejected = _rejected(small, payload)
    assert (rejected.code, rejected.sequence, rejected.authentic) == ("oversized", 3, True)
    assert _rejected(open_admission(), bytes(wire.MAX_PAYLOAD_BYTES + 1)).code == "oversized"


def test_state_messages_of_enrolled_plants_pass_within_their_bound() -> None:
    admission = open_admission()
    topic = wire.topic("collector", "P1", "g1", "state")
    assert admission.admit(topic, b"{}") == AgentState("P1", "g1", b"{}")
    assert admission.admit(topic, bytes(70_000)) is None
    assert admission.admit(topic, b"") is None
    assert admission.admit(wire.topic("collector", "P9", "g1", "state"), b"{}") is None


def test_a_batch_that_cant_be_opened_is_refused_by_its_number_where_that_can_be_read() -> None:
    whole = payload_of(5, minutes("U1", NOON, 2))
    header, signature, body = msgspec.msgpack.decode(whole)
    fields = msgspec.msgpack.decode(header)

    def with_header(*changed: object) -> bytes:
        return msgspec.msgpack.encode([msgspec.msgpack.encode(changed), signature, body])

    admission = open_admission()
    for payload, code, number in (
        (whole[:-1] + bytes([whole[-1] ^ 1]), "bad_checksum", 5),
        (with_header(3, *fields[1:], "a field of version 3"), "unknown_version", 5),
        (with_header(3, "what", "ever"), "unknown_version", None),
        (whole[:-1], "malformed", None),
        (bytes(wire.MAX_PAYLOAD_BYTES + 1), "oversized", None),
    ):
        refused = _rejected(admission, payload)
        assert (refused.code, refused.sequence, refused.authentic) == (code, number, False)
        assert refused.epoch == (None if number is None else EPOCH)
    assert _rejected(admission, whole, "collector/v2/P1/g1/batch").sequence is None  # nobody is answered there


@given(st.binary(max_size=400))
def test_random_bytes_are_turned_away_in_order(payload: bytes) -> None:
    rejected = _rejected(open_admission(), payload)
    assert rejected.code in {"malformed", "bad_checksum", "unknown_version"}
    assert rejected.payload == payload


@pytest.mark.parametrize("seed", range(4))
def test_a_damaged_batch_never_gets_in_and_never_breaks_anything(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    signer = new_signer(tmp_path, "own")
    admission = open_admission(signer=signer)
    whole = payload_of(1, minutes("U1", NOON, 20), signer=signer)
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] ^= rng.randint(1, 255)
        cut = bytes(damaged[: rng.randint(0, len(damaged))] if rng.random() < 0.3 else damaged)
        if cut != whole:
            assert not _rejected(admission, cut).authentic
