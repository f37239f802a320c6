# SPDX-License-Identifier: GPL-3.0-or-later
"""Python's states of the threads that c104 calls us on, kept from one call to the next.

Python knows nothing of these threads: it makes a state for every call and frees it after, with a stack of its own that
the kernel maps, clears and unmaps: nearly half of the CPU of a bare callback. A state is freed when as many parts of
the program let go of it as have taken it, and `keep` takes it once more. It then outlives its thread, some 16 KB, so
only threads that live long are worth it, and `MOST` bounds them all.
"""

from __future__ import annotations

import ctypes
import threading
from typing import Final

MOST: Final = 256


class ThreadStates:
    """The states kept in this process. Called on any thread."""

    def __init__(self, most: int = MOST) -> None:
        self._left, self._counting = most, threading.Lock()
        self._local = threading.local()  # of a state: gone with it

    def keep(self) -> None:
        """Keep the state of the thread that calls; no effect where it is kept, or `most` are."""
        if self._left == 0 or hasattr(self._local, "is_kept"):
            return
        with self._counting:
            if self._left == 0:
                return
            self._left -= 1
        self._local.is_kept = True
        ctypes.pythonapi.PyGILState_Ensure()
