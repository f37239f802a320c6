# SPDX-License-Identifier: GPL-3.0-or-later
"""The sample configuration: it passes the check as shipped, and shows every key with its default."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from collector.agent.operate.config_check import compute_plan, find_problems
from collector.base.config import Mqtt
from collector.points.agent_config import (
    BufferConfig,
    DeviceConfig,
    GatewayConfig,
    PlantConfig,
    UnitConfig,
    UplinkConfig,
    load_agent,
)

SAMPLE = Path(__file__).parents[2] / "config" / "agent.toml"


def test_the_sample_passes_the_check_as_shipped() -> None:
    config = load_agent(SAMPLE)
    assert find_problems(config, str(SAMPLE)) == []
    # One block each of Modbus, one interrogation each of 104, four identifiers of 645; of the 101 station six objects,
    # and the request, the confirmation and the end of its interrogation.
    assert sum(plan.requests for plan in compute_plan(config)) == 3 + 2 + 4 + 9


@pytest.mark.parametrize(
    ("section", "model"),
    [("gateway", GatewayConfig), ("mqtt", Mqtt), ("uplink", UplinkConfig), ("buffer", BufferConfig),
     ("plant", PlantConfig), ("unit", UnitConfig), ("device", DeviceConfig)],
)  # fmt: skip
def test_the_sample_shows_every_key_with_its_default_and_a_sentence(section: str, model: type[BaseModel]) -> None:
    data = tomllib.loads(SAMPLE.read_text("utf-8"))[section]
    rows = data if isinstance(data, list) else [data]
    text = SAMPLE.read_text("utf-8")
    for name, field in model.model_fields.items():
        assert re.search(rf"^(# )?{name} = .*#", text, re.MULTILINE), f"{section}.{name} has no sentence"
        shown = [row[name] for row in rows if name in row]
        if shown and not field.is_required() and field.default not in (None, "", []):
            assert field.default in shown, f"{section}.{name}: the sample shows {shown}, the default is {field.default}"
