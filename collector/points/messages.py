# SPDX-License-Identifier: GPL-3.0-or-later
"""The reasons for refusing a point table, by stable code: severity, words and remedy, in English and Chinese.

Data only. A code never changes its meaning; docs/point-tables.md lists them all and a test compares.
"""

from __future__ import annotations

from typing import Final

from collector.sheets.messages import FindingText

OF_FILE: Final[dict[str, FindingText]] = {
    "no_header": FindingText(
        "error",
        "no header within the first {limit} rows",
        "前 {limit} 行内没有表头",
        "a header names at least name (名称) and address (地址)",
        "表头至少有 名称(name)和 地址(address)",
    ),
    "column_unknown": FindingText("error", "unknown column{hint_en}", "不认识的列{hint_zh}", "", ""),
    "column_twice": FindingText(
        "error",
        "means {column_key}, as column {first!r} does",
        "与列“{first}”同义({column_key})",
        "keep one",
        "只留一列",
    ),
    "column_missing": FindingText("error", "column missing", "缺列:{zh}"),
    "column_unnamed": FindingText(
        "error",
        "column {number} holds cells but has no name in the header",
        "第 {number} 列有内容而表头为空",
        "name it or empty it",
        "补表头或清空该列",
    ),
    "cell_count": FindingText(
        "error",
        "the row has {count} cells, the header has {expected}",
        "本行 {count} 格,表头 {expected} 格",
        "quote cells that hold commas",
        "含逗号的单元格要加引号",
    ),
    "cell_beyond": FindingText(
        "error",
        "the row has a cell beyond the last column of the header",
        "本行有超出表头最后一列的单元格",
        "name the column or empty the cell",
        "补表头或清空该格",
    ),
    "protocol_unknown": FindingText(
        "error",
        "can't tell which protocol it is written for",
        "看不出是哪种规约的点表",
        "give --protocol",
        "用 --protocol 指明",
    ),
    "no_rows": FindingText("error", "has a header and no points", "只有表头,没有测点"),
    "no_row_for_device": FindingText("error", "no row is meant for device {device!r}", "没有属于设备 {device} 的行"),
}

