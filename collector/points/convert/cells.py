# SPDX-License-Identifier: GPL-3.0-or-later
"""Cells as makers write them: addresses, types, factors, units. Pure; None where a cell is ambiguous."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from collector.points.convert.words import OTHER_UNITS, UNITS
from collector.points.point import RAW_UNITS
from collector.points.words import TYPE_WORDS, UNIT_WORDS, fold

_ADDRESS: Final = re.compile(
    r"(?P<x>0[xX])?(?P<area>[0134])?(?(area)[xX])(?P<digits>[0-9A-Fa-f]{1,8})(?P<h>[Hh])?(?:\.(?P<bit>\d{1,2}))?"
    r"(?:\s*(?:[-~,/、]|至|to|\.\.)\s*.*)?\Z"
)
_NUMBER: Final = r"\d+(?:\.\d+)?(?:[eE]-?\d+)?"


@dataclass(frozen=True, slots=True)
class MakerAddress:
    """One address of a sheet.

    `digits`: as written; `hexadecimal`: written in hex; `area`: the digit before an x; `bit`: the number after a dot.
    """

    number: int
    digits: str
    hexadecimal: bool
    area: str
    bit: int | None


def read_address(text: str, *, hexadecimal: bool) -> MakerAddress | None:
    """The first address of a cell: 100, 0x64, 64H, 40001, 4x0001, 40006.1, 1000-1001."""
    text = re.sub(r"\.0+\Z", "", text.strip())
    found = _ADDRESS.match(text)
    if found is None:
        return None
    digits = found["digits"]
    is_hex = bool(found["x"] or found["h"] or hexadecimal) or not digits.isdecimal()
    if is_hex and found["area"]:
        return None
    bit = found["bit"]
    number = int(digits, 16 if is_hex else 10)
    return MakerAddress(number, digits, is_hex, found["area"] or "", None if bit is None else int(bit))


def read_type(text: str, registers: int | None) -> str | None:
    """Our type for a maker's words; "" for a text or a time, None where the words do not decide."""
    word = fold(text)
    if not word:
        return None
    if re.search(r"char|ascii|utf|string|date|time|字符|日期|时间|ip\b", word):
        return ""
    if (word in TYPE_WORDS.words and word not in ("word", "short", "long")) or not re.search(r"[a-z一-龥]", word):
        return TYPE_WORDS.words.get(word)
    bits = next((int(n) for n in re.findall(r"(?<!\d)(8|16|32|64)(?!\d)", word)), None)
    if re.search(r"float|real|single|double|浮点|ieee", word):
        wide = bits == 64 or registers == 4 or ("double" in word and "word" not in word and "float" not in word)
        return "float64" if wide else "float32"
    if "bcd" in word:
        return {16: "bcd16", 32: "bcd32"}.get(bits or 16 * (registers or 0))
    if re.search(r"bit(?!s)|bool|开关|遥信|mask", word) and not bits:
        return "bit"
    if bits is None:
        if "dword" in word or "longword" in word or "ulong" in word or word in ("dint", "udint"):
            bits = 32
        elif registers in (1, 2, 4):
            bits = 16 * registers
        elif re.search(r"smallint|short|word", word):
            bits = 16
        elif re.search(r"long|integer", word):
            bits = 32
    if bits not in (16, 32, 64) or (registers and bits != 16 * registers):
        return None
    unsigned = bool(re.search(r"无符号|unsigned|uint|ushort|ulong|udint|word|\bu\d", word)) or word.startswith("u")
    signed = (
        bool(re.search(r"有符号|(?<!un)signed|sint|(?<!u)int|integer|short|long|dint|\bs\d", word)) or word[:1] in "si"
    )
    return f"uint{bits}" if unsigned else f"int{bits}" if signed else None


@dataclass(frozen=True, slots=True)
class Measure:
    """Unit and factor of a row.

    `unit`: ours, None where there is none; `times`: how many of our unit the written unit is, e.g. 10000 for 万kWh;
    `other`: a unit of a quantity that settlement does not use.
    """

    unit: str | None
    factor: Fraction | None
    times: Fraction = Fraction(1)
    other: bool = False


def read_unit(text: str) -> Measure:
    """A unit cell: kW, 0.1kW, 万kWh, Hz/100, 1/100 Hz, ×0.01kWh."""
    word = text.strip().replace("*", "·").replace(" ", "")
    factor: Fraction | None = None
    if found := re.match(rf"[×xX·]?(?:1/)({_NUMBER})(.*)\Z", word):
        factor, word = 1 / Fraction(found[1]), found[2]
    elif found := re.match(rf"[×xX·]?({_NUMBER})(?:\^(-?\d+))?[×x·]?(.*)\Z", word):
        factor = Fraction(found[1]) ** int(found[2] or 1)
        word = found[3]
    elif found := re.match(rf"(.+?)[/÷]({_NUMBER})\Z", word):
        factor, word = 1 / Fraction(found[2]), found[1]
    elif found := re.match(rf"(.+?)[×xX·]({_NUMBER})\Z", word):
        factor, word = Fraction(found[2]), found[1]
    if not word:
        return Measure(None, factor)
    ours = UNIT_WORDS.get(word, word)
    if ours in RAW_UNITS:
        return Measure(ours, factor)
    if known := UNITS.get(word.casefold()):
        return Measure(known[0], factor, Fraction(known[1]))
    return Measure(None, factor, other=word.casefold() in OTHER_UNITS)


def read_factor(text: str) -> Fraction | None:
    """A factor cell: 0.1, ×0.1, 10^-2, 1/100, /100, ÷10, 除以10, 乘以0.1; None where it is no number."""
    text = re.sub(r"\b0,(?=\d+\Z)", "0.", text.strip())  # 0,01: the comma is a decimal comma
    word = re.sub(r"\s+|倍|raw|数值|寄存器值|实际值=?|value=?|读数", "", text.strip(), flags=re.IGNORECASE)
    if found := re.fullmatch(rf"(?:[/÷]|除以|1/)({_NUMBER})", word):
        return 1 / Fraction(found[1])
    if (
        found := re.fullmatch(r"10\^?\(?(-\d+|\d+)\)?", word.replace("**", "^"))
        if "^" in word or "**" in word
        else None
    ):
        return Fraction(10) ** int(found[1])
    if found := re.fullmatch(rf"(?:[×xX*]|乘以|乘)?({_NUMBER})", word):
        return Fraction(found[1])
    return None


def read_order(text: str) -> str | None:
    """The byte order that a text states for a whole value: high or low word first."""
    word = fold(text)
    if re.search(
        r"cdab|3412|低字在前|低字节?字在前|lowword(first)?|lswfirst|lsbfirst|低位字在前|wordswap|littleendianword", word
    ):
        return "CDAB"
    if re.search(
        r"abcd|1234|高字在前|highword(first)?|highcharactersbefore|mswfirst|hiwordfirst|高位字在前|bigendian|大端|高字节在前",
        word,
    ):
        return "ABCD"
    if re.search(r"dcba|4321", word):
        return "DCBA"
    return "BADC" if re.search(r"badc|2143", word) else None
