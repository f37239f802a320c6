# SPDX-License-Identifier: GPL-3.0-or-later
"""The content of the sheet for signature, as text, and sheet.csv. It holds no time of printing: the same session and
the same point tables give the same bytes.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from collector import __version__
from collector.model.interval import format_time
from collector.points.agent_config import AgentConfig
from collector.report.sheets import plain_text
from collector.verify.items import Item
from collector.verify.session import Session
from collector.verify.sheet import EXPECTATION, StepRow, StepState, center_agrees, count_states

# Column → (Chinese, English)
COLUMNS: Final = {
    "plant": ("电厂", "plant"), "unit": ("机组", "unit"), "device": ("设备", "device"), "place": ("规约与通道", "line"),
    "point": ("点名", "point"), "description": ("说明", "description"), "kind": ("类别", "kind"),
    "quantity": ("量", "quantity"), "value_unit": ("单位", "in"), "address": ("地址", "address"),
    "step": ("步骤", "step"), "expected": ("期望值", "expected"), "tolerance": ("允差", "tolerance"),
    "value": ("实测值", "observed"), "quality": ("品质", "quality"), "raw": ("原码", "raw"),
    "device_time": ("装置时间", "device time"), "read_at": ("读取时间", "read at"), "source": ("来源", "source"),
    "stored": ("主站存储值", "stored at center"), "stored_quality": ("主站品质", "its quality"),
    "stored_at": ("主站记录时间", "its time"), "verdict": ("结论", "verdict"),
    "reasons": ("须重对原因", "again because"),
    "who": ("对点人", "by"), "at": ("时间", "at"), "attempts": ("次数", "attempts"), "note": ("备注", "note"),
}  # fmt: skip
STATES: Final = {
    StepState.PASSED: ("合格", "passed"), StepState.FAILED: ("不合格", "failed"), StepState.OPEN: ("未对", "open"),
    StepState.AGAIN: ("须重对", "again"), StepState.CENTER_DIFFERS: ("主站不符", "center differs"),
}  # fmt: skip
REASONS: Final = {
    "address": ("地址变", "address"), "meaning": ("含义变", "meaning"), "expectation": ("期望值变", "expectation"),
}  # fmt: skip
SOURCES: Final = {"device": ("装置", "device"), "agent": ("运行中的采集程序", "running agent"), "": ("", "")}
SIGNATURES: Final = (("施工单位", "Contractor"), ("厂站", "Plant"), ("调度", "Dispatch center"))
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}(\.[0-9]{1,9})?")


@dataclass(frozen=True, slots=True)
class Document:
    """The content of the sheet. `rows`: texts by column; `facts`: (Chinese, English, text) about the whole."""

    title: str
    facts: tuple[tuple[str, str, str], ...]
    rows: tuple[dict[str, str], ...]
    history: tuple[dict[str, str], ...]
    counts: Counter[StepState]

    @property
    def open_rows(self) -> list[dict[str, str]]:
        """The rows that have not passed."""
        return [row for row in self.rows if row["state"] != StepState.PASSED.value]


def make_document(config: AgentConfig, rows: Sequence[StepRow], session: Session) -> Document:
    """Make the sheet of a session."""
    gateway = config.settings.gateway.id
    counts = count_states(rows)
    items = {row.item.key: row.item for row in rows}
    people = dict.fromkeys(verdict.who for verdict in session.verdicts)
    facts = [
        ("网关", "Gateway", gateway),
        ("电厂", "Plants", ", ".join(plant.id for plant in config.settings.plant)),
        ("点数", "Points", str(len(items))),
        ("步骤", "Steps", ", ".join(f"{zh} {en} {counts[state]}" for state, (zh, en) in STATES.items())),
        ("主站存储值已核", "Held against the center", str(sum(row.stored is not None for row in rows))),
        ("对点人", "Verified by", ", ".join(people)),
        ("起止", "From and to", _span(session)),
        ("期望值表", "Expectations", _sheet_of(session)),
        ("对点记录", "Session, SHA-256", session.sha256),
        ("软件版本", "Program", f"collector {__version__}"),
    ]
    facts += [(f"点表 {name}", "Point table, SHA-256", sha256) for name, sha256 in _tables(config)]
    return Document(
        title=f"对点表 {gateway}",
        facts=tuple(facts),
        rows=tuple(row_texts(row) for row in rows),
        history=tuple(_history(session)),
        counts=counts,
    )


def row_texts(row: StepRow) -> dict[str, str]:
    """A row as text by column, and `state`."""
    item, verdict, stored = row.item, row.verdict, row.stored
    texts = dict.fromkeys(COLUMNS, "") | _point_texts(item) | {"step": row.step.name, "state": row.state.value}
    texts |= {"verdict": STATES[row.state][0], "expected": row.step.expected, "tolerance": row.step.tolerance}
    texts["reasons"] = ", ".join(REASONS[reason][0] for reason in row.reasons)
    if verdict is not None:
        if EXPECTATION not in row.reasons:
            texts |= {"expected": verdict.expected, "tolerance": verdict.tolerance}
        texts |= {
            "value": verdict.value, "quality": verdict.quality, "raw": verdict.raw,
            "device_time": _time(verdict.device_time_utc_ms), "read_at": _time(verdict.read_utc_ms),
            "source": SOURCES[verdict.source][0], "who": verdict.who, "at": _time(verdict.at_utc_ms),
            "attempts": str(row.attempts), "note": verdict.note,
        }  # fmt: skip
    if verdict is not None and stored is not None:
        differs = "" if center_agrees(stored, verdict) else " ≠"
        texts |= {"stored": f"{stored.value}{differs}".strip(), "stored_quality": stored.quality}
        texts["stored_at"] = _time(stored.time_utc_ms)
    return texts


def sheet_csv(document: Document) -> bytes:
    """Every step, UTF-8 with BOM, headings in both languages; no text becomes a formula."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([f"{zh} {en}" for zh, en in COLUMNS.values()])
    for row in document.rows:
        cells = [row[name] for name in COLUMNS]
        writer.writerow([cell if _NUMBER.fullmatch(cell) else plain_text(cell) for cell in cells])
    return text.getvalue().encode("utf-8-sig")


