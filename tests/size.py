# SPDX-License-Identifier: GPL-3.0-or-later
"""How much random and repeated tests try: some at every commit, all with FULL=1, as `make full-test` does."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from typing import Any, Final

FULL: Final = bool(os.environ.get("FULL"))


def sized(at_every_commit: int, in_full: int) -> int:
    """So many examples, kills or months."""
    return in_full if FULL else at_every_commit


def in_turn(
    first: Sequence[Any], second: Sequence[Any], but: Collection[tuple[Any, Any]] = ()
) -> list[tuple[Any, Any]]:
    """Pairs of both, all in full; at every commit each of the longer one once, with those of the other in turn.

    `but`: pairs that say nothing; the next of `second` takes its place.
    """
    if FULL:
        return [(a, b) for a in first for b in second if (a, b) not in but]
    found = []
    for n in range(max(len(first), len(second))):
        a, b, instead = first[n % len(first)], second[n % len(second)], second[(n + 1) % len(second)]
        found.append((a, instead) if (a, b) in but else (a, b))
    return found
