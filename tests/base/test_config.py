# SPDX-License-Identifier: GPL-3.0-or-later
"""agent.toml: every problem at once, with key and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.base.errors import ConfigError
from collector.points.agent_config import load_agent

GOOD = """
schema = 1
[gateway]
id = "gw1"
[mqtt]
host = "127.0.0.1"
[[plant]]
id = "P1"
[[unit]]
id = "U1"
plant = "P1"
[[device]]
id = "governor-1"
protocol = "modbus_tcp"
points = "governor.csv"
unit = "U1"
host = "127.0.0.1"
port = 1502
"""
POINTS = "name,quantity,area,type,address,raw_unit\nP,active_power_mw,holding,int16,1,MW\n"


def write(tmp_path: Path, text: str, points: str = POINTS) -> Path:
    (tmp_path / "governor.csv").write_text(points, "utf-8")
    path = tmp_path / "agent.toml"
    path.write_text(text, "utf-8")
    return path


def refusals(tmp_path: Path, text: str, points: str = POINTS) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_agent(write(tmp_path, text, points))
    return [str(p).replace(str(tmp_path) + "/", "") for p in caught.value.problems]


def test_a_good_configuration_loads_with_its_points(tmp_path: Path) -> None:
    config = load_agent(write(tmp_path, GOOD))
    assert config.settings.gateway.record_period_s == 1
    assert [p.name for p in config.points["governor-1"]] == ["P"]


def test_an_unknown_key_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    assert refusals(tmp_path, GOOD.replace('host = "127.0.0.1"\n[[plant]]', 'hots = "127.0.0.1"\n[[plant]]')) == [
        "agent.toml: mqtt.hots: unknown key; did you mean 'host'?"
    ]
    assert refusals(tmp_path, GOOD.replace("port = 1502", "port = 1502\nslaev = 3")) == [
        "agent.toml: device[1].slaev: unknown key; did you mean 'slave'?"
    ]


def test_all_mistakes_of_all_files_are_reported_at_once(tmp_path: Path) -> None:
    text = GOOD.replace('plant = "P1"', 'plant = "P2"').replace('unit = "U1"', 'unit = "U9"')
    assert refusals(tmp_path, text, POINTS.replace("int16", "int17")) == [
        "agent.toml: unit[1].plant: no [[plant]] has id 'P2'",
        "governor.csv:2: type: got 'int17', expected one of bit, int16, uint16, int32, uint32, int64, uint64, float32, "
        "float64, bcd16, bcd24, bcd32, bcd48, bcd64, float16, int8_hi, int8_lo, uint8_hi, uint8_lo, mod10k32, "
        "mod10k48, mod10k64; did you mean 'int16'?",
    ]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("port = 1502", "port = 70000", "device[1].port: Input should be less than or equal to 65535, got 70000"),
        ("port = 1502", "", "device[1]: modbus_tcp needs host and port"),
        ("schema = 1", "", "schema: is missing"),
        ("schema = 1", "schema = 2", "schema: Input should be 1, got 2"),
        ('id = "gw1"', 'id = "a/b"', "gateway.id: "),
        ('unit = "U1"', 'unit = "U2"', "device[1].unit: no [[unit]] has id 'U2'"),
        ('"modbus_tcp"', '"modbus_rtu"', "device[1].serial: modbus_rtu needs the serial line"),
        ('points = "governor.csv"', 'points = "no.csv"', "no.csv: can't be read: No such file or directory"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    found = refusals(tmp_path, GOOD.replace(old, new))
    assert any(reason in f for f in found), found


def test_text_that_is_not_toml_names_the_file(tmp_path: Path) -> None:
    (found,) = refusals(tmp_path, "schema = \n")
    assert found.startswith("agent.toml: is not TOML: ")


def test_a_misspelt_device_of_a_point_table_is_refused_not_dropped(tmp_path: Path) -> None:
    points = "name,device,quantity,area,type,address,raw_unit\n" + (
        "P,governor-1,active_power_mw,holding,int16,1,MW\nF,govenor-1,frequency_hz,holding,int16,2,mHz\n"
    )
    assert refusals(tmp_path, GOOD, points) == [
        "governor.csv:3: device: no [[device]] has id 'govenor-1'; did you mean 'governor-1'?"
    ]
