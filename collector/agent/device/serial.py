# SPDX-License-Identifier: GPL-3.0-or-later
"""Serial lines, through serialx: the only asyncio serial library we know that opens a pty with even parity.

serialx locks a line and releases it some time after `close` or `abort`, on a thread: until then the line is in use.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from serialx import BaseSerialTransport, Parity, SerialException, create_serial_connection

_PARITIES: Final = {"none": Parity.NONE, "even": Parity.EVEN, "odd": Parity.ODD}


class SerialLine:
    """One line, 8 data bits, 1 stop bit."""

    def __init__(self, path: str, baud: int, parity: Literal["none", "even", "odd"]) -> None:
        """`path`: e.g. /dev/ttyS1; `baud`: bits per second."""
        self.path, self.baud, self.parity = path, baud, parity
        self._newest: BaseSerialTransport | None = None

    @property
    def bits_per_byte(self) -> int:
        """Bits on the wire for one byte: start, data, parity, stop."""
        return 10 if self.parity == "none" else 11

    async def connect(
        self, protocol_factory: Callable[[], asyncio.Protocol]
    ) -> tuple[BaseSerialTransport, asyncio.Protocol]:
        """Open the line for a protocol as soon as its last user has released it; the caller sets the timeout.

        Raises:
            OSError: there is no such line, it is in use, or it refuses these settings.
        """
        if self._newest is not None and self._newest.is_closing():
            # Shielded from cancellation: the future belongs to the library, others may wait for it later.
            await asyncio.shield(self._newest.wait_closed())
        try:
            transport, protocol = await create_serial_connection(
                asyncio.get_running_loop(), protocol_factory, self.path, self.baud, _PARITIES[self.parity]
            )
        except SerialException as error:
            raise OSError(str(error)) from error
        self._newest = transport
        return transport, protocol

    def connector(
        self, protocol_factory: Callable[[], asyncio.Protocol]
    ) -> Callable[[], Awaitable[tuple[BaseSerialTransport, asyncio.Protocol]]]:
        """`connect` bound to `protocol_factory`, for a library that opens its transport itself."""

        async def connect() -> tuple[BaseSerialTransport, asyncio.Protocol]:
            return await self.connect(protocol_factory)

        return connect
