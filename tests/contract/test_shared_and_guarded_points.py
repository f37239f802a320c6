# SPDX-License-Identifier: GPL-3.0-or-later
"""Points that share an address, and guard points, on every protocol: tables a plant writes, against the scripted peers.

Each peer serves one value (see device_peers), so each table asks for that value at one address for two units.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from collector.agent.device.contract import Device
from collector.model.record import Quality
from tests.contract.device_peers import Script
from tests.contract.every_driver import PROTOCOLS, TELECONTROL, driver, read, run
from tests.contract.raw_station import BOTH_GOOD, TABLE, RawStation, named, read_until, with_station

MODBUS = """name,unit,quantity,area,type,address,raw_unit,guard
one,U1,bus_voltage_kv,holding,uint16,7,V,
two,U2,bus_voltage_kv,holding,uint16,7,V,
three,U3,bus_voltage_kv,holding,uint16,7,V,
guard,,,holding,uint16,8,,{}
"""
DLT645 = """name,unit,quantity,address,scale,raw_unit,guard
one,U1,active_power_mw,02030000,1000,kW,
two,U2,active_power_mw,02030000,1000,kW,
three,U3,active_power_mw,02030000,1000,kW,
guard,,,02040000,1000,,{}
"""
DLT698 = """name,unit,quantity,address,scale,raw_unit,guard
one,U1,active_power_mw,20040201,1000,W,
two,U2,active_power_mw,20040201,1000,W,
three,U3,active_power_mw,20040201,1000,W,
guard,,,20050203,1,,{}
"""
# The guard reads the very object that it guards.
IEC104 = """name,unit,quantity,area,type,address,guard
one,U1,on_grid,30,bit,1,
two,U2,on_grid,1,bit,1,
three,U3,on_grid,30,bit,1,
guard,,,30,bit,1,{}
"""
SHARING = {
    **dict.fromkeys(TELECONTROL, IEC104),
    "dlt645": DLT645,
    "dlt645_over_tcp": DLT645,
    "dlt698": DLT698,
    "dlt698_over_tcp": DLT698,
}
SHOWN = dict.fromkeys(TELECONTROL, 1)
GUARDED = TABLE.replace("raw_unit\n", "raw_unit,guard\n").replace(",\n", ",,\n") + "version,,30,bit,3,,1\n"
SUSPECT = dict.fromkeys(BOTH_GOOD, (None, Quality.SUSPECT))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("holds", [True, False])
def test_points_that_share_an_address_all_have_its_value_where_their_guard_holds(
    protocol: str, holds: bool, tmp_path: Path
) -> None:
    value = SHOWN.get(protocol, 4660)
    table = SHARING.get(protocol, MODBUS).format(value if holds else f"{value + 1}..{value + 9}")
    expected = (value, Quality.GOOD) if holds else (None, Quality.SUSPECT)

    async def scenario() -> None:
        async with driver(protocol, tmp_path, Script(), table=table) as device:
            answer = await read(device)
            found = named(answer)
            assert {found[name] for name in ("one", "two", "three")} == {expected}
            assert found["guard"] == (None, Quality.GOOD if holds else Quality.SUSPECT)
            assert all(r.raw or r.quality is Quality.SUSPECT for r in answer.readings)
            if protocol in TELECONTROL:
                held = {p.name for p in (await read(device)).holding}
                assert held == ({"one", "two", "three", "guard"} if holds else set())

    run(scenario)


def say(station: RawStation, address: int, state: int) -> None:
    station.send(bytes([1, 1, 3, 0, 1, 0, address, 0, 0, state]))


@pytest.mark.parametrize("order", [[3, 1, 2], [1, 2, 3], [1, 3, 2]])
def test_a_104_guard_that_comes_anywhere_in_the_first_interrogation_vouches_for_all_of_it(
    order: list[int], tmp_path: Path
) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        station.answers = [(address, 1) for address in order]
        assert named(await read(device)) == BOTH_GOOD | {"version": (None, Quality.GOOD)}
        assert len(station.of_kind(1, 0)) == 1

    with_station(tmp_path, scenario, table=GUARDED)


def test_a_104_guard_that_changes_makes_its_station_suspect_until_it_is_right_again(tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        station.answers = [(1, 1), (2, 1), (3, 1)]
        await read(device)
        say(station, 3, 0)
        bad = SUSPECT | {"version": (None, Quality.SUSPECT)}
        assert not (await read_until(device, bad)).holding
        say(station, 1, 0)
        assert named(await read_until(device, {"breaker": (None, Quality.SUSPECT)})) == {
            "breaker": (None, Quality.SUSPECT)
        }
        say(station, 3, 1)
        await read_until(device, BOTH_GOOD | {"version": (None, Quality.GOOD)})
        while len((await read(device)).holding) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert len(station.of_kind(1, 0)) == 2, "asked again, for what was suspect meanwhile"

    with_station(tmp_path, scenario, table=GUARDED)


def test_a_104_guard_that_does_not_come_leaves_its_station_suspect(tmp_path: Path) -> None:
    async def scenario(_station: RawStation, device: Device) -> None:
        await read_until(device, SUSPECT | {"version": (None, Quality.INVALID)})

    with_station(tmp_path, scenario, table=GUARDED)


@pytest.mark.parametrize("guard", [1, 0])
def test_a_104_station_that_was_initialised_anew_must_prove_its_guard_anew(guard: int, tmp_path: Path) -> None:
    async def scenario(station: RawStation, device: Device) -> None:
        station.answers = [(1, 1), (2, 1), (3, 1)]
        await read(device)
        station.answers = [(1, 1), (2, 1), (3, guard)]
        station.send(bytes([70, 1, 4, 0, 1, 0, 0, 0, 0, 0]))
        values = BOTH_GOOD if guard else SUSPECT
        await read_until(device, values | {"version": (None, Quality.GOOD if guard else Quality.SUSPECT)})

    with_station(tmp_path, scenario, table=GUARDED)


def test_a_104_guard_guards_its_own_common_address_only(tmp_path: Path) -> None:
    table = "name,quantity,area,type,address,common_address,guard\na,on_grid,30,bit,1,1,\nb,condenser,30,bit,1,2,\n"

    class TwoStations(RawStation):
        def interrogated(self, asdu: bytes) -> None:
            self.send(asdu[:2] + b"\x07" + asdu[3:])
            self.send(bytes([1, 1, 20, 0, asdu[4], 0, 1, 0, 0, 1]))
            self.send(asdu[:2] + b"\x0a" + asdu[3:])

    async def scenario(_station: RawStation, device: Device) -> None:
        wanted = {"a": (1, Quality.GOOD), "b": (None, Quality.SUSPECT), "g": (None, Quality.SUSPECT)}
        await read_until(device, wanted)

    with_station(tmp_path, scenario, station=TwoStations(), table=table + "g,,30,bit,1,2,0\n", common_addresses=[1, 2])
