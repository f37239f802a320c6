# SPDX-License-Identifier: GPL-3.0-or-later
"""The paths of an agent: its buffer, and the socket on which it answers."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Final

from collector.base.errors import ConfigError, Problem
from collector.base.text import tr
from collector.points.agent_config import AgentConfig, GatewayConfig

_TABLE: Final = re.compile(r"^\s*\[+\s*([\w.-]+)\s*\]+")
_TEXT_KEY: Final = re.compile(r"""^\s*(id|state_dir|time_server)\s*=\s*(["'])(.*?)\2""")


def buffer_path(config: AgentConfig) -> Path:
    """The path of the buffer of a configuration."""
    return _buffer_path(config.settings.gateway.state_dir, config.settings.gateway.id, config.directory)


def socket_path(config: AgentConfig) -> Path:
    """The path of the socket on which its running agent answers."""
    return buffer_path(config).with_suffix(".sock")


def find_socket(file: Path) -> Path:
    """The path of the socket of the agent that was started with this file, even if the file has changed since.

    People look at a running agent most often after a wrong change to the file. So only `[gateway]` is read, line by
    line where the file is no longer TOML.

    Raises:
        ConfigError: the file can't be read, or names no gateway.
    """
    try:
        text = file.read_text("utf-8", errors="replace")
    except OSError as error:
        raise ConfigError([Problem(str(file), 0, "", tr("can't be read: {error}", error=error.strerror))]) from error
    try:
        gateway: Any = tomllib.loads(text).get("gateway", {})
    except tomllib.TOMLDecodeError:
        gateway = _gateway_lines(text)
    name = gateway.get("id") if isinstance(gateway, dict) else None
    if not isinstance(name, str):
        raise ConfigError([Problem(str(file), 0, "gateway.id", tr("is missing: which agent is meant?"))])
    state_dir = str(gateway.get("state_dir", GatewayConfig.model_fields["state_dir"].default))
    return _buffer_path(state_dir, name, file.parent).with_suffix(".sock")


def _gateway_lines(text: str) -> dict[str, str]:
    table, found = "", {}
    for line in text.splitlines():
        if heading := _TABLE.match(line):
            table = heading[1]
        elif table == "gateway" and (key := _TEXT_KEY.match(line)):
            found[key[1]] = key[3]
    return found


def _buffer_path(state_dir: str, gateway: str, directory: Path) -> Path:
    return directory / state_dir / f"{gateway}.buffer"
