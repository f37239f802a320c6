# SPDX-License-Identifier: GPL-3.0-or-later
"""A point table that changes in the middle of the work: what must be verified again, and what stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from simulators.run.pytest_plugin import ServedDevices
from tests.verify.verify_world import config_of, run, states

Serve = Callable[..., ServedDevices]
TABLE = (
    "name,description,quantity,area,type,address,order,scale,raw_unit,min,max,sign\n"
    "p,power,active_power_mw,holding,int32,0,ABCD,1,kW,-900000,900000,1\n"
    "q,reactive,reactive_power_mvar,holding,int32,2,ABCD,1,kvar,,,1\n"
)


@pytest.fixture
def config(modbus_device: Serve) -> Path:
    """Both points passed at 0."""
    device = modbus_device(TABLE)
    path = config_of(device)
    for name, quantity in (("p", "active_power_mw"), ("q", "reactive_power_mvar")):
        device.show(quantity, "0")
        assert run(path, "--point", name, "--expect", "0", "--who", "Z").code == 0
    assert set(states(path).values()) == {"passed"}
    return path


def change(config: Path, old: str, new: str) -> None:
    table = config.parent / "points.csv"
    text = table.read_text("utf-8")
    assert old in text
    table.write_text(text.replace(old, new), "utf-8")


@pytest.mark.parametrize(
    ("old", "new", "reasons"),
    [
        ("int32,0,ABCD,1,kW", "int32,0,CDAB,1,kW", "地址变"),
        ("int32,0,ABCD", "int32,4,ABCD", "地址变"),
        ("p,power,active_power_mw,holding", "p,power,active_power_mw,input", "地址变"),
        ("1,kW,-900000,900000,1", "1,kW,-900000,900000,-1", "含义变"),
        ("1,kW", "0.1,kW", "含义变"),
        ("int32,0,ABCD,1,kW", "float32,0,CDAB,1,MW", "地址变, 含义变"),
    ],
)
def test_a_point_read_in_another_way_is_verified_again(config: Path, old: str, new: str, reasons: str) -> None:
    change(config, old, new)
    rows = {row["point"]: row for row in run(config, "--list", "--json").data["steps"]}
    assert (rows["p"]["state"], rows["p"]["reasons"], rows["q"]["state"]) == ("again", reasons, "passed")
    assert run(config, "--list").code == 1
    change(config, new, old)
    assert set(states(config).values()) == {"passed"}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("power,", "出口有功,"),
        ("-900000,900000", "-700000,700000"),
        ("holding,int32,0", "03,dint,0x0"),
        ("\np,", "\n有功,"),
    ],
)
def test_what_reads_the_same_stays(config: Path, old: str, new: str) -> None:
    change(config, old, new)
    assert set(states(config).values()) == {"passed"}


def test_another_device_is_verified_again_and_a_new_point_is_open(config: Path) -> None:
    change(config, "\nq,", "\nf,frequency,frequency_hz,holding,uint16,8,,1,mHz,,,1\nq,")
    assert states(config)["f", "值"] == "open"
    text = config.read_text("utf-8")
    config.write_text(text.replace("slave = 1", "slave = 2"), "utf-8")
    assert [state for (name, _), state in states(config).items() if name != "f"] == ["again", "again"]


def test_two_points_that_swap_their_names_are_both_verified_again(config: Path) -> None:
    change(config, "\np,power,", "\nX,power,")
    change(config, "\nq,reactive,", "\np,reactive,")
    change(config, "\nX,power,", "\nq,power,")
    assert set(states(config).values()) == {"again"}
