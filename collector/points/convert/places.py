# SPDX-License-Identifier: GPL-3.0-or-later
"""The place of a value, from the cells of its row: area and register, or type and address of a 104 object."""

from __future__ import annotations

import re
from typing import Final

from collector.base.text import join, tr
from collector.model.quantity import QuantityKind
from collector.points.convert.cells import MakerAddress, read_order, read_type
from collector.points.convert.facts import SheetFacts, registers_of
from collector.points.convert.proposal import ProposedRow
from collector.points.convert.sheet import MakerRow
from collector.points.point import REGISTERS
from collector.points.words import IEC104_AREA_WORDS, MODBUS_AREA_WORDS, fold

_AREA_DIGITS: Final = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_FUNCTION: Final = re.compile(
    r"(?:function|功能码|FC|code)[^0-9]{0,12}(?:0x)?0?([1-4])(?:H|\b)|\(0?([1-4])H?\)\s*(?:读|read)", re.IGNORECASE
)
_AREA_WORDS: Final = tuple(
    (re.compile(words, re.IGNORECASE), area)
    for words, area in (
        (r"输入寄存器|input regist|3x", "input"), (r"保持寄存器|holding regist|4x", "holding"),
        (r"离散|discrete|input contact|1x", "discrete"), (r"线圈|\bcoil", "coil"),
    )
)  # fmt: skip


def place_register(
    facts: SheetFacts, row: MakerRow, address: MakerAddress, proposed: ProposedRow, bit: int | None, *,
    status: bool, listed: bool,
) -> None:  # fmt: skip
    """Fill area, address, type, bit and order of a register, with reasons. `listed`: the sheet lists its states."""
    cells, why = proposed.cells, proposed.why
    cells["area"] = _area(facts, row, address, proposed, status=status)
    number = address.number
    if facts.modicon:
        number = int(address.digits[1:]) if facts.modicon == "m" else number
    cells["address"] = str(number - facts.base)
    why.append(join(": ", (tr("address {written}", written=row.text("address", "hex").split("\n")[0]), facts.base_why)))
    registers = registers_of(row)
    if status and (cells["area"] in ("coil", "discrete") or bit is not None):
        cells["type"] = "bit"
        if bit is not None and cells["area"] not in ("coil", "discrete"):
            cells["bit"] = str(bit)
        return
    kind = facts.options.type or read_type(row.text("type"), registers) or ""
    if status and kind in ("", "bit"):
        kind = "uint16"
        if not listed:
            proposed.decisions[f"bit {row.number}"] = tr(
                "row {row}: which bit of register {address} is {name}? Taken as a register that is 0 or 1",
                row=row.number,
                address=cells["address"],
                name=cells["name"],
            )
    if not kind:
        kind = {1: "int16", 2: "int32", 4: "int64"}.get(registers or 1, "int16")
        proposed.decisions[f"type {row.number}"] = tr(
            "row {row}: the sheet does not say the type of {name} ({written}): taken as {type}",
            row=row.number,
            name=cells["name"],
            written=row.text("type") or "-",
            type=kind,
        )
    cells["type"] = kind
    why.append(tr("type {type} by {written}", type=kind, written=row.text("type") or tr("its registers")))
    if (REGISTERS[kind] or 1) > 1:
        _set_order(facts, row, proposed)


def _set_order(facts: SheetFacts, row: MakerRow, proposed: ProposedRow) -> None:
    cells, why = proposed.cells, proposed.why
    own = read_order(row.text("order", "remark", "type", "range"))
    if own or facts.order:
        cells["order"] = own or facts.order
        why.append(
            tr("order {order}: {why}", order=cells["order"], why=tr("the row says so") if own else facts.order_why)
        )
    else:
        cells["order"] = "ABCD"
        proposed.decisions["order"] = tr(
            "the sheet does not say the order of words: taken as ABCD, high word first (--order)"
        )


def _area(facts: SheetFacts, row: MakerRow, address: MakerAddress, proposed: ProposedRow, *, status: bool) -> str:
    why = proposed.why
    if facts.options.area:
        return facts.options.area
    if address.area or facts.modicon == "m":
        digit = address.area or address.digits[0]
        why.append(tr("area by the first digit {digit}", digit=digit))
        return _AREA_DIGITS[digit]
    written = row.text("area").split("\n")[0]
    if written and (area := MODBUS_AREA_WORDS.words.get(fold(re.sub(r"\.0+\Z|^0x", "", written)))):
        why.append(tr("area {written}", written=written))
        return area
    for text in (row.section, facts.notes):
        named = [area for pattern, area in _AREA_WORDS if pattern.search(text)]
        codes = {(m[1] or m[2]) for m in _FUNCTION.finditer(text)} - {None}
        areas = set(named) | {MODBUS_AREA_WORDS.words[code] for code in codes}
        if not status:
            areas -= {"coil", "discrete"}
        if areas:
            area = "holding" if "holding" in areas else min(areas)
            why.append(tr("area by: {text}", text=text.strip().split("\n")[0][:60]))
            return area
    proposed.decisions["area"] = tr("the sheet does not say the area: taken as holding registers, function 03 (--area)")
    return "holding"


def place_object(
    facts: SheetFacts, row: MakerRow, address: MakerAddress, proposed: ProposedRow, kind: QuantityKind
) -> None:
    """Fill type and address of a 104 object, with reasons."""
    cells, why = proposed.cells, proposed.why
    cells["address"] = str(address.number)
    words = row.text("type", "area", "remark") + " " + row.section + " " + facts.notes
    named = next((IEC104_AREA_WORDS.words[fold(w)] for w in re.split(r"[\s;,,;()()]+", row.text("area", "type"))
                  if fold(w) in IEC104_AREA_WORDS.words), "")  # fmt: skip
    guess = named or facts.options.area
    if not guess and kind is QuantityKind.STATUS:
        guess = (
            "3"
            if "双点" in words or "double" in words.lower()
            else "1"
            if re.search("单点|single", words, re.IGNORECASE)
            else ""
        )
    elif not guess and kind is QuantityKind.COUNTER and re.search("遥脉|电度|累计量|counter", words, re.IGNORECASE):
        guess = "15"
    elif not guess:
        for word, number in (
            ("归一化", "9"),
            ("normal", "9"),
            ("标度", "11"),
            ("scaled", "11"),
            ("浮点", "13"),
            ("float", "13"),
        ):
            if word in words.lower():
                guess = number
                break
    if not guess:
        guess = {QuantityKind.STATUS: "1", QuantityKind.COUNTER: "15", QuantityKind.ANALOG: "13"}[kind]
        proposed.decisions[f"type {row.number}"] = tr(
            "row {row}: the sheet does not say the ASDU type of {name}: taken as {type}",
            row=row.number,
            name=cells["name"],
            type=guess,
        )
    else:
        why.append(tr("ASDU type {type} by the words of the sheet", type=guess))
    cells["area"] = guess
