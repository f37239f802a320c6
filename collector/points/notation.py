# SPDX-License-Identifier: GPL-3.0-or-later
"""4xxxx notation: the first digit names the area and counting starts at 1. Recognised, never converted silently.

40001, 400001, 4X0001 and 4x00001 all mean the holding register with address 0; 3 input, 1 discrete, 0 coil.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_AREAS: Final = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
_ZEROS = re.compile(r"(?<=\d)\.0+\Z")  # added by a spreadsheet: 40001.0
_NOTATION = re.compile(r"([0134])([xX]?)(\d{4,5})\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Notation:
    """An address in 4xxxx notation. `address`: 0-based; `certain`: it can't be a plain address."""

    prefix: str
    area: str
    address: int
    certain: bool


def find_notation(text: str) -> Notation | None:
    """The meaning of an address cell read as 4xxxx notation; None where it can't be read so.

    `00001` may be a padded plain address: only the area tells. `0x0001` is a hexadecimal number.
    """
    found = _NOTATION.match(_ZEROS.sub("", text))
    if found is None:
        return None
    prefix, letter, digits = found.groups()
    if prefix == "0" and letter:
        return None
    number = int(digits)
    if not 1 <= number <= 65536:
        return None
    return Notation(prefix, _AREAS[prefix], number - 1, bool(letter) or int(prefix + digits) > 65535)
