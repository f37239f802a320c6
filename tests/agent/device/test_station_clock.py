# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of a 104 station, from the tags of its changes. Times in ms; an hour is 3 600 000."""

from __future__ import annotations

import pytest

from collector.agent.device.iec60870.station_clock import StationClock

HOUR = 3_600_000


def observed(*changes: tuple[int, int]) -> int | None:
    """The offset after changes, each (arrival, how far its tag is ahead of it)."""
    clock = StationClock()
    for arrival_ms, ahead_ms in changes:
        clock.observe(arrival_ms + ahead_ms, arrival_ms)
    return clock.offset_ms


def test_a_clock_that_is_right_or_ahead_shows_at_the_first_change() -> None:
    assert observed((0, -40)) == -40
    assert observed((0, 8 * HOUR)) == 8 * HOUR


def test_what_a_station_kept_while_it_was_cut_off_is_no_false_clock() -> None:
    # Sixteen changes, a minute apart an hour ago, all sent within a second.
    assert observed(*((n * 60, n * 60_000 - HOUR) for n in range(16))) is None
    # Each of them twice, 10 ms apart, as a breaker's two contacts are.
    assert observed(*((n * 60 + 10 * k, n * 60_000 - HOUR) for n in range(16) for k in range(2))) is None


def test_late_changes_among_live_ones_leave_the_offset_as_it_was() -> None:
    late = [(20_000 + n, n * 60_000 - HOUR) for n in range(16)]
    assert observed((0, -40), *late) == -40
    assert observed(*late, (40_000, -40)) == -40


def test_a_clock_hours_behind_shows_when_a_second_change_is_behind_by_as_much() -> None:
    assert observed((0, -8 * HOUR)) is None
    assert observed((0, -8 * HOUR), (600_000, -8 * HOUR - 300)) == -8 * HOUR - 300
    assert observed((0, -8 * HOUR), (600_000, -8 * HOUR - 300), (700_000, -8 * HOUR)) == -8 * HOUR


def test_changes_that_come_together_are_no_proof_of_a_clock_behind() -> None:
    assert observed((0, -8 * HOUR), (9_000, -8 * HOUR)) is None


def test_a_clock_that_was_set_right_is_believed_at_once() -> None:
    assert observed((0, -HOUR), (60_000, -HOUR), (120_000, -10)) == -10
    assert observed((0, HOUR), (60_000, -10)) == -10


@pytest.mark.parametrize("later_ms", [HOUR - 1, HOUR + 1])
def test_of_alike_measurements_the_least_delayed_counts_for_an_hour(later_ms: int) -> None:
    assert observed((0, -100), (later_ms, -900)) == (-100 if later_ms < HOUR else -900)


def test_after_a_lost_link_it_is_measured_anew() -> None:
    clock = StationClock()
    clock.observe(0, 0)
    clock.forget()
    assert clock.offset_ms is None
