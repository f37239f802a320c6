# SPDX-License-Identifier: GPL-3.0-or-later
"""Acks and asks of the center: signed JSON objects with their keys in a fixed order.

The signature is Ed25519 over the same JSON text with `signature` empty and no white space, so both sides can compute
it from the fields. The 64 random bits of the epoch bind an ack to its gateway; the names inside it bind an ask.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from collector.base.errors import Garbled
from collector.base.text import tr
from collector.wire.batch import MAX_SEQUENCE, MAX_TIME_MS, is_name
from collector.wire.keys import Signer, is_signed_by

MAX_MESSAGE_BYTES: Final = 256 * 1024
MAX_RANGES: Final = 4096

Sequence = Annotated[int, msgspec.Meta(ge=0, le=MAX_SEQUENCE)]
TimeMs = Annotated[int, msgspec.Meta(ge=0, le=MAX_TIME_MS)]
Code = Annotated[str, msgspec.Meta(max_length=64)]
Name = Annotated[str, msgspec.Meta(max_length=64)]
StoreId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Hex64 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}$")]
Signature = Annotated[str, msgspec.Meta(max_length=128)]
Ranges = Annotated[tuple[tuple[Sequence, Sequence], ...], msgspec.Meta(max_length=MAX_RANGES)]
Refusals = Annotated[tuple[tuple[Sequence, Code], ...], msgspec.Meta(max_length=MAX_RANGES)]


class Ack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The center's acknowledgement of one epoch.

    `through`: the highest sequence up to which all are committed, refused or declared lost; `also`: ranges beyond it,
    both ends included; `refused`: sequences of batches quarantined whole, with the code. `epoch` is written as 16 hex
    digits.
    """

    store_id: StoreId
    epoch_hex: Hex64 = msgspec.field(name="epoch")
    through: Sequence = 0
    also: Ranges = ()
    refused: Refusals = ()
    key_id: Code = ""
    signature: Signature = ""

    @property
    def epoch(self) -> int:
        """The epoch as a number, 64 bits."""
        return int(self.epoch_hex, 16)

    def settles(self, sequence: int) -> bool:
        """True if `sequence` is settled: committed, refused as this plant's own, or declared lost."""
        return sequence <= self.through or any(first <= sequence <= last for first, last in self.also)

    def covers(self, sequence: int) -> bool:
        """True if the ack names `sequence` in any way."""
        return self.settles(sequence) or any(sequence == refused for refused, _ in self.refused)


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request of the center (补召): for sequences of an epoch, a unit and interval, or the echo of a point (对点).

    Exactly one of the three is given: `epoch` with `sequences` (ranges, ends included); `unit` with `from_ms` and
    `to_ms` (half-open, UTC ms); `echo_device` with `echo_point`. The answer to the first two comes on the batch topic:
    the same bytes again, or a gap record; the answer to the last on the state topic.
    """

    id: Name
    plant: Name
    gateway: Name
    epoch_hex: Hex64 | None = msgspec.field(default=None, name="epoch")
    sequences: Ranges = ()
    unit: Name | None = None
    from_ms: TimeMs | None = None
    to_ms: TimeMs | None = None
    echo_device: Name | None = None
    echo_point: Name | None = None
    key_id: Code = ""
    signature: Signature = ""

    @property
    def epoch(self) -> int | None:
        """The epoch as a number, None where no sequences are asked for."""
        return None if self.epoch_hex is None else int(self.epoch_hex, 16)


M = TypeVar("M", Ack, Ask)


def epoch_text(epoch: int) -> str:
    """An epoch as the messages write it: 16 hex digits."""
    return f"{epoch:016x}"


def encode_ack(ack: Ack, signer: Signer | None) -> bytes:
    """Encode an ack into the payload of the ack topic."""
    return _sign(ack, signer)


def decode_ack(payload: bytes, center_key: Ed25519PublicKey | None) -> Ack:
    """Decode an ack and check its signature against `center_key`; without a key signatures are not checked (trials).

    Raises:
        Garbled: oversized, malformed, or bad_signature.
    """
    return _open(payload, Ack, center_key)


def encode_ask(ask: Ask, signer: Signer | None) -> bytes:
    """Encode an ask into the payload of the ask topic."""
    return _sign(ask, signer)


def decode_ask(payload: bytes, center_key: Ed25519PublicKey | None) -> Ask:
    """Decode an ask; it must ask for exactly one thing, and its signature is checked as in `decode_ack`.

    Raises:
        Garbled: oversized, malformed, or bad_signature.
    """
    ask = _open(payload, Ask, center_key)
    by_sequence = ask.epoch_hex is not None and bool(ask.sequences)
    by_time = ask.unit is not None and ask.from_ms is not None and ask.to_ms is not None and ask.from_ms < ask.to_ms
    echo = ask.echo_device is not None and ask.echo_point is not None
    if [by_sequence, by_time, echo].count(True) != 1 or not (is_name(ask.plant) and is_name(ask.gateway)):
        raise Garbled(tr("an ask names sequences of an epoch, a unit and an interval, or a point"), subject=ask.id)
    return ask


def _sign(message: M, signer: Signer | None) -> bytes:
    if signer is None:
        return msgspec.json.encode(msgspec.structs.replace(message, key_id="", signature=""))
    unsigned = msgspec.structs.replace(message, key_id=signer.key_id, signature="")
    signature = signer.sign(msgspec.json.encode(unsigned)).hex()
    return msgspec.json.encode(msgspec.structs.replace(unsigned, signature=signature))


def _open(payload: bytes, kind: type[M], key: Ed25519PublicKey | None) -> M:
    if len(payload) > MAX_MESSAGE_BYTES:
        raise Garbled(
            tr("{bytes} bytes, at most {most} allowed", bytes=len(payload), most=MAX_MESSAGE_BYTES), code="oversized"
        )
    try:
        message: M = msgspec.json.decode(payload, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Garbled(tr("is no {kind}: {error}", kind=kind.__name__.lower(), error=error)) from error
    if key is not None:
        _check_signature(message, key)
    return message


def _check_signature(message: Any, key: Ed25519PublicKey) -> None:
    try:
        signature = bytes.fromhex(message.signature)
    except ValueError:
        signature = b""
    unsigned = msgspec.json.encode(msgspec.structs.replace(message, signature=""))
    if not is_signed_by(key, signature, unsigned):
        raise Garbled(
            tr("not signed by the center's key (it names {key_id!r})", key_id=message.key_id[:16]), code="bad_signature"
        )
