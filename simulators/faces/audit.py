# SPDX-License-Identifier: GPL-3.0-or-later
"""The log of every byte a face receives, with a check that every request only reads.

Allowed are Modbus functions 1-4; 104 U and S frames and types 100 and 101; 101 the same types, reset and test of the
link, its status, class 1 and 2 data; DL/T 645 control 11H and 12H, of 1997 01H and 02H; DL/T 698.45 GET of one or
several attributes. Any other request is noted here and, unless a test wants it, in `FORBIDDEN`, which the pytest plugin
turns into a failed run: the proof that the agent can't write to a device.
"""

from __future__ import annotations

from collections import deque
from typing import Final

FORBIDDEN: Final[list[str]] = []
_CHUNKS_KEPT: Final = 1_000_000


class Audit:
    """The bytes received by the faces of one simulation. `report_to` receives a line per forbidden request."""

    def __init__(self, report_to: list[str] | None = None) -> None:
        self.chunks: deque[tuple[str, bytes]] = deque(maxlen=_CHUNKS_KEPT)
        self.violations: list[str] = []
        self._report_to = FORBIDDEN if report_to is None else report_to

    def forbid(self, face: str, request: bytes, why: str) -> None:
        """Note a request that does not only read."""
        line = f"{face}: {why}: {request.hex(' ')}"
        self.violations.append(line)
        self._report_to.append(line)

    def bytes_of(self, face: str) -> bytes:
        """Everything one face received, in order."""
        return b"".join(data for name, data in self.chunks if name == face)
