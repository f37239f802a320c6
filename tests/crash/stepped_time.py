# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock that somebody sets: between an agent and the simulator that keeps the time, with an offset of its own."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

from tests.patience import HANG_S

_WIDTH = 8


class SteppedTime:
    """Answers agents with the simulator's time plus `offset_ms`, which the test may change at any moment."""

    def __init__(self, target_port: int) -> None:
        self.offset_ms = 0
        self._target_port = target_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, name="stepped-time", daemon=True)]
        self._links: list[socket.socket] = []
        self._threads[0].start()

    def close(self) -> None:
        """End it."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for link in self._links:
            with suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(HANG_S)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                thread = threading.Thread(target=self._serve, args=(client,), name="stepped-time", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        with closing(client), suppress(OSError), socket.create_connection(("127.0.0.1", self._target_port)) as keeper:
            self._links += [client, keeper]
            client.sendall(_shifted(keeper.recv(_WIDTH), self.offset_ms))
            while wanted := client.recv(_WIDTH):
                keeper.sendall(_shifted(wanted, -self.offset_ms))
                if not (reached := keeper.recv(_WIDTH)):
                    return
                client.sendall(_shifted(reached, self.offset_ms))


def _shifted(instant: bytes, by_ms: int) -> bytes:
    return (int.from_bytes(instant, "big", signed=True) + by_ms).to_bytes(_WIDTH, "big", signed=True)


@contextmanager
def stepped_time(target_port: int) -> Iterator[SteppedTime]:
    """For as long as the block runs."""
    stepped = SteppedTime(target_port)
    try:
        yield stepped
    finally:
        stepped.close()
