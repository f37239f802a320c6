# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes in the regulation's words, Chinese with English beside it. An unknown code is shown as it is, never hidden."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

Words = tuple[str, str]


class Lang(StrEnum):
    """The language of a displayed text."""

    ZH = "zh"
    EN = "en"
    BOTH = "both"


SERVICES: Final[Mapping[str, Words]] = {
    "primary_frequency": ("一次调频", "primary frequency control"),
    "deep_peak": ("深度调峰", "deep peak shaving"),
    "coal_start_stop": ("启停调峰(燃煤)", "start-stop peak shaving, coal"),
    "gas_start_stop": ("启停调峰(燃气)", "start-stop peak shaving, gas"),
    "hydro_spill": ("弃水调峰", "spilling"),
    "hydro_start_stop": ("启停调峰(水电)", "start-stop peak shaving, hydro"),
    "agc_basic": ("AGC基本补偿", "AGC availability"),
    "agc_up": ("AGC调用补偿(增发)", "AGC energy, up"),
    "agc_down": ("AGC调用补偿(少发)", "AGC energy, down"),
    "reactive_lag": ("有偿无功(迟相)", "paid reactive energy, supplied"),
    "reactive_lead": ("有偿无功(进相)", "paid reactive energy, absorbed"),
    "condenser_start": ("调相启停", "condenser starts"),
    "condenser_run": ("调相运行", "condenser running"),
    "avc": ("AVC", "automatic voltage control"),
    "spinning_reserve": ("旋转备用", "spinning reserve"),
    "hot_reserve": ("热备用", "hot reserve"),
    "black_start": ("黑启动", "black start"),
}

AREAS: Final[Mapping[str, Words]] = {
    "east_china_grid": ("华东网调", "East China grid"),
    "shanghai": ("上海", "Shanghai"),
    "jiangsu": ("江苏", "Jiangsu"),
    "zhejiang": ("浙江", "Zhejiang"),
    "anhui": ("安徽", "Anhui"),
    "fujian": ("福建", "Fujian"),
}

STATUSES: Final[Mapping[str, Words]] = {
    "paid": ("补偿", "paid"),
    "zero": ("为零", "zero"),
    "pending": ("待定", "pending"),
    "blocked": ("缺数据,未计算", "blocked"),
    "final": ("正式", "final"),
    "provisional": ("暂定", "provisional"),
}

# A month or area is blocked for other reasons than a line, so it has its own words.
MONTH_BLOCKED: Final[Words] = ("不能结算", "blocked")

CLASSES: Final[Mapping[str, Words]] = {
    "counted": ("计入", "counted"),
    "unpaid": ("不计入", "not payable"),
    "missing": ("缺数据", "missing"),
    "excluded": ("剔除", "excluded"),
    "own_fault": ("自身原因", "own fault"),
    "outside": ("范围之外", "outside the scope"),
}

