# SPDX-License-Identifier: GPL-3.0-or-later
"""The line that can be cut, over real sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from collector.accept.cable import Cable
from tests.patience import HANG_S, SILENCE_S


@pytest.fixture
def echo_port() -> Iterator[int]:
    """Somebody who says back what they hear."""
    server = socket.create_server(("127.0.0.1", 0))
    links: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(link: socket.socket) -> None:
        with suppress(OSError):
            while data := link.recv(1024):
                link.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                links.append(server.accept()[0])
                threads.append(threading.Thread(target=serve, args=(links[-1],)))
                threads[-1].start()

    threads.append(threading.Thread(target=accept))
    threads[0].start()
    yield int(server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    for link in links:
        with suppress(OSError):
            link.shutdown(socket.SHUT_RDWR)
        link.close()
    for thread in threads:
        thread.join(HANG_S)


def test_what_stood_stays_silent_and_what_comes_after_the_mending_works(echo_port: int) -> None:
    with Cable() as cable:
        cable.target_port = echo_port
        with closing(socket.create_connection(("127.0.0.1", cable.port), HANG_S)) as old:
            old.sendall(b"one")
            assert old.recv(3) == b"one"
            cable.cut()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", cable.port), HANG_S)
            old.sendall(b"two")
            cable.mend()
            with closing(socket.create_connection(("127.0.0.1", cable.port), HANG_S)) as new:
                new.sendall(b"three")
                assert new.recv(5) == b"three"
            old.settimeout(SILENCE_S)
            with pytest.raises(TimeoutError):
                old.recv(1)
        assert cable.swallowed_bytes == 3


def test_a_refusing_line_leaves_alone_what_stands(echo_port: int) -> None:
    with Cable() as cable:
        cable.target_port = echo_port
        with closing(socket.create_connection(("127.0.0.1", cable.port), HANG_S)) as old:
            old.sendall(b"one")
            assert old.recv(3) == b"one"
            cable.refuse()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", cable.port), HANG_S)
            old.sendall(b"two")
            assert old.recv(3) == b"two"
