# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory that was needed for a moment goes back to the system."""

from __future__ import annotations

import ctypes
from typing import Final

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 64 * 1024
_KEPT_BYTES: Final = 128 * 1024


def return_large_blocks() -> None:
    """Have large blocks mapped each by itself and unmapped when they are freed.

    Left alone, glibc takes the largest block freed so far as its measure, up to 32 MB: after the first batch that was
    sealed, its arrays stay in the heap. Another C library is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
