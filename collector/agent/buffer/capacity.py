# SPDX-License-Identifier: GPL-3.0-or-later
"""The time that the buffer lasts: bytes per record in this very file, rate of records, longest outage.

Read from the file, beside the agent that writes it or after it. Acknowledged batches are removed first, so they count
as room. All sizes are computed as for eviction: pages in use against `buffer.max_bytes`.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from collector.agent.paths import buffer_path
from collector.base.errors import StoreError
from collector.base.text import tr
from collector.points.agent_config import AgentConfig

# With fewer sealed batches the file is no basis; a full minute of four units takes this many bytes on the wire.
_ENOUGH_BATCHES: Final = 20
_USUAL_BYTES_PER_RECORD: Final = 12.0
_HOUR_MS: Final = 3_600_000
_KEPT: Final = "SELECT refused, count(*) FROM batches WHERE state = 0 AND refused IS NOT NULL GROUP BY refused"


@dataclass(frozen=True, slots=True)
class Capacity:
    """The capacity. Rates are per hour of record time, sizes in bytes, durations in hours or seconds.

    `is_measured`: bytes and rate come from this buffer, not from the configuration and experience. `unsent_bytes`: not
    acknowledged, so not to be removed. `hours_in_all`: the longest outage from an empty buffer; `hours_left`: from now
    until the oldest unsent batch would be evicted. `catch_up_s`: time to send the unsent data at the rate cap, while
    new records come, None without a cap; `full_catch_up_s`: the same for a full buffer. Infinite where the cap is too
    low. `kept`: unsent batches that the center refused, by its code.
    """

    is_measured: bool
    bytes_per_record: float
    records_per_hour: float
    max_bytes: int
    used_bytes: int
    unsent_bytes: int
    unsent_ratio: float
    hours_in_all: float
    hours_left: float
    rate_cap_bytes_per_s: int
    catch_up_s: float | None
    full_catch_up_s: float | None
    kept: dict[str, int] = field(default_factory=dict)


def open_beside(path: Path) -> sqlite3.Connection:
    """A reading connection to a buffer that an agent may be writing; one transaction, so that all numbers fit.

    Raises:
        StoreError: there is none, or it can't be read.
    """
    if not path.is_file():
        raise StoreError(tr("there is no buffer yet: the agent has never run here"), subject=str(path))
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            db.execute("BEGIN")
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.Error:
            db.close()
            raise
    except sqlite3.Error as error:
        raise StoreError(tr("can't be read: {error}", error=error), subject=str(path)) from error
    return db


def compute_capacity(config: AgentConfig) -> Capacity:
    """The capacity of the buffer of a configuration.

    Raises:
        StoreError: there is none, or it can't be read.
    """
    path = buffer_path(config)
    try:
        with closing(open_beside(path)) as db:
            return _compute(db, config)
    except (sqlite3.Error, TypeError, ValueError) as error:  # a damaged row may hold anything
        raise StoreError(tr("can't be read: {error}", error=error), subject=str(path)) from error


def _compute(db: sqlite3.Connection, config: AgentConfig) -> Capacity:
    page_bytes = int(_value(db, "PRAGMA page_size"))
    used = int(_value(db, "PRAGMA page_count") - _value(db, "PRAGMA freelist_count")) * page_bytes
    # An empty buffer has a page for each table and index, and one for the schema.
    empty = (1 + int(_value(db, "SELECT count(*) FROM sqlite_master WHERE rootpage > 0"))) * page_bytes
    batches, records, payload = db.execute(
        "SELECT count(*), total(records), total(length(payload)) FROM batches"
    ).fetchone()
    # Batches handed over to a one-way device are removed first, like acknowledged ones.
    gone = "SELECT total(length(payload)) FROM batches b JOIN streams s ON s.id = b.stream"
    freed_payload = _value(db, f"{gone} WHERE b.state = 1 OR b.sequence <= s.handed")
    open_bytes = _value(db, "SELECT total(length(body)) FROM tail")
    rate = _records_per_hour(db)
    is_measured = batches >= _ENOUGH_BATCHES and rate is not None
    per_record = max(1.0, used - empty - open_bytes) / records if is_measured else _USUAL_BYTES_PER_RECORD
    settings = config.settings
    # At least the rate of ticks: the file may also cover hours in which the agent stood still.
    rate = max(rate or 0.0, len(settings.unit) * 3_600_000 / settings.gateway.record_period_ms)
    unsent = round(used - (used - empty) * (freed_payload / payload if payload else 0.0))
    room = max(0, settings.buffer.max_bytes - unsent)
    per_hour = per_record * rate
    cap = settings.uplink.rate_cap_bytes_per_s
    return Capacity(
        is_measured=is_measured, bytes_per_record=per_record, records_per_hour=rate,
        max_bytes=settings.buffer.max_bytes, used_bytes=used, unsent_bytes=unsent,
        unsent_ratio=unsent / settings.buffer.max_bytes, hours_in_all=(settings.buffer.max_bytes - empty) / per_hour,
        hours_left=room / per_hour, rate_cap_bytes_per_s=cap,
        catch_up_s=_catch_up_s(max(0, unsent - empty), cap, per_hour / 3600),
        full_catch_up_s=_catch_up_s(settings.buffer.max_bytes, cap, per_hour / 3600),
        kept=dict(db.execute(_KEPT).fetchall()),
    )  # fmt: skip


def _catch_up_s(bytes_waiting: float, cap: int, comes_per_s: float) -> float | None:
    """Seconds to send the waiting bytes while more arrive; None without a cap."""
    if not cap:
        return None
    return bytes_waiting / (cap - comes_per_s) if cap > comes_per_s else float("inf")


def _records_per_hour(db: sqlite3.Connection) -> float | None:
    """Records per hour of the stored batches, by their record times; None while they cover less than a minute."""
    records, first_ms, last_ms = db.execute(
        "SELECT total(records), min(first_ms), max(last_ms) FROM batches WHERE records > 0"
    ).fetchone()
    if not records or last_ms - first_ms < 60_000:
        return None
    return float(records / (last_ms - first_ms) * _HOUR_MS)


def _value(db: sqlite3.Connection, sql: str) -> float:
    row = db.execute(sql).fetchone()
    return row[0]  # type: ignore[no-any-return]