OF_CELL: Final[dict[str, FindingText]] = {
    "date": FindingText(
        "error",
        "{place} holds a date; Excel made it of what was typed",
        "{place} 被 Excel 变成了日期",
        "format the column as text and type it again",
        "把该列设为文本后重填",
    ),
    "control_character": FindingText(
        "error", "holds the control character {text}", "含控制字符 {text}", "delete it", "删去"
    ),
    "empty": FindingText("error", "is empty", "为空"),
    "not_a_number": FindingText("error", "not a number: {text!r}", "不是数:{text}"),
    "not_whole": FindingText("error", "expected a whole number, got {text!r}", "应为整数,现为 {text}"),
    "out_of_limits": FindingText(
        "error", "expected {low} to {high}, got {value}", "应在 {low} 到 {high} 之间,现为 {value}"
    ),
    "not_positive": FindingText("error", "must be above 0, got {value}", "必须大于 0,现为 {value}"),
    "negative": FindingText("error", "can't be below 0, got {value}", "不能小于 0,现为 {value}"),
    "not_a_choice": FindingText(
        "error", "got {text!r}, expected one of {choices}{hint_en}", "“{text}”不认识,应为 {choices} 之一{hint_zh}"
    ),
    "ambiguous_word": FindingText(
        "error", "{text!r} is said of {meanings} alike", "“{text}”可指 {meanings}", "write which", "写明是哪一个"
    ),
    "writes": FindingText(
        "error",
        "{text!r} writes to the device; this program only reads",
        "“{text}”是写操作,本程序只读",
        "give the area it is read from",
        "改为读取所用的区",
    ),
    "notation": FindingText(
        "error",
        "{text} looks like {prefix}xxxx notation of a {area} register; write the 0-based address {address}",
        "{text} 像 {prefix}xxxx 写法({area_zh});请写从 0 起的地址 {address}",
        "if {text} is the 0-based address itself, write {hexadecimal}",
        "若 {text} 本来就是从 0 起的地址,写 {hexadecimal}",
    ),
    "notation_certain": FindingText(
        "error",
        "{text} is {prefix}xxxx notation of a {area} register; write the 0-based address {address}",
        "{text} 是 {prefix}xxxx 写法({area_zh});请写从 0 起的地址 {address}",
    ),
    "notation_area": FindingText(
        "error",
        "{text} is {prefix}xxxx notation of a {area} register, but the area is {given}",
        "{text} 是 {prefix}xxxx 写法({area_zh}),而区是 {given}",
        "write the 0-based address {address} and the right area",
        "写从 0 起的地址 {address},并改正区",
    ),
    "dotted": FindingText(
        "error",
        "{text} is bit {bit} of register {address}, or more digits that a spreadsheet dropped",
        "{text} 是寄存器 {address} 的第 {bit} 位,也可能被表格软件省去了末位",
        "write the register under address and the bit under bit",
        "寄存器写在地址列,位写在位列",
    ),
    "identifier": FindingText(
        "error",
        "a data identifier is 8 hexadecimal digits (of DL/T 645-1997 4, such as 9010), got {text!r}",
        "数据标识是 8 位十六进制数(DL/T 645-1997 为 4 位,如 9010),现为 {text}",
        "format the column as text, so that leading zeros stay",
        "把该列设为文本,保住前导零",
    ),
    "scale_zero": FindingText("error", "0 would make every value 0", "系数为 0 会使所有值为 0"),
    "unit_is_engineering": FindingText(
        "error",
        "{text} is an engineering unit; this column names the generating unit",
        "{text} 是工程单位,本列应填机组",
        "head the column raw_unit (单位)",
        "把列名改为 单位(raw_unit)",
    ),
    "quantity_empty": FindingText(
        "error",
        "is empty",
        "为空",
        "name the settlement quantity, give a guard value, or delete the row",
        "填结算量或校验值,或删去本行",
    ),
    "quantity_unknown": FindingText("error", "unknown quantity {text!r}{hint_en}", "不认识的量 {text}{hint_zh}"),
    "unit_of_quantity": FindingText(
        "error", "{quantity} is given in {choices_en}, got {text!r}", "{quantity} 的单位应为 {choices},现为“{text}”"
    ),
    "min_above_max": FindingText("error", "min {low} is above max {high}", "下限 {low} 高于上限 {high}"),
    "status_type": FindingText(
        "error",
        "a status can't be {text}",
        "状态量不能是 {text}",
        "use bit, or an integer with a bit number, or say under map what its values mean",
        "用 bit,或整数加位号,或在状态映射里写明各值含义",
    ),
    "guard_quantity": FindingText("error", "a guard point carries no quantity", "校验点不带量"),
    "guard_form": FindingText(
        "error", "expected a number or min..max, got {text!r}", "应为一个数或 下限..上限,现为 {text}"
    ),
    "no_value_form": FindingText(
        "error", "expected whole numbers apart by spaces, got {text!r}", "应为空格分开的整数,现为 {text}"
    ),
    "bit_area": FindingText(
        "error",
        "a {area} holds one bit; {type} needs {registers} register(s)",
        "{area_zh}只有一位,{type} 占 {registers} 个寄存器",
    ),
    "bit_number": FindingText(
        "error",
        "a bit of a register needs its number, 0 (least significant) to 15",
        "寄存器中的位要写位号,0(最低位)到 15",
    ),
    "bit_of_object": FindingText(
        "error",
        "type {area} holds 16 single points: the row needs the number of its bit, 0 (the first) to 15",
        "类型 {area} 含 16 个单点,要写位号,0(第一个)到 15",
    ),
    "norm_base_area": FindingText(
        "error",
        "means something in normalised values only (types 9, 21, 34 of IEC 104)",
        "只用于归一化值(104 类型 9、21、34)",
        "delete it, or check the type",
        "删去,或核对类型标识",
    ),
    "bits_form": FindingText(
        "error",
        "expected a bit, or the lowest and highest of several such as 2..3, not above {highest}; got {text!r}",
        "应为一个位号,或多位的 最低..最高(如 2..3),不超过 {highest};现为“{text}”",
    ),
    "bits_area": FindingText(
        "error",
        "a {area} is one bit: it has no bits to choose from",
        "{area_zh}只有一位,没有多个位可取",
        "give a row of its own to each, or check the area",
        "每个各写一行,或核对区",
    ),
    "bits_unmapped": FindingText(
        "error",
        "bits {bits} have {states} states; which of them are on, which off?",
        "第 {bits} 位有 {states} 种状态,哪些是投入、哪些是退出?",
        "write them under map, such as 1=0; 2=1",
        "写在状态映射里,如 1=0; 2=1",
    ),
    "map_form": FindingText(
        "error",
        "expected raw values with the 0 or 1 each means, once each, such as 1=1; 2=0; got {text!r}",
        "应为原始值及其含义(0 或 1),每个一次,如 1=1; 2=0;现为“{text}”",
    ),
    "map_quantity": FindingText(
        "error",
        "only a status has a map: it says 0 or 1",
        "只有状态量才有状态映射(结果是 0 或 1)",
        "delete it, or check the quantity",
        "删去,或核对量",
    ),
    "map_scale": FindingText(
        "error",
        "a map takes raw values: scale, offset and sign mean nothing beside it",
        "状态映射直接用原始值,系数、偏移、方向都没有意义",
        "leave them empty",
        "留空",
    ),
    "map_area": FindingText(
        "error",
        "the two states of type {area} are the standard's: 1 on, 0 off; of a double point 10 on, 01 off",
        "类型 {area} 的两种状态由标准规定:1 合、0 分;双点 10 合、01 分",
        "delete the map; a station that has them the other way: scale -1, offset 1",
        "删去状态映射;子站接反时用系数 -1、偏移 1",
    ),
    "width": FindingText(
        "error",
        "{type} fills {registers} register(s), the row gives it {given}",
        "{type} 占 {registers} 个寄存器,本行写 {given}",
    ),
    "order_width": FindingText(
        "error",
        "order {text} has {letters} bytes, {type} has {bytes}",
        "字节序 {text} 是 {letters} 字节,{type} 是 {bytes} 字节",
    ),
    "past_end": FindingText(
        "error", "{type} at {address} runs past the last register 65535", "{type} 从 {address} 起超过最后的寄存器 65535"
    ),
    "unreachable": FindingText(
        "error",
        "{type} with this scale reaches {low} to {high} {unit}: it can't hold {key} {limit}",
        "{type} 按此系数只能到 {low} 至 {high} {unit},够不到 {key} {limit}",
    ),
    "name_twice": FindingText("error", "{name!r} is already used in row {other}", "“{name}”第 {other} 行已用"),
    "source_twice": FindingText(
        "error", "{quantity} has a {role} source already in row {other}", "{quantity} 的{role_zh}来源第 {other} 行已有"
    ),
}
