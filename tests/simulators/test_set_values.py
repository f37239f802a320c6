# SPDX-License-Identifier: GPL-3.0-or-later
"""Values set by hand on the control socket, as a commissioning engineer does in the factory."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

from simulators.faces.modbus import Slave
from simulators.run.pytest_plugin import ServedPlant
from simulators.run.simulation import split_address
from tests.patience import HANG_S


def ask(plant: ServedPlant, **request: object) -> dict[str, Any]:
    with socket.create_connection(split_address(plant.control), timeout=HANG_S) as link, link.makefile("rwb") as file:
        file.write(json.dumps(request).encode() + b"\n")
        file.flush()
        answer: dict[str, Any] = json.loads(file.readline())
        return answer


def power_mw(plant: ServedPlant) -> float:
    """What the governor of coal-1 holds in its registers 0 and 1: float32, low word first."""
    slave = plant.simulation.devices.members["coal-1-governor"]
    assert isinstance(slave, Slave)
    data = slave.answer(bytes.fromhex("0300000002"))[2:]
    value: float = struct.unpack(">f", data[2:] + data[:2])[0]
    return value


def test_a_value_set_by_hand_is_shown_until_it_is_let_go(simulated_plant: Callable[..., ServedPlant]) -> None:
    plant = simulated_plant()
    before = power_mw(plant)
    assert ask(plant, do="set", unit="coal-1", quantity="active_power_mw", value="123.5") == {"set": True}
    assert power_mw(plant) == 123.5
    # The plant moves on underneath.
    signal = plant.simulation.devices.board.find("coal-1", "active_power_mw")
    signal.set(200_000, 0)
    assert power_mw(plant) == 123.5
    assert ask(plant, do="unset", unit="coal-1", quantity="active_power_mw") == {"unset": True}
    assert power_mw(plant) == 200.0
    assert before != 123.5


def test_what_is_no_signal_or_no_number_is_refused(simulated_plant: Callable[..., ServedPlant]) -> None:
    plant = simulated_plant()
    answer = ask(plant, do="set", unit="coal-9", quantity="active_power_mw", value="1")
    assert "coal-1" in answer["error"]
    answer = ask(plant, do="set", unit="coal-1", quantity="power", value="1")
    assert "has no power" in answer["error"]
    answer = ask(plant, do="set", unit="coal-1", quantity="active_power_mw", value="much")
    assert "not a number" in answer["error"]
    assert "value is a text" in ask(plant, do="set", unit="coal-1", quantity="active_power_mw", value=1)["error"]
