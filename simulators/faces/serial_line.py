# SPDX-License-Identifier: GPL-3.0-or-later
"""A face on a pseudo terminal: what a serial line is to the agent, with no hardware. Linux.

The configured path becomes a link to the terminal's other end, as socat's `link=` does. Baud rate and parity are
accepted and have no effect: no bits travel.
"""

from __future__ import annotations

import asyncio
import os
import termios
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from collector.base.errors import CollectorError

_CHUNK: Final = 4096


class PtyTransport(asyncio.Transport):
    """The few things our protocols ask of a transport, over a pseudo terminal's master."""

    def __init__(self, protocol: asyncio.Protocol, master: int, slave: int) -> None:
        super().__init__()
        self._protocol = protocol
        self._master = master
        self._slave = slave
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(master, self._read)
        protocol.connection_made(self)

    def _read(self) -> None:
        try:
            data = os.read(self._master, _CHUNK)
        except OSError:
            return
        if data:
            self._let_settings_change()
            self._protocol.data_received(data)

    def _let_settings_change(self) -> None:
        """Whoever opens the line next finds a setting to change.

        A terminal has no parity, and the system refuses (EINVAL) settings of which it can keep nothing new: without
        this a line with parity opens once only.
        """
        settings = termios.tcgetattr(self._slave)
        if settings[4] != termios.B50:
            settings[4] = settings[5] = termios.B50
            termios.tcsetattr(self._slave, termios.TCSANOW, settings)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send; a terminal whose other end nobody empties loses what does not fit, as a line does."""
        if not self._closed:
            try:
                os.write(self._master, data)
            except BlockingIOError:
                return

    def is_closing(self) -> bool:
        """Whether it is closed."""
        return self._closed

    def pause_reading(self) -> None:
        """Hear nothing more."""
        self._loop.remove_reader(self._master)

    def abort(self) -> None:
        """A serial line has no connection to reset."""

    def close(self) -> None:
        """End it."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._master)
            self._protocol.connection_lost(None)


class SerialLine:
    """A pseudo terminal with a protocol behind it, reachable at `path`."""

    def __init__(self, path: Path, factory: Callable[[], asyncio.Protocol]) -> None:
        self._path = path
        self._factory = factory
        self._ends: tuple[int, int] | None = None
        self._transport: PtyTransport | None = None

    def open(self) -> None:
        """Make the terminal and the link to it.

        Raises:
            CollectorError: something that is not a link of an earlier run is already there.
        """
        if self._path.is_symlink():
            self._path.unlink()
        elif self._path.exists():
            raise CollectorError("exists and is not a simulator's link; name another path", subject=str(self._path))
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._ends = (master, slave)  # the slave stays open: without a reader the master would report an error
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.symlink_to(os.ttyname(slave))
        self._transport = PtyTransport(self._factory(), master, slave)

    def close(self) -> None:
        """Remove both."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        if self._ends is not None:
            for end in self._ends:
                os.close(end)
            self._ends = None
            self._path.unlink(missing_ok=True)
