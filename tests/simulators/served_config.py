# SPDX-License-Identifier: GPL-3.0-or-later
"""A configuration for the simulators' own tests, on loopback ports that are free now."""

from __future__ import annotations

import asyncio
from pathlib import Path

from collector.points.agent_config import AgentConfig, load_agent
from simulators.plant.scenario import free_ports

MODBUS_TABLE = """name,quantity,area,type,address,bit,order,scale,raw_unit,guard
p,active_power_mw,holding,float32,0,,CDAB,1,MW,
f,frequency_hz,holding,uint16,2,,,1,mHz,
pf,primary_frequency_in_service,holding,bit,3,0,,,,
on,on_grid,holding,bit,3,9,,,,
version,,holding,uint16,4,,,,,2026
q,reactive_power_mvar,input,int32,0,,,1,kvar,
e,energy_export_mwh,input,uint32,2,,,1,kWh,
agc,agc_in_service,discrete,bit,7,,,,,
avc,avc_in_service,coil,bit,0,,,,,
"""
STATION_TABLE = """name,unit,quantity,area,type,address,common_address,deadband,raw_unit
on1,U1,on_grid,30,bit,1,1,,
u1,U1,bus_voltage_kv,36,float32,16385,1,0.5,kV
t1,U1,avc_target_kv,13,float32,16386,2,,kV
q1,U1,reactive_power_mvar,13,float32,16388,1,,Mvar
e1,U1,energy_export_mwh,37,float32,25601,1,,kWh
on2,U2,on_grid,31,bit,1,2,,
p2,U2,active_power_mw,35,int16,16387,2,,MW
"""


_QUIET_TURNS = 20
_TURN_S = 0.005


async def what_arrives(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """What comes until nothing has for 20 turns of 5 ms, and whether the far end closed.

    Turns are counted, and no time: where the machine stands still for a while, the far end, which is in this loop, has
    stood still too.
    """
    data, quiet = b"", 0
    coming = asyncio.ensure_future(reader.read(4096))
    while quiet < _QUIET_TURNS:
        quiet += 1
        if not (await asyncio.wait([coming], timeout=_TURN_S))[0]:
            continue
        part = coming.result()
        if not part:
            return data, True
        data, quiet = data + part, 0
        coming = asyncio.ensure_future(reader.read(4096))
    coming.cancel()
    await asyncio.wait([coming])
    return data, False


def make_config(tmp_path: Path) -> AgentConfig:
    """Two Modbus TCP slaves on one port, one RTU slave over TCP, a station with two common addresses."""
    (tmp_path / "modbus.csv").write_text(MODBUS_TABLE, "utf-8")
    (tmp_path / "station.csv").write_text(STATION_TABLE, "utf-8")
    tcp, rtu, iec = free_ports(3)
    modbus = 'points = "modbus.csv"\nhost = "127.0.0.1"\n'
    (tmp_path / "agent.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n'
        '[[unit]]\nid = "U1"\nplant = "P"\n[[unit]]\nid = "U2"\nplant = "P"\n'
        f'[[device]]\nid = "gov-1"\nprotocol = "modbus_tcp"\nunit = "U1"\nport = {tcp}\n{modbus}'
        f'[[device]]\nid = "gov-2"\nprotocol = "modbus_tcp"\nunit = "U2"\nslave = 2\nport = {tcp}\n{modbus}'
        f'[[device]]\nid = "meter"\nprotocol = "modbus_rtu_over_tcp"\nunit = "U1"\nslave = 17\nport = {rtu}\n{modbus}'
        f'[[device]]\nid = "station"\nprotocol = "iec104"\npoints = "station.csv"\nhost = "127.0.0.1"\nport = {iec}\n'
        "common_addresses = [1, 2]\n",
        "utf-8",
    )
    return load_agent(tmp_path / "agent.toml")
