# SPDX-License-Identifier: GPL-3.0-or-later
"""The bar of long work: share and time left on a terminal, nothing into a pipe."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from collector.cli.center.progress import shown_progress


@pytest.mark.parametrize(("terminal", "said"), [(True, ("backup", "25%", "0:0")), (False, ())])
def test_share_and_time_left_are_shown_to_who_looks(terminal: bool, said: tuple[str, ...]) -> None:
    seconds = iter(range(1000))
    out = io.StringIO()
    screen = Console(
        file=out, force_terminal=terminal, width=100, color_system=None, get_time=lambda: float(next(seconds))
    )
    with shown_progress("backup", screen) as note:
        note(10, 100)
        note(25, 100)
    assert [text for text in said if text not in out.getvalue()] == []
    assert terminal or out.getvalue() == ""
