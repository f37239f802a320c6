# SPDX-License-Identifier: GPL-3.0-or-later
"""A file to begin with for every kind of input: its columns in both languages and one row that is taken as it is.

Columns are those of the kind, headings those the readers know; the example names a unit, plant and area of the register
in force where there is one. A register is a TOML file, records have the columns a simple archive has.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from collector.center.inputs.kinds import KINDS, RECORDS, REGISTER
from collector.model.dispatch import RevenueKind
from collector.model.interval import Month
from collector.model.register import RevenueBasis
from collector.report.sheets import Book
from collector.sheets.efile_words import heading_of
from collector.tables.register import RegisterFile

_NUMBER: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_RECORD_COLUMNS: Final = ("unit", "time", "active_power_mw", "reactive_power_mvar", "bus_voltage_kv", "on_grid")
_ROWS: Final = {
    "plan": ("{unit}", "{day}T00:00:00+08:00", "{day}T00:15:00+08:00", "{half}", ""),
    "orders": ("EXAMPLE-1", "{unit}", "reactive", "{day}T08:00:00+08:00", "{day}T10:00:00+08:00"),
    "reserve": ("{unit}", "spinning", "{day}T08:00:00+08:00", "{day}T10:00:00+08:00", "{tenth}"),
    "voltage_band": ("{unit}", "{day}T00:00:00+08:00", "{day}T08:00:00+08:00", "{low}", "{high}"),
    "exclusions": ("{unit}", "*", "{day}T00:00:00+08:00", "{day}T02:00:00+08:00", "test", "性能试验"),
    "revenue": ("{plant}", "{month}", "{revenue}", "1234567.89", ""),
    "rates": ("{unit}", "{month}", "avc_pass", "0.985", "AVC 主站"),
    "start_stop_table": ("0", "300", "0", "24", "12.5", "{day}", "示例文号"),
    "meter_changes": ("{unit}", "{day}T10:00:00+08:00", "12345.678", "0", "换表单 1"),
    "reserve_calls": ("{unit}", "spinning", "{day}T08:30:00+08:00", "{tenth}", ""),
    "reserve_minimum": ("{area}", "{day}T00:00:00+08:00", "{day}T01:00:00+08:00", "500"),
    RECORDS: ("{unit}", "{day}T00:00:00+08:00", "{half}", "0", "{nominal}", "1"),
}
_REVENUE: Final = {
    RevenueBasis.ON_GRID: RevenueKind.ENERGY,
    RevenueBasis.LEASE: RevenueKind.LEASE,
    RevenueBasis.TWO_PART: RevenueKind.CAPACITY,
}
_REGISTER: Final = """\
# 注册信息 register: 区域 area, 电厂 plant, 机组 unit. 每行一项; "from"/"until" 可限定生效日期.
[[area]]
id = "jiangsu"               # east_china_grid, shanghai, jiangsu, zhejiang, anhui, fujian
name = "江苏"
dispatch_mode = "annual_plan" # 或 or "energy_saving"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00", "17:00-21:00"]
hours_filing = "示例文号"      # 峰谷时段的备案 filing of these hours

[[plant]]
id = "P1"
name = "示例电厂"
area = "jiangsu"
revenue_basis = "on_grid"    # 或 or "lease", "two_part"
shares = true
settles_with = "示例电网公司"

[[unit]]
id = "U1"
plant = "P1"
kind = "coal"                # coal, coal_other, gas, hydro, pumped_storage, nuclear, wind, solar, other
rated_mw = "660"
agc_lower_mw = "330"
agc_upper_mw = "660"
avc = true
nominal_kv = "500"
tariff_yuan_per_mwh = "391"
"""


@dataclass(frozen=True, slots=True)
class Template:
    """A file to begin with: name, media type's suffix in it, and bytes."""

    name: str
    data: bytes


def template(kind: str, form: str, known: RegisterFile | None, month: Month) -> Template | None:
    """The template of a kind as csv or xlsx (a register: toml); None where there is no such one."""
    if kind == REGISTER:
        return Template("register.toml", _REGISTER.encode()) if form == "toml" else None
    if kind not in _ROWS or form not in ("csv", "xlsx"):
        return None
    columns = _RECORD_COLUMNS if kind == RECORDS else KINDS[kind].columns
    heads = [heading_of(kind, column) for column in columns]
    values = _example(known, month)
    row = [cell.format_map(values) for cell in _ROWS[kind]]
    return Template(f"{kind}.{form}", _csv(heads, row) if form == "csv" else _xlsx(kind, heads, row))


def _example(known: RegisterFile | None, month: Month) -> dict[str, str]:
    """The example values of the row: the first unit of the register, with its plant and area, if there is one."""
    values = {
        "unit": "U1", "plant": "P1", "area": "jiangsu", "month": str(month), "day": str(month.first_day),
        "half": "330", "tenth": "66", "nominal": "500", "low": "490", "high": "510", "revenue": "energy",
    }  # fmt: skip
    if known is None or known.register is None or not known.register.units:
        return values
    unit = known.register.units[0]
    plant = next(each for each in known.register.plants if each.id == unit.plant)
    nominal = unit.nominal_kv or Decimal(220)
    return values | {
        "unit": unit.id,
        "plant": plant.id,
        "area": unit.area or plant.area,
        "half": f"{unit.rated_mw / 2:.3f}",
        "tenth": f"{unit.rated_mw / 10:.3f}",
        "nominal": str(nominal),
        "low": f"{nominal * Decimal('0.98'):.3f}",
        "high": f"{nominal * Decimal('1.02'):.3f}",
        "revenue": _REVENUE[plant.revenue_basis].value,
    }


def _csv(heads: Sequence[str], row: Sequence[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows((heads, row))
    return text.getvalue().encode("utf-8-sig")


def _xlsx(kind: str, heads: Sequence[str], row: Sequence[str]) -> bytes:
    """One sheet, its first row the headings: a file of a kind has nothing else in it."""
    target = io.BytesIO()
    book = Book(target, kind)
    sheet = book.book.add_worksheet(kind)
    sheet.set_column(0, len(heads) - 1, 26)
    sheet.freeze_panes(1, 0)
    book.formats["number"] = book.book.add_format({"font_size": 10, "border": 1, "valign": "top"})
    for index, (head, cell) in enumerate(zip(heads, row, strict=True)):
        sheet.write_string(0, index, head, book.header)
        if _NUMBER.fullmatch(cell):
            book.cell(sheet, 1, index, "number", Decimal(cell))
        else:
            book.cell(sheet, 1, index, "text", cell)
    book.book.close()
    return target.getvalue()
