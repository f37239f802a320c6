# SPDX-License-Identifier: GPL-3.0-or-later
"""Our DL/T 645 driver at the PyPI package dlt645, over a line at 2400 baud with even parity, as meters are wired."""

from __future__ import annotations

from pathlib import Path

from collector.agent.device.contract import Device
from collector.model.record import Quality
from tests.interop.interop_peers import device_of, needs_socat, read, serial_line, with_device

TABLE = """name,quantity,address,scale,raw_unit
e,energy_export_mwh,00010000,1000,kWh
p,active_power_mw,02030000,10000,kW
"""


@needs_socat
def test_a_meter_by_others_is_read_over_a_line_with_even_parity(tmp_path: Path) -> None:
    async def scenario(device: Device) -> None:
        for _ in range(3):
            # 123 456.78 kWh × 1000 and 38.0125 kW × 10 000, stored as Wh and kW.
            assert await read(device) == {"e": (123_456_780_000, Quality.GOOD), "p": (380_125, Quality.GOOD)}

    with serial_line(tmp_path) as (ours, theirs):
        # Its end through pyserial, which a pty refuses at even parity; no bits travel.
        from dlt645.service.serversvc.server_service import MeterServerService  # it takes a second

        meter = MeterServerService.new_rtu_server(str(theirs), 8, 1, 2400, "N", 1.0)
        meter.set_address(bytes.fromhex("785634120000"))
        meter.set_00(0x00010000, 123456.78)
        meter.set_02(0x02030000, 38.0125)
        assert meter.start()
        try:
            keys = {"protocol": "dlt645", "serial": str(ours), "baud": 2400, "parity": "even"}
            with_device(lambda: device_of(tmp_path, TABLE, address="000012345678", **keys), scenario)
        finally:
            meter.stop()
