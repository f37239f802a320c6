# SPDX-License-Identifier: GPL-3.0-or-later
"""The secondary of a balanced 101 link: the station is a primary too, and each of its requests is answered as it comes.

Only acknowledgements and the status of the link are ever sent; what the station sends is kept for the driver.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from collector.agent.device.iec101.ft12 import LinkFrame, LinkPlace, LinkReply, LinkService, encode_reply

_ASDUS_KEPT: Final = 10_000


class BalancedSecondary:
    """Answers the other primary of a balanced line. `on_data`: called with each ASDU once; False: it can't be kept."""

    def __init__(self, place: LinkPlace, on_data: Callable[[bytes], bool]) -> None:
        self._place, self._on_data = place, on_data
        self._expected: bool | None = None

    def forget(self) -> None:
        """Start anew with the line: any frame count is right."""
        self._expected = None

    def respond(self, frame: LinkFrame) -> bytes:
        """The reply to a request; empty where none is due."""
        if self._place.octets and frame.address != self._place.address:
            return b""
        function = frame.function
        if function == LinkService.RESET:
            self._expected = True
            return encode_reply(self._place, LinkReply.ACK)
        if function == LinkService.STATUS:
            return encode_reply(self._place, LinkReply.STATUS)
        if function == LinkService.SEND_WITHOUT_REPLY:
            self._on_data(frame.data)
            return b""
        if function not in (LinkService.SEND, LinkService.TEST):
            return encode_reply(self._place, LinkReply.NOT_IMPLEMENTED)
        is_repeat = frame.fcv and self._expected is not None and frame.fcb != self._expected
        if not is_repeat:
            if function == LinkService.SEND and not self._on_data(frame.data):
                return encode_reply(self._place, LinkReply.NACK)
            if frame.fcv:
                self._expected = not frame.fcb
        return encode_reply(self._place, LinkReply.ACK)


class Inbox:
    """ASDUs as they come, with their time of arrival, until the driver takes them; bounded."""

    def __init__(self, stamp: Callable[[], int]) -> None:
        self._stamp = stamp
        self._kept: deque[tuple[bytes, int]] = deque()

    def put(self, asdu: bytes) -> bool:
        """Keep an ASDU; False where there are too many."""
        if len(self._kept) >= _ASDUS_KEPT:
            return False
        self._kept.append((asdu, self._stamp()))
        return True

    def take(self) -> list[tuple[bytes, int]]:
        """All of them, in order."""
        kept = list(self._kept)
        self._kept.clear()
        return kept
