# SPDX-License-Identifier: GPL-3.0-or-later
"""A UDP address that looks to a face like a listener: each client has a protocol and a transport of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class DatagramPeer(asyncio.Transport):
    """Sends to one client."""

    def __init__(self, endpoint: asyncio.DatagramTransport, address: tuple[str, int]) -> None:
        super().__init__({"peername": address})
        self._endpoint, self._address = endpoint, address

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send one datagram."""
        if not self._endpoint.is_closing():
            self._endpoint.sendto(data, self._address)

    def is_closing(self) -> bool:
        """Whether the address was given up."""
        return self._endpoint.is_closing()

    def pause_reading(self) -> None:
        """Do nothing: there is no connection to leave half open."""

    def close(self) -> None:
        """Do nothing: there is no connection."""

    abort = close


class DatagramListener(asyncio.DatagramProtocol):
    """Gives each client a protocol made by `factory`."""

    def __init__(self, factory: Callable[[], asyncio.Protocol]) -> None:
        self._factory = factory
        self._endpoint: asyncio.DatagramTransport | None = None
        self._clients: dict[tuple[str, int], asyncio.Protocol] = {}
        self.refusing = False

    async def open(self, host: str, port: int) -> int:
        """Listen; port 0 takes a free one. Returns the port.

        Raises:
            OSError: the address is in use, or does not belong to this machine.
        """
        loop = asyncio.get_running_loop()
        self._endpoint, _ = await loop.create_datagram_endpoint(lambda: self, (host, port))
        return int(self._endpoint.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Hand a request to the protocol of its client."""
        if self.refusing or self._endpoint is None:
            return
        client = self._clients.get(addr)
        if client is None:
            client = self._clients[addr] = self._factory()
            client.connection_made(DatagramPeer(self._endpoint, addr))
        client.data_received(data)

    def refuse(self) -> None:
        """Answer nothing from now on."""
        self.refusing = True

    def accept(self) -> None:
        """Answer again."""
        self.refusing = False

    def close(self) -> None:
        """Give the address up."""
        while self._clients:
            self._clients.popitem()[1].connection_lost(None)
        if self._endpoint is not None:
            self._endpoint.close()
            self._endpoint = None
