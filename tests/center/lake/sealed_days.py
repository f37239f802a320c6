# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches delivered and days sealed, and their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from collector.center.db.store import CenterStore
from collector.center.lake.seal import (
    seal_month_of,
)
from collector.model.interval import Month
from tests.center.center_batches import (
    deliver,
)

MARCH = Month(2026, 3)


def rows(path: Path, *columns: str) -> list[tuple[Any, ...]]:
    table = pq.read_table(path)
    return list(zip(*(table.column(name).to_pylist() for name in columns), strict=True))


def seal(store: CenterStore, month: Month = MARCH) -> dict[str, Path]:
    """Day to file, for plant P1."""
    return {
        path.name[:10]: path
        for path in seal_month_of(store, month)
        if isinstance(path, Path) and path.parent.name == "P1"
    }


def deliver_from_both(store: CenterStore, payloads: list[bytes]) -> None:
    """Each to the topic its own header names."""
    from collector import wire
    from tests.center.center_batches import batch_topic, open_admission

    admission = open_admission()
    for payload in payloads:
        stream = wire.open_envelope(payload).stream
        deliver(store, [payload], admission=admission, topic=batch_topic(stream.plant, stream.gateway))
