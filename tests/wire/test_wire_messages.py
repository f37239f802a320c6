# SPDX-License-Identifier: GPL-3.0-or-later
"""Acks, asks, topics and keys."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from collector.base.errors import ConfigError, Garbled
from collector.wire import (
    Ack,
    Address,
    Ask,
    Signer,
    decode_ack,
    decode_ask,
    encode_ack,
    encode_ask,
    generate_key_pair,
    key_id,
    load_public_key,
    load_signing_key,
    parse_topic,
    subscription,
    topic,
)

# RFC 8032, section 7.1, test 1.
RFC_SECRET = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC_PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SIGNER = Signer(Ed25519PrivateKey.from_private_bytes(RFC_SECRET))
ACK = Ack(
    store_id="s-1", epoch_hex="fedcba9876543210", through=7, also=((9, 10), (12, 12)), refused=((6, "foreign_unit"),)
)
ASK = Ask(id="a-1", plant="P1", gateway="g1", unit="U1", from_ms=1000, to_ms=2000)


def test_an_ack_is_a_json_object_with_the_fields_of_the_interface() -> None:
    message = json.loads(encode_ack(ACK, SIGNER))
    assert list(message) == ["store_id", "epoch", "through", "also", "refused", "key_id", "signature"]
    assert message["epoch"] == "fedcba9876543210"
    assert message["also"] == [[9, 10], [12, 12]]
    assert message["refused"] == [[6, "foreign_unit"]]
    assert len(bytes.fromhex(message["signature"])) == 64


def test_the_signature_is_over_the_compact_text_with_an_empty_signature() -> None:
    message = json.loads(encode_ack(ACK, SIGNER))
    signature = bytes.fromhex(message["signature"])
    text = json.dumps(message | {"signature": ""}, separators=(",", ":")).encode()
    SIGNER.public_key.verify(signature, text)


def test_a_signed_ack_comes_back_and_covers_what_it_names() -> None:
    ack = decode_ack(encode_ack(ACK, SIGNER), SIGNER.public_key)
    assert ack.epoch == 0xFEDC_BA98_7654_3210
    assert [n for n in range(1, 15) if ack.covers(n)] == [1, 2, 3, 4, 5, 6, 7, 9, 10, 12]


@pytest.mark.parametrize(
    "change", [{"through": 8}, {"store_id": "s-2"}, {"also": []}, {"refused": []}, {"key_id": ""}, {"signature": "zz"}]
)
def test_an_ack_that_was_changed_is_refused(change: dict[str, object]) -> None:
    message = json.loads(encode_ack(ACK, SIGNER)) | change
    with pytest.raises(Garbled) as caught:
        decode_ack(json.dumps(message).encode(), SIGNER.public_key)
    assert caught.value.code == "bad_signature"


def test_without_the_center_key_an_unsigned_ack_is_taken() -> None:
    assert decode_ack(encode_ack(ACK, None), None).through == 7
    with pytest.raises(Garbled):
        decode_ack(encode_ack(ACK, None), SIGNER.public_key)


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_random_bytes_are_no_ack_and_no_ask(noise: bytes) -> None:
    with pytest.raises(Garbled):
        decode_ack(noise, None)
    with pytest.raises(Garbled):
        decode_ask(noise, None)


def test_an_ack_with_absurd_numbers_is_malformed_and_a_long_one_oversized() -> None:
    for change in ({"through": -1}, {"through": 1 << 70}, {"epoch": "12"}, {"also": [[1, 2, 3]]}, {"extra": 1}):
        with pytest.raises(Garbled) as caught:
            decode_ack(json.dumps(json.loads(encode_ack(ACK, None)) | change).encode(), None)
        assert caught.value.code == "malformed"
    with pytest.raises(Garbled) as caught:
        decode_ack(b" " * 300_000, None)
    assert caught.value.code == "oversized"


def test_an_ask_asks_exactly_one_thing() -> None:
    assert decode_ask(encode_ask(ASK, SIGNER), SIGNER.public_key).unit == "U1"
    by_sequence = Ask(id="a-2", plant="P1", gateway="g1", epoch_hex="0" * 16, sequences=((3, 5),))
    assert decode_ask(encode_ask(by_sequence, SIGNER), SIGNER.public_key).epoch == 0
    echo = Ask(id="a-3", plant="P1", gateway="g1", echo_device="gov-1", echo_point="P")
    assert decode_ask(encode_ask(echo, None), None).echo_point == "P"
    both = msgspec.structs.replace(ASK, epoch_hex="0" * 16, sequences=((3, 5),))
    backwards = msgspec.structs.replace(ASK, from_ms=3000)
    for bad in (Ask(id="a", plant="P1", gateway="g1"), both, backwards, msgspec.structs.replace(ASK, plant="P/1")):
        with pytest.raises(Garbled):
            decode_ask(encode_ask(bad, None), None)


def test_topics_are_made_and_parsed() -> None:
    text = topic("grid/east", "P1", "g1", "batch")
    assert text == "grid/east/v1/P1/g1/batch"
    assert parse_topic("grid/east", text) == Address("P1", "g1", "batch")
    assert subscription("grid/east", "batch") == "grid/east/v1/+/+/batch"


@pytest.mark.parametrize(
    "text", ["x/v1/P1/g1/batch", "r/v2/P1/g1/batch", "r/v1/P1/batch", "r/v1/P1/g1/other", "r/v1/P#/g1/ack", "r/v1/", ""]
)
def test_a_foreign_topic_is_garbled(text: str) -> None:
    with pytest.raises(Garbled):
        parse_topic("r", text)


def test_a_key_is_named_by_the_first_bytes_of_its_hash() -> None:
    # SHA-256 of the public key of RFC 8032 test 1, by sha256sum.
    assert SIGNER.public_key.public_bytes_raw() == RFC_PUBLIC
    assert key_id(SIGNER.public_key) == "21fe31dfa154a261"
    assert "9d61" not in repr(SIGNER)


def test_keys_are_written_once_and_read_back(tmp_path: Path) -> None:
    private, public = tmp_path / "plant.pem", tmp_path / "plant.pub.pem"
    name = generate_key_pair(private, public)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    signer = load_signing_key(private)
    load_public_key(public).verify(signer.sign(b"x"), b"x")
    assert signer.key_id == name == key_id(load_public_key(public))
    with pytest.raises(ConfigError, match="exists"):
        generate_key_pair(private, public)


def test_what_is_no_ed25519_key_is_refused_with_its_file(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.pem"
    key = generate_ec_key(SECP256R1())
    wrong.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    noise = tmp_path / "noise.pem"
    noise.write_bytes(b"no key")
    for path in (wrong, noise, tmp_path / "absent.pem"):
        with pytest.raises(ConfigError, match=path.name):
            load_signing_key(path)
        with pytest.raises(ConfigError, match=path.name):
            load_public_key(path)
