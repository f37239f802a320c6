# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of what was measured, each row under the hash of everything that made it. All of it can be made again.

`content_sha256`: over key and content of the row, so that neither can be another's; a row without it (an older program
stored it) or with another one counts for nothing.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table

from collector.center.db.tables_receive import metadata as metadata

# What a day file says of the units in it (center/runs/measuring/file_facts.py), by the file's SHA-256.
file_facts: Final = Table(
    "file_facts",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("used_ms", BigInteger, nullable=False),
    Column("content_sha256", String(64), nullable=True),
    Column("facts", LargeBinary, nullable=False),
)

# A day result of a plant's units (center/runs/measuring/result_codec.py). `used_ms`: when a closing last asked for it.
day_result: Final = Table(
    "day_result",
    metadata,
    Column("key", LargeBinary(32), primary_key=True),
    Column("plant", String(64), nullable=False),
    Column("day", String(10), nullable=False),
    Column("measured_ms", BigInteger, nullable=False),
    Column("used_ms", BigInteger, nullable=False),
    Column("content_sha256", String(64), nullable=True),
    Column("results", LargeBinary, nullable=False),
    Index("day_result_by_day", "day"),
    Index("day_result_by_use", "used_ms"),
)

# Its segments, apart, for a closing adds results up without looking at them.
day_segments: Final = Table(
    "day_segments",
    metadata,
    Column("key", LargeBinary(32), primary_key=True),
    Column("content_sha256", String(64), nullable=True),
    Column("segments", LargeBinary, nullable=False),
)

# A file under laid-out/ (center/runs/kept_files.py), and what its bytes hash to.
kept_file: Final = Table(
    "kept_file",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("sha256", String(64), nullable=False),
)
