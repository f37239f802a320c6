# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of the center's transactional store; plain enough for SQLite and PostgreSQL alike.

A stream is (plant, gateway, epoch); an epoch is written as 16 hex digits because no database has unsigned 64-bit
integers. Times are UTC ms, days ISO text. Payloads live apart from their batch rows, so that dropping them after the
retention leaves the journal's own rows, which stay for good.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

# The newest revision in migrations/versions/.
SCHEMA_VERSION: Final = 16
metadata: Final = MetaData()
# SQLite gives automatic keys to INTEGER only; on PostgreSQL the same column is a bigint.
_Key = BigInteger().with_variant(Integer(), "sqlite")

store: Final = Table(
    "store",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("store_id", String(32), nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    # Payloads received before it may be gone; null: none were dropped.
    Column("payloads_before_ms", BigInteger, nullable=True),
    # Of the key that seals the links of the chain of rows (`seals/seal_key.py`).
    Column("seal_key_sha256", String(64), nullable=True),
)

# The chain of hashes over the rows of decisions, imports and runs (`seals/sealed_rows.py`). `name`, `key`: table and
# row; `before`, `after`: the row's hash, empty where it did not exist; `mac`: the seal of `hash`.
row_seal: Final = Table(
    "row_seal",
    metadata,
    Column("sequence", _Key, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("name", String(32), nullable=False),
    Column("key", Text, nullable=False),
    Column("before", String(64), nullable=False),
    Column("after", String(64), nullable=False),
    Column("previous", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("mac", String(64), nullable=True),
    Index("row_seal_by_row", "name", "key"),
)

stream: Final = Table(
    "stream",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("plant", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("epoch", String(16), nullable=False),
    Column("through", BigInteger, nullable=False),
    # Size of the payloads that are still kept.
    Column("kept_bytes", BigInteger, nullable=False, default=0),
    Column("first_received_ms", BigInteger, nullable=False),
    Column("last_received_ms", BigInteger, nullable=False),
    UniqueConstraint("plant", "gateway", "epoch"),
)

# Sequences that are committed, refused or declared lost, as disjoint ranges; `through` is the end of the one at 1.
covered: Final = Table(
    "covered",
    metadata,
    Column("stream_id", ForeignKey("stream.id"), nullable=False),
    Column("from_seq", BigInteger, nullable=False),
    Column("to_seq", BigInteger, nullable=False),
    PrimaryKeyConstraint("stream_id", "from_seq"),
)

batch: Final = Table(
    "batch",
    metadata,
    Column("stream_id", ForeignKey("stream.id"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("record_count", Integer, nullable=False),
    Column("gap_count", Integer, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("size_bytes", Integer, nullable=False),
    Column("repeats", Integer, nullable=False),
    PrimaryKeyConstraint("stream_id", "sequence"),
)

payload: Final = Table(
    "payload",
    metadata,
    Column("stream_id", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    PrimaryKeyConstraint("stream_id", "sequence"),
    Index("payload_by_age", "received_ms"),
)

# The local days of a batch's records; a day file is sealed from these batches.
batch_day: Final = Table(
    "batch_day",
    metadata,
    Column("plant", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("stream_id", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    PrimaryKeyConstraint("plant", "day", "stream_id", "sequence"),
)

# `minutes`: 1440 bits of the local day, set where a record lies in the minute (most significant bit first).
unit_day: Final = Table(
    "unit_day",
    metadata,
    Column("plant", String(64), nullable=False),
    Column("unit", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("received", BigInteger, nullable=False),
    Column("first_ms", BigInteger, nullable=False),
    Column("last_ms", BigInteger, nullable=False),
    Column("minutes", LargeBinary(180), nullable=False),
    PrimaryKeyConstraint("plant", "unit", "day"),
)

# One row per unit of a gap record; the epoch and sequences are those declared lost, where any were.
gap: Final = Table(
    "gap",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("stream_id", ForeignKey("stream.id"), nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("plant", String(64), nullable=False),
    Column("unit", String(64), nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("reason", String(64), nullable=False),
    Column("epoch", String(16), nullable=True),
    Column("from_seq", BigInteger, nullable=True),
    Column("to_seq", BigInteger, nullable=True),
    Index("gap_by_plant", "plant", "from_ms"),
)

# Refused batches, whole. `bytes` is empty where the quarantine was full: the hash still identifies the batch.
quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("sha256", LargeBinary(32), nullable=False),
    Column("topic", String(512), nullable=False),
    Column("code", String(32), nullable=False),
    Column("reason", String(1000), nullable=False),
    Column("plant", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("epoch", String(16), nullable=True),
    Column("sequence", BigInteger, nullable=True),
    Column("received_ms", BigInteger, nullable=False),
    Column("last_received_ms", BigInteger, nullable=False),
    Column("repeats", Integer, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    UniqueConstraint("sha256", "topic", "code"),
)

# The last message of each gateway on its state topic, unchanged.
agent_state: Final = Table(
    "agent_state",
    metadata,
    Column("plant", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("bytes", LargeBinary, nullable=False),
    PrimaryKeyConstraint("plant", "gateway"),
)

# The plants of center.toml, for processes that read the store without it. `units`, `gateways`: JSON lists.
enrolled: Final = Table(
    "enrolled",
    metadata,
    Column("plant", String(64), primary_key=True),
    Column("units", Text, nullable=False),
    Column("gateways", Text, nullable=False),
)

# A day is to be sealed while `wanted` is ahead of `sealed`; both only grow.
lake_day: Final = Table(
    "lake_day",
    metadata,
    Column("plant", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("wanted", BigInteger, nullable=False),
    Column("sealed", BigInteger, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("plant", "day"),
)

# Every day file ever sealed; the current one of a day has no `superseded_ms`, a removed one has `dropped_ms`.
# `others`: the list of records that lost their instant to those of the file; '' where none did, null: not recorded.
lake_file: Final = Table(
    "lake_file",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("plant", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("name", String(200), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("row_count", BigInteger, nullable=False),
    Column("other_count", BigInteger, nullable=False),
    Column("others", String(200), nullable=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sealed_ms", BigInteger, nullable=False),
    Column("superseded_ms", BigInteger, nullable=True),
    Column("dropped_ms", BigInteger, nullable=True),
    Index("lake_file_by_day", "plant", "day"),
)
