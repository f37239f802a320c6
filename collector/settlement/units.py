# SPDX-License-Identifier: GPL-3.0-or-later
"""Units of quantities and prices as texts in both languages; the English one is the code that files use."""

from __future__ import annotations

from typing import Final

from collector.base.text import Text, both

CHINESE_UNITS: Final = {
    "MWh": "兆瓦时",
    "Mvarh": "兆乏时",
    "MW": "兆瓦",
    "Mvar": "兆乏",
    "kV": "千伏",
    "Hz": "赫兹",
    "h": "小时",
    "s": "秒",
    "1": "",
    "count": "次",
    "month": "月",
    "yuan/MW": "元/兆瓦",
    "yuan/MWh": "元/兆瓦时",
    "yuan/Mvarh": "元/兆乏时",
    "yuan/month": "元/月",
    "10000 yuan": "万元",
    "day_of_month": "日",
    "working_day": "个工作日",
    "MWh (λ · P_N · t)": "兆瓦时(完成率×额定容量×时间)",
    "MWh (P_N · t)": "兆瓦时(额定容量×时间)",
}


def unit_text(unit: str) -> Text:
    """A unit in words; one that is not known here as it is."""
    return both("" if unit == "1" else unit, CHINESE_UNITS.get(unit, unit))
