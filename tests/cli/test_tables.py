# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables that a person at a gateway or at the center reads on a console."""

from __future__ import annotations

import re

import pytest

from collector.agent.operate.health import DeviceHealth
from collector.base.text import tr
from collector.cli import table
from collector.cli.agent.operate import _state
from collector.cli.center.screen import show_rows
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
    lines = capsys.readouterr().out.splitlines()
    assert sum("no answer" in line for line in lines) == 1
    assert [line for line in lines if line != line.rstrip()] == []  # else a console of 80 columns breaks them


def test_nothing_is_left_out_where_a_table_is_wider_than_the_console(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table, "_PIPE_WIDTH", 50)
    headings = ("month", "plant", "service", "claims", "due", "who")
    row = ("2026-03", "hydropower-1", "gas_start_stop", "123456.78", "2026-04-10T12:00:00", "zhangsan")
    print_table("reviews", headings, [row])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 50
    told = re.sub(r"\W|_", "", shown)
    assert sorted(told) == sorted(re.sub(r"\W|_", "", "".join(["reviews", *headings, *row])))


def test_a_list_of_nothing_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(tr("reviews"), ("no", "month"), [])
    assert capsys.readouterr().out == "reviews: nothing to list\n"


def test_texts_of_people_do_not_move_the_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(tr("reviews"), ("no", "claims"), [(1, "\x1b[2J[red]more"), (2, None)])
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "[2J[red]more" in shown


@pytest.mark.parametrize(
    ("reads", "answers", "state"), [(0, False, "not read yet"), (3, False, "silent"), (3, True, "answers")]
)
def test_a_device_that_was_not_due_yet_is_not_called_silent(reads: int, answers: bool, state: str) -> None:
    device = DeviceHealth(
        device="m", channel="/dev/ttyS1", answers=answers, reads=reads, failures=0, failures_in_a_row=0, overruns=0,
        last_error="", last_good_utc_ms=None, last_read_s=None, reading_s=0.0,
    )  # fmt: skip
    assert _state(device) == state
