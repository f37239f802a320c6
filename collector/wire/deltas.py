# SPDX-License-Identifier: GPL-3.0-or-later
"""Integer columns to bytes and back: differences, common divisor, zigzag, narrowest width, bytes by significance.

The array has one row per column of the batch and one element per record, grouped by unit. Arithmetic is modulo 2^64, so
summing the differences gives the values back even where a difference overflows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from collector.wire.body import WIDTHS, Packed

Int64s = npt.NDArray[np.int64]

_GCD_PROBE: Final = 16  # this many differences are tried before the common divisor of a whole column is computed


def _starts(counts: Sequence[int]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """The index of the first record of each unit that has records, and its number of records."""
    present = np.array([count for count in counts if count], dtype=np.intp)
    return np.cumsum(present) - present, present


def pack(table: Int64s, counts: Sequence[int]) -> Packed:
    """Encode a table; `counts`: number of records of each unit."""
    starts, _ = _starts(counts)
    delta = np.empty_like(table)
    np.subtract(table[:, 1:], table[:, :-1], out=delta[:, 1:])
    delta[:, starts] = 0
    moving = np.flatnonzero(delta.any(axis=1))
    delta = delta[moving]
    divisors = np.gcd.reduce(delta[:, :_GCD_PROBE], axis=1)
    maybe = np.flatnonzero(divisors != 1)
    divisors[maybe] = np.gcd.reduce(delta[maybe], axis=1)
    dividing = np.flatnonzero(divisors != 1)
    delta[dividing] //= divisors[dividing, None]
    coded = ((delta << 1) ^ (delta >> 63)).view(np.uint64)
    peak = coded.max(axis=1) if len(moving) else np.zeros(0, dtype=np.uint64)
    width = np.select([peak < 1 << 8, peak < 1 << 16, peak < 1 << 32], [1, 2, 4], default=8)
    widths = np.zeros(len(table), dtype=np.uint8)
    widths[moving] = width
    planes = []
    for size in WIDTHS:
        cells = coded[width == size].astype(f"<u{size}").view(np.uint8)
        planes.append(cells.reshape(-1, table.shape[1], size).swapaxes(1, 2).tobytes())
    return Packed(widths.tobytes(), divisors.tolist(), table[:, starts].ravel().tolist(), b"".join(planes))


def signed(planes: bytes, width: int) -> Int64s:
    """Decode zigzag coded numbers of `width` bytes each, all bytes of one significance together."""
    octets = np.ascontiguousarray(np.frombuffer(planes, np.uint8).reshape(width, -1).T)
    coded = octets.view(f"<u{width}")[:, 0].astype(np.uint64)
    return (coded >> np.uint64(1)).view(np.int64) ^ -(coded & np.uint64(1)).view(np.int64)


def unpack(packed: Packed, counts: Sequence[int], columns: int) -> Int64s:
    """Decode a table of `columns` columns.

    Raises:
        ValueError, OverflowError: widths, divisors, bases and planes don't agree.
    """
    size = sum(counts)
    starts, present = _starts(counts)
    widths = np.frombuffer(packed.widths, np.uint8)
    moving = np.flatnonzero(widths)
    expected = int(widths.sum(dtype=np.int64)) * size
    if len(widths) != columns or len(packed.divisors) != len(moving) or len(packed.bases) != columns * len(starts):
        raise ValueError("columns, divisors and bases don't fit the units")
    if expected != len(packed.planes) or not {0, *WIDTHS}.issuperset(packed.widths):
        raise ValueError("the columns don't have the length their widths give")
    bases = np.array(packed.bases, dtype=np.int64).reshape(columns, len(starts))
    table = np.repeat(bases, present, axis=1)
    if not len(moving):
        return table
    coded = np.empty((len(moving), size), dtype=np.uint64)
    width = widths[moving]
    position = 0
    for bytes_each in WIDTHS:
        rows = np.flatnonzero(width == bytes_each)
        if len(rows):
            end = position + len(rows) * size * bytes_each
            plane = np.frombuffer(packed.planes, np.uint8)[position:end].reshape(len(rows), bytes_each, size)
            coded[rows] = np.ascontiguousarray(plane.swapaxes(1, 2)).view(f"<u{bytes_each}")[:, :, 0]
            position = end
    delta = (coded >> np.uint64(1)).view(np.int64) ^ -(coded & np.uint64(1)).view(np.int64)
    delta *= np.array(packed.divisors, dtype=np.int64)[:, None]
    total = np.cumsum(delta, axis=1)
    table[moving] += total - np.repeat(total[:, starts], present, axis=1)
    return table
