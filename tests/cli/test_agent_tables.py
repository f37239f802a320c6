# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables a person at a gateway reads."""

from __future__ import annotations

import pytest

from collector.agent.operate.health import DeviceHealth
from collector.cli.agent.operate import _state
from collector.cli.table import print_table


def test_a_column_in_which_nothing_stands_is_left_out_and_numbers_stand_to_the_right(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_table("Devices", ("device", "reads", "error", "state"), [("gov-1", 7, "", "answers"), ("m", 1200, "", "")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == "Devices"
    assert lines[1].split() == ["device", "reads", "state"]
    assert lines[3].split() == ["gov-1", "7", "answers"]
    assert lines[3].index("7") == lines[4].index("1200") + 3


def test_lines_stay_whole_where_no_terminal_is(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("Read once", ("name", "error"), [("p", "no answer within 3.0 s " * 6)])
    assert sum("no answer" in line for line in capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    ("reads", "answers", "state"), [(0, False, "not read yet"), (3, False, "silent"), (3, True, "answers")]
)
def test_a_device_that_was_not_due_yet_is_not_called_silent(reads: int, answers: bool, state: str) -> None:
    device = DeviceHealth(
        device="m", channel="/dev/ttyS1", answers=answers, reads=reads, failures=0, failures_in_a_row=0, overruns=0,
        last_error="", last_good_utc_ms=None, last_read_s=None, reading_s=0.0,
    )  # fmt: skip
    assert _state(device) == state
