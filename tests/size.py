# SPDX-License-Identifier: GPL-3.0-or-later
"""How much random and repeated tests try: some at every commit, all with FULL=1, as `make full-test` does."""

from __future__ import annotations

import os
from typing import Final

FULL: Final = bool(os.environ.get("FULL"))


def sized(at_every_commit: int, in_full: int) -> int:
    """So many examples, kills or months."""
    return in_full if FULL else at_every_commit
