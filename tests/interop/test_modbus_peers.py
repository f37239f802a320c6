# SPDX-License-Identifier: GPL-3.0-or-later
"""Our Modbus driver at libmodbus, over a socket and over a line with even parity."""

from __future__ import annotations

import ctypes.util
from pathlib import Path
from typing import Any

import pytest

from collector.agent.device.contract import Device
from collector.model.record import Quality
from simulators.plant.scenario import free_ports
from tests.interop.interop_peers import device_of, needs_socat, read, script, serial_line, with_device

TABLE = """name,quantity,area,type,address,order,raw_unit,no_value
p,active_power_mw,holding,int32,0,ABCD,kW,
q,reactive_power_mvar,input,int32,0,ABCD,kvar,
setpoint,agc_setpoint_mw,holding,float32,2,CDAB,MW,
u,bus_voltage_kv,input,uint16,4,,V,65535
breaker,on_grid,coil,bit,0,,,
agc,agc_in_service,discrete,bit,1,,,
hole,frequency_hz,holding,uint16,100,,mHz,
"""
# kW, kvar, kW of a set-point in MW; 65 535 means nothing there; 100 is beyond the eight registers.
EXPECTED = {
    "p": (-120_500, Quality.GOOD), "q": (-120_500, Quality.GOOD), "setpoint": (380_250, Quality.GOOD),
    "u": (None, Quality.INVALID), "breaker": (1, Quality.GOOD), "agc": (0, Quality.GOOD),
    "hole": (None, Quality.REFUSED),
}  # fmt: skip

pytestmark = pytest.mark.skipif(ctypes.util.find_library("modbus") is None, reason="libmodbus is not installed")


def check(folder: Path, **place: Any) -> None:
    async def scenario(device: Device) -> None:
        for _ in range(3):
            assert await read(device) == EXPECTED

    with_device(lambda: device_of(folder, TABLE, slave=1, **place), scenario)


def test_libmodbus_is_read_over_tcp(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with script("libmodbus_server.py", "tcp", port):
        check(tmp_path, protocol="modbus_tcp", host="127.0.0.1", port=port)


@needs_socat
def test_libmodbus_is_read_over_a_line_with_even_parity(tmp_path: Path) -> None:
    with serial_line(tmp_path) as (ours, theirs), script("libmodbus_server.py", "rtu", theirs, 2400):
        check(tmp_path, protocol="modbus_rtu", serial=str(ours), baud=2400, parity="even")
