# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of the protocol, pure and without I/O."""

from __future__ import annotations

import re
from typing import Final

from collector.base.errors import Garbled, Refused

MOST_BYTES: Final = 64  # of a line: a longer one is none
_ANSWER: Final = re.compile(rb"([0-9]{1,5}) (-?[0-9]{1,18}|\?)\r\n")


def encode_request(address: int) -> bytes:
    """The question for one number. There is no other: this protocol's `W` is not spoken here."""
    return f"R {address}\r\n".encode()


def decode_answer(line: bytes, address: int) -> int:
    """The number that a line answers with.

    Raises:
        Refused: the device has no such number.
        Garbled: the line is none of the protocol, or answers another question.
    """
    found = _ANSWER.fullmatch(line)
    if found is None or int(found[1]) != address:
        raise Garbled(f"expected an answer for {address}, got {line[:MOST_BYTES]!r}")
    if found[2] == b"?":
        raise Refused(f"the device has no {address}")
    return int(found[2])
