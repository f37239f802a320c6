# SPDX-License-Identifier: GPL-3.0-or-later
"""The states of a status as makers list them in words: 0-停 1-运, 1=投入,2=退出, 00 中间 01 分 10 合 11 故障.

A state that is neither on nor off (a fault, between two positions, an unknown mode) is left out of the map: it gives no
value. An unclear word is a decision for a person, never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.base.text import Text, tr
from collector.points.convert.proposal import ProposedRow
from collector.points.point import TWO_STATES

_STATE: Final = re.compile(
    r"(?<![0-9A-Za-z.])(0x[0-9a-f]{1,4}|\d{1,3})\s*(?:[-–—::=、.)]|为|表示)*\s*"
    r"([A-Za-z一-鿿][A-Za-z一-鿿 ]*)",
    re.IGNORECASE,
)  # fmt: skip
# Searched in this order: 未投入 is off, 投入 on, 合闸位置不定 neither.
_NEITHER: Final = re.compile(
    r"故障|中间|不定|检修|无效|未定义|保留|预留|过渡|错误|fault|fail|invalid|undefined|reserved|transit|intermediate|between|"
    r"unknown|error|not used", re.IGNORECASE,
)  # fmt: skip
_OFF: Final = re.compile(
    r"退|分|停|脱网|解列|禁止|未|否|不|正常|\boff\b|open|disabl|inactive|\bout\b|stop|\bno\b|not\b|false|normal|trip",
    re.IGNORECASE,
)
_ON: Final = re.compile(
    r"投|合|运|并网|允许|使能|受限|闭锁|到限|动作|是|\bon\b|clos|enabl|active|\bin\b|running|yes|true|limit|block",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class States:
    """The states in a text.

    `values`: raw value -> 0 or 1; `words`: every raw value with its word; `open`: raw values whose word says neither
    on, nor off, nor that there is no state.
    """

    values: Mapping[int, int]
    words: Mapping[int, str]
    open: tuple[int, ...]


def read_states(text: str) -> States | None:
    """The states that a text lists; None unless it lists at least one that is on and one that is off."""
    found = [(code, word.strip()) for code, word in _STATE.findall(text)]
    binary = len(found) > 2 and all(re.fullmatch("[01]{2}", code) for code, _ in found)
    words: dict[int, str] = {}
    for code, word in found:
        number = int(code, 2 if binary else 0 if code.lower().startswith("0x") else 10)
        if words.setdefault(number, word) != word:
            return None
    values, unclear = dict[int, int](), []
    for number, word in words.items():
        if _NEITHER.search(word):
            continue
        if _OFF.search(word) or _ON.search(word):
            values[number] = 0 if _OFF.search(word) else 1
        else:
            unclear.append(number)
    return States(values, words, tuple(unclear)) if {0, 1} <= set(values.values()) else None


def propose_map(states: States, row: int, proposed: ProposedRow) -> None:
    """Fill the map of a status, or swap the two states of a 104 point, with reasons."""
    cells, values = proposed.cells, dict(sorted(states.values.items()))
    shown = ", ".join(f"{code} {word}" for code, word in states.words.items())
    if cells["area"] in TWO_STATES:
        if values in ({0: 1, 1: 0}, {1: 1, 2: 0}):
            cells["scale"], cells["offset"] = "-1", "1"
            proposed.why.append(tr("turned round by its states: {states}", states=shown))
    elif cells["area"] not in ("coil", "discrete") or values != {0: 0, 1: 1}:
        cells["map"] = "; ".join(f"{code}={value}" for code, value in values.items())
        proposed.why.append(tr("map by its states: {states}", states=shown))
    if states.open:
        proposed.decisions[f"states {row}"] = _ask(states, row, cells["name"])


def _ask(states: States, row: int, name: str) -> Text:
    unclear = ", ".join(f"{code} {states.words[code]}" for code in states.open)
    return tr(
        "row {row}: is {name} on or off at {states}? Left out of the map: no value there",
        row=row,
        name=name,
        states=unclear,
    )
