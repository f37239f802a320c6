# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a file can't be read as a grid of cells, by stable code: severity, words and remedy, in English and Chinese."""

from __future__ import annotations

from typing import Final, NamedTuple


class FindingText(NamedTuple):
    """Texts of a finding: templates in the manner of `str.format`."""

    severity: str
    en: str
    zh: str
    remedy_en: str = ""
    remedy_zh: str = ""


OF_GRID: Final[dict[str, FindingText]] = {
    "unreadable": FindingText("error", "can't be read: {reason}", "读不了:{reason}"),
    "too_big": FindingText(
        "error", "has {size}; at most {limit} are read", "{size},最多读 {limit}",
        "split it, save a workbook as CSV, or delete what lies below and beside the table",
        "拆分,或将工作簿另存为 CSV,或删去表格下方和右侧的多余内容",
    ),
    "old_excel": FindingText(
        "error", "is a workbook of the old .xls form", "是旧版 .xls 工作簿",
        "save it as .xlsx or CSV", "另存为 .xlsx 或 CSV",
    ),
    "not_workbook": FindingText(
        "error", "is no workbook that can be read: {reason}", "不是可读的工作簿:{reason}",
        "save it again as .xlsx, or as CSV UTF-8", "重新另存为 .xlsx 或 CSV UTF-8",
    ),
    "utf16": FindingText("error", "is UTF-16", "是 UTF-16 文本", "save it as CSV UTF-8", "另存为 CSV UTF-8"),
    "nul": FindingText(
        "error", "holds a NUL byte; this is no CSV text", "含 NUL 字节,不是 CSV 文本",
        "save it as CSV UTF-8", "另存为 CSV UTF-8",
    ),
    "encoding": FindingText(
        "error", "is neither UTF-8 nor GBK text", "既不是 UTF-8 也不是 GBK 文本",
        "save it as CSV UTF-8", "另存为 CSV UTF-8",
    ),
    "not_csv": FindingText(
        "error", "is no proper CSV: {reason}", "不是规范的 CSV:{reason}",
        "save it again as CSV UTF-8", "重新另存为 CSV UTF-8",
    ),
    "delimiter": FindingText(
        "error", "cells are apart by {text}, not by commas", "单元格以{text}分隔,不是逗号",
        "save it as CSV UTF-8 (comma delimited)", "另存为 CSV UTF-8(逗号分隔)",
    ),
    "formula": FindingText(
        "error", "{place} holds a formula", "{place} 是公式",
        "paste the value itself (paste special: values)", "用“选择性粘贴:数值”替换",
    ),
    "error_value": FindingText(
        "error", "{place} holds the error {text}", "{place} 是错误值 {text}",
        "write the value or leave it empty", "填数值或留空",
    ),
    "merged": FindingText(
        "error",
        "cells {place} are merged: only the first of them holds anything", "{place} 是合并单元格,只有首格有内容",
        "unmerge them and fill every cell", "取消合并并逐格填写",
    ),
}  # fmt: skip
