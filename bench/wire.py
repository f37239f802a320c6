# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes on the wire, and the cost of making and reading them: batches of 60 s × 4 units at 1 s, signed.

Receiving looks at signature, checksum and index; the columns are decoded where a day file is made.
"""

from __future__ import annotations

import itertools
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import signals
from bench.figure import Figure, median_cpu_s
from collector.model.quantity import QUANTITIES, from_scaled
from collector.model.record import UnitRecord
from collector.wire import (
    Batch,
    Signer,
    Stream,
    decode_columns,
    decode_times,
    encode_batch,
    open_envelope,
    verify_signature,
)

_MINUTES = 30
_PER_BATCH = 240


def _batches(finer: int = 1) -> list[Batch]:
    records = list(itertools.chain.from_iterable(signals.ticks(60 * _MINUTES, finer=finer)))
    stream = Stream("plant-1", "gateway-1", 0xFEDC_BA98_7654_3210)
    return [
        Batch(stream, 100_000 + i, signals.layouts(), tuple(records[i * _PER_BATCH : (i + 1) * _PER_BATCH]))
        for i in range(_MINUTES)
    ]


def _json_row(record: UnitRecord) -> bytes:
    """The same record as a compact JSON array with decimal values, as many gateways send it."""
    values = [float(from_scaled(v or 0, q.scale)) for v, q in zip(record.values, QUANTITIES, strict=True)]
    row = {"unit": record.unit, "t": record.time_utc_ms, "v": values, "q": [int(q) for q in record.qualities]}
    return json.dumps(row, separators=(",", ":")).encode()


def measure() -> list[Figure]:
    """Size, encoding and decoding."""
    batches = _batches()
    signer = Signer(Ed25519PrivateKey.generate())
    payloads = [encode_batch(batch, signer) for batch in batches]
    count = sum(len(batch.records) for batch in batches)
    finer = sum(len(encode_batch(batch, signer)) for batch in _batches(finer=10))
    rows = sum(len(_json_row(r)) for batch in batches for r in batch.records)

    def encode() -> None:
        for batch in batches:
            encode_batch(batch, signer)

    def receive() -> None:
        for payload in payloads:
            envelope = open_envelope(payload)
            verify_signature(envelope, signer.public_key)
            decode_times(envelope)

    def whole() -> None:
        for payload in payloads:
            envelope = open_envelope(payload)
            verify_signature(envelope, signer.public_key)
            decode_columns(envelope)

    def verify() -> None:
        for payload in payloads:
            verify_signature(open_envelope(payload), signer.public_key)

    def dump() -> None:
        for batch in batches:
            for record in batch.records:
                _json_row(record)

    dump_s = median_cpu_s(dump)
    encode_s = median_cpu_s(encode)
    receive_s = median_cpu_s(receive)
    verify_s = median_cpu_s(verify)
    whole_s = median_cpu_s(whole)
    return [
        Figure("wire_bytes_per_record", sum(map(len, payloads)) / count, "bytes", "JSON rows", rows / count, 5.2),
        Figure("wire_bytes_per_record_fine_signals", finer / count, "bytes", "JSON rows", rows / count, 10.0),
        Figure(
            "wire_encode", encode_s / count * 1e6, "us/record", "JSON rows", dump_s / count * 1e6, 0.1, of_ratio=True
        ),
        Figure(
            "wire_receive", count / receive_s, "records/s", "signature and checksum alone", count / verify_s, 0.5,
            of_ratio=True, at_most=False,
        ),
        Figure(
            "wire_open_verify_decode", count / whole_s, "records/s", "signature and checksum alone", count / verify_s,
            0.5, of_ratio=True, at_most=False,
        ),
    ]  # fmt: skip
