# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector agent …`: the plant side. Which module has which verb: `panels.AGENT_PANELS`."""

from __future__ import annotations

import typer

from collector.cli.panels import AGENT_PANELS
from collector.cli.verbs import group_of

app = typer.Typer(
    cls=group_of(AGENT_PANELS), no_args_is_help=True, help="The plant side: read, record, buffer, send. 厂站端。",
    epilog="Examples: collector agent check agent.toml · collector agent watch agent.toml",
)  # fmt: skip


@app.callback()
def _agent() -> None:
    pass  # a group of verbs that are found when asked for


def register(root: typer.Typer) -> None:
    """Add the group to `collector`."""
    root.add_typer(app, name="agent")
