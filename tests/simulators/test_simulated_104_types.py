# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of every type of 104 in the simulators, read by the agent's driver: each with its own codec, by one table."""

from __future__ import annotations

import asyncio
from pathlib import Path

from collector.agent.device.factory import build_devices
from collector.base.clock import SystemClock
from collector.model.record import Quality
from collector.points.agent_config import load_agent
from simulators.plant.scenario import free_ports
from simulators.run.devices import serve
from tests.patience import HANG_S

TABLE = """name,unit,quantity,area,type,address,bit,scale,raw_unit,norm_base
first,U1,on_grid,20,bit,100,0,,,
second,U1,condenser,20,bit,100,1,,,
low,U1,spilling,33,bit,101,0,,,
high,U1,agc_in_service,33,bit,101,31,,,
power,U1,active_power_mw,34,,102,,660,MW,
target,U1,agc_setpoint_mw,9,,103,,0.02,MW,1
reactive,U1,reactive_power_mvar,21,,104,,300,Mvar,32767
step,U1,bus_voltage_kv,32,,105,,10,kV,
"""
SHOWN = {"on_grid": "1", "condenser": "0", "spilling": "1", "agc_in_service": "1", "active_power_mw": "330",
         "agc_setpoint_mw": "327.68", "reactive_power_mvar": "-150", "bus_voltage_kv": "500"}  # fmt: skip
# Reactive power: code -16384 of 32767 is nearest to a half: -150.005 Mvar.
READ = {"first": 1, "second": 0, "low": 1, "high": 1, "power": 330_000, "target": 327_680, "reactive": -150_005,
        "step": 500_000}  # fmt: skip


def test_every_type_of_104_is_served_and_read_by_the_same_table(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    (tmp_path / "station.csv").write_text(TABLE, "utf-8")
    (tmp_path / "agent.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n[[unit]]\nid = "U1"\nplant = "P"\n'
        '[[device]]\nid = "station"\nprotocol = "iec104"\npoints = "station.csv"\nhost = "127.0.0.1"\n'
        f"port = {port}\ncommon_addresses = [1]\ntimeout_s = 60\n",
        "utf-8",
    )
    config = load_agent(tmp_path / "agent.toml")

    async def scenario() -> None:
        async with serve(config) as devices:
            for quantity, text in SHOWN.items():
                devices.board.show("U1", quantity, text)
            (built,) = build_devices(config, SystemClock())
            try:
                answer = await built.device.read(built.device.points, budget_s=5.0)
            finally:
                await built.device.close()
        found = {r.point.name: (r.value, r.quality) for r in answer.readings}
        assert found == {name: (value, Quality.GOOD) for name, value in READ.items()}

    asyncio.run(asyncio.wait_for(scenario(), HANG_S))
