# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of meters in a byte stream, found by their own length and checks; resynchronises after garbage."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final, Generic, TypeVar

F = TypeVar("F")
START: Final = 0x68
# A byte with which meters wake a line; no garbage, wherever they put it.
_PREAMBLE: Final = 0xFE


class Unfinished(Enum):
    """Why `StreamReader.next` has no frame. GARBLED: bytes were dropped that belong to no frame."""

    NEED_MORE = "need more"
    GARBLED = "garbled"


class StreamReader(Generic[F]):
    """Finds the frames of one protocol.

    A complete frame with correct checks is taken even if it begins inside the apparent start of another: a false start
    must not hide the answer behind it.

    Args:
        end_of: end (excluded) of the frame that begins at an index; None while it is incomplete, 0 if none begins
            there. It bounds what is buffered.
        decode: the frame of its bytes.
    """

    def __init__(self, end_of: Callable[[bytearray, int], int | None], decode: Callable[[bytes], F]) -> None:
        self._end_of, self._decode = end_of, decode
        self._buffer = bytearray()
        self._dropped = 0

    def feed(self, data: bytes) -> None:
        """Add received bytes."""
        self._buffer += data

    def next(self) -> F | Unfinished:
        """The next frame. GARBLED reports dropped bytes once; call again."""
        buffer = self._buffer
        found = self._find()
        if isinstance(found, int):
            self._drop(found)
            if not self._dropped:
                return Unfinished.NEED_MORE
            self._dropped = 0
            return Unfinished.GARBLED
        start, end = found
        self._drop(start)
        body = bytes(buffer[: end - start])
        del buffer[: end - start]
        self._dropped = 0
        return self._decode(body)

    @property
    def pending(self) -> int:
        """Number of buffered bytes that may become a frame."""
        return len(self._buffer)

    def clear(self) -> None:
        """Discard all buffered bytes."""
        self._buffer.clear()
        self._dropped = 0

    def _drop(self, count: int) -> None:
        self._dropped += count - self._buffer.count(_PREAMBLE, 0, count)
        del self._buffer[:count]

    def _find(self) -> tuple[int, int] | int:
        """Start and end (excluded) of the first complete frame, or how many leading bytes belong to no frame."""
        buffer = self._buffer
        keep: int | None = None
        start = buffer.find(START)
        while start >= 0:
            end = self._end_of(buffer, start)
            if end is None:
                keep = start if keep is None else keep
            elif end:
                return start, end
            start = buffer.find(START, start + 1)
        return len(buffer) if keep is None else keep
