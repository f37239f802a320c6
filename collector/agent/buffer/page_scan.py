# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds sealed batches in the raw pages of a damaged SQLite file, where no table leads to them any more.

A row of `batches` ends with the SHA-256 of its payload and the payload itself, so that the two are side by side
wherever the row is; a payload begins like no other bytes and contains its length. Where it does not fit on its page,
four bytes name the next page, whose first four bytes name the one after that, and so on. A payload counts only where
its SHA-256 is right, so that a wrong guess costs only time.

On a page of a table a row's part ends where the chain's remainder fills whole pages (the usual case), or after a
minimum that depends on the row's start; then every place that could name a page is tried. Pages of the write-ahead log
go before those of the file. Format: https://www.sqlite.org/fileformat.html.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from collector.wire.batch import MAX_PAYLOAD_BYTES
from collector.wire.envelope import PAYLOAD_BEGIN, payload_length

_USUAL_PAGE_BYTES: Final = 4096
_POINTER: Final = 4
_DIGEST: Final = 32
_MAGIC: Final = b"SQLite format 3\0"
_LOG_HEAD: Final = 32
_FRAME_HEAD: Final = 24

_Bytes = mmap.mmap | bytes


def find_payloads(path: Path) -> Iterator[bytes]:
    """Every whole payload in the file and its write-ahead log; some may come twice."""
    with ExitStack() as stack:
        file = _content(path, stack)
        log = _content(path.with_name(path.name + "-wal"), stack)
        for page_bytes in dict.fromkeys((_page_bytes(file, log), _USUAL_PAGE_BYTES)):
            yield from _Pages(file, log, page_bytes).payloads()


def _content(path: Path, stack: ExitStack) -> _Bytes:
    if not path.exists() or not path.stat().st_size:
        return b""
    file = stack.enter_context(path.open("rb"))
    return stack.enter_context(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _page_bytes(file: _Bytes, log: _Bytes) -> int:
    """The page size stated by file or log, the usual one where neither states it."""
    found = int.from_bytes(file[16:18], "big") if file[:16] == _MAGIC else int.from_bytes(log[8:12], "big")
    found = 65536 if found == 1 else found
    return found if 512 <= found <= 65536 and not found & (found - 1) else _USUAL_PAGE_BYTES


class _Pages:
    """File and log by pages of one size, numbered from 1."""

    def __init__(self, file: _Bytes, log: _Bytes, page_bytes: int) -> None:
        self._file, self._log, self._size = file, log, page_bytes
        self._count = -(-len(file) // page_bytes)
        self._frames = [
            (int.from_bytes(log[at : at + 4], "big"), at)
            for at in range(_LOG_HEAD, len(log) - page_bytes - _FRAME_HEAD + 1, page_bytes + _FRAME_HEAD)
        ]
        # A log is overwritten from its start: frames with other marks than its head's are from an earlier round.
        marks = log[16:24]
        self._newest = {n: at for n, at in self._frames if log[at + 8 : at + 16] == marks}
        self._count = max(self._count, *self._newest, 0)

    def payloads(self) -> Iterator[bytes]:
        for match in PAYLOAD_BEGIN.finditer(self._file):
            number, at = divmod(match.start(), self._size)
            yield from self._payload_at(self._of_file(number + 1), at)
        for _, frame in self._frames:
            page = self._log[frame + _FRAME_HEAD : frame + _FRAME_HEAD + self._size]
            for match in PAYLOAD_BEGIN.finditer(page):
                yield from self._payload_at(page, match.start())

    def _of_file(self, number: int) -> bytes:
        return self._file[(number - 1) * self._size : number * self._size]

    def _page(self, number: int, *, with_log: bool) -> bytes:
        if with_log and (frame := self._newest.get(number)) is not None:
            return self._log[frame + _FRAME_HEAD : frame + _FRAME_HEAD + self._size]
        return self._of_file(number)

    def _payload_at(self, page: bytes, at: int) -> Iterator[bytes]:
        """The payload that begins at a place of a page, if it is whole; its SHA-256 is before it."""
        digest = page[at - _DIGEST : at]
        if len(digest) < _DIGEST:
            return
        for payload in self._guesses(page, at):
            if hashlib.sha256(payload).digest() == digest:
                yield payload
                return

    def _guesses(self, page: bytes, at: int) -> Iterator[bytes]:
        length = payload_length(page[at:])
        if length is not None and at + length <= len(page):
            yield page[at : at + length]
            return
        for with_log in (True, False) if self._newest else (False,):
            for end, following in self._continuations(page, at, length):
                if (payload := self._follow(page[at:end], following, with_log=with_log)) is not None:
                    yield payload

    def _continuations(self, page: bytes, at: int, length: int | None) -> Iterator[tuple[int, int]]:
        """Possible ends of the part on this page, each with the page that would follow."""
        if self._is_page(first := int.from_bytes(page[:_POINTER], "big")):
            yield len(page), first  # the page itself belongs to a chain
        tried = set()
        if length is not None:
            step = self._size - _POINTER
            for end in range(at + length - -(-(at + length - len(page)) // step) * step, at, -step):
                tried.add(end)
                if self._is_page(following := int.from_bytes(page[end : end + _POINTER], "big")):
                    yield end, following
        zeros = b"\0\0" if self._count < 1 << 16 else b"\0"
        end = page.find(zeros, at + 1)
        while 0 <= end <= len(page) - _POINTER:
            following = int.from_bytes(page[end : end + _POINTER], "big")
            if end not in tried and self._is_page(following):
                yield end, following
            end = page.find(zeros, end + 1)

    def _is_page(self, number: int) -> bool:
        return 2 <= number <= self._count

    def _follow(self, begun: bytes, number: int, *, with_log: bool) -> bytes | None:
        """The payload that begins with these bytes and continues along a chain; None where the chain breaks."""
        parts, have, length = [begun], len(begun), payload_length(begun)
        while length is None or have < length:
            if have > MAX_PAYLOAD_BYTES or not self._is_page(number):
                return None
            page = self._page(number, with_log=with_log)
            parts.append(page[_POINTER:])
            have += len(page) - _POINTER
            number = int.from_bytes(page[:_POINTER], "big")
            if length is None and (length := payload_length(b"".join(parts))) is None and len(parts) > 2:
                return None
            if len(page) < self._size:
                number = 0  # the file was truncated here
        return b"".join(parts)[:length]
