# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector agent run`: the agent itself, as its service starts it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collector.points.agent_config import AgentConfig

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="agent.toml")]


def register(app: typer.Typer) -> None:
    """Add the verb to `collector agent`."""
    app.command()(run)


def run(
    config: ConfigFile,
    page: Annotated[
        str,
        typer.Option("--page", metavar="HOST:PORT", help="Show a live page there; :PORT is this machine alone. 网页。"),
    ] = "",
) -> None:
    """Run the agent until SIGTERM or Ctrl-C; SIGHUP loads devices and points again. 采集、缓存、上送。"""
    from collector.agent.operate.memory import return_large_blocks

    return_large_blocks()
    import asyncio

    import uvloop

    from collector.agent.app import look_for_cycles_rarely
    from collector.agent.log import start_logging
    from collector.points.agent_config import load_agent

    start_logging()
    loaded = load_agent(config)
    look_for_cycles_rarely()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(loaded, config, page))


async def _run(config: AgentConfig, path: Path, page: str) -> None:
    from collector.agent.app import run_agent
    from collector.base.clock import open_clock

    await run_agent(config, await open_clock(config.settings.gateway.time_server), path=path, page=page)
