# SPDX-License-Identifier: GPL-3.0-or-later
"""States that a table maps, at the simulated devices and read by the agent: what is not named is missing, never 0."""

from __future__ import annotations

import asyncio
from pathlib import Path

from collector.agent.operate.config_check import find_problems
from collector.agent.operate.read_once import read_devices
from collector.base.clock import SystemClock
from collector.points.agent_config import load_agent
from simulators.plant.scenario import free_ports
from simulators.run.devices import serve
from tests.patience import HANG_S

# Bit 0 of register 0 belongs to another point, so does bit 3 of the bit string.
MODBUS = """name,quantity,area,type,address,bit,order,map
pf,primary_frequency_in_service,holding,uint16,0,0,,
breaker,on_grid,holding,uint16,0,2..3,,1=0; 2=1
mode,agc_in_service,holding,int16,1,,,0=0;1=1;2=1
switch,condenser,input,uint16,0,,,0x55=1 0xAA=0
wide,spilling,input,uint32,1,15..17,CDAB,"3=0, 5=1"
avc,avc_in_service,coil,bit,0,,,0=1;1=0
limit,avc_at_limit,holding,float32,4,,,1=1;2=0
"""
STATION = """name,quantity,area,type,address,bit,map
breaker,on_grid,33,,10,0..1,1=0;2=1
pf,primary_frequency_in_service,33,,10,3,
mode,agc_in_service,35,,11,,0=0;1=1;2=1
step,condenser,32,,12,,1=0;2=1
real,spilling,36,,13,,1=1;2=0
avc,avc_in_service,20,,14,4..5,1=0;2=1
"""
UNITS = (("U1", MODBUS), ("U2", STATION))
STATES = ["primary_frequency_in_service", "on_grid", "agc_in_service", "condenser", "spilling", "avc_in_service"]


def test_mapped_states_are_served_and_read_and_what_is_not_named_is_missing(tmp_path: Path) -> None:
    for unit, table in UNITS:
        (tmp_path / f"{unit}.csv").write_text(table, "utf-8")
    tcp, iec = free_ports(2)
    (tmp_path / "agent.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n'
        '[[unit]]\nid = "U1"\nplant = "P"\n[[unit]]\nid = "U2"\nplant = "P"\n'
        f'[[device]]\nid = "gov"\nprotocol = "modbus_tcp"\npoints = "U1.csv"\nunit = "U1"\nhost = "127.0.0.1"\n'
        f'port = {tcp}\ntimeout_s = 60\n'
        '[[device]]\nid = "rtu"\nprotocol = "iec104"\npoints = "U2.csv"\nunit = "U2"\nhost = "127.0.0.1"\n'
        f"common_addresses = [1]\nport = {iec}\ntimeout_s = 60\n",
        "utf-8",
    )  # fmt: skip
    config = load_agent(tmp_path / "agent.toml")
    assert find_problems(config, "agent.toml") == []

    async def look(value: str | None) -> set[tuple[str, str, str, str]]:
        async with asyncio.timeout(HANG_S), serve(config) as devices:
            for unit, _ in UNITS:
                for quantity in (*STATES, "avc_at_limit"):
                    # Of those that share a register only one is told apart by its own bit.
                    devices.board.show(unit, quantity, "1" if quantity == STATES[0] else value)
            return {(row.device, row.name, row.value, row.quality) for row, _, _ in
                    await read_devices(config, SystemClock(), "")}  # fmt: skip

    names = [(device, line.split(",")[0]) for device, table in (("gov", MODBUS), ("rtu", STATION))
             for line in table.splitlines()[1:]]  # fmt: skip
    for value in ("0", "1"):
        wanted = {(*place, "1" if place[1] == "pf" else value, "good") for place in names}
        assert asyncio.run(look(value)) == wanted
    # A coil has no third state, and a 104 object without a value says so itself.
    nothing = {(*place, "", "out_of_range") for place in names if place[0] == "gov" and place[1] not in ("pf", "avc")}
    assert nothing <= asyncio.run(look(None))
