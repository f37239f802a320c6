# SPDX-License-Identifier: GPL-3.0-or-later
"""How far long work is, on a terminal: a bar with the share done and the time left; nothing where nobody looks."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from collector.cli.language import say

if TYPE_CHECKING:
    from rich.console import Console


@contextlib.contextmanager
def shown_progress(what: str, console: Console | None = None) -> Iterator[Callable[[int, int], None]]:
    """A function to call with how much is done, and of how much. The bar goes when the work has ended.

    On stderr, and only where that is a terminal: a timer's log and a pipe get nothing of it.
    """
    # Loaded here: help needs none of it.
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    screen = console or Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(say(what), total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
