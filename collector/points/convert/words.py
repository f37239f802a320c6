# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that makers give their columns and values, in English and Chinese. Data and lookups.

A name means a settlement quantity where a rule below matches it and no word marks another quantity: one phase, a
demand, a maximum, an apparent or reactive energy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from collector.base.text import Text, tr
from collector.points.words import column_of, fold

# Roles of columns beyond those of a point table: heading (folded) -> role.
_HEADINGS: Final = {
    fold(word): role
    for role, words in {
        "name": "参数名称 参数 信号 信号描述 项目 测量量 变量 变量名 变量名称 参数代号 代号 点名称 测点 点号名称 信息描述 遥测名称 遥信名称 内容 数据名称 信息名称 数据项 数据项名称 名 称 parameter variable quantity "
                "measurement signal item register_name reading measured_value data_item name/description",
        "address": "offset start_offset modbus_address modbus_offset modbus_register register_no register_number reg_no "
                   "address_(dec) decimal dec 十进制 首地址 字地址 起始寄存器 寄存器 寄存器地址(十进制) addr start_addr start_address modicon "
                   "modicon_start_addr 信息体地址(十进制) reg_addr start_reg 参数地址 通讯地址 通信地址 modbus地址",
        "hex": "hex 十六进制 16进制 地址(hex) 寄存器地址(hex) 寄存器地址(十六进制) address_(hex) hex_address 信息体地址(hex) 信息体地址(十六进制)",
        "registers": "number_of_registers no_of_registers num_registers #_reg reg size 字长 寄存器长度 占用寄存器 数据长度 数据长度(字) number_of",
        "bytes": "bytes 字节 字节数 长度(字节) 字节长度 data_byte",
        "type": "数据类型/格式 word_type data_format number_format 值类型 数值类型",
        "scale": "resolution multiplier scaling scale_factor res 分辨率 比例 换算 换算关系 换算系数 单位换算 精度 变比系数",
        "raw_unit": "unit 计量单位 units_or_resolution units/resolution",
        "access": "读写 读/写 r/w rw access 属性 读写属性 权限 操作 rd/wr 访问",
        "remark": "comments 范围说明 附注 备 注 description_2",
        "range": "range value_range 范围 取值范围 数据范围 量程",
        "description": "details",
        "kks": "kks kks编码 kks码 编码 测点编码 code parameter_id id",
    }.items()
    for word in words.split()
}  # fmt: skip


def role_of(heading: str) -> str | None:
    """The role of a column by its heading; None for an unknown heading."""
    bare = re.sub(r"[((\[].*?[))\]]|[*:: :]", "", heading)
    for text in (heading, bare):
        folded = fold(text.replace(" ", "_"))
        if folded in ("unit", "单位"):
            return "raw_unit"
        if folded in _HEADINGS:
            return _HEADINGS[folded]
        if (ours := column_of(text)) is not None:
            return ours or (None if folded in ("序号", "no", "number") else "remark")
    return None


@dataclass(frozen=True, slots=True)
class Rule:
    """A quantity and the pattern of its names. `best`: a pattern of the names to prefer among several."""

    quantity: str
    pattern: re.Pattern[str]
    best: re.Pattern[str]


def _rule(quantity: str, pattern: str, best: str = "$^") -> Rule:
    return Rule(quantity, re.compile(pattern, re.IGNORECASE), re.compile(best, re.IGNORECASE))


