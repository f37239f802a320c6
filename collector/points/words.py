# SPDX-License-Identifier: GPL-3.0-or-later
"""The words of the trade: headings and cell values in English and Chinese, mapped to the words of this program.

Data and two lookups. A word that the trade uses for two meanings (小端, 遥信, INT) is refused, with both meanings.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

# column -> heading in Chinese, then other headings for it.
HEADINGS: Final[dict[str, tuple[str, ...]]] = {
    "name": ("名称", "点名", "测点名称", "测点名", "信号名称", "point", "point name", "tag"),
    "description": ("描述", "说明", "点描述", "测点描述", "desc", "comment"),
    "device": ("设备", "设备名", "设备编号", "装置", "device id"),
    "unit": ("机组", "机组号", "机组编号", "generating unit"),
    "quantity": ("量", "测点量", "结算量"),
    "area": ("区", "寄存器区", "寄存器类型", "功能码", "类型标识", "function", "function code", "FC", "TI", "type id"),
    "type": ("数据类型", "数据格式", "类型", "data type", "format"),
    "address": ("地址", "寄存器地址", "起始地址", "地址(十进制)", "信息体地址", "信息对象地址", "点号", "数据标识",
                "register", "register address", "IOA", "DI"),
    "common_address": ("公共地址", "站址", "ASDU地址", "common address", "CA", "COA"),
    "registers": ("寄存器数", "寄存器个数", "寄存器数量", "长度", "字数", "length", "words", "count"),
    "bit": ("位", "位号", "bit number"),
    "order": ("字节序", "字序", "字节顺序", "byte order", "word order", "endianness"),
    "scale": ("系数", "倍率", "比例系数", "乘数", "factor", "multiplier", "gain"),
    "offset": ("偏移", "基值", "偏移量"),
    "raw_unit": ("单位", "工程单位", "量纲", "units", "engineering unit", "EU"),
    "sign": ("方向", "符号", "direction"),
    "min": ("下限", "最小值", "量程下限", "minimum", "low"),
    "max": ("上限", "最大值", "量程上限", "maximum", "high"),
    "deadband": ("死区", "变化死区", "dead band"),
    "period_s": ("周期", "周期(s)", "周期(秒)", "采集周期", "采集周期(s)", "period"),
    "backup": ("备用", "主备", "备份"),
    "guard": ("校验", "校验值"),
    "no_value": ("哨值", "无效值", "无值", "sentinel", "no value"),
    "norm_base": ("归一化基数", "满码", "满码值", "norm base", "full code"),
    "map": ("状态映射", "映射", "状态定义", "状态值", "mapping", "states", "enum"),
}  # fmt: skip
# Columns for human readers; the program ignores their content.
FOR_READERS: Final = ("序号", "no", "number", "备注", "remark", "remarks", "note", "notes")


def fold(text: str) -> str:
    """A word without the differences that do not matter: case, full width, spaces, `_`, `-`, `.`, line breaks."""
    return re.sub(r"[\s_\-.]+", "", unicodedata.normalize("NFKC", text).casefold())


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words of one kind of cell. `words`: folded word -> ours; `traps`: folded word -> its several meanings."""

    choices: tuple[str, ...]
    words: Mapping[str, str]
    traps: Mapping[str, str] = field(default_factory=dict)
    writing: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, words: Mapping[str, tuple[str, ...]], traps: Mapping[str, str] | None = None, writing: str = ""
    ) -> Vocabulary:
        """Build from our word -> its other words; our word counts itself."""
        folded = {fold(word): ours for ours, others in words.items() for word in (ours, *others)}
        return cls(tuple(words), folded, {fold(k): v for k, v in (traps or {}).items()}, frozenset(writing.split()))


_COLUMNS: Final[dict[str, str]] = {
    **{fold(word): key for key, words in HEADINGS.items() for word in (key, *words)},
    **{fold(word): "" for word in FOR_READERS},
}


def column_of(heading: str) -> str | None:
    """The column that a heading means; empty for a column for human readers, None where it is unknown."""
    return _COLUMNS.get(fold(heading))


