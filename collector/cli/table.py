# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables for terminals, files and pipes: narrow ones, because consoles at a gateway have 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from collector.cli.language import say

# Whole lines where the output goes into a file or a pipe: a person may search it.
_PIPE_WIDTH: Final = 200


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table without its empty columns; numbers are aligned right.

    Where it does not fit, cells are folded, except the first column, single words, and cells of several lines.
    """
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    cells = [[say(cell) for cell in row] for row in rows]
    shown = [index for index in range(len(headings)) if any(row[index] for row in cells)]
    table = Table(title=say(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index in shown:
        numbers = all(_is_number(row[index]) for row in cells)
        sentences = any(" " in row[index] for row in cells) and not any("\n" in row[index] for row in cells)
        table.add_column(
            say(headings[index]),
            overflow="fold",
            justify="right" if numbers else "left",
            no_wrap=index == shown[0] or not sentences,
        )
    for row in cells:
        table.add_row(*(Text(row[index]) for index in shown))
    console = Console()
    Console(width=console.width if console.is_terminal else _PIPE_WIDTH).print(table)


def _is_number(cell: str) -> bool:
    try:
        float(cell.removesuffix(" s") or "0")
    except ValueError:
        return False
    return True
