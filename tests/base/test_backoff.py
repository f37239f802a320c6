# SPDX-License-Identifier: GPL-3.0-or-later
"""What a failed try rests."""

from __future__ import annotations

from collector.base.backoff import backoff_s


def test_back_off_doubles_to_its_limit_and_never_below_half_of_it() -> None:
    assert [backoff_s(n, 0.5, 60.0) for n in (0, 1, 2, 7, 50)] == [0.5, 1.0, 2.0, 60.0, 60.0]
    assert backoff_s(7, 0.5, 60.0, 1.0) == 30.0
    assert backoff_s(10**9, 0.5, 60.0) == 60.0
    assert backoff_s(0, 0.5, 0.0) == 0.0
