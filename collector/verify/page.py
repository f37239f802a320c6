# SPDX-License-Identifier: GPL-3.0-or-later
"""sheet.html: one table per device, open steps, signature lines; A4 landscape, no script, no external resource."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from string import Template
from typing import Final

from collector.verify.export import COLUMNS, SIGNATURES, STATES, Document
from collector.verify.sheet import StepState

_HEADINGS: Final = (
    "point", "address", "step", "expected", "tolerance", "value", "quality", "raw", "stored", "verdict", "who", "at",
)  # fmt: skip
_NUMBERS: Final = frozenset({"expected", "tolerance", "value"})


def sheet_html(document: Document) -> bytes:
    """The page as UTF-8; every text is escaped."""
    template = Template(files("collector.verify").joinpath("page.html").read_text("utf-8"))
    facts = "".join(f"<dt>{escape(zh)} <small>{escape(en)}</small></dt><dd>{escape(text)}</dd>\n"
                    for zh, en, text in document.facts)  # fmt: skip
    groups = groupby(document.rows, key=lambda row: (row["device"], row["place"], row["plant"]))
    tables = "".join(_table(device, place, plant, list(rows)) for (device, place, plant), rows in groups)
    signatures = "".join(
        f"<div>{zh} <small>{en}</small><br>签字 <small>Signature</small>:<br>日期 <small>Date</small>:</div>\n"
        for zh, en in SIGNATURES
    )
    opened = document.open_rows
    return template.substitute(
        title=escape(document.title), facts=facts, tables=tables, open_count=len(opened), open=_open(opened),
        signatures=signatures,
    ).encode()  # fmt: skip


def _table(device: str, place: str, plant: str, rows: Sequence[Mapping[str, str]]) -> str:
    head = "".join(f"<th>{COLUMNS[name][0]}<br><small>{COLUMNS[name][1]}</small></th>" for name in _HEADINGS)
    body = "".join(f"<tr>{''.join(_cell(name, row) for name in _HEADINGS)}</tr>\n" for row in rows)
    title = f"{escape(device)} <small>{escape(plant)} · {escape(place)}</small>"
    return f"<h2>{title}</h2>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"


def _cell(name: str, row: Mapping[str, str]) -> str:
    text = escape(row[name])
    if name == "point":
        about = " · ".join(filter(None, (row["unit"], row["kind"], row["description"])))
        return f"<td>{text}<br><small>{escape(about)}</small></td>"
    if name == "value":
        device_time = row["device_time"] and f"<br><small>{escape(row['device_time'])}</small>"
        return f'<td class="n">{text} {escape(row["value_unit"]) if text else ""}{device_time}</td>'
    if name == "stored":
        return f"<td>{text}<br><small>{escape(row['stored_quality'])} {row['stored_at'][11:19]}</small></td>"
    if name == "verdict":
        return f'<td class="w {row["state"]}">{text}<br><small>{_english(row)}</small></td>'
    if name == "at":
        day, _, time = row["at"].partition("T")
        return f"<td>{day} {time[:8]}<br><small>{escape(row['note'])}</small></td>"
    kind = ' class="n"' if name in _NUMBERS else f' class="{name}"' if name in ("raw", "step") else ""
    return f"<td{kind}>{text}</td>"


def _english(row: Mapping[str, str]) -> str:
    return STATES[StepState(row["state"])][1] + (f": {escape(row['reasons'])}" if row["reasons"] else "")


def _open(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return "<p>无 none</p>"
    lines = "".join(
        f"<tr><td>{escape(row['device'])}</td><td>{escape(row['point'])}</td><td>{escape(row['step'])}</td>"
        f'<td class="{row["state"]}">{escape(row["verdict"])} <small>{_english(row)}</small></td>'
        f"<td>{escape(row['note'])}</td></tr>\n"
        for row in rows
    )
    names = ("device", "point", "step", "verdict", "note")
    head = "".join(f"<th>{COLUMNS[name][0]} <small>{COLUMNS[name][1]}</small></th>" for name in names)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}</tbody>\n</table>"
