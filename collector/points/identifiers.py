# SPDX-License-Identifier: GPL-3.0-or-later
"""The data identifiers of DL/T 645 and the attributes of DL/T 698.45 that the program reads from meters.

Source: DL/T 645-2007, tables A.1, A.3, A.6; DL/T 645-1997, appendix A; DL/T 698.45-2017, annex E (objects of energies,
variables, parameters). Identifiers of 1997 have two bytes, the first 90H or more: no identifier of 2007 is the same
number.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from collector.base.errors import Garbled
from collector.base.text import tr


@dataclass(frozen=True, slots=True)
class NumberFormat:
    """The number format of an identifier: bytes of BCD, decimals, and whether its top bit is the sign."""

    size: int
    decimals: int
    signed: bool

    @property
    def reach(self) -> tuple[Fraction, Fraction]:
        """Lowest and highest number, in the identifier's own unit."""
        high = Fraction((8 if self.signed else 10) * 10 ** (2 * self.size - 1) - 1, 10**self.decimals)
        return (-high if self.signed else Fraction(0)), high

    def decode(self, data: bytes) -> Fraction | None:
        """Decode the number, in the identifier's own unit; None where the data are no BCD (FF … FF: no value).

        Raises:
            Garbled: the data have the wrong length for this identifier.
        """
        if len(data) != self.size:
            raise Garbled(
                tr("{bytes} bytes came, the identifier has {size}", bytes=len(data), size=self.size), subject="dlt645"
            )
        digits = bytearray(reversed(data))
        # FF … FF is "no value" also where the top bit would be a sign.
        negative = self.signed and bool(digits[0] & 0x80)
        if negative:
            digits[0] &= 0x7F
        text = digits.hex()
        return Fraction(-int(text) if negative else int(text), 10**self.decimals) if text.isdecimal() else None


# Combined active and reactive energies, total and per phase, may be negative.
_SIGNED_ENERGIES: Final = frozenset({0x00, 0x03, 0x04, 0x17, 0x18, 0x2B, 0x2C, 0x3F, 0x40})
_TOTAL_AND_PHASES: Final = frozenset(range(4))
_PHASES: Final = frozenset({1, 2, 3})
# DI3 DI2 -> (layout, DI1 that exist)
_INSTANTANEOUS: Final[dict[int, tuple[NumberFormat, frozenset[int]]]] = {
    0x0201: (NumberFormat(2, 1, signed=False), _PHASES),  # voltage, V
    0x0202: (NumberFormat(3, 3, signed=True), _PHASES),  # current, A
    0x0203: (NumberFormat(3, 4, signed=True), _TOTAL_AND_PHASES),  # active power, kW
    0x0204: (NumberFormat(3, 4, signed=True), _TOTAL_AND_PHASES),  # reactive power, kvar
    0x0205: (NumberFormat(3, 4, signed=True), _TOTAL_AND_PHASES),  # apparent power, kVA
    0x0206: (NumberFormat(2, 3, signed=True), _TOTAL_AND_PHASES),  # power factor
}
_SINGLE: Final[dict[int, NumberFormat]] = {
    0x0280_0001: NumberFormat(3, 3, signed=True),  # neutral current, A
    0x0280_0002: NumberFormat(2, 2, signed=False),  # frequency, Hz
    0x0280_0003: NumberFormat(3, 4, signed=True),  # mean active power of a minute, kW
    0x0400_0306: NumberFormat(3, 0, signed=False),  # current transformers' ratio
    0x0400_0307: NumberFormat(3, 0, signed=False),  # voltage transformers' ratio
    0x0400_0401: NumberFormat(6, 0, signed=False),  # the meter's own address
    0x0400_0402: NumberFormat(6, 0, signed=False),  # the meter's number
}
_RATES: Final = 0x3F
_BILLING_DAYS: Final = 12
_OF_1997: Final = range(0x9000, 0x1_0000)
# DI1 and the upper half of DI0 -> (format, lower halves that exist)
_INSTANTANEOUS_1997: Final[dict[int, tuple[NumberFormat, frozenset[int]]]] = {
    0xB61: (NumberFormat(2, 0, signed=False), _PHASES),  # voltage, V
    0xB62: (NumberFormat(2, 2, signed=False), _PHASES),  # current, A
    0xB63: (NumberFormat(3, 4, signed=False), _TOTAL_AND_PHASES),  # active power, kW
    0xB64: (NumberFormat(2, 2, signed=False), _TOTAL_AND_PHASES),  # reactive power, kvar
    0xB65: (NumberFormat(2, 3, signed=False), _TOTAL_AND_PHASES),  # power factor
}
# Present energies: active 90, export 1, import 2; reactive 91, of both directions and four quadrants.
_ENERGIES_1997: Final = frozenset({0x901, 0x902, *range(0x911, 0x917)})
_RATES_1997: Final = 0xE


