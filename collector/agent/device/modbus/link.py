# SPDX-License-Identifier: GPL-3.0-or-later
"""One Modbus connection on pymodbus's transport, with the one request under way on it.

pymodbus's own transaction manager is not used: its lock, its objects for request and answer and its `asyncio.wait_for`
cost more than reading and decoding the answer. Its transport connects, and its classes encode the requests.

Undocumented parts of `ModbusProtocol` in use: `transport`, `call_create` (which connects; `connect` hides the reason of
a failure), `loop`, `close`, `is_active` and the callbacks.
"""

from __future__ import annotations

import asyncio
from typing import Final

from pymodbus.transport import CommParams, CommType, ModbusProtocol

from collector.agent.device.modbus.framing import Framer

_RECEIVE_BUFFER: Final = 4096


class LateAnswer(Exception):  # noqa: N818 - caught by `Exchange`
    """The answer did not come in time."""


class LostLink(Exception):  # noqa: N818 - caught by `Exchange`
    """The connection was lost while an answer was awaited."""


class ModbusLink(ModbusProtocol, asyncio.Protocol):
    """One connection: TCP or UDP to `host` and `port`, or whatever transport a serial line connects it to.

    `framer`: finds the answers, and keeps what comes while nobody waits.
    """

    def __init__(self, name: str, host: str, port: int, framer: Framer, *, datagrams: bool = False) -> None:
        kind = CommType.UDP if datagrams else CommType.TCP
        super().__init__(CommParams(name, kind, reconnect_delay=0, host=host or "serial", port=port), is_server=False)
        self.framer = framer
        self._datagrams = datagrams
        self._answer: asyncio.Future[bytes] | None = None
        # Received, but not used up: the beginning of a frame.
        self._rest = b""

    async def open_socket(self) -> None:
        """Connect to `host` and `port`; the caller sets the timeout. Raises `OSError` with the system's reason."""
        await self.call_create()

    def send(self, request: bytes, addr: tuple[object, ...] | None = None) -> None:
        """Refuse: requests are sent by `ask`."""
        raise NotImplementedError

    def ask(self, request: bytes) -> asyncio.Future[bytes]:
        """Send a request; the result of the future is the function code of its answer and what follows.

        Raises:
            LostLink: the connection was closed meanwhile; uvloop refuses such a write with RuntimeError.
        """
        if self.transport is None or self.transport.is_closing():
            raise LostLink
        self._rest = b""
        answer = self._answer = self.loop.create_future()
        if self._datagrams:
            self.transport.sendto(request)  # type: ignore[attr-defined]
        else:
            self.transport.write(request)  # type: ignore[attr-defined]
        return answer

    def end_wait(self, error: Exception | type[Exception]) -> None:
        """End the wait for an answer, if any."""
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def expire(self) -> None:
        """End the wait: the time for an answer is over."""
        self.end_wait(LateAnswer)

    def data_received(self, data: bytes) -> None:
        """Hand what came to the framer. A mistake in there must not end the process: it is raised where one waits."""
        if self._rest:
            data = self._rest + data
            if len(data) > _RECEIVE_BUFFER:
                self._rest = b""
                return
        try:
            used, pdu = self.framer.take(data)
        except Exception as error:
            self._rest = b""
            self.end_wait(error)
            return
        self._rest = data[used:]
        if pdu is not None and (answer := self._answer) is not None:
            self._answer = None
            if not answer.done():
                answer.set_result(pdu)

    def datagram_received(self, data: bytes, addr: tuple[object, ...] | None) -> None:  # noqa: ARG002
        """Hand a datagram to `data_received`."""
        self.data_received(data)

    def callback_new_connection(self) -> ModbusProtocol:
        """Refuse: this is no server."""
        raise NotImplementedError

    def callback_connected(self) -> None:
        """Do nothing: whoever opened the socket goes on."""

    def callback_disconnected(self, exc: Exception | None) -> None:  # noqa: ARG002
        """End the wait for an answer: none will come."""
        self.end_wait(LostLink)

    def callback_data(self, data: bytes, addr: tuple[object, ...] | None = None) -> int:
        """Refuse: `data_received` replaces it."""
        raise NotImplementedError
