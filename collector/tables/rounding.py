# SPDX-License-Identifier: GPL-3.0-or-later
"""Exact rounding of decimal and float columns to stored integers, half away from zero, a column at a time."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from collector.model.quantity import parse_scaled

_BLOCK_ROWS: Final = 65_536
_INT64: Final = np.iinfo(np.int64)


def decimal_to_scaled(column: Any, digits: int, scale: int) -> Any:
    """Round a chunked decimal128 column with `digits` after the point to int64 stored integers, half away from zero."""
    return pa.chunked_array([_chunk_to_scaled(chunk, digits, scale) for chunk in column.chunks], pa.int64())


def _chunk_to_scaled(chunk: Any, digits: int, scale: int) -> Any:
    kept = len(str(scale)) - 1
    low, high = _words(chunk)
    if digits < kept or digits - kept > 17 or not np.array_equal(high, low >> 63):
        # rare: more digits than 64 bits hold; Arrow rounds in 128 bits, several times slower
        chunk = pc.round(chunk, ndigits=kept, round_mode="half_towards_infinity").cast(pa.decimal128(38, kept))
        low, high = _words(chunk)
        beyond = np.where(high < 0, _INT64.min, _INT64.max)  # like the number itself, beyond every limit
        return with_nulls(np.where(high == low >> 63, low, beyond), chunk)
    if digits == kept:
        return with_nulls(low, chunk)
    step = 10 ** (digits - kept)
    size = np.abs(low)
    rounded = size // step
    rounded += size - rounded * step >= (step + 1) // 2
    return with_nulls(np.where(low < 0, -rounded, rounded), chunk)


def _words(chunk: Any) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The low and high 64 bits of each decimal128; where the high ones hold only the sign, the low are the number."""
    words = np.frombuffer(chunk.buffers()[1], np.int64)[2 * chunk.offset : 2 * (chunk.offset + len(chunk))]
    return words[::2], words[1::2]


def with_nulls(values: np.ndarray[Any, Any], chunk: Any) -> Any:
    """int64 values with the validity of `chunk`."""
    if not chunk.null_count:
        return pa.array(values, pa.int64())
    if chunk.offset:
        return pa.array(values, pa.int64(), mask=chunk.is_null().to_numpy(zero_copy_only=False))
    return pa.Array.from_buffers(
        pa.int64(), len(values), [chunk.buffers()[0], pa.py_buffer(np.ascontiguousarray(values))]
    )


def floats_to_scaled(values: np.ndarray[Any, Any], scale: int) -> np.ndarray[Any, Any]:
    """Round finite floats to stored integers, half away from zero, by the shortest decimal of each float.

    float × scale rounds correctly unless it lies near a tie; only there the decimal text is needed.
    """
    result = np.empty(len(values), np.int64)
    for start in range(0, len(values), _BLOCK_ROWS):  # intermediate arrays of a block fit the processor's cache
        block = slice(start, start + _BLOCK_ROWS)
        result[block] = _block_to_scaled(values[block], scale)
    return result


def _block_to_scaled(values: np.ndarray[Any, Any], scale: int) -> np.ndarray[Any, Any]:
    product = np.multiply(values, scale, dtype=np.float64)
    whole = np.rint(product)
    result: np.ndarray[Any, Any] = whole.astype(np.int64)
    # The shortest decimal is within half an ulp of the float; four times that counts as near a tie.
    largest = max(-float(product.min()), float(product.max())) if len(product) else 0.0
    doubt = largest * (2.0**-22 if values.dtype == np.float32 else 2.0**-51) + 2.0**-60
    np.subtract(product, whole, out=product)
    near_tie = np.flatnonzero(np.abs(product, out=product) >= 0.5 - doubt)
    if len(near_tie):
        distinct, place = np.unique(values[near_tie], return_inverse=True)
        exact = np.array([parse_scaled(str(value), scale) for value in distinct], np.int64)
        result[near_tie] = exact[place]
    return result
