# SPDX-License-Identifier: GPL-3.0-or-later
"""Every verb of `center` that opens a store takes center.toml as --config; some also as an argument."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from collector.cli.center.commands import app
from tests.center.center_batches import new_store


def verbs(command: Any, name: str = "") -> list[tuple[str, Any]]:
    """Every verb below a command, by its whole name."""
    below = getattr(command, "commands", None)
    if below is None:
        return [(name, command)]
    return [found for each, verb in below.items() for found in verbs(verb, f"{name} {each}".strip())]


def test_every_verb_that_may_open_a_store_takes_it_as_an_option() -> None:
    for name, verb in verbs(get_command(app)):
        options = {option for parameter in verb.params for option in parameter.opts}
        argued = any("CONFIG" in (getattr(parameter, "metavar", None) or "") for parameter in verb.params)
        if "--state" in options or argued:
            assert "--config" in options, name


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A center.toml whose store is there and empty."""
    with new_store(tmp_path / "state"):
        pass
    path = tmp_path / "center.toml"
    sample = (Path(__file__).parents[2] / "config" / "center.toml").read_text("utf-8")
    # It is not asked whether it runs: at the usual port another test's center may stand.
    own = {"state_dir": f'state_dir = "{tmp_path}/state"', "listen": 'listen = ""'}
    lines = [own.get(line.split(" ")[0], line) for line in sample.splitlines()]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_argument_and_option_name_the_same_file(config: Path) -> None:
    runner = CliRunner()
    for verb in ("status", "check", "quarantine"):
        by_argument = runner.invoke(app, [verb, str(config)])
        by_option = runner.invoke(app, [verb, "--config", str(config)])
        assert by_argument.exit_code == by_option.exit_code == 0, by_option.output
        assert by_argument.output == by_option.output
        both = runner.invoke(app, [verb, str(config), "--config", "other.toml"])
        assert both.exit_code == 2


def test_ask_takes_three_words_or_four(config: Path) -> None:
    runner = CliRunner()
    span = ["2026-03-05T02:00:00+08:00", "2026-03-05T01:00:00+08:00"]
    for words in ([str(config), "U1", *span], ["U1", *span, "--config", str(config)]):
        answer = runner.invoke(app, ["ask", *words])
        assert (answer.exit_code, "TO is not after FROM" in answer.output) == (2, True)
    assert runner.invoke(app, ["ask", "U1", span[0], "--config", str(config)]).exit_code == 2
