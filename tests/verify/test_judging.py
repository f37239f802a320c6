# SPDX-License-Identifier: GPL-3.0-or-later
"""Tolerances a device can resolve, worked by hand; what fits; what would make it fit."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from collector.points.agent_config import load_agent
from collector.verify.hints import candidates_of, explain
from collector.verify.items import Item, PointStep, items_of
from collector.verify.judge import default_tolerance, meets, parse_expected, parse_tolerance
from collector.verify.judgement import judge
from collector.verify.observe import AGENT, DEVICE, Observation

NOW = 1_772_600_400_000
HEADS = {
    "modbus_tcp": "name,quantity,area,type,address,order,scale,raw_unit,min,max\n",
    "iec104": "name,quantity,area,address,deadband,scale,raw_unit\n",
    "dlt645_over_tcp": "name,quantity,address,scale,raw_unit\n",
    "dlt698_over_tcp": "name,quantity,address,scale,raw_unit\n",
}


def item(folder: Path, row: str, protocol: str = "modbus_tcp") -> Item:
    """The point of a table of one row."""
    (folder / "points.csv").write_text(HEADS[protocol] + row + "\n", "utf-8")
    more = {
        "iec104": "common_addresses = [1]",
        "dlt645_over_tcp": 'address = "1"',
        "dlt698_over_tcp": 'address = "1"',
    }.get(protocol, "")
    (folder / "agent.toml").write_text(
        'schema = 1\n[gateway]\nid = "g"\n[[plant]]\nid = "P"\n[[unit]]\nid = "U1"\nplant = "P"\n'
        f'[[device]]\nid = "d"\nprotocol = "{protocol}"\npoints = "points.csv"\nunit = "U1"\n'
        f'host = "127.0.0.1"\nport = 1\n{more}\n',
        "utf-8",
    )
    (found,) = items_of(load_agent(folder / "agent.toml"))
    return found


def seen(value: str, quality: str = "good", raw: bytes = b"", age_s: float = 0.0) -> Observation:
    return Observation(value, "MW", quality, raw, None, NOW, AGENT if age_s else DEVICE, age_s)


@pytest.mark.parametrize(
    ("protocol", "row", "expected", "tolerance"),
    [
        # An integer: one count. 1 kW, stored to 1 kW; 0.1 MW; 1 mHz.
        ("modbus_tcp", "p,active_power_mw,holding,int32,0,,1,kW,,", "380", "0.001"),
        ("modbus_tcp", "p,active_power_mw,holding,int16,0,,0.1,MW,,", "380", "0.1"),
        ("modbus_tcp", "p,frequency_hz,holding,uint16,0,,1,mHz,,", "50", "0.001"),
        # float32 has 24 binary digits: near 380 MW 0.05 kW, below what is stored (1 kW); near 10^8 MWh about 12 MWh,
        # 10^8 / 2^23 = 11.920928955 and half of 10^-6, cut to what is stored.
        ("modbus_tcp", "p,active_power_mw,holding,float32,0,ABCD,1,MW,,", "380", "0.001"),
        ("modbus_tcp", "p,energy_export_mwh,holding,float32,0,ABCD,1,MWh,,", "100000000", "11.920929"),
        # States are exact.
        ("modbus_tcp", "p,spilling,coil,bit,0,,,,,", "1", "0"),
        # 104: one of 32768 of a normalised value times 800; one count of a scaled one; the dead band of a float.
        ("iec104", "p,active_power_mw,9,1,,800,MW", "400", "0.024"),
        ("iec104", "p,active_power_mw,11,1,,0.1,MW", "400", "0.1"),
        ("iec104", "p,bus_voltage_kv,36,1,0.5,1,kV", "525", "0.5"),
        # A meter's energy has two decimals of kWh, times 4000; its frequency two of Hz.
        ("dlt645_over_tcp", "p,energy_export_mwh,00010000,4000,kWh", "1", "0.04"),
        ("dlt645_over_tcp", "p,frequency_hz,02800002,1,Hz", "50", "0.01"),
        ("dlt698_over_tcp", "p,frequency_hz,200F0200,1,Hz", "50", "0.01"),
        ("dlt698_over_tcp", "p,energy_export_mwh,00100401,40000,kWh", "1", "0.004"),
    ],
)
def test_a_tolerance_nobody_gave_is_what_the_device_resolves(
    protocol: str, row: str, expected: str, tolerance: str, tmp_path: Path
) -> None:
    assert default_tolerance(item(tmp_path, row, protocol), expected) == tolerance


def test_a_value_at_the_tolerance_fits_and_beyond_it_does_not() -> None:
    assert meets("380.5", "380", "0.5")
    assert meets("-0.5", "0", "0.5")
    assert not meets("380.500001", "380", "0.5")
    assert not meets("", "0", "1000")
    assert not meets("0", "", "1000")


def test_expected_values_and_tolerances_are_read_as_people_write_them(tmp_path: Path) -> None:
    power = item(tmp_path, "p,active_power_mw,holding,int32,0,,1,kW,-50000,800000")
    assert parse_expected(power, " 380.50 ") == "380.5"
    assert parse_tolerance(power, "0.5%") == "4.25"  # of 850 000 kW
    assert parse_tolerance(power, "2.0") == "2"
    status = item(tmp_path, "p,spilling,coil,bit,0,,,,,")
    assert [parse_expected(status, word) for word in ("分", "OFF", "退出", "合", "on", "投入")] == [*"000111"]
    bare = item(tmp_path, "p,active_power_mw,holding,int32,0,,1,kW,,")
    for point, text in ((status, "2"), (power, "nan"), (power, "")):
        with pytest.raises(ValueError, match=r"state|number"):
            parse_expected(point, text)
    for point, text in ((bare, "0.5%"), (power, "-1"), (power, "x")):
        with pytest.raises(ValueError, match=r"range|negative|number"):
            parse_tolerance(point, text)


def test_a_wrong_order_sign_or_scale_is_named(tmp_path: Path) -> None:
    power = item(tmp_path, "p,active_power_mw,holding,float32,0,CDAB,1,MW,-50,800")
    raw = struct.pack(">f", 380.0)  # high word first, where the table says low word first
    fitting = [c for c in candidates_of(power, raw, "380", "0.001") if c.fits]
    assert [(c.type, c.order, c.value) for c in fitting] == [("float32", "ABCD", "380")]
    assert len(explain(power, raw, "", "380", "0.001")) == 1
    assert "符号相反" in explain(power, b"", "-380", "380", "0.001")[0]
    assert "1000" in explain(power, b"", "0.38", "380", "0.001")[0]
    assert "1000 " in explain(power, b"", "380000", "380", "0.001")[0]
    assert explain(power, b"", "381", "380", "0.001") == []
    status = item(tmp_path, "p,spilling,coil,bit,0,,,,,")
    assert candidates_of(status, b"\x00\x01", "1", "0") == []


def test_a_factor_per_code_that_was_taken_for_a_full_value_is_named(tmp_path: Path) -> None:
    # Code 19000 of 20 kW each is 380 MW; as a fraction of 32768 it would be 0.012 MW.
    power = item(tmp_path, "p,active_power_mw,9,1,,20,kW", protocol="iec104")
    (told,) = explain(power, (19000).to_bytes(2, "little") + b"\0", "0.012", "380", "0.001")
    assert told.endswith("read as norm_base 1 it is 380: as expected")


@pytest.mark.parametrize(
    ("observation", "may_pass"),
    [
        (seen("380"), True),
        (seen("380", "substituted"), True),
        (seen("380", "late_tag"), True),
        (seen("380", age_s=10), True),
        (seen("380", age_s=10.1), False),
        (seen("381"), False),
        # A value beside a quality that is not usable would be a mistake elsewhere; it does not pass here either.
        *(
            (seen("380", q), False)
            for q in ("stale", "invalid", "out_of_range", "suspect", "silent", "refused", "garbled")
        ),
        (seen(""), False),
    ],
)
def test_only_a_usable_fresh_and_fitting_value_may_pass(
    observation: Observation, may_pass: bool, tmp_path: Path
) -> None:
    power = item(tmp_path, "p,active_power_mw,holding,int32,0,,1,kW,,")
    assert judge(power, PointStep("值", "380"), observation, max_age_s=10).fits is may_pass
    assert not judge(power, PointStep("值"), replace(observation, quality="good"), max_age_s=10).fits


def test_arithmetic_is_exact(tmp_path: Path) -> None:
    power = item(tmp_path, "p,active_power_mw,holding,int32,0,,0.3,kW,,")
    assert power.point.scale == Fraction(3, 10)
    assert meets("0.3", "0.1", "0.2")  # which binary numbers deny
