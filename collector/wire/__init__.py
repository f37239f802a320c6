# SPDX-License-Identifier: GPL-3.0-or-later
"""One batch and one ack, to and from bytes, between steps 4 and 5: version, checksum, signature, topic names.

Limits are in `batch.py`. Invalid bytes of any kind raise only `Garbled`, whose `code` is reported to the sender.
"""

from typing import TYPE_CHECKING, Any

from collector.wire.batch import MAX_PAYLOAD_BYTES, MAX_RECORDS, Batch, Stream, is_name
from collector.wire.codes import CURABLE, FINAL
from collector.wire.envelope import (
    SCHEMA_VERSION,
    Envelope,
    decode_batch,
    decode_columns,
    decode_times,
    encode_batch,
    encode_columns,
    named_in,
    open_envelope,
    verify_signature,
)
from collector.wire.keys import (
    Signer,
    generate_key_pair,
    is_signed_by,
    key_id,
    load_public_key,
    load_signing_key,
    parse_public_key,
)
from collector.wire.messages import Ack, Ask, decode_ack, decode_ask, encode_ack, encode_ask, epoch_text
from collector.wire.topics import Address, Leaf, parse_topic, subscription, topic

if TYPE_CHECKING:
    from collector.wire.columns import BatchColumns, BatchTimes, QuantityColumn, UnitColumns

__all__ = [
    "CURABLE",
    "FINAL",
    "MAX_PAYLOAD_BYTES",
    "MAX_RECORDS",
    "SCHEMA_VERSION",
    "Ack",
    "Address",
    "Ask",
    "Batch",
    "BatchColumns",
    "BatchTimes",
    "Envelope",
    "Leaf",
    "QuantityColumn",
    "Signer",
    "Stream",
    "UnitColumns",
    "decode_ack",
    "decode_ask",
    "decode_batch",
    "decode_columns",
    "decode_times",
    "encode_ack",
    "encode_ask",
    "encode_batch",
    "encode_columns",
    "epoch_text",
    "generate_key_pair",
    "is_name",
    "is_signed_by",
    "key_id",
    "load_public_key",
    "load_signing_key",
    "named_in",
    "open_envelope",
    "parse_public_key",
    "parse_topic",
    "subscription",
    "topic",
    "verify_signature",
]


def __getattr__(name: str) -> Any:
    """Import the types that hold arrays, and numpy, at first use: an agent does not need them."""
    if name not in ("BatchColumns", "BatchTimes", "QuantityColumn", "UnitColumns"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from collector.wire import columns

    return getattr(columns, name)
