# SPDX-License-Identifier: GPL-3.0-or-later
"""The link to one 101 station as its primary. IEC 60870-5-2 and IEC 60870-5-101, 6.

The link is up once the station has told its status and acknowledged a reset. A request without a valid answer is
repeated as it was, with the same FCB, at most `link_retries` times; then the link is down and starts anew. A request
whose wait was cancelled is repeated first the next time: the station may have answered it, and nothing is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from collector.agent.device.iec101.ft12 import (
    LinkFrame,
    LinkPlace,
    LinkReply,
    encode_class_1,
    encode_class_2,
    encode_interrogation,
    encode_reset,
    encode_status_request,
    encode_test,
)
from collector.agent.device.iec101.line import LinkLine
from collector.agent.device.iec60870.asdu import AsduLayout
from collector.base.errors import DeviceError, Garbled, Refused, Silent
from collector.base.text import tr

_TO_REQUEST: Final = frozenset(LinkReply) - {LinkReply.STATUS}
_TO_SEND: Final = frozenset({LinkReply.ACK, LinkReply.NACK, LinkReply.NOT_FUNCTIONING, LinkReply.NOT_IMPLEMENTED})
_DECLINED: Final = frozenset({LinkReply.NOT_FUNCTIONING, LinkReply.NOT_IMPLEMENTED})


class PrimaryLink:
    """Requests to one station. `subject`: of errors; `on_data`: called with each ASDU, in order.

    `is_up`: see above; `has_class_1`: the station said that something has happened; `is_busy`: it takes no user data
    now. Both are what its last answer said.
    """

    def __init__(
        self, line: LinkLine, place: LinkPlace, subject: str, *, timeout_s: float, retries: int, pause_s: float,
        on_data: Callable[[bytes], None],
    ) -> None:  # fmt: skip
        self.is_up = self.has_class_1 = self.is_busy = False
        self._line, self._place, self._subject = line, place, subject
        self._timeout_s, self._retries, self._pause_s = timeout_s, retries, pause_s
        self._on_data = on_data
        self._fcb = True
        self._newest = b""
        self._pending: tuple[bytes, frozenset[LinkReply]] | None = None

    def down(self) -> None:
        """Start anew with the next request."""
        self.is_up = self.has_class_1 = self.is_busy = False
        self._pending = None

    async def start(self) -> None:
        """Ask for the status of the link and reset it.

        Raises:
            Silent, Garbled, Refused: the station does not answer, or declines.
        """
        self.down()
        await self.ask_status()
        answer = await self._once(encode_reset(self._place), _TO_SEND)
        if answer.function != LinkReply.ACK:
            raise Refused(_declined_words(answer), subject=self._subject, code=answer.function)
        self._fcb, self.is_up = True, True

    async def ask_status(self) -> None:
        """Ask whether the station takes user data. Raises `Silent`, `Garbled`."""
        await self._once(encode_status_request(self._place), frozenset({LinkReply.STATUS}))

    async def ask(self) -> bool:
        """Ask for class 1 data where some wait, else for class 2; False where the station has none (unbalanced).

        Raises:
            Silent, Garbled, Refused: no answer after all repeats (the link is down), or the station declines.
        """
        await self._settle()
        encode = encode_class_1 if self.has_class_1 else encode_class_2
        answer = await self._request(partial(encode, self._place), _TO_REQUEST)
        return answer.function == LinkReply.USER_DATA

    async def ask_class_2(self) -> bool:
        """Ask for class 2 data though the station says that class 1 data wait: it gave none of them."""
        await self._settle()
        answer = await self._request(partial(encode_class_2, self._place), _TO_REQUEST)
        return answer.function == LinkReply.USER_DATA

    async def interrogate(self, kind: int, common_address: int, layout: AsduLayout) -> bool:
        """Send an interrogation; False where the station can't take it now. Raises as `ask`."""
        await self._settle()
        if self.is_busy:
            await self.ask_status()
            if self.is_busy:
                return False
        encode = partial(encode_interrogation, kind=kind, common_address=common_address, layout=layout)
        answer = await self._request(partial(encode, self._place), _TO_SEND)
        return answer.function == LinkReply.ACK

    async def test(self) -> None:
        """Test a balanced link. Raises as `ask`; a station that does not know the service is alive."""
        await self._settle()
        await self._request(partial(encode_test, self._place), _TO_SEND, declines=True)

    async def _settle(self) -> None:
        """Repeat a request whose wait was cancelled."""
        if self._pending is not None:
            await self._repeat(*self._pending)

    async def _request(
        self, encode: Callable[[bool], bytes], replies: frozenset[LinkReply], *, declines: bool = False
    ) -> LinkFrame:
        self._pending = encode(self._fcb), replies
        answer = await self._repeat(*self._pending)
        if answer.function in _DECLINED and not declines:
            raise Refused(_declined_words(answer), subject=self._subject, code=answer.function)
        return answer

    async def _repeat(self, request: bytes, replies: frozenset[LinkReply]) -> LinkFrame:
        """A request that counts, repeated until it is answered; what the answer brings goes to `on_data`."""
        error: DeviceError | None = None
        for repeats in range(self._retries + 1):
            try:
                answer = await self._once(request, replies)
            except (Silent, Garbled) as found:
                error = found
                continue
            self._pending = None
            if answer.function != LinkReply.NACK or LinkReply.USER_DATA in replies:
                self._fcb = not self._fcb  # what was not taken is sent again as it was
            if answer.data:
                self._deliver(answer.data)
            if repeats:
                await self._take_owed(answer, replies, repeats)
            return answer
        assert error is not None
        self.down()
        raise error

    async def _take_owed(self, answer: LinkFrame, replies: frozenset[LinkReply], repeats: int) -> None:
        """Wait for the answers to all repeats: none may be taken for the answer to the next request."""
        for late in await self._line.owed(partial(self._accepts, replies), repeats, self._timeout_s):
            if late.data and late.data != answer.data:
                self._deliver(late.data)

    async def _once(self, request: bytes, replies: frozenset[LinkReply]) -> LinkFrame:
        if self._pause_s:
            await asyncio.sleep(self._pause_s)
        accept = partial(self._accepts, replies)
        answer = await self._line.exchange(request, accept, self._take_stray, self._timeout_s, self._subject)
        self.has_class_1, self.is_busy = answer.acd and not self._place.balanced, answer.dfc
        return answer

    def _accepts(self, replies: frozenset[LinkReply], frame: LinkFrame) -> bool:
        return self._is_from_here(frame) and frame.function in replies

    def _is_from_here(self, frame: LinkFrame) -> bool:
        return frame.address is None or not self._place.octets or frame.address == self._place.address

    def _take_stray(self, frame: LinkFrame) -> bool:
        """A late answer: its data count as delivered at the station, unless it is the last answer once more."""
        is_data = frame.function == LinkReply.USER_DATA and frame.data not in (b"", self._newest)
        if is_data and self._is_from_here(frame) and self.is_up:
            self._deliver(frame.data)
        return True

    def _deliver(self, asdu: bytes) -> None:
        self._newest = asdu
        self._on_data(asdu)


def _declined_words(answer: LinkFrame) -> str:
    if answer.function == LinkReply.NACK:
        return tr("the station's link is busy (NACK)")
    if answer.function == LinkReply.NOT_FUNCTIONING:
        return tr("the station's link says: service not functioning (14)")
    return tr("the station's link says: service not implemented (15)")
