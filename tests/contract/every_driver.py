# SPDX-License-Identifier: GPL-3.0-or-later
"""Every driver beside a peer of its protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import uvloop

from collector.agent.device.contract import Answer, Device
from collector.agent.device.factory import build_devices
from collector.base.clock import Clock, SystemClock
from collector.base.errors import DeviceError
from collector.model.record import Quality
from collector.points import load_points
from collector.points.agent_config import AgentConfig, AgentSettings
from tests.contract.device_peers import (
    Script,
    dlt645,
    dlt645_1997_over_tcp,
    dlt645_over_tcp,
    dlt698,
    dlt698_over_tcp,
    iec101,
    iec101_balanced_over_tcp,
    iec101_over_tcp,
    iec104,
    modbus_ascii,
    modbus_ascii_over_tcp,
    modbus_rtu,
    modbus_rtu_over_tcp,
    modbus_tcp,
    modbus_udp,
)
from tests.patience import HANG_S

# A meter of 1997 is no protocol of its own: the driver knows it by its identifiers.
OLD_METER = "dlt645_1997_over_tcp"
# Nor is a station that sends by itself: `link_mode` says so.
BALANCED = "iec101_balanced_over_tcp"
TELECONTROL = ("iec104", "iec101", "iec101_over_tcp", BALANCED)
PROTOCOLS = [
    "modbus_tcp", "modbus_udp", "modbus_rtu_over_tcp", "modbus_rtu", "modbus_ascii_over_tcp", "modbus_ascii",
    "dlt645_over_tcp", "dlt645", "dlt698_over_tcp", "dlt698", "iec104",
    "iec101_over_tcp", "iec101", "iec101_balanced_over_tcp",
]  # fmt: skip


MODBUS_TABLE = """name,quantity,area,type,address,raw_unit
power,active_power_mw,holding,uint16,7,kW
q,reactive_power_mvar,holding,uint16,8,kvar
"""


DLT645_TABLE = """name,quantity,address,scale,raw_unit
power,active_power_mw,02030000,1000,kW
q,reactive_power_mvar,02040000,1000,kvar
"""


OLD_METER_TABLE = """name,quantity,address,scale,raw_unit
power,active_power_mw,B630,1000,kW
q,reactive_power_mvar,B640,100,kvar
"""


DLT698_TABLE = """name,quantity,address,scale,raw_unit
power,active_power_mw,20040201,1000,W
q,reactive_power_mvar,20050201,1000,var
"""


IEC104_TABLE = "name,quantity,area,type,address\nbreaker,on_grid,30,bit,1\n"


# Of one that answers: so long may the machine be busy with something else.
DEVICE_S = 60.0


PEERS: dict[str, Any] = {
    "modbus_tcp": modbus_tcp, "modbus_rtu_over_tcp": modbus_rtu_over_tcp, "modbus_rtu": modbus_rtu,
    "dlt645_over_tcp": dlt645_over_tcp, "dlt645": dlt645, "dlt698_over_tcp": dlt698_over_tcp, "dlt698": dlt698,
    OLD_METER: dlt645_1997_over_tcp, "iec104": iec104,
    "iec101_over_tcp": iec101_over_tcp, "iec101": iec101, BALANCED: iec101_balanced_over_tcp, "modbus_udp": modbus_udp,
    "modbus_ascii": modbus_ascii, "modbus_ascii_over_tcp": modbus_ascii_over_tcp,
}  # fmt: skip


@asynccontextmanager
async def driver(protocol: str, folder: Path, script: Script, **keys: Any) -> AsyncIterator[Device]:
    """A device of the protocol with its peer, closed at the end."""
    async with PEERS[protocol](script) as place:
        device = build(protocol, folder, place, **keys)
        try:
            yield device
        finally:
            await device.close()


def build(
    protocol: str, folder: Path, place: int | Path, *, table: str = "", clock: Clock | None = None, **keys: object
) -> Device:
    file = folder / "points.csv"
    tables = {**dict.fromkeys(TELECONTROL, IEC104_TABLE), "dlt645": DLT645_TABLE, "dlt645_over_tcp": DLT645_TABLE,
              OLD_METER: OLD_METER_TABLE, "dlt698": DLT698_TABLE, "dlt698_over_tcp": DLT698_TABLE}  # fmt: skip
    file.write_text(table or tables.get(protocol, MODBUS_TABLE), "utf-8")
    if protocol == BALANCED:
        keys = {"link_mode": "balanced"} | keys
    protocol = protocol.replace("_1997", "").replace("_balanced", "")
    # A pty takes even parity on its first opening only; see the test of that below.
    where = (
        {"serial": str(place), "parity": "none"} if isinstance(place, Path) else {"host": "127.0.0.1", "port": place}
    )
    settings = AgentSettings.model_validate(
        {
            "schema": 1, "gateway": {"id": "g"}, "plant": [{"id": "P"}], "unit": [{"id": "U", "plant": "P"}],
            "device": [{"id": "d", "protocol": protocol, "points": "points.csv", "unit": "U", "timeout_s": DEVICE_S,
                        "common_addresses": [1], "address": "12345678"} | where | keys],
        }
    )  # fmt: skip
    points = load_points(file, protocol.removesuffix("_over_tcp"), "d")
    (built,) = build_devices(AgentConfig(settings, {"d": points}, folder), clock or SystemClock())
    return built.device


async def read(device: Device) -> Answer:
    """Read until the first answer is in, as the poller would: a driver may need a second call for a slow start."""
    return await device.read(device.points, budget_s=5.0)


def run(
    scenario: Callable[[], Awaitable[None]],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop,
) -> None:
    """Run a scenario on the agent's kind of loop, or another."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(asyncio.wait_for(scenario(), HANG_S))


async def until_good(device: Device) -> None:
    """Read as the poller would until every point is good."""
    newest: dict[str, Quality] = {}
    while set(newest.values()) != {Quality.GOOD}:
        try:
            newest |= {r.point.name: r.quality for r in (await read(device)).readings}
        except DeviceError:
            newest.clear()
        await asyncio.sleep(0.02)
