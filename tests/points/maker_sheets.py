# SPDX-License-Identifier: GPL-3.0-or-later
"""Sheets drawn after makers' public manuals, as engineers copy them into a workbook: the form is theirs, few rows each.

Each names its source. Merged cells, covers, units in headings, 读写 and KKS columns and signatures are as such sheets
have them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import openpyxl

Cells = Sequence[str | int | float | None]


@dataclass(frozen=True)
class Maker:
    """One sheet. `cover`: rows of a sheet before it; `merges`: ranges of the table's sheet."""

    name: str
    source: str
    rows: Sequence[Cells]
    cover: Sequence[Cells] = ()
    merges: Sequence[str] = ()
    title: str = "Sheet1"


def write(maker: Maker, folder: Path) -> Path:
    """The sheet as a workbook."""
    book = openpyxl.Workbook()
    first = book.active
    assert first is not None
    if maker.cover:
        first.title = "封面"
        for row in maker.cover:
            first.append(list(row))
        sheet = book.create_sheet(maker.title)
    else:
        first.title = maker.title
        sheet = first
    for row in maker.rows:
        sheet.append(list(row))
    for place in maker.merges:
        sheet.merge_cells(place)
    path = folder / f"{maker.name}.xlsx"
    book.save(path)
    return path


ACREL = Maker(
    "acrel", "Acrel ARD2F motor protector, manual, page 47: manualshive.com/ru/manual/acrel/ard2f/2841083?page=50",
    [
        ["ARD2F Modbus-RTU 地址表 (功能码 03H 读)", None, None, None, None, None],
        ["序号", "地址", "参数", "读写", "数值范围", "类型"],
        [4, "0x04", "Uab Line voltage 线电压", "R", "0~1999.9", "word"],
        [9, "0x09", "Active power 有功功率 (kW)", "R", "32 bit signed number, high characters before, low characters after", "32位有符号"],
        [10, "0x0A", "Active power 有功功率 (kW)", "R", None, "低字"],
        [11, "0x0B", "Active electric energy 有功电能 (kWh)", "R", "32 bit unsigned number, high characters before", "32位无符号"],
        [13, "0x0D", "Power factor 功率因数", "R", "-1.000-1.000", "word"],
        [16, "0x10", "Temperature value", "R", "0-65535 Ω", "word"],
        [19, "0x13", "Switching input/output", "R/W", "Bit0-bit9 corresponds to DI1-DI10", "word"],
    ],
    merges=["A1:F1"],
)  # fmt: skip

SCHNEIDER = Maker(
    "schneider", "Schneider PM1000/PM1200: aggsoft.com/serial-data-logger/tutorials/modbus-data-logging/"
    "schneider-electric-pm1000-pm1200.htm",
    [
        ["MODBUS offset", "Description", "Units", "Data type"],
        [3913, "Current average (A)", None, "single"], [3909, "Line to line average voltage (VLL)", "V", "single"],
        [3911, "Line to neutral voltage (VLN)", "V", "single"], [3925, "Voltage phase 1 to phase 2 (V12)", "V", "single"],
        [3903, "Active power, total (W)", None, "single"], [3919, "Active power, phase 1 (W1)", None, "single"],
        [3905, "Reactive power, total (VAR)", None, "single"], [3901, "Apparent power, total (VA)", None, "single"],
        [3907, "Power factor average (PF)", None, "single"], [3915, "Frequency, hz (F)", "Hz", "single"],
        [3961, "Forward active energy (FwdWh)", "Wh", "single"], [3963, "Forward reactive inductive energy (FwdVARh)", None, "single"],
        [3969, "Reverse active energy (RevWh)", "Wh", "single"],
    ],
)  # fmt: skip

SIEMENS = Maker(
    "siemens", "Siemens SENTRON PAC3200, manual A5E01168664B-04, 3.9 (measured variables, function codes 0x03 and 0x04)",
    [
        ["Modbus measured variables with the function codes 0x03 and 0x04"],
        [],
        ["Offset", "Number of registers", "Name", "Format", "Unit", "Value range", "Access"],
        [1, 2, "Voltage UL1-N", "Float", "V", "-", "R"], [7, 2, "Voltage UL1-L2", "Float", "V", "-", "R"],
        [13, 2, "Current L1", "Float", "A", "-", "R"], [55, 2, "Line Frequency", "Float", "Hz", "45 ... 65", "R"],
        [65, 2, "Total Active Power", "Float", "W", "-", "R"], [67, 2, "Total Reactive Power", "Float", "var", "-", "R"],
        [69, 2, "Total Power Factor", "Float", "-", "0 ... 1", "R"],
        [801, 4, "Active Energy Import Tariff 1", "Double", "Wh", "Overflow 1.0e+12", "RW"],
        [809, 4, "Active Energy Export Tariff 1", "Double", "Wh", "Overflow 1.0e+12", "RW"],
        [64001, 27, "Manufacturer's ID", "Char", None, None, "R"],
    ],
)  # fmt: skip

