# SPDX-License-Identifier: GPL-3.0-or-later
"""The verb `verify` on a served device, and what it says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from collector.base.errors import CollectorError
from collector.cli.verify import command as verify
from simulators.run.pytest_plugin import ServedDevices


def make_app() -> typer.Typer:
    """The verb alone, as a group of two, so that it keeps its name."""
    app = typer.Typer()
    verify.register(app)
    app.command("other")(lambda: None)
    return app


APP = make_app()


@dataclass
class Said:
    """How a run ended. `error`: what `collector` prints where it exits 1 by an error of ours."""

    code: int
    out: str
    err: str
    error: str = ""

    @property
    def data(self) -> Any:
        """What --json printed."""
        return json.loads(self.out)


def run(config: Path, *arguments: str, typed: str = "") -> Said:
    """`collector verify CONFIG …`; `typed`: what comes from the keyboard."""
    result = CliRunner().invoke(APP, ["verify", str(config), *arguments], input=typed)
    if isinstance(result.exception, CollectorError):
        return Said(1, result.stdout, result.stderr, str(result.exception))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


def config_of(device: ServedDevices) -> Path:
    """The agent.toml that a served device was made from, with a short time-out and a state folder of its own."""
    path = device.config.directory / "agent.toml"
    text = path.read_text("utf-8")
    if "state_dir" not in text:
        text = text.replace('[gateway]\nid = "g"\n', '[gateway]\nid = "g"\nstate_dir = "state"\n')
        path.write_text(text, "utf-8")
    return path


def verified(said: Said) -> dict[str, Any]:
    """The one step that a run with --json verified."""
    (one,) = said.data["verified"]
    found: dict[str, Any] = one
    return found


def states(config: Path) -> dict[tuple[str, str], str]:
    """(point, step) → where it stands."""
    return {(row["point"], row["step"]): row["state"] for row in run(config, "--list", "--json").data["steps"]}
