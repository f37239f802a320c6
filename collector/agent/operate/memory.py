# SPDX-License-Identifier: GPL-3.0-or-later
"""Returns memory that was needed for a moment to the operating system."""

from __future__ import annotations

import ctypes
from typing import Final

# From glibc's malloc.h.
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGE_BYTES: Final = 64 * 1024
_KEPT_BYTES: Final = 128 * 1024


def return_large_blocks() -> None:
    """Make malloc map each large block by itself, so that freeing it returns its memory.

    By default glibc raises its threshold to the largest block freed so far, up to 32 MB: after the first sealed batch
    its arrays stay in the heap. Another C library is left as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
