# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP proxy between agent and broker that simulates a cut cable: it drops bytes without closing the connection.

A connection open at the cut stays silent for ever, like a real one whose packets were dropped for long; connections
opened after `mend` work. The proxy runs in its own thread; its methods may be called from any thread.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

_CHUNK: Final = 65_536
_PATIENCE_S: Final = 30.0


class Cable:
    """Forwards one loopback port to another while the `with` block runs."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cable", daemon=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.target_port = 0
        self.swallowed_bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self.mend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_PATIENCE_S)
        self._loop.close()

    def cut(self) -> None:
        """Drop all bytes on open connections and refuse new ones."""
        self._run(self._cut())

    def refuse(self) -> None:
        """Refuse new connections as if nothing listened; open ones keep working."""
        self._run(self._stop_listening())

    def mend(self) -> None:
        """Accept new connections again."""
        self._run(self._listen())

    def _run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(_PATIENCE_S)

    async def _listen(self) -> None:
        if self._server is not None:
            return
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _cut(self) -> None:
        self._silent |= self._writers
        await self._stop_listening()

    async def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _end(self) -> None:
        await self._cut()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        ends = [writer]
        try:
            with suppress(OSError):
                far_reader, far = await asyncio.open_connection("127.0.0.1", self.target_port)
                ends.append(far)
                for each in ends:
                    each.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._writers |= set(ends)
                await asyncio.gather(self._pump(reader, far), self._pump(far_reader, writer))
        finally:
            self._tasks.discard(task)
            self._writers -= set(ends)
            self._silent -= set(ends)
            for each in ends:
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if writer in self._silent:
                    self.swallowed_bytes += len(data)
                    continue
                writer.write(data)
                await writer.drain()
        if writer not in self._silent:
            with suppress(OSError):
                writer.write_eof()
