# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy before a broker: acknowledgements (PUBACK) of one side are kept back, messages of the other counted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Final, Literal

PUBLISH: Final = 3
PUBACK: Final = 4


class Held:
    """Packets counted since the start. `most`: the most messages that waited for their acknowledgement at one time.

    Args:
        sender: whose messages are counted; the other side's acknowledgements wait until `release`.
    """

    def __init__(self, sender: Literal["broker", "client"]) -> None:
        self.sender = sender
        self.port = 0
        self.messages = self.waiting = self.most = 0
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let acknowledgements pass from now on."""
        self._released.set()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counts: bool) -> None:
        """Carry the packets of one direction, each whole; `counts`: that of the messages."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                packet = await _packet(reader)
                kind, quality = packet[0] >> 4, packet[0] >> 1 & 3
                if counts and kind == PUBLISH and quality:
                    self.messages, self.waiting = self.messages + 1, self.waiting + 1
                    self.most = max(self.most, self.waiting)
                if not counts and kind == PUBACK:
                    await self._released.wait()
                    self.waiting -= 1
                writer.write(packet)
                await writer.drain()
        writer.close()


async def _packet(reader: asyncio.StreamReader) -> bytes:
    """One MQTT packet. Source: MQTT 5.0, 2.1.4."""
    packet = await reader.readexactly(1)
    length = shift = 0
    while True:
        byte = await reader.readexactly(1)
        packet += byte
        length |= (byte[0] & 0x7F) << shift
        shift += 7
        if not byte[0] & 0x80:
            return packet + await reader.readexactly(length)


@asynccontextmanager
async def held_back(broker_port: int, sender: Literal["broker", "client"]) -> AsyncIterator[Held]:
    """A proxy at a free port, `port`, before the broker at `broker_port`."""
    held = Held(sender)
    tasks: set[asyncio.Task[None]] = set()
    opened: list[Callable[[], None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", broker_port)
        opened.extend((writer.transport.abort, back.transport.abort))
        tasks.add(asyncio.create_task(held.pump(reader, back, counts=sender == "client")))
        tasks.add(asyncio.create_task(held.pump(there, writer, counts=sender == "broker")))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    held.port = server.sockets[0].getsockname()[1]
    try:
        yield held
    finally:
        server.close()
        for abort in opened:
            abort()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
