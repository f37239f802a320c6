# SPDX-License-Identifier: GPL-3.0-or-later
"""`collector verify` against simulated devices of every protocol, by options and in a terminal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from simulators.run.pytest_plugin import ServedDevices
from tests.verify.verify_world import config_of, run, states, verified

Serve = Callable[..., ServedDevices]
MODBUS = (
    "name,description,quantity,area,type,address,bit,order,raw_unit,min,max,guard\n"
    "有功,出口有功,active_power_mw,holding,float32,0,,CDAB,MW,-50,800,\n"
    "投入,一次调频,primary_frequency_in_service,holding,bit,2,0,,,,,\n"
    "表号,,,holding,uint16,3,,,,,,2026\n"
)
STATION = "name,quantity,area,address,deadband,raw_unit\n断路器,on_grid,30,1,,\n电压,bus_voltage_kv,36,16385,0.1,kV\n"
METER = "name,quantity,address,raw_unit,scale\n电量,energy_export_mwh,00010000,kWh,1000\n"


def test_a_modbus_point_passes_where_it_shows_what_is_expected(modbus_device: Serve) -> None:
    device = modbus_device(MODBUS)
    config = config_of(device)
    device.show("active_power_mw", "380")
    said = run(config, "--point", "有功", "--expect", "380", "--who", "张工", "--json")
    assert said.code == 0, said.err
    found = verified(said)
    # 380 = 43BE0000 as float32, low word first
    assert (found["value"], found["quality"], found["raw"]) == ("380", "good", "00 00 43 be")
    said = run(config, "--point", "有功", "--expect", "381", "--who", "张工", "--step", "50 %")
    assert (said.code, states(config)["有功", "50 %"]) == (1, "failed")
    # The row's range is 850 MW wide, of which half a percent is 4.25 MW.
    said = run(config, "--point", "有功", "--expect", "384", "--tolerance", "0.5%", "--who", "张工", "--step", "50 %")
    assert (said.code, states(config)["有功", "50 %"]) == (0, "passed")


def test_a_status_takes_both_states_and_a_guard_point_is_no_step(modbus_device: Serve) -> None:
    device = modbus_device(MODBUS)
    config = config_of(device)
    assert states(config) == {("有功", "值"): "open", ("投入", "分"): "open", ("投入", "合"): "open"}
    for value, words in (("0", ("--expect", "分")), ("1", ("--step", "1"))):
        device.show("primary_frequency_in_service", value)
        assert run(config, "--point", "投入", *words, "--who", "李").code == 0
    assert states(config)["投入", "分"] == states(config)["投入", "合"] == "passed"
    assert run(config, "--point", "投入", "--expect", "0", "--who", "李").code == 1  # it is 1 now
    assert states(config)["投入", "分"] == "failed"


def test_a_station_and_a_meter_are_verified_alike(iec104_station: Serve, dlt645_line: Serve) -> None:
    station, meter = iec104_station(STATION), dlt645_line(METER)
    station.show("bus_voltage_kv", "525.3")
    station.show("on_grid", "1")
    found = verified(run(config_of(station), "--point", "电压", "--expect", "525.25", "--who", "张", "--json"))
    # A point that reports by itself may lie its dead band beside.
    assert (found["passed"], found["value"], found["tolerance"]) == (True, "525.3", "0.1")
    assert run(config_of(station), "--point", "断路器", "--expect", "合", "--who", "张").code == 0
    meter.show("energy_export_mwh", "1234.56")
    found = verified(run(config_of(meter), "--point", "电量", "--expect", "1234.56", "--who", "张", "--json"))
    # One last digit of the meter, 0.01 kWh, times the transformers' 1000.
    assert (found["passed"], found["value"], found["tolerance"]) == (True, "1234.56", "0.01")


def test_a_wrong_word_order_is_named_with_the_right_one(modbus_device: Serve) -> None:
    device = modbus_device(MODBUS)
    device.show("active_power_mw", "380")
    device.fault("swap_words")
    said = run(config_of(device), "--point", "有功", "--expect", "380", "--who", "张", "--json")
    assert said.code == 1
    assert any("float32 ABCD" in hint and "380" in hint for hint in verified(said)["hints"])


@pytest.mark.parametrize(("fault", "value", "quality"), [("silence", 0, "silent"), ("exception", 2, "refused")])
def test_what_is_not_usable_never_passes(modbus_device: Serve, fault: str, value: int, quality: str) -> None:
    device = modbus_device(MODBUS)
    config = config_of(device)
    device.show("active_power_mw", "0")
    device.fault(fault, value)
    said = run(config, "--point", "有功", "--expect", "0", "--who", "张", "--pass", "--json")
    assert (said.code, verified(said)["quality"], verified(said)["recorded"]) == (1, quality, False)
    assert states(config)["有功", "值"] == "open"
    assert run(config, "--point", "有功", "--expect", "0", "--who", "张").code == 1
    assert states(config)["有功", "值"] == "failed"


def test_shifted_registers_never_pass(modbus_device: Serve) -> None:
    device = modbus_device(MODBUS)
    device.show("active_power_mw", "0")
    device.fault("register_shift", 1)
    said = run(config_of(device), "--point", "有功", "--expect", "0", "--who", "张", "--pass", "--json")
    assert (said.code, verified(said)["quality"]) == (1, "suspect")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--point", "有功", "--expect", "1"),  # nobody verifies
        ("--point", "无功", "--expect", "1", "--who", "x"),
        ("--point", "有功", "--who", "x"),  # nothing expected
        ("--point", "有功", "--expect", "much", "--who", "x"),
        ("--point", "有功", "--expect", "1", "--tolerance", "-1", "--who", "x"),
        ("--point", "投入", "--expect", "2", "--who", "x"),
        ("--point", "投入", "--step", "中", "--who", "x"),
        ("--point", "有功", "--expect", "1", "--who", "x", "--pass", "--fail"),
        ("--device", "d9"),
        ("--step", "90 %", "--who", "x"),
        ("--step", "合", "--expect", "1", "--who", "x"),
        ("--center", "http://127.0.0.1:1"),
    ],
)
def test_what_makes_no_sense_is_usage_and_records_nothing(modbus_device: Serve, arguments: tuple[str, ...]) -> None:
    config = config_of(modbus_device(MODBUS))
    assert run(config, *arguments).code == 2
    assert not (config.parent / "agent.verify.jsonl").exists()


def test_a_point_that_several_devices_have_needs_its_device(dlt645_line: Serve) -> None:
    line = dlt645_line(METER, addresses=("1", "2"))
    config = config_of(line)
    assert run(config, "--point", "电量", "--expect", "0", "--who", "x").code == 2
    line.show("energy_export_mwh", "7", unit="U2")
    assert run(config, "--device", "d2", "--point", "电量", "--expect", "7", "--who", "x").code == 0


def test_a_sheet_is_filled_in_taken_and_gone_through_level_by_level(modbus_device: Serve, tmp_path: Path) -> None:
    device = modbus_device(MODBUS)
    config, sheet = config_of(device), tmp_path / "sheet.csv"
    assert run(config, "--template", str(sheet)).code == 0
    text = sheet.read_text("utf-8-sig")
    assert text.splitlines()[1].startswith("d1,有功,出口有功,holding 0 float32 CDAB,0 %,,")
    filled = text.replace(",0 %,,", ",0 %,0,1").replace("50 %,,", "50 %,330,1").replace("100 %,,", "100 %,660,1")
    sheet.write_bytes(filled.encode("gbk"))
    assert run(config, "--sheet", str(sheet)).code == 0
    for level, shown, code in (("0 %", "0", 0), ("50 %", "330.9", 0), ("100 %", "650", 1)):
        device.show("active_power_mw", shown)
        assert run(config, "--step", level, "--who", "张").code == code
    found = states(config)
    assert [found["有功", level] for level in ("0 %", "50 %", "100 %")] == ["passed", "passed", "failed"]
    assert run(config, "--point", "有功", "--step", "70 %", "--expect", "1", "--who", "张").code == 2
    assert run(config, "--point", "有功", "--step", "0 %", "--expect", "5", "--who", "张").code == 2
    # The sheet is changed afterwards: what was judged by the old value is judged again.
    sheet.write_text(filled.replace("50 %,330", "50 %,340"), "utf-8")
    run(config, "--sheet", str(sheet))
    assert states(config)["有功", "50 %"] == "again"


def test_a_formula_in_a_sheet_is_refused_not_taken_for_an_empty_cell(modbus_device: Serve, tmp_path: Path) -> None:
    config, path = config_of(modbus_device(MODBUS)), tmp_path / "sheet.xlsx"
    book = openpyxl.Workbook()
    for row in (["点名", "步骤", "期望值"], ["有功", "0 %", "=1+1"]):
        book.worksheets[0].append(row)
    book.save(path)
    assert "C2 holds a formula" in run(config, "--sheet", str(path)).error


def test_a_wrong_sheet_is_refused_whole_with_every_place(modbus_device: Serve, tmp_path: Path) -> None:
    config, sheet = config_of(modbus_device(MODBUS)), tmp_path / "sheet.csv"
    sheet.write_text("点名,步骤,期望值,允差\n有功,0 %,much,\n有工,0 %,1,\n有功,,1,\n投入,分,0,\n投入,分,0,\n", "utf-8")
    error = run(config, "--sheet", str(sheet)).error
    assert [f":{row}:" in error for row in (2, 3, 4, 5, 6)] == [True, True, True, False, True]
    sheet.write_text("点名,步骤,预期\n有功,0 %,1\n", "utf-8")
    error = run(config, "--sheet", str(sheet)).error
    assert "unknown column" in error
    assert "expected" in error
    assert not (config.parent / "agent.verify.jsonl").exists()


def test_the_terminal_goes_through_open_steps_and_the_next_sitting_goes_on(modbus_device: Serve) -> None:
    device = modbus_device(MODBUS)
    config = config_of(device)
    device.show("active_power_mw", "380")
    device.show("primary_frequency_in_service", "1")
    # who; an expected value that does not fit, p is refused; then one that does; then quit at 投入 分
    first = run(config, typed="张工\n370\np\n380 ±1\nn 就地表计\np\np\nq\n")
    assert first.code == 1
    assert "can't pass" in first.out
    assert states(config) == {("有功", "值"): "passed", ("投入", "分"): "open", ("投入", "合"): "open"}
    device.show("primary_frequency_in_service", "0")
    second = run(config, "--who", "李工", typed="?\nc\nl\np\nf 未操作\n")
    assert "── 2/3" in second.out
    assert "有功" not in second.out.split("── 2/3")[1]
    assert states(config) == {("有功", "值"): "passed", ("投入", "分"): "passed", ("投入", "合"): "failed"}
    device.show("primary_frequency_in_service", "1")
    third = run(config, "--who", "李工", typed="g 投入\np\n")
    assert (third.code, "nothing is left" in third.out) == (0, True)
    steps = {(row["point"], row["step"]): row for row in run(config, "--list", "--json").data["steps"]}
    assert (steps["有功", "值"]["note"], steps["有功", "值"]["who"]) == ("就地表计", "张工")
    assert (steps["投入", "合"]["who"], steps["投入", "合"]["attempts"]) == ("李工", "2")


def test_a_listing_says_by_its_exit_code_whether_all_is_done(modbus_device: Serve) -> None:
    device = modbus_device(MODBUS)
    config = config_of(device)
    device.show("active_power_mw", "1")
    assert run(config, "--list").code == 1
    for point, step, value in (("有功", "值", "1"), ("投入", "分", "0"), ("投入", "合", "1")):
        device.show("primary_frequency_in_service", value)
        assert run(config, "--point", point, "--step", step, "--expect", value, "--who", "张").code == 0
    said = run(config, "--list", "--open", "--json")
    assert (said.code, said.data["steps"], said.data["counts"]["passed"]) == (0, [], 3)