MODBUS_AREA_WORDS: Final = Vocabulary.of(
    {
        "coil": ("线圈", "coils", "1", "01", "01H", "FC1", "FC01", "0x", "线圈状态"),
        "discrete": ("离散输入", "离散量输入", "discrete input", "discrete inputs", "2", "02", "02H", "FC2", "FC02",
                     "1x"),
        "holding": ("保持寄存器", "holding register", "holding registers", "HR", "3", "03", "03H", "FC3", "FC03", "4x"),
        "input": ("输入寄存器", "input register", "input registers", "IR", "4", "04", "04H", "FC4", "FC04", "3x"),
    },
    {"寄存器": "保持寄存器 (holding), 输入寄存器 (input)", "register": "holding, input"},
    "5 05 6 06 15 16 05h 06h 0fh 10h fc5 fc6 fc15 fc16 fc05 fc06",
)  # fmt: skip
# A bare digit under a heading that is not of function codes: the function, or the first digit of 4xxxx notation.
AREA_DIGITS: Final = {
    "1": "function 01 (coil), 1xxxx (discrete)", "3": "function 03 (holding), 3xxxx (input)",
    "4": "function 04 (input), 4xxxx (holding)",
}  # fmt: skip
FUNCTION_HEADINGS: Final = frozenset(map(fold, ("功能码", "function", "function code", "FC")))
AREA_ZH: Final = {"coil": "线圈", "discrete": "离散输入", "holding": "保持寄存器", "input": "输入寄存器"}

IEC104_AREA_WORDS: Final = Vocabulary.of(
    {
        "1": ("01", "M_SP_NA_1", "单点", "单点信息", "单点遥信"),
        "3": ("03", "M_DP_NA_1", "双点", "双点信息", "双点遥信"),
        "5": ("05", "M_ST_NA_1", "步位置", "步位置信息", "档位"), "7": ("07", "M_BO_NA_1", "32比特串", "比特串"),
        "9": ("09", "M_ME_NA_1", "归一化", "归一化值", "归一化遥测"),
        "11": ("M_ME_NB_1", "标度化", "标度化值", "标度化遥测"),
        "13": ("M_ME_NC_1", "短浮点", "短浮点数", "短浮点遥测"),
        "15": ("M_IT_NA_1", "累计量", "电能脉冲", "遥脉"),
        "20": ("M_PS_NA_1", "成组单点", "成组单点信息"), "21": ("M_ME_ND_1",), "30": ("M_SP_TB_1",),
        "31": ("M_DP_TB_1",), "32": ("M_ST_TB_1",), "33": ("M_BO_TB_1",), "34": ("M_ME_TD_1",), "35": ("M_ME_TE_1",),
        "36": ("M_ME_TF_1",), "37": ("M_IT_TB_1",),
    },
    {"遥信": "1/30 (单点), 3/31 (双点), 20 (成组单点)", "遥测": "9/21/34 (归一化), 11/35 (标度化), 13/36 (短浮点)"},
    "45 46 47 48 49 50 51 58 59 60 61 62 63 64 100 101 102 103 104 105 106 107 110 111 112 113 遥控 遥调",
)  # fmt: skip

TYPE_WORDS: Final = Vocabulary.of(
    {
        "bit": ("位", "bool", "boolean", "开关量"),
        "int16": ("s16", "i16", "short", "16位有符号", "16位有符号整数", "有符号16位", "有符号短整型"),
        "uint16": ("u16", "ushort", "unsigned short", "word", "16位无符号", "16位无符号整数", "无符号16位",
                   "无符号短整型"),
        "int32": ("s32", "i32", "dint", "32位有符号", "32位有符号整数", "有符号32位"),
        "uint32": ("u32", "udint", "dword", "32位无符号", "32位无符号整数", "无符号32位"),
        "int64": ("s64", "i64", "lint", "64位有符号", "64位有符号整数"),
        "uint64": ("u64", "ulint", "64位无符号", "64位无符号整数"),
        "float32": ("f32", "float", "real", "single", "单精度", "单精度浮点", "单精度浮点数", "32位浮点", "32位浮点数"),
        "float64": ("f64", "double", "lreal", "双精度", "双精度浮点", "双精度浮点数", "64位浮点", "64位浮点数"),
        "bcd16": ("16位BCD",), "bcd24": ("24位BCD",), "bcd32": ("32位BCD",), "bcd48": ("48位BCD",),
        "bcd64": ("64位BCD",), "float16": ("f16", "half", "半精度", "半精度浮点", "16位浮点"),
        "int8_hi": ("高字节有符号",), "int8_lo": ("低字节有符号",), "uint8_hi": ("高字节", "高字节无符号"),
        "uint8_lo": ("低字节", "低字节无符号"), "mod10k32": (), "mod10k48": (), "mod10k64": (),
    },
    {"int": "int16, int32", "uint": "uint16, uint32", "long": "int32, int64", "ulong": "uint32, uint64",
     "整数": "int16, uint16, int32, uint32", "整型": "int16, uint16, int32, uint32", "浮点": "float32, float64",
     "浮点数": "float32, float64", "bcd": "bcd16, bcd32", "bcd码": "bcd16, bcd32"},
)  # fmt: skip

