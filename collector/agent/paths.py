# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an agent keeps things: its buffer, and the socket on which it answers."""

from __future__ import annotations

from pathlib import Path

from collector.points.agent_config import AgentConfig


def buffer_path(config: AgentConfig) -> Path:
    """The buffer of a configuration."""
    gateway = config.settings.gateway
    return config.resolve(gateway.state_dir) / f"{gateway.id}.buffer"


def socket_path(config: AgentConfig) -> Path:
    """Where its running agent answers questions."""
    return buffer_path(config).with_suffix(".sock")
