# SPDX-License-Identifier: GPL-3.0-or-later
"""A gateway's live page as small pictures in docs/screens/, in both languages, on a desk and on a phone.

A governor, a telecontrol station and a meter are simulated; the meter says nothing, and the broker is away.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import uvloop
from playwright.sync_api import Browser

from collector.agent.operate.page.gate import read_token
from collector.points.agent_config import load_agent
from simulators.faults.faults import Fault
from simulators.plant.scenario import free_ports
from simulators.run.devices import serve
from tests.agent.running_agent import agent_at, recorded
from tests.center.web.make_screens import MOST_BYTES, TARGET, smaller
from tests.headless import chromium
from tests.patience import until

# file -> language, width, height
SCREENS = {
    "gateway-page": ("en", 1120, 900), "gateway-page.zh-CN": ("zh", 1120, 900),
    "gateway-page-phone": ("en", 400, 1640), "gateway-page-phone.zh-CN": ("zh", 400, 1640),
}  # fmt: skip
TABLES = {
    "governor": "name,quantity,area,type,address,raw_unit\nP,active_power_mw,holding,float32,0,MW\n"
                "AGC,agc_setpoint_mw,holding,float32,2,MW\nf,frequency_hz,holding,uint16,4,mHz\n",
    "telecontrol": "name,quantity,area,type,address,raw_unit\nQF,on_grid,30,bit,1,\nAGC-on,agc_in_service,30,bit,2,\n"
                   "Ubus,bus_voltage_kv,36,float32,16385,kV\n",
    "meter": "name,quantity,address,scale,raw_unit\nEp,energy_export_mwh,00010000,132000,kWh\n"
             "Q,reactive_power_mvar,02040000,132000,kvar\n",
}  # fmt: skip
OWN = {"telecontrol": "common_addresses = [1]", "meter": 'address = "000012345678"'}
VALUES = {
    "active_power_mw": "287.4", "agc_setpoint_mw": "290", "frequency_hz": "49.987", "on_grid": "1",
    "agc_in_service": "1", "bus_voltage_kv": "226.8", "energy_export_mwh": "81204.5", "reactive_power_mvar": "41.3",
}  # fmt: skip


def write_config(folder: Path, ports: list[int]) -> Path:
    """agent.toml beside its tables; the last port is the broker's, where nobody is."""
    text = f'schema = 1\n[gateway]\nid = "gateway-1"\nstate_dir = "state"\n[mqtt]\nport = {ports[3]}\n'
    text += '[[plant]]\nid = "P1"\n[[unit]]\nid = "U1"\nplant = "P1"\n'
    protocols = ("modbus_tcp", "iec104", "dlt645_over_tcp")
    for (name, table), protocol, port in zip(TABLES.items(), protocols, ports, strict=False):
        (folder / f"{name}.csv").write_text(table, "utf-8")
        text += f'[[device]]\nid = "{name}-1"\nprotocol = "{protocol}"\npoints = "{name}.csv"\nunit = "U1"\n'
        text += f'host = "127.0.0.1"\nport = {port}\n{OWN.get(name, "")}\n'
    path = folder / "agent.toml"
    path.write_text(text, "utf-8")
    return path


def look(eye: Browser, address: str, token: str) -> None:
    """Take every picture."""
    for name, (language, width, height) in SCREENS.items():
        page = eye.new_page(viewport={"width": width, "height": height}, locale=language)
        page.goto(f"{address}/?token={token}")
        page.goto(f"{address}/?lang={language}")
        page.wait_for_selector("main table")
        shot = page.screenshot()
        page.goto("about:blank")
        data = smaller(page, shot)
        assert len(data) < MOST_BYTES, (name, len(data))
        (TARGET / f"{name}.png").write_bytes(data)
        print(f"{name}.png: {len(data)} bytes")
        page.close()


def look_in_browser(address: str, token: str) -> None:
    """In a thread: the browser's library has a loop of its own."""
    with chromium() as eye:
        look(eye, address, token)


async def main() -> None:
    """Make every picture anew."""
    with tempfile.TemporaryDirectory() as work:
        *ports, page_port = free_ports(5)
        path = write_config(Path(work), ports)
        config = load_agent(path)
        async with serve(config) as devices:
            for quantity, value in VALUES.items():
                devices.board.show("U1", quantity, value)
            devices.faults.switch_on(Fault("meter-1", "silence", 0))
            async with agent_at(path, page=f":{page_port}"):
                await until(lambda: recorded(path) >= 15)
                token = read_token(Path(work) / "state" / "gateway-1.page-token")
                await asyncio.to_thread(look_in_browser, f"http://127.0.0.1:{page_port}", token)


if __name__ == "__main__":
    uvloop.run(main())
