# SPDX-License-Identifier: GPL-3.0-or-later
"""Python's search for cycles of dead objects, left aside where it costs a third of the time and finds nothing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_looking_for_cycles() -> Iterator[None]:
    """For a settlement or a closing: it makes millions of small objects that live to its end."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