def _point_texts(item: Item) -> dict[str, str]:
    point, quantity = item.point, item.quantity
    return {
        "plant": item.plant, "unit": item.unit, "device": item.device, "place": item.place, "point": point.name,
        "description": point.description, "kind": item.kind_zh + ("(备用)" if point.backup else ""),
        "quantity": quantity.name, "value_unit": quantity.unit, "address": item.address,
    }  # fmt: skip


def _history(session: Session) -> list[dict[str, str]]:
    """All verdicts ever given, including those that no longer count."""
    return [
        {
            "device": each.device, "point": each.point, "step": each.step, "expected": each.expected,
            "tolerance": each.tolerance, "value": each.value, "value_unit": each.value_unit, "quality": each.quality,
            "raw": each.raw, "verdict": "合格" if each.verdict == "pass" else "不合格", "who": each.who,
            "at": _time(each.at_utc_ms), "note": each.note,
        }
        for each in session.verdicts
    ]  # fmt: skip


def _tables(config: AgentConfig) -> list[tuple[str, str]]:
    names = dict.fromkeys(device.points for device in config.settings.device)
    return [(name, hashlib.sha256(config.resolve(name).read_bytes()).hexdigest()) for name in names]


def _sheet_of(session: Session) -> str:
    sheet = session.expectations
    return f"{sheet.file} SHA-256 {sheet.sha256}" if sheet else "无 none"


def _span(session: Session) -> str:
    times = [verdict.at_utc_ms for verdict in session.verdicts]
    return f"{_time(min(times))} — {_time(max(times))}" if times else ""


def _time(time_utc_ms: int | None) -> str:
    return "" if time_utc_ms is None else format_time(time_utc_ms)
