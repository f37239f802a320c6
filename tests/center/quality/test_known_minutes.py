# SPDX-License-Identifier: GPL-3.0-or-later
"""Known minutes by day are the same whether days without a hole are only counted, or every bit is looked at."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from collector.center.db.store import CenterStore
from collector.center.db.tables_receive import unit_day
from collector.center.quality.known_minutes import known_by_day
from collector.model.interval import Interval, local_midnight_ms
from tests.center.center_batches import FixedClock

FIRST = date(2026, 3, 1)
BEGIN = local_midnight_ms(FIRST)
MINUTE_MS = 60_000
DAYS = 4


def minute_lists(rng: random.Random) -> list[bytes | None]:
    """The day before, four days and a day after: full, with holes, or without any record."""
    found: list[bytes | None] = []
    for _ in range(DAYS + 2):
        kind = rng.choice("fffhhn")
        bits = [kind == "f" or rng.random() < 0.9 for _ in range(1440)]
        packed = bytes(sum(bit << (7 - k) for k, bit in enumerate(bits[n : n + 8])) for n in range(0, 1440, 8))
        found.append(None if kind == "n" else packed)
    return found


def by_hand(days: list[bytes | None], span_min: int, hold_min: int) -> list[int]:
    """Minute by minute: known where a record lies in it, or in one of those before it that still holds."""
    have = [bool(day[n // 8] >> (7 - n % 8) & 1) if day else False for day in days for n in range(1440)]
    counts = [0] * (-(-span_min // 1440))
    for minute in range(span_min):
        at = 1440 + minute
        counts[minute // 1440] += any(have[max(at - hold_min + 1, 0) : at + 1])
    return counts


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    with CenterStore.open(tmp_path, clock=FixedClock()) as opened:
        yield opened


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("span_min", [30, 1440, 3 * 1440, 3 * 1440 + 100])
def test_counts_are_those_of_every_minute_looked_at(store: CenterStore, seed: int, span_min: int) -> None:
    rng = random.Random(seed)
    hold_min = rng.choice((1, 5, 60))
    units = {f"U{n}": minute_lists(rng) for n in range(12)}
    rows = [
        {"plant": "P", "unit": unit, "day": str(FIRST + timedelta(days=n - 1)), "received": 1,
         "first_ms": BEGIN, "last_ms": BEGIN, "minutes": minutes}
        for unit, days in units.items()
        for n, minutes in enumerate(days)
        if minutes is not None
    ]  # fmt: skip
    store.write(lambda c: c.execute(unit_day.insert(), rows)).result()
    span = Interval(BEGIN, BEGIN + span_min * MINUTE_MS)
    found = store.read(lambda c: known_by_day(c, span, hold_min * 60))
    for unit, days in units.items():
        expected = by_hand(days, span_min, hold_min)
        assert found.get(("P", unit), [0] * len(expected)) == expected, unit
