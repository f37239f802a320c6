# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of measured results, each row under the hash of all its inputs. Every row can be computed again.

`content_sha256`: over key and content of the row, so that neither can be swapped with another's; a row without it (from
an older program) or with a wrong one is ignored.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table

from collector.center.db.tables_receive import metadata as metadata

# Facts about the units in a day file (center/runs/measuring/file_facts.py), by the file's SHA-256.
file_facts: Final = Table(
    "file_facts",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("used_ms", BigInteger, nullable=False),
    Column("content_sha256", String(64), nullable=True),
    Column("facts", LargeBinary, nullable=False),
)

# A day result of a plant's units (center/runs/measuring/result_codec.py). `used_ms`: its last use by a closing.
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

# Its segments, in a table of their own, as a closing sums results without reading segments.
day_segments: Final = Table(
    "day_segments",
    metadata,
    Column("key", LargeBinary(32), primary_key=True),
    Column("content_sha256", String(64), nullable=True),
    Column("segments", LargeBinary, nullable=False),
)

# A file under laid-out/ (center/runs/kept_files.py), and the hash of its bytes.
kept_file: Final = Table(
    "kept_file",
    metadata,
    Column("name", String(200), primary_key=True),
    Column("sha256", String(64), nullable=False),
)
