# SPDX-License-Identifier: GPL-3.0-or-later
"""Python's cyclic garbage collector switched off where it takes a third of the time and frees nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_looking_for_cycles() -> Iterator[None]:
    """Run a block, e.g. a settlement, without the cyclic collector: its objects live to its end anyway."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
