# SPDX-License-Identifier: GPL-3.0-or-later
"""A listening address that can refuse connections for a while without losing its port to another process.

The socket stays bound while it refuses (a listening socket that is shut down refuses, and can listen again). It listens
again at once, before the event loop runs: clients that connect meanwhile wait in the backlog.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from collector.base.errors import CollectorError
from simulators.faces.datagrams import DatagramListener

_BACKLOG: Final = 256


class ListenError(CollectorError):
    """Addresses that can't be listened on, all reported together. `found`: who wanted each, and the system's error."""

    def __init__(self, found: Sequence[tuple[str, OSError]]) -> None:
        self.found = tuple(found)
        lines = [f"  {who}: {error.strerror or error}" for who, error in found]
        remedy = "end the program that listens there (ss -ltnp names it), or write another address into the file"
        super().__init__("\n".join(["can't listen:", *lines, remedy]))


class Listener:
    """Listens on one address and gives each connection a protocol made by `factory`."""

    def __init__(self, factory: Callable[[], asyncio.Protocol]) -> None:
        self._factory = factory
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._starting: asyncio.Task[None] | None = None
        self.refusing = False

    async def open(self, host: str, port: int) -> int:
        """Listen; port 0 takes a free one. Returns the port.

        Raises:
            OSError: the address is in use, or does not belong to this machine.
        """
        if port == 0:
            with socket.socket() as probe:
                probe.bind((host, 0))
                port = probe.getsockname()[1]
        self._socket = socket.socket()
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(_BACKLOG)
            await self._serve()
        except OSError as error:
            self.close()
            raise OSError(error.errno, f"{error.strerror or error}: {host}:{port}") from error
        return port

    async def _serve(self) -> None:
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._factory, sock=self._socket.dup(), backlog=_BACKLOG)

    def refuse(self) -> None:
        """Refuse connections from now on; the caller must drop the existing ones."""
        if self._socket is None or self.refusing:
            return
        self.refusing = True
        self._stop_serving()
        self._socket.shutdown(socket.SHUT_RDWR)

    def accept(self) -> None:
        """Listen again on the same address."""
        if self._socket is None or not self.refusing:
            return
        self.refusing = False
        self._socket.listen(_BACKLOG)
        self._starting = asyncio.get_running_loop().create_task(self._serve(), name="listen again")

    def close(self) -> None:
        """Give the address up."""
        self._stop_serving()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _stop_serving(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        if self._server is not None:
            self._server.close()
            self._server = None


class Connection(Protocol):
    """One connection of a face."""

    peer: str

    def abort(self) -> None:
        """Reset the connection."""
        ...


class Face:
    """The base of all faces: the listener and the links of the devices at one address."""

    def __init__(self, factory: Callable[[], asyncio.Protocol], *, datagrams: bool = False) -> None:
        self.factory = factory
        self._listener = DatagramListener(factory) if datagrams else Listener(factory)
        self.links: set[Connection] = set()

    async def listen(self, host: str, port: int) -> int:
        """Open the address; port 0 takes a free one. Returns the port."""
        return await self._listener.open(host, port)

    def drop_links(self) -> None:
        """Reset every connection of every address."""
        for link in tuple(self.links):
            link.abort()

    def refuse(self, number: int = 0) -> None:
        """Reset connections and refuse new ones. `number` selects an address of faces that have several."""
        del number
        self._listener.refuse()
        self.drop_links()

    def accept(self) -> None:
        """Accept connections at the same address again."""
        self._listener.accept()

    async def close(self) -> None:
        """Close the address, and let the loop process the lost connections."""
        self._listener.close()
        self.drop_links()
        await asyncio.sleep(0)
