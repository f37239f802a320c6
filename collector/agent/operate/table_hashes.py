# SPDX-License-Identifier: GPL-3.0-or-later
"""The point tables in use, as one hash per device: to compare a running agent with its files."""

from __future__ import annotations

import hashlib

import msgspec

from collector.points.agent_config import AgentConfig
from collector.points.load import family_of
from collector.points.point import cells_of


def loaded_tables(config: AgentConfig, only: str = "") -> dict[str, str]:
    """Device → hash of everything that decides which values are read and their meaning; of one device or of all."""
    found = {}
    for device in config.settings.device:
        if only not in ("", device.id):
            continue
        family = family_of(device.protocol)
        cells = [dict(cells_of(point, family)) for point in config.points[device.id]]
        said = [device.model_dump(mode="json"), cells]
        found[device.id] = hashlib.sha256(msgspec.json.encode(said, order="sorted")).hexdigest()
    return found
