# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows that share an address, and guard rows, at the faces of the simulators, read by the agent's own drivers."""

from __future__ import annotations

import asyncio
from pathlib import Path

from collector.agent.operate.config_check import find_problems
from collector.agent.operate.read_once import PointReading, read_devices
from collector.base.clock import SystemClock
from collector.model.record import Quality
from collector.points.agent_config import load_agent
from simulators.plant.scenario import free_ports
from simulators.run.devices import serve
from tests.patience import HANG_S

MODBUS = """name,unit,quantity,area,type,address,raw_unit,guard
u1,U1,bus_voltage_kv,holding,uint32,0,V,
u2,U2,bus_voltage_kv,holding,uint32,0,V,
version,,,holding,uint16,2,,2026
"""
METER = """name,unit,quantity,address,scale,raw_unit,guard
u1,U1,bus_voltage_kv,02010100,1000,V,
u2,U2,bus_voltage_kv,02010100,1000,V,
ratio,,,04000307,1,,2200
"""
STATION = """name,unit,quantity,area,type,address,common_address,raw_unit,guard
u1,U1,bus_voltage_kv,36,float32,16385,1,kV,
u2,U2,bus_voltage_kv,36,float32,16385,1,kV,
version,,,35,int16,16390,1,,2020..2030
"""


def test_all_faces_serve_shared_addresses_and_guards_and_the_agent_reads_them(tmp_path: Path) -> None:
    for name, table in (("modbus", MODBUS), ("meter", METER), ("station", STATION)):
        (tmp_path / f"{name}.csv").write_text(table, "utf-8")
    tcp, meter, iec = free_ports(3)
    (tmp_path / "agent.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n'
        '[[unit]]\nid = "U1"\nplant = "P"\n[[unit]]\nid = "U2"\nplant = "P"\n'
        f'[[device]]\nid = "gov"\nprotocol = "modbus_tcp"\npoints = "modbus.csv"\nhost = "127.0.0.1"\nport = {tcp}\n'
        '[[device]]\nid = "meter"\nprotocol = "dlt645_over_tcp"\npoints = "meter.csv"\nhost = "127.0.0.1"\n'
        f'address = "1"\nport = {meter}\n'
        '[[device]]\nid = "rtu"\nprotocol = "iec104"\npoints = "station.csv"\nhost = "127.0.0.1"\n'
        f"common_addresses = [1]\nport = {iec}\n",
        "utf-8",
    )
    config = load_agent(tmp_path / "agent.toml")
    assert find_problems(config, "agent.toml") == []

    async def look() -> list[PointReading]:
        async with asyncio.timeout(HANG_S), serve(config) as devices:
            for unit in ("U1", "U2"):
                devices.board.show(unit, "bus_voltage_kv", "220.5")
            return [row for row, _, _ in await read_devices(config, SystemClock(), "")]

    found = {(row.device, row.name): (row.value, row.quality) for row in asyncio.run(look())}
    good = Quality.GOOD.name.lower()
    expected = {(device, name): ("220.5", good) for device in ("gov", "meter", "rtu") for name in ("u1", "u2")}
    guards = {("gov", "version"): ("", good), ("meter", "ratio"): ("", good), ("rtu", "version"): ("", good)}
    assert found == expected | guards