REASONS: Final[Mapping[str, Words]] = {
    "counted": ("计入", "counted"),
    "off_grid": ("未并网", "off grid"),
    "on_grid": ("已并网", "on grid"),
    "above_lower_limit": ("出力不低于基本调峰下限", "not below the lower limit"),
    "above_gate": ("出力不低于深度调峰补偿限值", "not below the gate of deep peak shaving"),
    "start_stop_order": ("启停调峰指令期间", "inside a start-stop order"),
    "agc_off": ("AGC未投入", "AGC out of service"),
    "avc_off": ("AVC未投入", "AVC out of service"),
    "netted_other_way": ("刻钟内净额方向相反", "netted the other way in its quarter hour"),
    "deep_peak_paid": ("已按深度调峰补偿", "already paid as deep peak shaving"),
    "condenser": ("调相运行中", "running as condenser"),
    "not_condenser": ("非调相运行", "not running as condenser"),
    "negative_power": ("有功为负", "active power below zero"),
    "within_free_q": ("在基本无功范围内", "within the free reactive range"),
    "voltage_out_of_band": ("电压越限且未达调节极限", "voltage outside its band, limits not reached"),
    "not_spilling": ("未弃水", "not spilling"),
    "not_reserved": ("非备用时段", "no reserve in the plan"),
    "no_edge": ("未观测到状态变化", "no change observed"),
    "no_restart": ("停运后未在指令内重新并网", "off without a restart that counts"),
    "outside_valley": ("低谷时段之外", "outside valley hours"),
    "outside_order": ("无调度指令", "no order then"),
    "outside_reserve": ("备用安排或高峰时段之外", "outside reserve rows or peak hours"),
    "not_equipped": ("未登记该项能力", "not registered for this service then"),
    "not_registered": ("未商业运行", "not in commercial operation then"),
    "own_fault": ("自身原因", "own fault"),
    "excluded": ("剔除时段", "excluded"),
    "no_value": ("数值缺失", "value missing"),
    "no_record": ("无记录", "no record"),
    "no_breaker": ("并网状态缺失", "breaker status missing"),
    "no_power": ("有功缺失", "active power missing"),
    "no_status": ("投入状态缺失", "status missing"),
    "no_plan": ("无计划曲线", "no plan row"),
    "no_band": ("无电压曲线", "no voltage band row"),
    "no_voltage": ("电压缺失", "voltage missing"),
    "no_reactive_power": ("无功缺失", "reactive power missing"),
    "no_reserve_power": ("备用容量缺失", "reserve power missing"),
    "group_member_missing": ("组内机组数据缺失", "a member of the group is missing"),
    "no_order": ("本月无调度指令", "no order in the month"),
    "no_reserve": ("本月无备用安排", "no reserve in the month"),
    "rounded": ("金额不足0.01元", "rounds to 0.00"),
    "uncertain_edge": ("启停时刻不能确定", "breaker edge uncertain"),
    "not_delivered": ("资料未提交", "not delivered"),
    "coverage": ("数据完整率不足", "coverage below the minimum"),
    "no_scope": ("本月无计量时段", "nothing in scope this month"),
    "no_valley": ("本月无低谷时段", "no valley hours this month"),
    "no_tariff": ("批复上网电价缺失", "approved tariff missing"),
    "no_judged_order": ("无可判定的AVC指令", "no AVC order could be judged"),
    "table_unknown": ("启停补偿标准表缺失,待定", "table of Art. 13(4) unknown"),
    "unknown_value": ("标准未定", "rulebook value unknown"),
    "no_revenue": ("电费收入未提交", "revenue of a sharing plant missing"),
    "negative_revenue": ("电费收入为负", "revenue below zero"),
    "zero_revenue": ("电费收入合计为零", "revenue sums to zero"),
}

DETERMINANT_UNITS: Final[Mapping[str, str]] = {
    "MWh": "兆瓦时",
    "Mvarh": "兆乏时",
    "MW": "兆瓦",
    "h": "小时",
    "count": "次",
    "month": "月",
}


def of(table: Mapping[str, Words], code: str) -> Words:
    """The Chinese and English words of a code; the code itself where it has none."""
    return table.get(code, (code, ""))


def say(of_both: Words, lang: Lang) -> str:
    """Words in one language or in both; in the other language where the chosen one is missing."""
    chinese, english = of_both
    if lang is Lang.BOTH:
        return f"{chinese} {english}".strip()
    return (chinese if lang is Lang.ZH else english) or chinese or english


def all_of(table: Mapping[str, Words], code: str, lang: Lang) -> str:
    """A code in words; empty for an empty code. Codes joined by `;` are put in words one by one."""
    if not code:
        return ""
    if ";" in code and code not in table:
        return "; ".join(all_of(table, part.strip(), lang) for part in code.split(";"))
    return say(of(table, code), lang)


def both(table: Mapping[str, Words], code: str) -> str:
    """A code as `中文 english`, by the rules of `all_of`."""
    return all_of(table, code, Lang.BOTH)