ABB = Maker(
    "abb", "ABB B23/B24, user manual 2CMC485003M0201, 9.3 mapping tables",
    [
        ["Quantity", "Details", "Start reg (Hex)", "Size", "Res.", "Unit", "Data type"],
        ["Active import", "kWh", "5000", 4, "0,01", "kWh", "Unsigned"],
        ["Active export", "kWh", "5004", 4, "0,01", "kWh", "Unsigned"],
        ["Reactive import", "kvarh", "500C", 4, "0,01", "kvarh", "Unsigned"],
        ["Voltage", "L1-N", "5B00", 2, "0,1", "V", "Unsigned"], ["Voltage", "L1-L2", "5B06", 2, "0,1", "V", "Unsigned"],
        ["Current", "L1", "5B0C", 2, "0,01", "A", "Unsigned"],
        ["Active power", "Total", "5B14", 2, "0,01", "W", "Signed"], ["Active power", "L1", "5B16", 2, "0,01", "W", "Signed"],
        ["Reactive power", "Total", "5B1C", 2, "0,01", "var", "Signed"], ["Frequency", None, "5B2C", 1, "0,01", "Hz", "Unsigned"],
    ],
)  # fmt: skip

JANITZA = Maker(
    "janitza", "Janitza UMG 96-S2, manual page 64: easymanua.ls/janitza/umg-96-s2/manual?p=64",
    [
        ["Modbus address", "Address via display", "Format", "RD/WR", "Unit", "Remark"],
        [19000, 808, "float", "RD", "V", "Voltage L1-N"], [19006, 814, "float", "RD", "V", "Voltage L1-L2"],
        [19012, 860, "float", "RD", "A", "Apparent current, L1"], [19020, 868, "float", "RD", "W", "Real power L1"],
        [19026, 874, "float", "RD", "W", "Real power, sum"], [19042, 882, "float", "RD", "var", "Reactive power, sum"],
        [19050, 800, "float", "RD", "Hz", "Measured frequency"],
        [19068, None, "float", "RD", "Wh", "Real energy consumed, L1..L3"], [19076, None, "float", "RD", "Wh", "Real energy delivered, L1..L3"],
        [19092, None, "float", "RD", "varh", "Reactive energy, L1..L3"], [19110, 836, "float", "RD", "%", "Harmonic, THD, U L1-N"],
    ],
)  # fmt: skip

WOODWARD = Maker(
    "woodward", "Woodward easYgen-2000, manual 37535B, 9.2.1.1 data protocol 5100: manualslib.com/manual/1214433?page=492",
    [
        ["Data Protocol 5100 (Basic Visualization)", None, None, None, None, None, None],
        ["Modbus", None, "CAN", None, "Parameter ID", "Description", "Multiplier", "Units"],
        ["Modicon start addr.", "Start addr.", "Data byte 0 (Mux)", "Data byte", None, None, None, None],
        [450001, 450000, 0, "1,2", "-", "Protocoll-ID, always 5100", "--", None],
        [450004, 450003, 1, "1,2", 160, "Gen. Power factor", 0.001, None],
        [450007, 450006, 2, "1,2", 144, "Gen. frequency", 0.01, "Hz"],
        [450008, 450007, 2, "3,4,5,6", 171, "Av. Gen. Delta-Voltage", 0.1, "V"],
        [450010, 450009, 3, "1,2", 147, "Mains / Busbar frequency", 0.01, "Hz"],
        [450011, 450010, 3, "3,4,5,6", 173, "Av. Mains / Busbar Wye-Voltage", 0.1, "V"],
        [450016, 450015, 5, "1,2", 2540, "Engine, number of start requests", 1, None],
        [450017, 450016, 5, "3,4,5,6", 135, "Total gen. power", 1, "W"],
        [450019, 450018, 6, "1,2", 208, "Mains power factor", 0.001, None],
    ],
    merges=["A1:H1", "A2:B2", "C2:D2", "E2:E3", "F2:F3", "G2:G3", "H2:H3"],
)  # fmt: skip

