# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of monitoring: findings in the records, substituted values, plant keys, alarms, recall requests (补召)."""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from collector.center.db.tables_receive import metadata as metadata

_Key = BigInteger().with_variant(Integer(), "sqlite")

# A finding of validation in a sealed day; closed when a later validation no longer shows it, never deleted.
finding: Final = Table(
    "finding",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("code", String(32), nullable=False),
    Column("plant", String(64), nullable=False),
    Column("unit", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("quantity", String(64), nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("found", String(400), nullable=False),
    Column("expected", String(400), nullable=False),
    Column("file", String(200), nullable=False),
    Column("first_seen_ms", BigInteger, nullable=False),
    Column("last_seen_ms", BigInteger, nullable=False),
    Column("closed_ms", BigInteger, nullable=True),
    UniqueConstraint("plant", "day", "unit", "code", "quantity", "start_ms"),
    Index("finding_by_day", "day", "plant"),
)

# The last validation of a day: its file, the list of records that lost their instant, and the version of the checks.
# The day is due again when one of these differs.
validated_day: Final = Table(
    "validated_day",
    metadata,
    Column("plant", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("file", String(200), nullable=False),
    Column("others", String(200), nullable=False),
    Column("basis", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    PrimaryKeyConstraint("plant", "day"),
)

# A new value in place of delivered ones, for one quantity and interval. `value`: exact decimal text in the
# quantity's unit. `fill_s`: where records are missing, one is made every so many seconds; empty: existing records
# only. In force: approved and not withdrawn. The proposal says who approved it, when and why.
substitution: Final = Table(
    "substitution",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("plant", String(64), nullable=False),
    Column("unit", String(64), nullable=False),
    Column("quantity", String(64), nullable=False),
    Column("start_ms", BigInteger, nullable=False),
    Column("end_ms", BigInteger, nullable=False),
    Column("value", String(40), nullable=False),
    Column("fill_s", Integer, nullable=True),
    Column("method", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("proposal_id", ForeignKey("proposal.id"), nullable=False),
    Column("approved_ms", BigInteger, nullable=True),
    Column("withdrawn_ms", BigInteger, nullable=True),
    Column("withdrawn_by", String(64), nullable=True),
    Column("withdrawn_reason", Text, nullable=True),
    Index("substitution_by_plant", "plant", "start_ms"),
)

# Keys beside those of center.toml; a revoked key of center.toml has a row too, with nothing enrolled.
plant_key: Final = Table(
    "plant_key",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("plant", String(64), nullable=False),
    Column("key_id", String(64), nullable=False),
    Column("public_key", Text, nullable=False),
    Column("enrolled_ms", BigInteger, nullable=True),
    Column("enrolled_by", String(64), nullable=True),
    Column("revoked_ms", BigInteger, nullable=True),
    Column("revoked_by", String(64), nullable=True),
    Column("reason", Text, nullable=False),
    UniqueConstraint("plant", "key_id"),
)

# `standing`: 1 while the alarm stands, else empty, so that one subject has at most one standing alarm of a code.
# `seen_ms`: when a receiver last saw a condition that only receivers see.
# `raised_sent_ms`, `cleared_sent_ms`: when the webhook accepted it, 0 where there is no webhook.
alarm: Final = Table(
    "alarm",
    metadata,
    Column("id", _Key, primary_key=True),
    Column("code", String(32), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("since_ms", BigInteger, nullable=False),
    Column("until_ms", BigInteger, nullable=True),
    Column("standing", Integer, nullable=True),
    Column("seen_ms", BigInteger, nullable=True),
    Column("text", String(1000), nullable=False),
    Column("raised_sent_ms", BigInteger, nullable=True),
    Column("cleared_sent_ms", BigInteger, nullable=True),
    UniqueConstraint("code", "subject", "standing"),
    Index("alarm_by_time", "since_ms"),
)

# 补召: one row per gateway asked. The answer is read from batches and gaps; `repeats_before`: how often batches of
# that time had been repeated until then, because the same bytes once more are an answer too.
asked: Final = Table(
    "asked",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("plant", String(64), nullable=False),
    Column("gateway", String(64), nullable=False),
    Column("unit", String(64), nullable=False),
    Column("from_ms", BigInteger, nullable=False),
    Column("to_ms", BigInteger, nullable=False),
    Column("who", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("repeats_before", BigInteger, nullable=False),
    Index("asked_by_time", "at_ms"),
)
