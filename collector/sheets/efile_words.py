# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that tables and columns of an E file may have besides their names in formats.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.model.quantity import QUANTITIES

# Table of a settlement folder -> other names of its block, compared without case.
TABLE_WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "plan": ("发电计划", "计划曲线", "日前计划"),
    "orders": ("调度指令", "指令"),
    "reserve": ("备用", "备用计划"),
    "voltage_band": ("电压曲线", "电压上下限"),
    "exclusions": ("剔除", "剔除时段"),
    "revenue": ("电费", "收入"),
    "rates": ("合格率", "投运率"),
    "start_stop_table": ("启停补偿标准",),
    "meter_changes": ("换表记录", "电能表更换"),
    "reserve_calls": ("备用调用",),
    "reserve_minimum": ("最小备用", "备用下限"),
    "records": ("运行记录", "运行数据"),
    "area": ("区域", "结算区域"),
    "plant": ("电厂", "发电厂"),
    "unit": ("机组", "发电机组"),
    "policy": ("数据规定",),
}

_COMMON: Final = {
    "机组": "unit",
    "开始时间": "start",
    "结束时间": "end",
    "月份": "month",
    "类型": "kind",
    "文件号": "document",
}
_OF_TABLE: Final[Mapping[str, Mapping[str, str]]] = {
    "plan": {"有功功率": "power_mw", "计划功率": "power_mw", "下达时间": "issued"},
    "orders": {"指令编号": "id", "指令类型": "kind"},
    "reserve": {"备用类型": "kind", "备用容量": "power_mw"},
    "voltage_band": {"电压下限": "low_kv", "电压上限": "high_kv"},
    "exclusions": {"服务": "service", "原因": "reason", "备注": "note"},
    "revenue": {"电厂": "plant", "电费类型": "kind", "金额": "amount_yuan", "区域": "area"},
    "rates": {"数值": "value", "来源": "source"},
    "start_stop_table": {
        "容量下限": "capacity_from_mw",
        "容量上限": "capacity_to_mw",
        "间隔下限": "gap_from_h",
        "间隔上限": "gap_to_h",
        "补偿标准": "amount_wan_yuan",
        "执行日期": "from",
    },
    "meter_changes": {"时间": "time", "旧表止度": "old_final_mwh", "新表起度": "new_initial_mwh"},
    "reserve_calls": {"备用类型": "kind", "调用时间": "called", "调用容量": "power_mw", "备注": "note"},
    "reserve_minimum": {"区域": "area", "备用容量": "power_mw"},
    "records": {"时间": "time", **{q.zh: q.name for q in QUANTITIES}},
    "area": {
        "编号": "id", "名称": "name", "调度方式": "dispatch_mode", "低谷时段": "valley_hours", "高峰时段": "peak_hours",
        "时段备案": "hours_filing", "监管机构": "regulator", "生效日期": "from", "失效日期": "until",
    },
    "plant": {
        "编号": "id", "名称": "name", "区域": "area", "电费口径": "revenue_basis", "参与分摊": "shares",
        "结算单位": "settles_with", "税号": "tax_number", "税率": "vat_rate", "开户银行": "bank",
        "生效日期": "from", "失效日期": "until",
    },
    "unit": {
        "编号": "id", "电厂": "plant", "机组类型": "kind", "额定容量": "rated_mw", "额定电压": "nominal_kv",
        "AGC下限": "agc_lower_mw", "AGC上限": "agc_upper_mw", "AVC": "avc", "区域": "area", "调差率": "droop_ratio",
        "无功上限": "q_max_mvar", "无功下限": "q_min_mvar", "批复电价": "tariff_yuan_per_mwh", "依据文件": "evidence",
        "黑启动": "black_start", "黑启动文件": "black_start_document", "调峰组": "peak_group", "生效日期": "from",
        "失效日期": "until",
    },
}  # fmt: skip

# Headings of a running number: the column is ignored.
COUNTING: Final = frozenset({"序号", "顺序", "Num", "num", "No", "no", "NO"})


def column_of(table: str, heading: str) -> str:
    """The column that a heading means, in Chinese or in both languages ("机组 unit"); else the heading itself."""
    found = _OF_TABLE.get(table, {}).get(heading) or _COMMON.get(heading)
    if found is None:
        chinese, _, english = heading.rpartition(" ")
        found = english if chinese and column_of(table, chinese.strip()) == english else heading
    return found


def heading_of(table: str, column: str) -> str:
    """The heading of a column in both languages, as `column_of` reads it; its name alone where there is no Chinese."""
    words = {**_COMMON, **_OF_TABLE.get(table, {})}
    chinese = next((word for word, name in words.items() if name == column), "")
    return f"{chinese} {column}".strip()


def table_of(name: str) -> str | None:
    """The table that a block's class means; None where it is not one of ours."""
    wanted = name.casefold()
    for table, words in TABLE_WORDS.items():
        if wanted == table or wanted in (word.casefold() for word in words):
            return table
    return None
