# SPDX-License-Identifier: GPL-3.0-or-later
"""STARTDT (activation), sent on c104's socket, but not by c104.

c104 2.2.1 writes STARTDT without looking whether its socket still exists: while a connection ends, 10 ms or more, the
writer waits for the lock of the connection, and then writes to a socket that is gone. The whole process dies of it (a
station that accepts and closes at once, as many do that have all their clients, ends it within a minute). Beside this,
c104 forgets to send it in one start of six. So the connection is made `Init.MUTED`, and the six octets are written to a
duplicate of its descriptor: where the connection has ended meanwhile, that is an error like any other.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

# IEC 60870-5-104, 5.3: U format, STARTDT act. It commands nothing; it asks for the start of data transfer.
_STARTDT_ACT: Final = bytes((0x68, 0x04, 0x07, 0x00, 0x00, 0x00))
_DESCRIPTORS: Final = Path("/proc/self/fd")


class TransferStart:
    """Asks a server for the start of data transfer, once on each connection to it."""

    def __init__(self, host: str, port: int) -> None:
        """`host`: name or address; `port`: of the station."""
        self._host, self._port = host, port
        self._asked: set[tuple[object, ...]] = set()

    def ask(self) -> None:
        """Send STARTDT on every connection of this process to the server that has not had it; may look up a name."""
        open_now = set()
        for connection in _connections_to({self._host, *_addresses(self._host)}, self._port):
            with connection, contextlib.suppress(OSError):
                own_end = connection.getsockname()
                open_now.add(own_end)
                if own_end not in self._asked:
                    connection.send(_STARTDT_ACT, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        self._asked = open_now


def _addresses(host: str) -> set[str]:
    with contextlib.suppress(OSError, UnicodeError):
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    return set()


def _connections_to(addresses: set[str], port: int) -> Iterator[socket.socket]:
    """Duplicates of this process's connected sockets to a server, to be closed by the caller."""
    for name in [path.name for path in _DESCRIPTORS.iterdir()]:
        with contextlib.suppress(OSError):
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            descriptor = os.dup(int(name))
            try:
                own = socket.socket(fileno=descriptor)
            except OSError:
                os.close(descriptor)
                continue
            if own.type == socket.SOCK_STREAM and _peer(own) in {(address, port) for address in addresses}:
                yield own
            else:
                own.close()


def _peer(connection: socket.socket) -> tuple[object, ...]:
    try:
        return tuple(connection.getpeername()[:2])
    except (OSError, TypeError):
        return ()
