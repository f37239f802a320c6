# SPDX-License-Identifier: GPL-3.0-or-later
"""A wall clock that a test sets, for the real `SystemClock`: the host's, `offset_ms` ahead."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass
class WallClock:
    """Called as `time.time_ns` is."""

    offset_ms: int = 0

    def __call__(self) -> int:
        return time.time_ns() + self.offset_ms * 1_000_000