def is_of_1997(identifier: int) -> bool:
    """True if an identifier has the two bytes of the edition of 1997, which asks with other control codes."""
    return identifier in _OF_1997


def identifier_text(identifier: int) -> str:
    """An identifier as a point table writes it: four digits of 1997, else eight."""
    return f"{identifier:04X}" if is_of_1997(identifier) else f"{identifier:08X}"


def layout_of(identifier: int) -> NumberFormat | None:
    """The number format of an identifier; None for one that is not read here (blocks, records, parameters)."""
    if is_of_1997(identifier):
        if identifier >> 4 in _ENERGIES_1997:
            return NumberFormat(4, 2, signed=False) if identifier & 0xF <= _RATES_1997 else None
        layout, places = _INSTANTANEOUS_1997.get(identifier >> 4, (None, frozenset()))
        return layout if identifier & 0xF in places else None
    if identifier in _SINGLE:
        return _SINGLE[identifier]
    kind, third, last = identifier >> 16, identifier >> 8 & 0xFF, identifier & 0xFF
    if kind >> 8 == 0:  # energies: kind, rate, billing day
        known = third <= _RATES and last <= _BILLING_DAYS
        return NumberFormat(4, 2, signed=(kind & 0xFF) in _SIGNED_ENERGIES) if known else None
    layout, places = _INSTANTANEOUS.get(kind, (None, frozenset()))
    return layout if third in places and last == 0 else None


@dataclass(frozen=True, slots=True)
class AttributeFormat:
    """An attribute of a DL/T 698.45 object: its decimals, the width and sign of its integers, the elements it has.

    Element 0 stands for an attribute that is no array.
    """

    decimals: int
    bits: int
    signed: bool
    elements: range

    @property
    def reach(self) -> tuple[Fraction, Fraction]:
        """Lowest and highest number, in the standard's unit."""
        high = (1 << self.bits - self.signed) - 1
        unit = 10**self.decimals
        return (Fraction(-high - 1, unit) if self.signed else Fraction(0)), Fraction(high, unit)


_THREE_PHASES: Final = range(1, 4)
_TOTAL_AND_THREE: Final = range(1, 5)
# Rates of an energy, the total first.
_TOTAL_AND_RATES: Final = range(1, 65)
# OI -> attribute 2
_VARIABLES: Final[dict[int, AttributeFormat]] = {
    0x2000: AttributeFormat(1, 16, signed=False, elements=_THREE_PHASES),  # voltage, V
    0x2001: AttributeFormat(3, 32, signed=True, elements=_THREE_PHASES),  # current, A
    0x2004: AttributeFormat(1, 32, signed=True, elements=_TOTAL_AND_THREE),  # active power, W
    0x2005: AttributeFormat(1, 32, signed=True, elements=_TOTAL_AND_THREE),  # reactive power, var
    0x2006: AttributeFormat(1, 32, signed=True, elements=_TOTAL_AND_THREE),  # apparent power, VA
    0x200A: AttributeFormat(3, 16, signed=True, elements=_TOTAL_AND_THREE),  # power factor
    0x200F: AttributeFormat(2, 16, signed=False, elements=range(1)),  # frequency, Hz
}
# Combined active (0000) and reactive energies (003x, 004x) may be negative; the families end with 00Ax.
_SIGNED_FAMILIES: Final = frozenset({0, 3, 4})
_FAMILIES: Final = 0xB
_ENERGY, _PRECISE_ENERGY = 2, 4  # attributes: with two decimals, with four


def attribute_of(oad: int) -> AttributeFormat | None:
    """The format of the element that an OAD names (OI, attribute, element); None for one that is not read here."""
    thing, attribute, element = oad >> 16, oad >> 8 & 0xFF, oad & 0xFF
    family, phase = thing >> 4, thing & 0xF
    found: AttributeFormat | None = None
    if thing < _FAMILIES << 4 and phase <= 3 and (family or not phase):
        signed = family in _SIGNED_FAMILIES
        if attribute == _ENERGY:
            found = AttributeFormat(2, 32, signed=signed, elements=_TOTAL_AND_RATES)
        elif attribute == _PRECISE_ENERGY:
            found = AttributeFormat(4, 64, signed=signed, elements=_TOTAL_AND_RATES)
    elif attribute == 2:
        found = _VARIABLES.get(thing)
    return found if found is not None and element in found.elements else None