_TOTAL: Final = r"总|合相|三相|total|sum|Σ|3[- ]?ph|L1\.\.L3|全厂|PSUM|发电机|gen"
# In this order: a set-point of power is no power, a status of AGC no set-point.
RULES: Final = (
    _rule("primary_frequency_in_service", r"一次调频.*(投|动作|允许|使能)|primary freq.*(service|enabled|active|on)"),
    _rule("avc_at_limit", r"AVC.*(受限|闭锁|极限)|(增|减)(磁|励磁).*闭锁|调节受限|AVC.*limit|excitation.*limit"),
    _rule("agc_setpoint_mw", r"(AGC|有功|功率|负荷).{0,6}(指令|目标|设定|给定|设值)|(AGC|active|real|load|power).*(set.?point|target|"
                             r"demand from|command)"),
    _rule("avc_target_kv", r"(AVC|母线|电压).{0,8}(目标|指令|设定|给定)|(AVC|voltage).*(set.?point|target)"),
    _rule("agc_in_service", r"AGC.{0,6}(投|允许|使能|远方|运行|状态|可控)|AGC.*(service|enabled|active|remote|\bon\b)"),
    _rule("avc_in_service", r"AVC.{0,6}(投|允许|使能|远方|运行|状态|可控)|AVC.*(service|enabled|active|remote|\bon\b)"),
    _rule("condenser", r"调相.{0,4}(运行|状态|工况|$)|condenser|synchronous compensator"),
    _rule("spilling", r"弃水|溢流|spill"),
    _rule("on_grid", r"并网|(出口|发电机|主变高压侧|GCB).{0,6}(断路器|开关).{0,6}(合|位置|状态)|(breaker|GCB|CB).*(closed|position|\bon\b)|"
                     r"on.?grid|(in|mains) parallel|parallel(ed)? (to|with)", r"并网|出口|GCB|\bgen"),
    _rule("energy_export_mwh", r"有功.*(电能|电量|电度)|正向.*(电能|电量|电度)|上网电量|发电量|active energy|real energy|W-?hours|kWh|\bWh\b|"
                               r"ImpEp|ExpEp|FwdWh",
          r"总|total|sum|L1\.\.L3|T1\+T2|\btotals?\b"),
    _rule("reactive_power_mvar", r"无功(功率)?(?!.*(电能|电量|电度))|reactive power|\bVARs?\b|\bQt\b|Q GEN", _TOTAL),
    _rule("active_power_mw", r"有功(功率|出力)?|active power|real power|\bwatts?\b|\bPt\b|P GEN|gen(erator|\.)? power|负荷|出力",
          _TOTAL),
    _rule("frequency_hz", r"频率|frequency|\bfreq|f GEN|系统频率|网频", r"发电机|机端|gen|系统|电网|^频率$|^frequency$"),
    _rule("bus_voltage_kv", r"母线.*电压|线电压|busbar.*volt|bus volt|volt.*(L-?L|line.to.line|delta|L1-?L2|A-?B)|L1-?L2.*volt|Uab|U12|V12|"
                            r"(delta|line).*volt|UL1-?L2|电压.*(AB|Uab)|AB.*电压",
          r"母线|bus|平均|aver|\bav\b|mean"),
)  # fmt: skip
# Names that are never a settlement quantity, with the reason.
NOT_MEANT: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), reason)
    for pattern, reason in (
        (r"需量|demand(?! from)|\bDmd", tr("a demand")),
        (r"最大|最小|\bmax|\bmin(imum|\.)?\b|peak|峰值", tr("a maximum or minimum")),
        (r"视在|apparent|\bVA\b|kVA|\bVAh", tr("apparent power or energy")),
        (r"功率因数|power factor|cos|\bPF\b", tr("a power factor")),
        (r"无功.*(电能|电量|电度)|reactive energy|varh|FwdVARh", tr("reactive energy")),
        (r"谐波|畸变|harmonic|THD|不平衡|unbalance|imbalance", tr("power quality")),
        (r"电流|current|\bamp|\bI[abcABC]\b", tr("a current")),
        (r"温度|temperature|压力|pressure|转速|speed|油|湿度|水位|开度", tr("of the machine, not of the grid")),
        (r"[ABCabc]\s*相(?!.*线电压)|[分各]相|(?<!to )\bphase\s*[-_]?[ABC123]\b(?!\s*to\b)|(?<![-.])\bL[123]\b(?!\s*[-.]{1,2}\s*L)|\bP[abc]\b|\bQ[abc]\b|"
         r"\bper phase|\bphase [abc]", tr("of one phase")),
        (r"相电压|wye|line.to.neutral|L-?N\b|[ABC123]-N\b", tr("a phase voltage")),
        (r"尖|(?<!总)峰时|平时|谷时|峰(电|段)|谷(电|段)|费率|tariff\s*[2-9]|rate\s*[2-9]", tr("of one tariff")),
        (r"上月|上\d+月|冻结|last month|previous|昨日|当日|当月|本月|today", tr("of a period")),
        (r"变比|ratio|CT\b.*(变比|primary|secondary)|PT\b.*(变比|primary)", tr("a setting")),
        (r"mains|市电|station service|厂用", tr("of another place")),
    )
)  # fmt: skip
# Energy to the grid in the words of a generator's meter.
OUT: Final = re.compile(
    r"export|反向|送出|上网|generated|produced|out of|delivered(?!.*into)|发电|ExpEp|Rev", re.IGNORECASE
)
IN: Final = re.compile(r"import|吸收|用电|consum|delivered|into|ImpEp|Fwd", re.IGNORECASE)
FORWARD: Final = re.compile(r"正向")
BACKWARD: Final = re.compile(r"反向")

