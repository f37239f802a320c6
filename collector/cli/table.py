# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables for terminals, files and pipes: narrow ones, because consoles at a gateway have 80 columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from collector.cli.language import say

if TYPE_CHECKING:
    from rich.table import Table

# Whole lines where the output goes into a file or a pipe: a person may search it.
_PIPE_WIDTH: Final = 200
# Wide enough for every line that is measured.
_ANY_WIDTH: Final = 100_000


def print_table(title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table without its empty columns; numbers are aligned right.

    Where it does not fit, cells are folded: sentences first, and single words where that is not enough. Nothing is
    left out.
    """
    from rich.console import Console

    cells = [[say(cell) for cell in row] for row in rows]
    shown = [index for index in range(len(headings)) if any(row[index] for row in cells)]
    heads = [say(headings[index]) for index in shown]
    body = [[row[index] for index in shown] for row in cells]
    console = Console()
    is_terminal = console.is_terminal
    console = Console(width=console.width if is_terminal else _PIPE_WIDTH)
    table = _table(say(title), heads, body, folds_words=False)
    if console.measure(table, options=console.options.update(width=_ANY_WIDTH)).minimum > console.width:
        table = _table(say(title), heads, body, folds_words=True)
    if is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    print("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, folds_words: bool) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, heading in enumerate(heads):
        numbers = all(_is_number(row[index]) for row in rows)
        sentences = any(" " in row[index] for row in rows) and not any("\n" in row[index] for row in rows)
        table.add_column(
            heading,
            overflow="fold",
            justify="right" if numbers else "left",
            no_wrap=not folds_words and (index == 0 or not sentences),
        )
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _is_number(cell: str) -> bool:
    try:
        float(cell.removesuffix(" s") or "0")
    except ValueError:
        return False
    return True