EATON = Maker(
    "eaton", "Eaton PXM 2000 (2250/2260/2270), IM02601001E, Modbus register maps, page C-28",
    [
        ["Modbus Address", None, "Description", "Format", "Range", "Units or Resolution", "Comments", "# Reg"],
        ["Hex", "Decimal", None, None, None, None, None, None],
        ["Primary Readings Block", None, None, None, None, None, "read-only", None],
        ["03E7 - 03E8", "1000 - 1001", "Volts A-N", "FLOAT", "0 to 9999 M", "volts", None, 2],
        ["03ED - 03EE", "1006 - 1007", "Volts A-B", "FLOAT", "0 to 9999 M", "volts", None, 2],
        ["03F3 - 03F4", "1012 - 1013", "Amps A", "FLOAT", "0 to 9999 M", "amps", None, 2],
        ["03F9 - 03FA", "1018 - 1019", "Watts, 3-Ph total", "FLOAT", "-9999 M to +9999 M", "watts", None, 2],
        ["03FB - 03FC", "1020 - 1021", "VARs, 3-Ph total", "FLOAT", "-9999 M to +9999 M", "VARs", None, 2],
        ["03FD - 03FE", "1022 - 1023", "VAs, 3-Ph total", "FLOAT", "-9999 M to +9999 M", "VAs", None, 2],
        ["0401 - 0402", "1026 - 1027", "Frequency", "FLOAT", "0 to 65.00", "Hz", None, 2],
    ],
    merges=["A1:B1", "C1:C2", "D1:D2", "E1:E2", "F1:F2", "G1:G2", "H1:H2"],
)  # fmt: skip

CHINT = Maker(
    "chint", "正泰 (Chint) DTSU666 三相电子式电能表使用说明书, 通讯地址表 (功能码 03H)",
    [
        ["参数地址(Hex)", "参数代号", "说明", "数据类型", "数据长度(Word)", "读写属性"],
        ["2000H", "Uab", "三相相间电压,单位 V(×0.1V)", "float", 2, "R"], ["2006H", "Ua", "三相相电压,单位 V(×0.1V)", "float", 2, "R"],
        ["200CH", "Ia", "三相电流,单位 A(×0.001A)", "float", 2, "R"],
        ["2012H", "Pt", "合相有功功率,单位 W(×0.1W)", "float", 2, "R"], ["2014H", "Pa", "A 相有功功率,单位 W(×0.1W)", "float", 2, "R"],
        ["201AH", "Qt", "合相无功功率,单位 var(×0.1var)", "float", 2, "R"], ["202AH", "PFt", "合相功率因数(×0.001)", "float", 2, "R"],
        ["2044H", "Freq", "频率,单位 Hz(×0.01Hz)", "float", 2, "R"],
        ["101EH", "ImpEp", "(当前)正向有功总电能,单位 kWh", "float", 2, "R"], ["1028H", "ExpEp", "(当前)反向有功总电能,单位 kWh", "float", 2, "R"],
    ],
    title="功能码03H",
)  # fmt: skip

STATION = Maker(
    "station", "南瑞 (NARI) 远动装置点表的样式,地址分段按 DL/T 634.5104:遥信 1H 起、遥测 4001H 起、电度 6401H 起",
    [
        ["××电厂远动信息表(DL/T 634.5104-2009)", None, None, None, None, None, None],
        ["序号", "信息体地址(HEX)", "点名称", "KKS编码", "类型", "系数", "单位"],
        ["一、遥信", None, None, None, None, None, None],
        [1, "1", "1号机出口断路器合位", "10BAC10GS001", "双点", None, None], [2, "2", "1号机AGC投入", "10CJA01EA001", "单点", None, None],
        [3, "3", "1号机汽机跳闸", "10MAA01EA001", "单点", None, None],
        ["二、遥测", None, None, None, None, None, None],
        [1, "4001", "1号机有功功率", "10BAT01CE001", "归一化", 0.0244, "MW"], [2, "4002", "1号机无功功率", "10BAT01CE002", "归一化", 0.0122, "Mvar"],
        [3, "4003", "1号机A相电流", "10BAT01CE003", "归一化", 0.5, "A"], [4, "4004", "220kV I母线电压 Uab", "00ACA01CE001", "归一化", 0.0081, "kV"],
        [5, "4005", "1号机AGC有功指令", "10CJA01DE001", "短浮点", None, "MW"],
        ["三、电度", None, None, None, None, None, None],
        [1, "6401", "1号机正向有功电度", "10BAT01CE010", "遥脉", 1, "万kWh"],
        ["编制:", None, "审核:", None, "批准:", None, None],
    ],
    cover=[["××电厂 1 号机组远动信息表"], ["版本 A", "2026 年 3 月"]],
    merges=["A1:G1", "A3:G3", "A7:G7", "A13:G13"],
    title="点表(上送)",
)  # fmt: skip

