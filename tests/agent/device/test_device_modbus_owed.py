# SPDX-License-Identifier: GPL-3.0-or-later
"""The account of answers that may still come: how late a line is held to be, and for how long."""

from __future__ import annotations

import pytest

from collector.agent.device.modbus.framing import WantedReply
from collector.agent.device.modbus.owed import Owed

SHAPE = WantedReply(1, 3, 4)


def test_a_line_seen_late_is_given_twice_that_for_an_hour_and_then_forgotten() -> None:
    owed = Owed(3.0)
    owed.give_up(SHAPE, (0, 2), 100.0)
    owed.came(SHAPE, 1, 102.5)
    assert owed.late_s == 5.0
    owed.give_up(SHAPE, (0, 2), 3000.0)
    assert owed.of(SHAPE, 3004.9) is not None
    assert owed.of(SHAPE, 3005.1) is None
    owed.give_up(SHAPE, (0, 2), 3800.0)
    assert owed.of(SHAPE, 3802.9) is not None
    assert owed.of(SHAPE, 3803.1) is None


def test_what_is_expected_is_never_forgotten() -> None:
    owed = Owed(1.0)
    owed.expect(6.0)
    owed.expect(2.0)
    owed.give_up(SHAPE, (0, 2), 10_000.0)
    assert owed.of(SHAPE, 10_005.9) is not None


def test_lateness_is_not_forgotten_while_an_answer_is_owed() -> None:
    owed = Owed(3.0)
    owed.give_up(SHAPE, (0, 2), 0.0)
    owed.stray(SHAPE, 1.0)
    assert owed.late_s == 6.0
    other = WantedReply(2, 3, 4)
    for now_s in (3599.0, 3603.0):
        owed.give_up(other, (0, 2), now_s)
    assert owed.late_s == 6.0


@pytest.mark.parametrize("strays", [1, 9])
def test_no_line_is_held_to_be_later_than_a_minute(strays: int) -> None:
    owed = Owed(3.0)
    for _ in range(strays):
        owed.stray(SHAPE, 1.0)
    assert owed.late_s == min(3.0 * 2**strays, 60.0)
