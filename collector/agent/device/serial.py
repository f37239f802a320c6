# SPDX-License-Identifier: GPL-3.0-or-later
"""Serial lines, through serialx: the one asyncio serial library at hand that opens a pty with even parity."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Literal

from serialx import BaseSerialTransport, Parity, SerialException, create_serial_connection

_PARITIES: Final = {"none": Parity.NONE, "even": Parity.EVEN, "odd": Parity.ODD}


@dataclass(frozen=True, slots=True)
class SerialLine:
    """One line, 8 data bits, 1 stop bit. `path`: e.g. /dev/ttyS1; `baud`: bits per second."""

    path: str
    baud: int
    parity: Literal["none", "even", "odd"]

    @property
    def bits_per_byte(self) -> int:
        """Bits on the wire for one byte: start, data, parity, stop."""
        return 10 if self.parity == "none" else 11

    async def connect(
        self, protocol_factory: Callable[[], asyncio.Protocol]
    ) -> tuple[BaseSerialTransport, asyncio.Protocol]:
        """Open the line for a protocol.

        Raises:
            OSError: no such line, in use, or it can't be set up so.
        """
        try:
            return await create_serial_connection(
                asyncio.get_running_loop(), protocol_factory, self.path, self.baud, _PARITIES[self.parity]
            )
        except SerialException as error:
            raise OSError(str(error)) from error

    def connector(
        self, protocol_factory: Callable[[], asyncio.Protocol]
    ) -> Callable[[], Awaitable[tuple[BaseSerialTransport, asyncio.Protocol]]]:
        """`connect` for `protocol_factory`, for a library that opens its transport itself."""

        async def connect() -> tuple[BaseSerialTransport, asyncio.Protocol]:
            return await self.connect(protocol_factory)

        return connect