LOVATO = Maker(
    "lovato", "Lovato RGK800 genset controller: aggsoft.com/serial-data-logger/tutorials/modbus-data-logging/lovato-electric-rgk800.htm",
    [
        ["MODBUS offset", "Description", "Units", "Data type"],
        [2, "L1 phase voltage - mains", "V", "dword"], [14, "L1 current", "A", "dword"], [28, "L1-L2 voltage - generator", "V", "dword"],
        [40, "L1 active power - generator", "W", "integer"], [86, "Frequency - mains", "Hz", "dword"],
        [92, "Frequency - generator", "Hz", "dword"], [112, "Eqv. active power - generator", "W", "integer"],
        [114, "Eqv. reactive power - generator", "VAr", "integer"], [118, "% active power - mains", "%", "integer"],
    ],
)  # fmt: skip

METER = Maker(
    "meter", "DL/T 645-2007, 表 A.1、A.3:数据标识 (威胜等厂电能表说明书照抄)",
    [
        ["数据标识", "数据项名称", "数据格式", "单位", "读写"],
        ["00010000", "(当前)正向有功总电能", "XXXXXX.XX", "kWh", "R"], ["00020000", "(当前)反向有功总电能", "XXXXXX.XX", "kWh", "R"],
        ["00030000", "(当前)组合无功1总电能", "XXXXXX.XX", "kvarh", "R"], ["02010100", "A相电压", "XXX.X", "V", "R"],
        ["02030000", "瞬时总有功功率", "XX.XXXX", "kW", "R"], ["02040000", "瞬时总无功功率", "XX.XXXX", "kvar", "R"],
        ["02800002", "电网频率", "XX.XX", "Hz", "R"], ["02060000", "总功率因数", "X.XXX", None, "R"],
    ],
)  # fmt: skip

PLANT = Maker(
    "plant", "a plant's own list for its governor, in the form such lists have (cover, KKS, 读写, 40001, 系数, signatures)",
    [
        ["××水电厂1号机调速器 MODBUS TCP 通讯点表", None, None, None, None, None, None, None, None],
        ["序号", "KKS编码", "点名称", "寄存器地址", "数据类型", "字节序", "读写", "系数", "单位"],
        [1, "10MEA01CS901", "机组有功功率", 40001, "REAL", "3412", "只读", 1, "MW"],
        [2, "10MEA01CS902", "机组频率", 40003, "UINT16", None, "只读", 100, "Hz"],
        [3, "10MEA01GH001", "导叶开度", 40004, "UINT16", None, "只读", 0.01, "%"],
        [4, "10MEA01DE001", "AGC有功给定", 40005, "REAL", "3412", "读写", 1, "MW"],
        [5, "10MEA01DE002", "开机令", 40007, "UINT16", None, "只写", None, None],
        [6, "10MEA01GS001", "并网状态", 40008.1, "BOOL", None, "只读", None, None],
        [7, "10MEA01EA001", "一次调频投入", 40008.2, "BOOL", None, "只读", None, None],
        [8, "10BAT01CE010", "上网电量", 40009, "UINT32", "3412", "只读", 0.01, "万kWh"],
        ["序号", "KKS编码", "点名称", "寄存器地址", "数据类型", "字节序", "读写", "系数", "单位"],
        [9, "10MEA01CP001", "油压", 40011, "UINT16", None, "只读", 0.01, "MPa"],
        ["编制:", "张三", "审核:", "李四", None, None, "日期:", "2026.3.1", None],
    ],
    cover=[["××水电厂"], ["调速器通讯点表"], ["设备厂家:××公司"]],
    merges=["A1:I1"],
    title="调速器",
)  # fmt: skip

ALL = (ACREL, SCHNEIDER, SIEMENS, ABB, JANITZA, WOODWARD, EATON, CHINT, STATION, LOVATO, METER, PLANT)
