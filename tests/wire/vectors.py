# SPDX-License-Identifier: GPL-3.0-or-later
"""The test vectors of docs/wire.md, made from the code: `python -m tests.wire.vectors` writes docs/wire-vectors.json.

Keys come from seeds that are no secret; everything is the same at each run but how zstd packs, so the uncompressed
parts stand beside each payload.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collector.base.clock_state import ClockState
from collector.model.record import Cause, GapRecord, Quality, UnitLayout, UnitRecord
from collector.wire import (
    SCHEMA_VERSION,
    Ack,
    Ask,
    Batch,
    Signer,
    Stream,
    decode_batch,
    encode_ack,
    encode_ask,
    encode_batch,
    open_envelope,
)

FILE = Path(__file__).parents[2] / "docs" / "wire-vectors.json"
SEEDS = {"plant": bytes(range(32)), "center": bytes(range(32, 64))}
PLANT, CENTER = (Signer(Ed25519PrivateKey.from_private_bytes(seed)) for seed in SEEDS.values())
STREAM = Stream("P1", "G1", 0x0123_4567_89AB_CDEF)
T = 1_774_000_000_000
POWER, STATUS = "active_power_mw", "on_grid"


def batches() -> dict[str, Batch]:
    """The batches, by name."""
    both = UnitLayout("U1", (POWER, STATUS))
    good = (Quality.GOOD, Quality.GOOD)
    regular = tuple(UnitRecord("U1", T + 1000 * n, (330_000 + 7 * n, 1), good) for n in range(5))
    second = UnitLayout("U2", ("bus_voltage_kv",))
    other = tuple(
        UnitRecord("U2", T + 1000 * n, (value,), (quality,), Cause.TICK, 0, ClockState.SYNCHRONISED)
        for n, (value, quality) in enumerate([(525_000, Quality.GOOD), (None, Quality.SILENT), (524_900, Quality.GOOD)])
    )
    changed = UnitRecord(
        "U1", T + 1500, (None, 0), (Quality.INVALID, Quality.GOOD), Cause.CHANGE, 1, ClockState(0), T + 1487
    )
    lost = GapRecord(("U1",), T - 60_000, T, "evicted", STREAM.epoch, 3, 5)
    down = GapRecord(("U1", "U2"), T - 600_000, T - 60_000, "agent_down")
    return {
        "five records of one unit, every second": Batch(STREAM, 1, (both,), regular),
        "two units, a missing value, another rhythm": Batch(STREAM, 2, (both, second), (*regular, *other)),
        "a change with the device's own time tag": Batch(STREAM, 7, (both,), (regular[0], regular[1], changed)),
        "gap records only": Batch(STREAM, 6, (), (), (lost, down)),
        "large and negative numbers": Batch(STREAM, 8, (UnitLayout("U1", (POWER,)),), tuple(
            UnitRecord("U1", T + t, (value,), (Quality.GOOD,))
            for t, value in ((0, -(1 << 61)), (1, 1 << 61), (70_000, 0), (70_001, -1))
        )),
    }  # fmt: skip


def refused() -> dict[str, tuple[bytes, str]]:
    """Payloads that a receiver refuses, with the code."""
    payload = encode_batch(batches()["five records of one unit, every second"], PLANT)
    header, signature, body = msgspec.msgpack.decode(payload, type=tuple[bytes, bytes, bytes])
    fields = msgspec.msgpack.decode(header)
    pack = msgspec.msgpack.encode
    return {
        "no msgpack": (b"\xc1", "malformed"),
        "a part is missing": (pack([header, signature]), "malformed"),
        "a changed octet of the body": (pack([header, signature, body[:-1] + bytes([body[-1] ^ 1])]), "bad_checksum"),
        "a version of the future": (pack([pack([99, *fields[1:]]), signature, body]), "unknown_version"),
        "a changed header": (pack([pack([*fields[:4], 2, *fields[5:]]), signature, body]), "bad_signature"),
        "signed by another key": (encode_batch(batches()["gap records only"], CENTER), "bad_signature"),
    }


def messages() -> dict[str, tuple[str, bytes]]:
    """Acks and asks, by name: their kind and text."""
    ack = Ack(
        store_id="c0ffee", epoch_hex="0123456789abcdef", through=5, also=((7, 8),), refused=((9, "too_many_days"),)
    )
    return {
        "an ack": ("ack", encode_ack(ack, CENTER)),
        "an ask for sequences": ("ask", encode_ask(
            Ask("a1", "P1", "G1", epoch_hex="0123456789abcdef", sequences=((3, 5), (9, 9))), CENTER)),
        "an ask for an interval": ("ask", encode_ask(
            Ask("a2", "P1", "G1", unit="U1", from_ms=T, to_ms=T + 60_000), CENTER)),
        "an ask for the echo of a point": ("ask", encode_ask(
            Ask("a3", "P1", "G1", echo_device="gov", echo_point="P"), CENTER)),
    }  # fmt: skip


def parts_of(payload: bytes) -> tuple[bytes, bytes]:
    """Index and columns of a payload, uncompressed."""
    index, columns = msgspec.msgpack.decode(open_envelope(payload).body, type=tuple[bytes, bytes])
    packed = index.startswith(zstandard.FRAME_HEADER)
    loose = zstandard.ZstdDecompressor()
    return (loose.decompress(index) if packed else index), loose.decompress(columns)


def described(name: str, payload: bytes) -> dict[str, Any]:
    """A batch with what it decodes to."""
    envelope, (index, columns) = open_envelope(payload), parts_of(payload)
    batch = decode_batch(envelope)
    quantities = {layout.unit: layout.quantities for layout in batch.layouts}
    return {
        "name": name,
        "payload": payload.hex(),
        "header": envelope.header.hex(),
        "signature": envelope.signature.hex(),
        "index": index.hex(),
        "columns": columns.hex(),
        "fields": {
            "version": envelope.version, "plant": envelope.stream.plant, "gateway": envelope.stream.gateway,
            "epoch": f"{envelope.stream.epoch:016x}", "sequence": envelope.sequence,
            "record_count": envelope.record_count, "first_ms": envelope.first_ms, "last_ms": envelope.last_ms,
            "sha256": envelope.sha256.hex(), "key_id": envelope.key_id,
        },
        "records": [
            {
                "unit": record.unit, "time_utc_ms": record.time_utc_ms, "era": record.era, "cause": int(record.cause),
                "clock": int(record.clock), "device_time_utc_ms": record.device_time_utc_ms,
                "values": dict(zip(quantities[record.unit], record.values, strict=True)),
                "qualities": dict(zip(quantities[record.unit], map(int, record.qualities), strict=True)),
            }
            for record in batch.records
        ],
        "gaps": [asdict(gap) for gap in batch.gaps],
    }  # fmt: skip


def vectors() -> dict[str, Any]:
    """All of them, as the file has them."""
    return {
        "schema_version": SCHEMA_VERSION,
        "keys": {
            name: {
                "seed": SEEDS[name].hex(),
                "public": signer.public_key.public_bytes_raw().hex(),
                "key_id": signer.key_id,
            }
            for name, signer in (("plant", PLANT), ("center", CENTER))
        },
        "batches": [described(name, encode_batch(batch, PLANT)) for name, batch in batches().items()],
        "refused": [
            {"name": name, "payload": payload.hex(), "code": code} for name, (payload, code) in refused().items()
        ],
        "messages": [
            {"name": name, "kind": kind, "payload": payload.decode()} for name, (kind, payload) in messages().items()
        ],
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(vectors(), indent=1) + "\n", "utf-8")
