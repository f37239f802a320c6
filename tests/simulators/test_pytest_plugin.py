# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixtures other teams' tests use, used as they would."""

from __future__ import annotations

import socket
from collections.abc import Callable

import pytest

from simulators.run.pytest_plugin import ServedDevices, ServedPlant
from tests.patience import HANG_S, SILENCE_S

TABLE = "name,quantity,area,type,address,raw_unit\np,active_power_mw,holding,int32,0,kW\n"


def ask(device: ServedDevices, request: str, count: int, *, patience_s: float = HANG_S) -> bytes:
    """The first bytes of an answer, by a blocking socket; fewer where the device stays silent."""
    with socket.create_connection((device.host, device.port), timeout=HANG_S) as link:
        link.settimeout(patience_s)
        link.sendall(bytes.fromhex(request))
        data = b""
        try:
            while len(data) < count and (part := link.recv(count - len(data))):
                data += part
        except TimeoutError:
            pass
        return data


def test_a_modbus_device_from_the_text_of_a_point_table(modbus_device: Callable[..., ServedDevices]) -> None:
    device = modbus_device(TABLE, slave=3)
    device.show("active_power_mw", "380")
    request = "000700000006030300000002"
    assert ask(device, request, 13)[-4:] == (380_000).to_bytes(4, "big")
    device.fault("silence")
    assert ask(device, request, 13, patience_s=SILENCE_S) == b""
    device.clear("silence")
    assert len(ask(device, request, 13)) == 13
    assert device.requests() == 3
    assert device.received() == bytes.fromhex(request) * 3


def test_a_station_and_a_line_of_meters(
    iec104_station: Callable[..., ServedDevices], dlt645_line: Callable[..., ServedDevices]
) -> None:
    station = iec104_station("name,quantity,area,type,address\non,on_grid,30,bit,1\n", common_addresses=[7])
    assert ask(station, "680407000000", 6) == bytes.fromhex("68040b000000")
    line = dlt645_line("name,quantity,address,raw_unit\ne,energy_export_mwh,00010000,kWh\n", addresses=["12", "34"])
    line.show("energy_export_mwh", "1", unit="U2")
    assert len(ask(line, "68340000000000681104333334 33e6 16", 24)) == 24
    assert (line.requests("d1"), line.requests("d2")) == (0, 1)


def test_a_whole_plant_with_its_books(simulated_plant: Callable[..., ServedPlant]) -> None:
    plant = simulated_plant()
    assert plant.status()["requests"]["coal-1-governor"] == 0
    assert plant.books()["month"] == "2026-03"
    plant.fault("coal-1-governor", "delay", 5)
    assert plant.status()["faults"] == ["coal-1-governor delay 5"]


def test_the_broker_accepts_connections(broker: str) -> None:
    host, _, port = broker.partition(":")
    with socket.create_connection((host, int(port)), timeout=HANG_S):
        pass


def test_a_station_of_two_addresses(iec104_station: Callable[..., ServedDevices]) -> None:
    station = iec104_station("name,quantity,area,type,address\non,on_grid,30,bit,1\n", redundant=True)
    for port in (station.port, station.second_port):
        with socket.create_connection((station.host, port), timeout=HANG_S) as link:
            link.sendall(bytes.fromhex("680407000000"))
            assert link.recv(6) == bytes.fromhex("68040b000000")


pytest_plugins = ["pytester"]


@pytest.fixture(autouse=True)
def no_other_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """What else is installed takes longer to load than such a run."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


@pytest.mark.parametrize(("request_hex", "outcome"), [("000100000006010300000001", 0), ("000100000006010600000001", 1)])
def test_a_single_write_fails_the_whole_run(pytester: pytest.Pytester, request_hex: str, outcome: int) -> None:
    pytester.makeconftest('pytest_plugins = ["simulators.run.pytest_plugin"]')
    pytester.makepyfile(f"""
        import socket
        def test_it(modbus_device):
            device = modbus_device("name,quantity,area,type,address,raw_unit\\np,active_power_mw,holding,int16,0,MW\\n")
            with socket.create_connection((device.host, device.port), timeout=300) as link:
                link.sendall(bytes.fromhex("{request_hex}"))
                link.recv(20)
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, errors=outcome)


def test_a_104_command_or_a_645_write_anywhere_fails_the_whole_run(pytester: pytest.Pytester) -> None:
    pytester.makeconftest('pytest_plugins = ["simulators.run.pytest_plugin"]')
    pytester.makepyfile("""
        import socket
        def test_command(iec104_station):
            station = iec104_station("name,quantity,area,type,address\\non,on_grid,30,bit,1\\n")
            with socket.create_connection((station.host, station.port), timeout=300) as link:
                link.sendall(bytes.fromhex("680407000000680e000000002d01060001000100000168 0401000000"))
                link.recv(6)
                assert link.recv(20)[2] == 0
        def test_write(dlt645_line):
            line = dlt645_line("name,quantity,address,raw_unit\\ne,energy_export_mwh,00010000,kWh\\n", addresses=["12"])
            with socket.create_connection((line.host, line.port), timeout=300) as link:
                link.sendall(bytes.fromhex("6812000000000068140433333433c716681200000000006811043333 3433c416"))
                link.recv(20)
        def test_innocent():
            pass
    """)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=3, errors=1)
    result.stdout.fnmatch_lines(["*IEC 104 type 45 is not an interrogation*", "*control 14H is not a reading one*"])
