# SPDX-License-Identifier: GPL-3.0-or-later
"""The durable append of a tick of four units, against a bare SQLite commit of a blob on the same disk; bytes kept."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench import signals
from bench.figure import Figure
from collector.agent.buffer.buffer import Buffer
from collector.points import agent_config
from collector.wire import Signer

_SECONDS = 3000


def _bare_commit_s(directory: Path) -> float:
    """Seconds for one durable insert of 300 bytes, nothing else."""
    with closing(sqlite3.connect(directory / "bare", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, body BLOB)")
        start = time.perf_counter()
        for _ in range(_SECONDS):
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO t (body) VALUES (?)", (bytes(300),))
            db.execute("COMMIT")
        return (time.perf_counter() - start) / _SECONDS


def measure() -> list[Figure]:
    """Cost of an append, and bytes on the disk for each record kept."""
    layouts = {layout.unit: layout for layout in signals.layouts()}
    ticks = list(signals.ticks(_SECONDS))
    with tempfile.TemporaryDirectory() as name:
        bare_s = _bare_commit_s(Path(name))
        buffer = Buffer.open(
            Path(name) / "b",
            gateway="g1",
            plants_of_unit=dict.fromkeys(layouts, "p1"),
            settings=agent_config.BufferConfig(),
            layouts=layouts,
            signers={"p1": Signer(Ed25519PrivateKey.generate())},
            now_utc_ms=signals.START_MS,
        )
        with closing(buffer):
            start = time.perf_counter()
            for records in ticks:
                buffer.append(records)
            append_s = (time.perf_counter() - start) / _SECONDS
            buffer.seal_all()
            counts = buffer.counts()
    return [
        Figure(
            "buffer_append_of_4_records", append_s * 1e6, "us", "bare SQLite commit", bare_s * 1e6, 2.0, of_ratio=True
        ),
        Figure(
            "buffer_bytes_per_record", counts.used_bytes / counts.buffered, "bytes", "wire target", 10.0, 12.0
        ),
    ]  # fmt: skip
