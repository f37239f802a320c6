# SPDX-License-Identifier: GPL-3.0-or-later
"""对点 from the center: the agent answers an ask for the echo of a point with what it knows of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from collector.wire import Ask
from simulators.run.pytest_plugin import ServedDevices
from tests.agent.running_agent import TABLE, agent_at, recorded, run, write_agent
from tests.agent.uplink.uplink_world import Center, broker, free_port
from tests.patience import until


def test_an_ask_for_a_point_is_echoed_with_value_quality_and_unit_in_the_state_message(
    modbus_device: Callable[..., ServedDevices], tmp_path: Path
) -> None:
    device, port = modbus_device(TABLE), free_port()
    device.show("active_power_mw", "380")
    path = write_agent(tmp_path, [device.port], broker=port)
    center = Center(port)
    heard: list[dict[str, object]] = []

    def echoes() -> list[dict[str, object]]:
        states = [json.loads(state) for state in center.states.values()]
        return [echo for state in states for echo in state.get("echoes", ())]

    async def scenario() -> None:
        listening = asyncio.create_task(center.run())
        try:
            async with agent_at(path):
                await until(lambda: recorded(path) >= 3 and bool(center.states))
                await center.ask(Ask("ask-1", "P", "g", echo_device="d1", echo_point="power"))
                await center.ask(Ask("ask-2", "P", "g", echo_device="d1", echo_point="no such"))
                await until(lambda: len(echoes()) >= 2)
                heard.extend(echoes())
        finally:
            listening.cancel()
            await asyncio.wait([listening])

    with broker(port):
        run(scenario())
    known, unknown = heard
    assert (known["ask"], known["value"], known["quality"], known["unit"]) == ("ask-1", "380", "good", "MW")
    assert (unknown["ask"], unknown["error"]) == ("ask-2", "no such point here")
