# SPDX-License-Identifier: GPL-3.0-or-later
"""`points lint --protocol` and its sisters take what a device of agent.toml may have, and nothing else."""

from __future__ import annotations

from typing import get_args

from collector.cli.points import Protocol
from collector.points.agent_config import DeviceConfig


def test_the_command_line_knows_the_protocols_of_the_configuration() -> None:
    assert [each.value for each in Protocol] == list(get_args(DeviceConfig.model_fields["protocol"].annotation))
