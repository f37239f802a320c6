# SPDX-License-Identifier: GPL-3.0-or-later
"""One batch, to and from bytes: header, signature, compressed body.

The payload is a msgpack array [header, signature, body]. The header is itself a msgpack array, kept as bytes because
the signature is over exactly these bytes; it names schema version, plant, gateway, epoch, sequence, record count, first
and last time, SHA-256 of the body as sent, and the key. The body is an index and columns (see `body.py`), each
compressed. Opening an envelope checks the SHA-256 and costs a few µs; separate calls check the signature and decode the
index and the columns, in this order, so that nothing from an unknown sender is unpacked. Modules with arrays are
imported at first use: an agent makes batches, and hardly ever reads one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from collector.base.errors import Garbled
from collector.base.text import tr
from collector.model.record import UnitLayout
from collector.wire.batch import (
    MAX_BODY_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_RECORDS,
    MAX_SEQUENCE,
    MAX_TIME_MS,
    Batch,
    Stream,
    is_name,
)
from collector.wire.body import EncodedBody
from collector.wire.keys import KEY_ID_BYTES, SIGNATURE_BYTES, Signer, is_signed_by
from collector.wire.records import encode_body

if TYPE_CHECKING:
    from collector.wire.columns import BatchColumns, BatchTimes, UnitColumns

SCHEMA_VERSION: Final = 2  # of batches written here; see body.py
READ_VERSIONS: Final = (1, 2)
_PACKED_FROM: Final = 128  # bytes of an index above which compression may shorten it
ZSTD_LEVEL: Final = 5  # on 240 records: 3 is 2 % larger, 19 is 3 % smaller and 20 times slower
_DIGEST_BYTES: Final = 32

_Time = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]


class _Header(msgspec.Struct, frozen=True, array_like=True):
    version: int
    plant: str
    gateway: str
    epoch: Annotated[int, msgspec.Meta(ge=0)]  # msgpack allows no more than 64 bits
    sequence: Annotated[int, msgspec.Meta(ge=1, le=MAX_SEQUENCE)]
    record_count: Annotated[int, msgspec.Meta(ge=0, le=MAX_RECORDS)]
    first_ms: _Time
    last_ms: _Time
    sha256: Annotated[bytes, msgspec.Meta(min_length=_DIGEST_BYTES, max_length=_DIGEST_BYTES)]
    key_id: Annotated[bytes, msgspec.Meta(max_length=KEY_ID_BYTES)]


class _Parts(msgspec.Struct, frozen=True, array_like=True):
    """A body of version 2. `index`: a zstd frame, or uncompressed where that is shorter."""

    index: bytes
    columns: bytes


class _Payload(msgspec.Struct, frozen=True, array_like=True):
    header: Annotated[bytes, msgspec.Meta(max_length=1024)]
    signature: Annotated[bytes, msgspec.Meta(max_length=SIGNATURE_BYTES)]
    body: bytes


# The first bytes of a payload: an array of three, whose first part is bytes that begin with an array (the header).
PAYLOAD_BEGIN: Final = re.compile(rb"\x93(?:\xc4.|\xc5..)[\x90-\x9f]", re.DOTALL)
_BYTES_HEAD: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4}  # msgpack's three types of byte strings: bytes of their length field

_ENCODER: Final = msgspec.msgpack.Encoder()
_PAYLOAD: Final = msgspec.msgpack.Decoder(_Payload)
_HEADER: Final = msgspec.msgpack.Decoder(_Header)
_PARTS: Final = msgspec.msgpack.Decoder(_Parts)
_VERSION: Final = msgspec.msgpack.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Envelope:
    """An opened payload: the fields of its header, and the body still compressed. `key_id` is empty where unsigned."""

    version: int
    stream: Stream
    sequence: int
    record_count: int
    first_ms: int
    last_ms: int
    sha256: bytes
    key_id: str
    signature: bytes
    header: bytes
    body: bytes

    def __str__(self) -> str:
        return f"{self.stream.plant}/{self.stream.gateway}/{self.stream.epoch:016x}/{self.sequence}"


def encode_batch(batch: Batch, signer: Signer | None) -> bytes:
    """Encode a batch into the bytes that are stored and sent; without a signer, unsigned (trials).

    Raises:
        ValueError: the batch can't be encoded: a record without layout, an unknown quantity, a value out of bounds.
        Garbled: code `oversized`, the payload is longer than allowed; seal fewer records.
    """
    return _seal(batch.stream, batch.sequence, encode_body(batch.layouts, batch.records, batch.gaps), signer)


def encode_columns(stream: Stream, sequence: int, units: Sequence[UnitColumns]) -> bytes:
    """Encode columns into an unsigned batch, which the center itself writes to its journal.

    Raises:
        ValueError: as `encode_batch`.
        Garbled: code `oversized`.
    """
    from collector.wire.columns import encode_unit_columns

    return _seal(stream, sequence, encode_unit_columns(units), None)


def _seal(stream: Stream, sequence: int, encoded: EncodedBody, signer: Signer | None) -> bytes:
    # One compressor per call: the objects are not safe to share between threads, and making one takes a few µs.
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
    index = encoded.index if len(encoded.index) < _PACKED_FROM else compressor.compress(encoded.index)
    body = _ENCODER.encode(_Parts(min(encoded.index, index, key=len), compressor.compress(encoded.columns)))
    header = _ENCODER.encode(
        _Header(
            version=SCHEMA_VERSION,
            plant=stream.plant,
            gateway=stream.gateway,
            epoch=stream.epoch,
            sequence=sequence,
            record_count=encoded.record_count,
            first_ms=encoded.first_ms,
            last_ms=encoded.last_ms,
            sha256=hashlib.sha256(body).digest(),
            key_id=bytes.fromhex(signer.key_id) if signer else b"",
        )
    )
    payload = _ENCODER.encode(_Payload(header, signer.sign(header) if signer else b"", body))
    if len(payload) > MAX_PAYLOAD_BYTES or len(encoded.index) + len(encoded.columns) > MAX_BODY_BYTES:
        raise Garbled(
            tr("{bytes} bytes, at most {most} allowed", bytes=len(payload), most=MAX_PAYLOAD_BYTES), code="oversized"
        )
    return payload


def open_envelope(payload: bytes) -> Envelope:
    """Decode the header of a payload and check the SHA-256 of its body.

    Raises:
        Garbled: codes `oversized`, `malformed`, `unknown_version`, `bad_checksum`.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise Garbled(
            tr("{bytes} bytes, at most {most} allowed", bytes=len(payload), most=MAX_PAYLOAD_BYTES), code="oversized"
        )
    try:
        outer = _PAYLOAD.decode(payload)
        header = _open_header(outer.header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Garbled(tr("is no batch: {error}", error=error)) from error
    if hashlib.sha256(outer.body).digest() != header.sha256:
        raise Garbled(tr("the body does not have the SHA-256 of the header"), code="bad_checksum")
    return Envelope(
        version=header.version,
        stream=Stream(header.plant, header.gateway, header.epoch),
        sequence=header.sequence,
        record_count=header.record_count,
        first_ms=header.first_ms,
        last_ms=header.last_ms,
        sha256=header.sha256,
        key_id=header.key_id.hex(),
        signature=outer.signature,
        header=outer.header,
        body=outer.body,
    )


def named_in(payload: bytes) -> tuple[Stream, int] | None:
    """The stream and sequence that a payload names, believed by nobody; None where its header can't be read.

    For the answer to a batch that `open_envelope` refuses: a version of the future, or a body that changed on the way.
    """
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    try:
        header = _HEADER.decode(_PAYLOAD.decode(payload).header)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    return Stream(header.plant, header.gateway, header.epoch), header.sequence


def payload_length(begun: bytes) -> int | None:
    """The length in bytes of the payload that begins with `begun`; None for too few bytes or no payload."""
    at = 1
    for _ in range(3):
        width = _BYTES_HEAD.get(begun[at]) if at < len(begun) else None
        if width is None or at + 1 + width > len(begun):
            return None
        at += 1 + width + int.from_bytes(begun[at + 1 : at + 1 + width], "big")
    return at if at <= MAX_PAYLOAD_BYTES else None


def _open_header(raw: bytes) -> _Header:
    fields = _VERSION.decode(raw)
    version = msgspec.msgpack.decode(fields[0], type=int) if fields else None
    if version not in READ_VERSIONS:
        raise Garbled(
            tr("schema version {version}, this program knows {known}", version=version, known=READ_VERSIONS),
            code="unknown_version",
        )
    header = _HEADER.decode(raw)
    if not (is_name(header.plant) and is_name(header.gateway)):
        raise ValueError("no proper name of a plant and gateway")
    return header


def verify_signature(envelope: Envelope, public_key: Ed25519PublicKey) -> None:
    """Check the header's signature against the plant's key.

    Raises:
        Garbled: code `bad_signature`.
    """
    if not is_signed_by(public_key, envelope.signature, envelope.header):
        raise Garbled(
            tr("not signed by the key on file (it names {key_id!r})", key_id=envelope.key_id), code="bad_signature"
        )


def decode_times(envelope: Envelope) -> BatchTimes:
    """Decode the part of a batch that a receiver needs: units, times of records, gaps; in version 2 nothing else.

    Raises:
        Garbled: codes `malformed`, `oversized`; also where header and body disagree.
    """
    if envelope.version == 1:
        return decode_columns(envelope).times
    return _decode_index(envelope, _open_parts(envelope))


def decode_columns(envelope: Envelope) -> BatchColumns:
    """The records of a batch as numpy columns per unit, and its gaps. Raises as `decode_times`."""
    from collector.wire.columns import decode_body, decode_rest

    if envelope.version == 1:
        columns = decode_body(_decompress(envelope.body))
        _check_header(envelope, columns.times)
        return columns
    parts = _open_parts(envelope)
    return decode_rest(_decode_index(envelope, parts), _decompress(parts.columns))


def _open_parts(envelope: Envelope) -> _Parts:
    try:
        return _PARTS.decode(envelope.body)
    except msgspec.MsgspecError as error:
        raise Garbled(tr("the body is malformed: {error}", error=error)) from error


def _decode_index(envelope: Envelope, parts: _Parts) -> BatchTimes:
    from collector.wire.columns import decode_index

    is_packed = parts.index.startswith(zstandard.FRAME_HEADER)
    times = decode_index(_decompress(parts.index) if is_packed else parts.index, envelope.first_ms)
    _check_header(envelope, times)
    return times


def _check_header(envelope: Envelope, found: BatchTimes) -> None:
    times = [unit.time_utc_ms for unit in found.units if len(unit.time_utc_ms)]
    if times:
        first, last = min(int(t.min()) for t in times), max(int(t.max()) for t in times)
    else:
        first = min((g.from_ms for g in found.gaps), default=0)
        last = max((g.to_ms for g in found.gaps), default=0)
    count = sum(map(len, times))
    if (count, first, last) != (envelope.record_count, envelope.first_ms, envelope.last_ms):
        raise Garbled(tr("the header gives another count or other times than the body"), subject=str(envelope))


def _decompress(body: bytes) -> bytes:
    """Decompress a body; its size is checked before memory is allocated."""
    try:
        frame = zstandard.get_frame_parameters(body)
        if not 0 < frame.content_size <= MAX_BODY_BYTES or frame.window_size > MAX_BODY_BYTES:
            raise Garbled(
                tr("the body would take {bytes} bytes, {most} allowed", bytes=frame.content_size, most=MAX_BODY_BYTES),
                code="oversized",
            )
        return zstandard.ZstdDecompressor().decompress(body, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Garbled(tr("the body is no zstd frame: {error}", error=error)) from error


def decode_batch(envelope: Envelope) -> Batch:
    """Decode a batch record by record, for tools and tests.

    Raises:
        Garbled: as `decode_columns`.
    """
    from collector.wire.columns import to_records

    columns = decode_columns(envelope)
    layouts = tuple(UnitLayout(u.unit, tuple(u.columns)) for u in columns.units)
    return Batch(envelope.stream, envelope.sequence, layouts, to_records(columns), columns.gaps)
