# SPDX-License-Identifier: GPL-3.0-or-later
"""Codes in the regulation's words, Chinese with English beside it. An unknown code is shown as it is, never hidden."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Final

from collector.base.resources import config_path
from collector.settlement.units import CHINESE_UNITS

Words = tuple[str, str]


class Lang(StrEnum):
    """The language of a displayed text."""

    ZH = "zh"
    EN = "en"
    BOTH = "both"


_KNOWN_SERVICES: Final[Mapping[str, Words]] = {
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


class RulebookWords(Mapping[str, Words]):
    """The names that the rulebooks shipped in config/rules give, read when they are first asked.

    `table`: area or service, of which those with a name in both languages count. What a rulebook that is elsewhere
    names is shown by its id, an area also by the name that the register gives it.
    """

    def __init__(self, table: str, chinese: str, english: str, known: Mapping[str, Words]) -> None:
        self._table, self._chinese, self._english, self._known = table, chinese, english, known

    @cached_property
    def _words(self) -> dict[str, Words]:
        found = dict(self._known)
        for path in sorted(config_path("rules").glob("*/*.toml")):
            if f"[[{self._table}]]".encode() in (data := path.read_bytes()):
                for row in tomllib.loads(data.decode())[self._table]:
                    if self._english in row:
                        found.setdefault(row["id"], (row[self._chinese], row[self._english]))
        return found

    def __getitem__(self, code: str) -> Words:
        return self._words[code]

    def __iter__(self) -> Iterator[str]:
        return iter(self._words)

    def __len__(self) -> int:
        return len(self._words)


AREAS: Final[Mapping[str, Words]] = RulebookWords("area", "name_zh", "name", {})
SERVICES: Final[Mapping[str, Words]] = RulebookWords("service", "title", "title_en", _KNOWN_SERVICES)

UNITS: Final[Mapping[str, Words]] = {unit: (zh, "" if unit == "1" else unit) for unit, zh in CHINESE_UNITS.items()}

STATUSES: Final[Mapping[str, Words]] = {
    "paid": ("补偿", "paid"),
    "zero": ("为零", "zero"),
    "pending": ("待定", "pending"),
    "blocked": ("缺数据,未计算", "blocked"),
    "final": ("正式", "final"),
    "provisional": ("暂定", "provisional"),
}

# Of a paper that settles nothing, whatever its status.
WHAT_IF: Final[Words] = ("假设", "what-if")


@dataclass(frozen=True, slots=True)
class Paper:
    """Of which run of a center a paper is; `what_if`: it only shows what would be, and may not look like a result."""

    run: int
    what_if: bool


# A month or area is blocked for other reasons than a line, so it has its own words.
MONTH_BLOCKED: Final[Words] = ("不能结算", "blocked")

CLASSES: Final[Mapping[str, Words]] = {
    "counted": ("计入", "counted"),
    "unpaid": ("不计入", "not payable"),
    "missing": ("缺数据", "missing"),
    "excluded": ("剔除", "excluded"),
    "own_fault": ("自身原因", "own fault"),
    "outside": ("范围之外", "outside the scope"),
    # classes of a quarter hour of AGC energy
    "estimate": ("估算值的变化", "change of the estimate"),
    "up": ("增发", "up"),
    "down": ("少发", "down"),
    "balanced": ("净额为零", "net zero"),
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
    "implausible": ("数值不可信,按缺失计", "value can't be, taken as missing"),
    "group_member_missing": ("组内机组数据缺失", "a member of the group is missing"),
    "missing": ("缺数据", "missing data"),
    "order_failed": ("AVC指令未完成", "AVC orders failed"),
    "no_reading": ("没有表底读数", "no reading"),
    "hole": ("有功缺数据", "output not known throughout"),
    "differs": ("其余时间也不符", "the rest of the day differs too"),
    "order_used_up": ("该指令已补偿一次", "the order was paid already"),
    "other_month": ("属于另一月份", "belongs to another month"),
    "avc_out": ("判定时AVC未投入", "AVC out when it was judged"),
    "at_limit": ("设备已达极限", "equipment at its limit"),
    "outside_scope": ("未登记AVC期间", "outside the scope of AVC"),
    "records_apart": ("记录间隔过长", "records too far apart"),
    "superseded": ("随即有新的指令", "another command came first"),
    "no_response": ("出力未变化", "the output did not leave its value"),
    "not_reached": ("未达到目标的四分之三", "three quarters of the step were not reached"),
    "one_record": ("变化在一条记录之内", "the step took place within one record"),
    "no_order": ("本月无调度指令", "no order in the month"),
    "no_reserve": ("本月无备用安排", "no reserve in the month"),
    "by_days": ("按天折算", "by elapsed days"),
    "rounded": ("金额不足0.01元", "rounds to 0.00"),
    "uncertain_edge": ("启停时刻不能确定", "breaker edge uncertain"),
    "not_delivered": ("资料未提交", "not delivered"),
    "coverage": ("数据完整率不足", "coverage below the minimum"),
    "no_scope": ("本月无计量时段", "nothing in scope this month"),
    "no_valley": ("本月无低谷时段", "no valley hours this month"),
    "no_tariff": ("批复上网电价缺失", "approved tariff missing"),
    "no_judged_order": ("无可判定的AVC指令", "no AVC order could be judged"),
    "not_in_table": ("启停补偿标准表中没有对应的行,待定", "the table of Art. 13(4) has no row for it"),
    "table_unknown": ("启停补偿标准表缺失,待定", "table of Art. 13(4) unknown"),
    "unknown_value": ("标准未定", "rulebook value unknown"),
    "no_revenue": ("电费收入未提交", "revenue of a sharing plant missing"),
    "negative_revenue": ("电费收入为负", "revenue below zero"),
    "zero_revenue": ("电费收入合计为零", "revenue sums to zero"),
}

# Titles of the columns of evidence, Chinese and English.
COLUMNS: Final[Mapping[str, Words]] = {
    "unit": ("机组", "unit"),
    "start": ("开始", "start"),
    "end": ("结束", "end"),
    "class": ("类别", "class"),
    "reason": ("原因", "reason"),
    "group": ("调峰组", "peak group"),
    "lower_limit_mw": ("基本调峰下限(MW)", "lower limit (MW)"),
    "gate_mw": ("补偿限值(MW)", "gate (MW)"),
    "rated_mw": ("额定容量(MW)", "rated (MW)"),
    "power_mw": ("平均出力(MW)", "mean output (MW)"),
    "share": ("分配比例", "share"),
    "energy_mwh": ("电量(MWh)", "energy (MWh)"),
    "missing": ("缺数据的机组", "units without data"),
    "service": ("服务", "service"),
    "order": ("指令", "order"),
    "stopped_from": ("解列不早于", "stopped from"),
    "stopped_to": ("解列不晚于", "stopped to"),
    "started_from": ("并网不早于", "started from"),
    "started_to": ("并网不晚于", "started to"),
    "gap_h": ("停机时间(h)", "gap (h)"),
    "verdict": ("判定", "verdict"),
    "time": ("时间", "time"),
    "target_kv": ("目标电压(kV)", "target (kV)"),
    "previous_kv": ("原目标(kV)", "previous (kV)"),
    "judged_at": ("判定时刻", "judged at"),
    "voltage_kv": ("母线电压(kV)", "voltage (kV)"),
    "band_kv": ("允许偏差(kV)", "band (kV)"),
    "day": ("日期", "day"),
    "telemetry_mwh": ("遥测电量(MWh)", "telemetry (MWh)"),
    "meter_mwh": ("电能表电量(MWh)", "meter (MWh)"),
    "difference_ratio": ("相差比例", "difference"),
    "planned_mw": ("计划备用(MW)", "planned reserve (MW)"),
    "minimum_mw": ("最小备用(MW)", "least reserve (MW)"),
    "below": ("低于最小备用", "below the least"),
    "kind": ("备用类型", "kind of reserve"),
    "called": ("调用时刻", "called"),
    "called_mw": ("调用容量(MW)", "power called (MW)"),
    "arrived_s": ("到位用时(s)", "came after (s)"),
    "month": ("月份", "month"),
    "area": ("结算区域", "area"),
    "plant": ("电厂", "plant"),
    "before_yuan": ("至前一日(元)", "to a day earlier (yuan)"),
    "now_yuan": ("至截止日(元)", "to the cut (yuan)"),
    "change_yuan": ("昨日变化(元)", "change (yuan)"),
    "note": ("说明", "note"),
    "minutes": ("分钟", "minutes"),
    "amount_yuan": ("可多得(元)", "more (yuan)"),
    "assumption_zh": ("假定", "assumption, in Chinese"),
    "assumption_en": ("假定(英文)", "assumption"),
    "plan_mwh": ("计划电量(MWh)", "planned (MWh)"),
    "actual_mwh": ("实际电量(MWh)", "actual (MWh)"),
    "net_mwh": ("净额(MWh)", "net (MWh)"),
    "from_mw": ("原指令(MW)", "from (MW)"),
    "to_mw": ("新指令(MW)", "to (MW)"),
    "response_s": ("响应时间(s)", "response (s)"),
    "rate_mw_per_min": ("调节速率(MW/min)", "rate (MW/min)"),
    "accuracy_mw": ("平均偏差(MW)", "mean deviation (MW)"),
    "theoretical_mwh": ("理论电量(MWh)", "theoretical (MWh)"),
    "ratio": ("比值", "ratio"),
    "code": ("代码", "code"),
    "subject": ("对象", "unit or file"),
    "first": ("首次", "first"),
    "last": ("末次", "last"),
    "count": ("次数", "count"),
    "text_zh": ("说明", "in Chinese"),
    "text_en": ("英文说明", "in English"),
}

# What became of an AVC order, a start-stop, a day of the meter.
VERDICTS: Final[Mapping[str, Words]] = {
    "passed": ("完成", "passed"),
    "failed": ("未完成", "failed"),
    "not_judged": ("未判定", "not judged"),
    "paid": ("补偿", "paid"),
    "excluded": ("剔除", "excluded"),
    "uncertain": ("不能确定", "uncertain"),
    "repeated": ("指令已用", "order used up"),
    "pending": ("待定", "pending"),
    "none": ("无", "none"),
    "agrees": ("相符", "agrees"),
    "differs": ("不符", "differs"),
    "not_compared": ("未比较", "not compared"),
    "ran_back": ("表底回退", "ran back"),
    "changed": ("换表", "meter changed"),
}

# Columns of evidence whose cells are codes, and the words of these.
CODED: Final[Mapping[str, Mapping[str, Words]]] = {
    "class": CLASSES,
    "reason": REASONS,
    "service": SERVICES,
    "area": AREAS,
    "note": CLASSES,
    "verdict": VERDICTS,
    "below": {"0": ("否", "no"), "1": ("是", "yes")},
    "kind": {"spinning": _KNOWN_SERVICES["spinning_reserve"], "hot": _KNOWN_SERVICES["hot_reserve"]},
}

# What is measured.
DETERMINANTS: Final[Mapping[str, Words]] = {
    "E_deep": ("深度调峰电量", "deep peak energy"),
    "occurrences": ("启停次数", "occurrences"),
    "spill_hours": ("弃水时间", "spill hours"),
    "t_AGC": ("AGC投入时间", "time with AGC"),
    "t_on_grid": ("并网时间", "time on grid"),
    "E_up": ("AGC增发电量", "energy up"),
    "E_down": ("AGC少发电量", "energy down"),
    "E_q_lag": ("迟相无功电量", "reactive energy supplied"),
    "E_q_lead": ("进相无功电量", "reactive energy absorbed"),
    "condenser_starts": ("调相启动次数", "condenser starts"),
    "condenser_hours": ("调相运行时间", "condenser hours"),
    "t_AVC": ("AVC投入时间", "time with AVC"),
    "spinning_reserve": ("旋转备用电量", "spinning reserve"),
    "hot_reserve": ("热备用电量", "hot reserve"),
    "avc_orders": ("AVC指令", "AVC orders"),
    "avc_judged": ("其中已判定", "of these judged"),
    "avc_passed": ("其中完成", "of these passed"),
    "avc_not_judged_excluded": ("因剔除未判定", "not judged, excluded"),
    "avc_not_judged_no_record": ("因无记录未判定", "not judged, no record"),
    "avc_not_judged_superseded": ("因新指令未判定", "not judged, another order"),
    "avc_not_judged_avc_out": ("因AVC退出未判定", "not judged, AVC out"),
    "avc_not_judged_off_grid": ("因未并网未判定", "not judged, off grid"),
    "avc_not_judged_no_voltage": ("因缺电压未判定", "not judged, no voltage"),
    "avc_not_judged_at_limit": ("因设备达极限未判定", "not judged, at the limit"),
}

# Values of the rulebook and of the data policy; those of one price are told by their unit and article.
RULES: Final[Mapping[str, Words]] = {
    "deep_peak.lower_limit_ratio": ("基本调峰下限占额定容量", "lower limit of basic peak shaving, of P_N"),
    "deep_peak.gate_ratio": ("深度调峰补偿限值占额定容量", "gate of deep peak shaving, of P_N"),
    "start_stop.max_gap": ("启停最长间隔", "longest stop"),
    "hydro_spill.ratio": ("弃水调峰系数", "factor of spilling"),
    "agc_command.min_step_ratio": ("AGC指令最小变化占额定容量", "least AGC command, of P_N"),
    "agc_command.band_ratio": ("AGC响应范围占额定容量", "band of AGC response, of P_N"),
    "agc_command.record_gap": ("AGC响应所需记录间隔", "record spacing for AGC response"),
    "reactive.free_ratio_lag": ("迟相基本无功与有功之比", "free reactive power, lag, per P"),
    "reactive.free_ratio_lead": ("进相基本无功与有功之比", "free reactive power, lead, per P"),
    "avc.high_class": ("高电压等级起点", "high voltage class from"),
    "avc.middle_class": ("中电压等级起点", "middle voltage class from"),
    "avc.high_band": ("高电压等级允许偏差", "band of the high class"),
    "avc.middle_band": ("中电压等级允许偏差", "band of the middle class"),
    "avc.low_band_ratio": ("低电压等级允许偏差占标称电压", "band of lower voltages, of nominal"),
    "primary_frequency.dead_band": ("一次调频死区", "dead band of primary frequency control"),
    "primary_frequency.nominal": ("额定频率", "nominal frequency"),
    "policy.hold_limit": ("一条记录的保持时间", "how long a record holds"),
    "policy.settle": ("AVC指令的判定时间", "settling time of an AVC order"),
    "policy.min_coverage": ("最低数据完整率", "least coverage"),
    "policy.provisional_coverage": ("不致暂定的数据完整率", "coverage below which it is provisional"),
    "policy.at_limit_tolerance": ("达到无功极限的容差", "tolerance at the reactive limit"),
    "policy.on_grid_ratio": ("无并网信号时的并网出力占额定容量", "on grid above, of P_N"),
    "policy.meter_difference_ratio": ("遥测与电能表允许相差", "difference of telemetry and meter"),
    "policy.min_stop": ("最短停机时间", "shortest stop"),
    "policy.order_min_ratio": ("AVC指令最小变化占允许偏差", "least change of an AVC target, of the band"),
    "policy.plausible_ratio": ("可信功率上限占额定容量", "most plausible power, of P_N"),
    "policy.plausible_voltage_low": ("可信电压下限占标称电压", "least plausible voltage, of nominal"),
    "policy.plausible_voltage_high": ("可信电压上限占标称电压", "most plausible voltage, of nominal"),
    **{f"{service}.price": ("补偿标准", "price") for service in _KNOWN_SERVICES},
}

# Keys of a value: dispatch modes, kinds of unit, choices of a reading.
KEYS: Final[Mapping[str, Words]] = {
    "annual_plan": ("年度发电计划调度", "annual plan"),
    "energy_saving": ("节能发电调度", "energy-saving dispatch"),
    "coal": ("常规燃煤", "coal"),
    "coal_other": ("其他燃煤", "other coal"),
    "gas": ("燃气", "gas"),
    "hydro": ("水电", "hydro"),
    "pumped_storage": ("抽水蓄能", "pumped storage"),
    "nuclear": ("核电", "nuclear"),
    "wind": ("风电", "wind"),
    "solar": ("光伏", "solar"),
    "other": ("其他", "other"),
    "settle_60_s": ("六十秒", "60 s"),
    "settle_120_s": ("一百二十秒", "120 s"),
}


def of(table: Mapping[str, Words], code: str) -> Words:
    """The Chinese and English words of a code; the code itself where it has none."""
    return table.get(code, (code, ""))


def in_order(services: Iterable[str]) -> list[str]:
    """Services, each once, in the order of the statement; those without words last."""
    place = {service: number for number, service in enumerate(SERVICES)}
    return sorted(set(services), key=lambda service: (place.get(service, len(place)), service))


def of_rule(value_id: str) -> Words:
    """The words of a rulebook value: a price is told by its unit and article, that of an added service too."""
    return RULES["deep_peak.price"] if value_id.endswith(".price") else of(RULES, value_id)


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