# Units of the trade beyond those of a point table: folded unit -> (ours, factor).
UNITS: Final[dict[str, tuple[str, str]]] = {
    "万kwh": ("MWh", "10"), "万千瓦时": ("MWh", "10"), "万度": ("MWh", "10"), "万kw·h": ("MWh", "10"), "gwh": ("MWh", "1000"),
    "亿kwh": ("MWh", "100000"), "亿千瓦时": ("MWh", "100000"), "亿度": ("MWh", "100000"), "百度": ("kWh", "100"),
    "万kw": ("MW", "10"), "万千瓦": ("MW", "10"), "gw": ("MW", "1000"), "万kvar": ("Mvar", "10"), "万千乏": ("Mvar", "10"),
    "watts": ("W", "1"), "watt": ("W", "1"), "kilowatt": ("kW", "1"), "megawatt": ("MW", "1"), "volts": ("V", "1"),
    "volt": ("V", "1"), "hertz": ("Hz", "1"), "vars": ("var", "1"), "mwh": ("MWh", "1"), "kwh": ("kWh", "1"), "wh": ("Wh", "1"),
    "kw·h": ("kWh", "1"), "mw·h": ("MWh", "1"), "w·h": ("Wh", "1"), "kw.h": ("kWh", "1"), "kw": ("kW", "1"), "w": ("W", "1"),
    "kvar": ("kvar", "1"), "mvar": ("Mvar", "1"), "var": ("var", "1"), "kv": ("kV", "1"), "v": ("V", "1"), "hz": ("Hz", "1"),
    "vac": ("V", "1"),
}  # fmt: skip
# Units of quantities that settlement does not use.
OTHER_UNITS: Final = frozenset(
    [
        "a",
        "ma",
        "ka",
        "℃",
        "°c",
        "%",
        "kva",
        "va",
        "mva",
        "kvah",
        "vah",
        "mvah",
        "kvarh",
        "varh",
        "mvarh",
        "kvar·h",
        "var·h",
        "mvar·h",
        "rpm",
        "r/min",
        "mpa",
        "kpa",
        "bar",
        "s",
        "ms",
        "min",
        "h",
        "deg",
        "°",
        "m",
        "mm",
        "ohm",
        "ω",
    ]
)


def what_is(text: str) -> tuple[Rule, int] | Text:
    """The rule that a name matches and its rank, or the reason why settlement does not use the value."""
    reason = next((why for pattern, why in NOT_MEANT if pattern.search(text)), None)
    for rule in RULES:
        if rule.pattern.search(text):
            if reason and not (rule.quantity in _STATES and reason != tr("a setting")):
                return reason
            return rule, 1 + bool(rule.best.search(text))
    return reason or tr("no settlement quantity")


_STATES: Final = frozenset(
    {"on_grid", "agc_in_service", "avc_in_service", "avc_at_limit", "condenser", "spilling",
     "primary_frequency_in_service"}
)  # fmt: skip
