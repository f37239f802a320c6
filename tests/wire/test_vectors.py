# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/wire-vectors.json says what the code does, whatever zstd packs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from collector.base.errors import Garbled
from collector.wire import decode_ack, decode_ask, open_envelope, verify_signature
from tests.wire.vectors import FILE, described, parts_of, vectors

STORED: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
PACKED = ("payload", "header", "signature")
KEYS = {
    name: Ed25519PublicKey.from_public_bytes(bytes.fromhex(key["public"])) for name, key in STORED["keys"].items()
}  # fmt: skip


def without_packing(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch without what depends on the version of zstd."""
    fields = {name: value for name, value in batch["fields"].items() if name != "sha256"}
    return {name: value for name, value in batch.items() if name not in PACKED} | {"fields": fields}


def test_the_file_is_what_the_code_makes() -> None:
    made = json.loads(json.dumps(vectors()))
    assert [without_packing(b) for b in STORED["batches"]] == [without_packing(b) for b in made["batches"]]
    assert {k: v for k, v in STORED.items() if k in ("schema_version", "keys", "messages")} == {
        k: v for k, v in made.items() if k in ("schema_version", "keys", "messages")
    }
    assert [(r["name"], r["code"]) for r in STORED["refused"]] == [(r["name"], r["code"]) for r in made["refused"]]


@pytest.mark.parametrize("batch", STORED["batches"], ids=lambda batch: batch["name"])
def test_a_stored_payload_decodes_to_what_stands_beside_it(batch: dict[str, Any]) -> None:
    payload = bytes.fromhex(batch["payload"])
    verify_signature(open_envelope(payload), KEYS["plant"])
    assert json.loads(json.dumps(described(batch["name"], payload))) == batch
    assert [part.hex() for part in parts_of(payload)] == [batch["index"], batch["columns"]]


@pytest.mark.parametrize("case", STORED["refused"], ids=lambda case: case["name"])
def test_a_faulty_payload_is_refused_by_its_code(case: dict[str, Any]) -> None:
    with pytest.raises(Garbled) as error:
        verify_signature(open_envelope(bytes.fromhex(case["payload"])), KEYS["plant"])
    assert error.value.code == case["code"]


@pytest.mark.parametrize("message", STORED["messages"], ids=lambda message: message["name"])
def test_a_message_is_the_centers_and_no_longer_when_changed(message: dict[str, Any]) -> None:
    decode: Any = {"ack": decode_ack, "ask": decode_ask}[message["kind"]]
    payload = message["payload"].encode()
    decode(payload, KEYS["center"])
    changed = payload.replace(b'"through":5', b'"through":6').replace(b'"id":"a', b'"id":"b')
    with pytest.raises(Garbled):
        decode(changed, KEYS["center"])
