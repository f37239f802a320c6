# SPDX-License-Identifier: GPL-3.0-or-later
"""The buffer's alarm over an outage of hours, in no time: each level is said once, and that it is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace

import pytest

from collector.agent.buffer.capacity import Capacity
from collector.agent.operate.alarm import watch_buffer
from collector.base.errors import StoreError


def filled(ratio: float) -> Capacity:
    """A buffer of 1 MB of which this share is unsent; 10 hours from empty to full."""
    return Capacity(
        is_measured=True, bytes_per_record=10.0, records_per_hour=10_000.0, max_bytes=1_000_000,
        used_bytes=round(ratio * 1_000_000), unsent_bytes=round(ratio * 1_000_000), unsent_ratio=ratio,
        hours_in_all=10.0, hours_left=10.0 * (1 - ratio), rate_cap_bytes_per_s=0, catch_up_s=None, full_catch_up_s=None,
    )  # fmt: skip


def said_over(fills: Iterable[float | None], caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """The log over minutes at these fills, None where the file can't be read."""
    minutes = iter(fills)
    fill: list[float | None] = []
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        try:
            fill[:] = [next(minutes)]
        except StopIteration:
            raise asyncio.CancelledError from None

    def measure() -> Capacity:
        if fill[0] is None:
            raise StoreError("can't be read", subject="g1.buffer")
        return filled(fill[0])

    with caplog.at_level(logging.INFO, "collector.agent.operate.alarm"), pytest.raises(asyncio.CancelledError):
        asyncio.run(watch_buffer(measure, sleep=sleep))
    assert set(slept) == {60.0}
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_each_level_is_said_once_and_once_that_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    assert said_over([0.1, 0.69, 0.7, 0.8, 0.9, 0.95, 1.0, 0.8, 0.3, 0.2], caplog) == [
        ("WARNING", "buffer=warning unsent_ratio=0.70 hours_left=3.0"),
        ("ERROR", "buffer=critical unsent_ratio=0.90 hours_left=1.0"),
        ("WARNING", "buffer=warning unsent_ratio=0.80 hours_left=2.0"),
        ("INFO", "buffer=good unsent_ratio=0.30 hours_left=7.0"),
    ]


def test_each_code_of_batches_that_are_kept_is_said_once_and_once_that_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept = [{}, {"too_many_days": 2}, {"too_many_days": 3, "time_out_of_range": 1}, {"too_many_days": 3}, {}]
    minutes = iter([replace(filled(0.1), kept=codes) for codes in kept])
    now: list[Capacity] = []

    async def sleep(_seconds: float) -> None:
        if not (following := next(minutes, None)):
            raise asyncio.CancelledError
        now[:] = [following]

    with caplog.at_level(logging.INFO, "collector.agent.operate.alarm"), pytest.raises(asyncio.CancelledError):
        asyncio.run(watch_buffer(lambda: now[0], sleep=sleep))
    assert [(r.levelname, r.getMessage()) for r in caplog.records] == [
        ("ERROR", "refused=too_many_days batches=2 kept and offered again"),
        ("ERROR", "refused=time_out_of_range batches=1 kept and offered again"),
        ("INFO", "refused=time_out_of_range batches=0"),
        ("INFO", "refused=too_many_days batches=0"),
    ]


def test_a_file_that_cannot_be_read_is_said_and_looked_at_again(caplog: pytest.LogCaptureFixture) -> None:
    assert said_over([None, 0.75], caplog) == [
        ("ERROR", "buffer=unreadable g1.buffer: can't be read"),
        ("WARNING", "buffer=warning unsent_ratio=0.75 hours_left=2.5"),
    ]
