# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of a whole sheet: its protocol, the base its addresses count from, the order of words."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from collector.base.text import Text, tr
from collector.points.convert.cells import MakerAddress, read_address, read_order
from collector.points.convert.proposal import Options
from collector.points.convert.sheet import MakerRow, MakerSheet
from collector.points.identifiers import attribute_of

_ZERO: Final = re.compile(
    r"zero.?based|0.?based|base\s*0|从\s*0\s*(开始|起)|protocol address|报文地址|起始为0", re.IGNORECASE
)
_ONE: Final = re.compile(
    r"one.?based|1.?based|base\s*1|从\s*1\s*(开始|起)|减\s*1|(minus|subtract)\s*(1|one)|address\s*-\s*1", re.IGNORECASE
)


class SheetFacts:
    """The facts of a sheet.

    `base`: number of the first register; `modicon`: "m" where addresses are 4xxxx, "x" where they are 4x0001;
    `decisions`: the facts that the sheet leaves open.
    """

    def __init__(self, sheet: MakerSheet, options: Options) -> None:
        self.options, self.decisions = options, dict[str, Text]()
        self._sheet = sheet
        self.notes = "\n".join(sheet.notes)
        self._around = "\n".join([*sheet.notes, *(h for hs in sheet.headings.values() for h in hs)])
        self.family = options.protocol or self._guess_family()
        self._hex_column = any(
            re.search(r"hex|16\s*进制|十六进制", h, re.IGNORECASE) for h in sheet.headings.get("address", [])
        )
        self.addresses = {row.number: found for row in sheet.rows if (found := self._address(row)) is not None}
        self.base, self.base_why, self.modicon = self._guess_base()
        self.order, self.order_why = self._guess_order()

    def _guess_family(self) -> str:
        texts = self._around + "\n" + "\n".join(row.section for row in self._sheet.rows)
        addresses = [row.text("address", "hex") for row in self._sheet.rows]
        if re.search(r"信息体|信息对象|IOA|60870|\b104\b|DL/T\s*634", texts):
            return "iec104"
        if addresses and all(re.fullmatch(r"[024][0-9A-Fa-f]{7}", text) for text in addresses):
            read = [text for text in addresses if attribute_of(int(text, 16))]
            return "dlt698" if re.search(r"698|OAD", texts) or len(read) > len(addresses) / 2 else "dlt645"
        return "modbus"

    def _address(self, row: MakerRow) -> MakerAddress | None:
        plain, hexa = row.text("address").split("\n")[0], row.text("hex").split("\n")[0]
        found = read_address(plain, hexadecimal=self._hex_column) if plain else None
        return found or (read_address(hexa, hexadecimal=True) if hexa else None)

    def _guess_base(self) -> tuple[int, Text, str]:
        """The base of the addresses, the reason, and "4" or "40" for 4xxxx notation (first number 1 or 0)."""
        found = list(self.addresses.values())
        if self.family != "modbus" or not found:
            return 0, tr("addresses as they stand"), ""
        decimal = [a for a in found if not a.hexadecimal]
        if any(a.area for a in found):
            return 1, tr("4x notation counts from 1"), "x"
        fives = [a for a in decimal if len(a.digits) in (5, 6) and a.digits[0] in "34" and a.number > 29_999]
        if fives and len(fives) == len(found):
            zero = any(int(a.digits[1:]) == 0 for a in fives)
            return (
                (0, tr("4xxxx notation in which 40000 is the first"), "m")
                if zero
                else (1, tr("4xxxx notation: 40001 is the first register"), "m")
            )
        if (compared := self._compare_columns()) is not None:
            return compared, tr("two columns of addresses, one apart"), ""
        if self.options.base is not None:
            return self.options.base, tr("--base"), ""
        if any(a.number == 0 for a in found):
            return 0, tr("there is an address 0"), ""
        if _ONE.search(self._around):
            return 1, tr("the sheet says that it counts from 1"), ""
        if _ZERO.search(self._around):
            return 0, tr("the sheet says that it counts from 0"), ""
        if all(a.hexadecimal for a in found):
            low = min(a.number for a in found)
            if 40_000 <= low < 50_000:
                self.decisions["base"] = tr(
                    "{address} is 4xxxx notation in hexadecimal, or an address as it "
                    "stands; ask the maker or read the device",
                    address=hex(low),
                )
            return 0, tr("hexadecimal addresses are those of the frame"), ""
        self.decisions["base"] = tr(
            "do the addresses count from 0 or from 1? Taken as counting from 0 (--base 0 or --base 1)"
        )
        return 0, tr("taken as counting from 0, to be decided"), ""

    def _compare_columns(self) -> int | None:
        """The distance of the chosen address column from the other one, where rows have two that differ by one."""
        apart: Counter[int] = Counter()
        for row in self._sheet.rows:
            chosen = self.addresses.get(row.number)
            others = row.text("address").split("\n")[1:] + ([row.text("hex").split("\n")[0]] if row.text("hex") else [])
            for other in others:
                second = read_address(other, hexadecimal=other == row.text("hex").split("\n")[0])
                if chosen is not None and second is not None:
                    apart[chosen.number - second.number] += 1
        if len(apart) == 1 and (step := next(iter(apart))) in (0, 1):
            return step
        return None

    def _guess_order(self) -> tuple[str, Text]:
        if self.options.order:
            return self.options.order, tr("--order")
        rows = (row.text("order", "remark", "type", "description", "range") for row in self._sheet.rows)
        said = {order for text in (self.notes, *rows) if (order := read_order(text))}
        if len(said) == 1:
            return said.pop(), tr("the sheet says so of the order of words")
        return "", Text("", {})


def registers_of(row: MakerRow) -> int | None:
    """The number of registers of a row, from a column of its own or from the span of its address."""
    for role, per in (("registers", 1), ("bytes", 2)):
        text = row.text(role).split("\n")[0]
        if re.fullmatch(r"\d(,\s*\d)+", text):
            return (text.count(",") + 1) // 2
        if found := re.match(r"(\d+)(?:\.0+)?", text):
            return max(1, int(found[1]) // per)
    span = re.match(
        r"\s*(?:0x)?([0-9A-Fa-f]+)H?\s*[-~,]\s*(?:0x)?([0-9A-Fa-f]+)H?\s*\Z", row.text("address").split("\n")[0]
    )
    if span:
        base = 10 if span[1].isdecimal() and span[2].isdecimal() else 16
        return int(span[2], base) - int(span[1], base) + 1
    return None