BIT_TYPE_WORDS: Final = frozenset(word for word, ours in TYPE_WORDS.words.items() if ours == "bit")

ORDER_WORDS: Final = Vocabulary.of(
    {
        "ABCD": ("AB", "ABCDEFGH", "1234", "高字在前", "AB CD"),
        "CDAB": ("GHEFCDAB", "3412", "低字在前", "CD AB"),
        "BADC": ("BA", "BADCFEHG", "2143", "BA DC"),
        "DCBA": ("HGFEDCBA", "4321", "DC BA"),
    },
    {"大端": "ABCD, BADC", "小端": "DCBA, CDAB", "big": "ABCD, BADC", "little": "DCBA, CDAB", "bigendian": "ABCD, BADC",
     "littleendian": "DCBA, CDAB", "高位在前": "ABCD, BADC", "低位在前": "DCBA, CDAB"},
)  # fmt: skip
# Letters that also say how many bytes the value has.
ORDER_LETTERS: Final = {fold(w): len(w) for w in ("AB", "BA", "ABCDEFGH", "GHEFCDAB", "BADCFEHG", "HGFEDCBA")}

# Not folded: folding drops the minus.
SIGN_WORDS: Final = {"1": "1", "+1": "1", "正": "1", "正向": "1", "-1": "-1", "反": "-1", "反向": "-1", "取反": "-1"}
BACKUP_WORDS: Final = Vocabulary.of(
    {"0": ("否", "主", "主用", "no", "n", "false", "primary"), "1": ("是", "备", "备用", "yes", "y", "true", "backup")}
)
QUANTITY_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "active_power_mw": ("有功",), "reactive_power_mvar": ("无功",), "on_grid": ("并网",), "condenser": ("调相",),
    "agc_in_service": ("AGC投退",), "avc_in_service": ("AVC投退",), "frequency_hz": ("电网频率",),
    "primary_frequency_in_service": ("一次调频投退",),
}  # fmt: skip
# Case tells mW from MW: only spellings that can't be confused.
UNIT_WORDS: Final[dict[str, str]] = {
    "兆瓦": "MW", "千瓦": "kW", "KW": "kW", "瓦": "W", "兆乏": "Mvar", "MVar": "Mvar", "MVAR": "Mvar", "MVAr": "Mvar",
    "千乏": "kvar", "kVar": "kvar", "KVar": "kvar", "KVAR": "kvar", "kVAr": "kvar", "乏": "var", "Var": "var",
    "VAR": "var", "千伏": "kV", "KV": "kV", "伏": "V", "赫兹": "Hz", "HZ": "Hz", "hz": "Hz", "毫赫兹": "mHz",
    "兆瓦时": "MWh", "MWH": "MWh", "MW·h": "MWh", "千瓦时": "kWh", "KWh": "kWh", "KWH": "kWh", "kW·h": "kWh",
    "万千瓦": "万kW", "万KW": "万kW", "万千乏": "万kvar", "万千瓦时": "万kWh", "万度": "万kWh", "万KWh": "万kWh",
    "万kW·h": "万kWh", "度": "kWh", "瓦时": "Wh", "无": "",
}  # fmt: skip
# Texts that mean an empty cell (a lone minus under `sign` is refused: it may mean -1).
EMPTY_WORDS: Final = frozenset({"/", "—", "--", "——", "-"})
