# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector center …`: the dispatch side. Which module has which verb: `panels.CENTER_PANELS`."""

from __future__ import annotations

import typer

from collector.cli.panels import CENTER_PANELS
from collector.cli.verbs import group_of

app = typer.Typer(
    cls=group_of(CENTER_PANELS), no_args_is_help=True, help="The dispatch side: receive, store, settle. 主站。",
    epilog="Examples: collector center status · collector center import plan p.csv · collector center settle 2026-03",
)  # fmt: skip


@app.callback()
def _center() -> None:
    pass  # a group of verbs that are found when asked for


def register(root: typer.Typer) -> None:
    """Add the group to `collector`."""
    root.add_typer(app, name="center")
