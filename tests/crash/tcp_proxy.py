# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP connection that goes wrong on the way: swallowed without a word, held up, torn.

A connection from which bytes were swallowed stays silent for ever, as a real one would after its packets were dropped
for longer than anybody repeats them; what is opened after `heal` works.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from tests.patience import HANG_S

UP: Final = "up"  # from the client to the server
DOWN: Final = "down"
_CHUNK: Final = 4096


class _Link:
    """One connection: two pumps, each of which may have gone silent."""

    def __init__(self, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self.client, self.server = client, server
        self.silent: set[str] = set()

    def tear(self) -> None:
        """Reset at both ends."""
        for writer in (self.client, self.server):
            link = writer.get_extra_info("socket")
            with suppress(OSError, AttributeError):
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Forwards to a loopback port; its methods may be called from the test's thread. Made by `proxy_to`."""

    def __init__(self, target_port: int, seed: int) -> None:
        self._target_port = target_port
        self._dice = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._swallowing: frozenset[str] = frozenset()
        self._delay_s = 0.0
        self._server: asyncio.Server | None = None
        self.port = 0
        self.connections = 0
        self.swallowed_bytes = 0

    def open(self) -> None:
        """Listen on a free port."""
        self._thread.start()
        self._run(self._listen())

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(HANG_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """End every connection and the thread."""

        async def end() -> None:
            await self._stop_listening()
            for link in tuple(self._links):
                link.tear()
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

        self._run(end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(HANG_S)
        self._loop.close()

    @property
    def standing(self) -> int:
        """Connections that neither end has given up."""
        return len(self._links)

    def swallow(self, *directions: str) -> None:
        """From now on nothing of these directions arrives on what stands, and nobody is told; nobody gets in anew."""
        self._swallowing = frozenset(directions)
        self._run(self._stop_listening())

    def heal(self) -> None:
        """New connections work again."""
        self._swallowing = frozenset()
        self._run(self._listen())

    def delay(self, most_s: float) -> None:
        """Every piece is held up, each for a time of its own; 0: no more."""
        self._delay_s = most_s

    def tear(self) -> None:
        """Reset what stands."""

        def tear() -> None:
            for link in tuple(self._links):
                link.tear()

        self._loop.call_soon_threadsafe(tear)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            self._tasks.discard(task)
            return
        for each in (writer, far_writer):
            each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connections += 1
        link = _Link(writer, far_writer)
        self._links.add(link)
        try:
            await asyncio.gather(self._pump(link, UP, reader, far_writer), self._pump(link, DOWN, far_reader, writer))
        finally:
            self._links.discard(link)
            self._tasks.discard(task)
            link.tear()

    async def _pump(
        self, link: _Link, direction: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                link.silent |= self._swallowing
                if direction in link.silent:
                    self.swallowed_bytes += len(data)
                    continue
                if self._delay_s:
                    await asyncio.sleep(self._dice.uniform(0, self._delay_s))
                writer.write(data)
                await writer.drain()
        if direction not in link.silent:
            with suppress(OSError):
                writer.write_eof()


@contextmanager
def proxy_to(port: int, *, seed: int = 1) -> Iterator[Proxy]:
    """A proxy for as long as the block runs."""
    proxy = Proxy(port, seed)
    proxy.open()
    try:
        yield proxy
    finally:
        proxy.close()
