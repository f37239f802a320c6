# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a point table is refused, by stable code: severity, words and remedy, in English and Chinese.

Data only. A code never changes its meaning; docs/point-tables.md lists them all and a test compares.
"""

from __future__ import annotations

from typing import Final

from collector.sheets.messages import Text

OF_FILE: Final[dict[str, Text]] = {
    "no_header": Text(
        "error",
        "no header within the first {limit} rows",
        "前 {limit} 行内没有表头",
        "a header names at least name (名称) and address (地址)",
        "表头至少有 名称(name)和 地址(address)",
    ),
    "column_unknown": Text("error", "unknown column{hint_en}", "不认识的列{hint_zh}", "", ""),
    "column_twice": Text(
        "error",
        "means {column_key}, as column {first!r} does",
        "与列“{first}”同义({column_key})",
        "keep one",
        "只留一列",
    ),
    "column_missing": Text("error", "column missing", "缺列:{zh}"),
    "column_unnamed": Text(
        "error",
        "column {number} holds cells but has no name in the header",
        "第 {number} 列有内容而表头为空",
        "name it or empty it",
        "补表头或清空该列",
    ),
    "cell_count": Text(
        "error",
        "the row has {count} cells, the header has {expected}",
        "本行 {count} 格,表头 {expected} 格",
        "quote cells that hold commas",
        "含逗号的单元格要加引号",
    ),
    "cell_beyond": Text(
        "error",
        "the row has a cell beyond the last column of the header",
        "本行有超出表头最后一列的单元格",
        "name the column or empty the cell",
        "补表头或清空该格",
    ),
    "protocol_unknown": Text(
        "error",
        "can't tell which protocol it is written for",
        "看不出是哪种规约的点表",
        "give --protocol",
        "用 --protocol 指明",
    ),
    "no_rows": Text("error", "has a header and no points", "只有表头,没有测点"),
    "no_row_for_device": Text("error", "no row is meant for device {device!r}", "没有属于设备 {device} 的行"),
}

OF_CELL: Final[dict[str, Text]] = {
    "date": Text(
        "error",
        "{place} holds a date; Excel made it of what was typed",
        "{place} 被 Excel 变成了日期",
        "format the column as text and type it again",
        "把该列设为文本后重填",
    ),
    "control_character": Text("error", "holds the control character {text}", "含控制字符 {text}", "delete it", "删去"),
    "empty": Text("error", "is empty", "为空"),
    "not_a_number": Text("error", "not a number: {text!r}", "不是数:{text}"),
    "not_whole": Text("error", "expected a whole number, got {text!r}", "应为整数,现为 {text}"),
    "out_of_limits": Text("error", "expected {low} to {high}, got {value}", "应在 {low} 到 {high} 之间,现为 {value}"),
    "not_positive": Text("error", "must be above 0, got {value}", "必须大于 0,现为 {value}"),
    "negative": Text("error", "can't be below 0, got {value}", "不能小于 0,现为 {value}"),
    "not_a_choice": Text(
        "error", "got {text!r}, expected one of {choices}{hint_en}", "“{text}”不认识,应为 {choices} 之一{hint_zh}"
    ),
    "ambiguous_word": Text(
        "error", "{text!r} is said of {meanings} alike", "“{text}”可指 {meanings}", "write which", "写明是哪一个"
    ),
    "writes": Text(
        "error",
        "{text!r} writes to the device; this program only reads",
        "“{text}”是写操作,本程序只读",
        "give the area it is read from",
        "改为读取所用的区",
    ),
    "notation": Text(
        "error",
        "{text} looks like {prefix}xxxx notation of a {area} register; write the 0-based address {address}",
        "{text} 像 {prefix}xxxx 写法({area_zh});请写从 0 起的地址 {address}",
        "if {text} is the 0-based address itself, write {hexadecimal}",
        "若 {text} 本来就是从 0 起的地址,写 {hexadecimal}",
    ),
    "notation_certain": Text(
        "error",
        "{text} is {prefix}xxxx notation of a {area} register; write the 0-based address {address}",
        "{text} 是 {prefix}xxxx 写法({area_zh});请写从 0 起的地址 {address}",
    ),
    "notation_area": Text(
        "error",
        "{text} is {prefix}xxxx notation of a {area} register, but the area is {given}",
        "{text} 是 {prefix}xxxx 写法({area_zh}),而区是 {given}",
        "write the 0-based address {address} and the right area",
        "写从 0 起的地址 {address},并改正区",
    ),
    "identifier": Text(
        "error",
        "a data identifier is 8 hexadecimal digits, got {text!r}",
        "数据标识是 8 位十六进制数,现为 {text}",
        "format the column as text, so that leading zeros stay",
        "把该列设为文本,保住前导零",
    ),
    "scale_zero": Text("error", "0 would make every value 0", "系数为 0 会使所有值为 0"),
    "unit_is_engineering": Text(
        "error",
        "{text} is an engineering unit; this column names the generating unit",
        "{text} 是工程单位,本列应填机组",
        "head the column raw_unit (单位)",
        "把列名改为 单位(raw_unit)",
    ),
    "quantity_empty": Text(
        "error",
        "is empty",
        "为空",
        "name the settlement quantity, give a guard value, or delete the row",
        "填结算量或校验值,或删去本行",
    ),
    "quantity_unknown": Text("error", "unknown quantity {text!r}{hint_en}", "不认识的量 {text}{hint_zh}"),
    "unit_of_quantity": Text(
        "error", "{quantity} is given in {choices_en}, got {text!r}", "{quantity} 的单位应为 {choices},现为“{text}”"
    ),
    "min_above_max": Text("error", "min {low} is above max {high}", "下限 {low} 高于上限 {high}"),
    "status_type": Text(
        "error",
        "a status can't be {text}",
        "状态量不能是 {text}",
        "use bit, or an integer with a bit number",
        "用 bit,或整数加位号",
    ),
    "guard_quantity": Text("error", "a guard point carries no quantity", "校验点不带量"),
    "guard_form": Text("error", "expected a number or min..max, got {text!r}", "应为一个数或 下限..上限,现为 {text}"),
    "no_value_form": Text(
        "error", "expected whole numbers apart by spaces, got {text!r}", "应为空格分开的整数,现为 {text}"
    ),
    "bit_area": Text(
        "error",
        "a {area} holds one bit; {type} needs {registers} register(s)",
        "{area_zh}只有一位,{type} 占 {registers} 个寄存器",
    ),
    "bit_number": Text(
        "error",
        "a bit of a register needs its number, 0 (least significant) to 15",
        "寄存器中的位要写位号,0(最低位)到 15",
    ),
    "width": Text(
        "error",
        "{type} fills {registers} register(s), the row gives it {given}",
        "{type} 占 {registers} 个寄存器,本行写 {given}",
    ),
    "order_width": Text(
        "error",
        "order {text} has {letters} bytes, {type} has {bytes}",
        "字节序 {text} 是 {letters} 字节,{type} 是 {bytes} 字节",
    ),
    "past_end": Text(
        "error", "{type} at {address} runs past the last register 65535", "{type} 从 {address} 起超过最后的寄存器 65535"
    ),
    "unreachable": Text(
        "error",
        "{type} with this scale reaches {low} to {high} {unit}: it can't hold {key} {limit}",
        "{type} 按此系数只能到 {low} 至 {high} {unit},够不到 {key} {limit}",
    ),
    "name_twice": Text("error", "{name!r} is already used in row {other}", "“{name}”第 {other} 行已用"),
    "source_twice": Text(
        "error", "{quantity} has a {role} source already in row {other}", "{quantity} 的{role_zh}来源第 {other} 行已有"
    ),
}
