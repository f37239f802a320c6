# SPDX-License-Identifier: GPL-3.0-or-later
"""A face on a pseudo terminal, which the agent uses as a serial line without hardware. Linux only.

The configured path becomes a symbolic link to the terminal's other end, as with socat's `link=`. Baud rate and parity
are accepted but have no effect.
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
    """The few transport functions our protocols use, on the master of a pseudo terminal."""

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
        """Change a setting, so that the next opening of the line has a setting to change back.

        A pseudo terminal has no parity, and the system refuses (EINVAL) settings that change nothing: without this a
        line with parity could be opened only once.
        """
        settings = termios.tcgetattr(self._slave)
        if settings[4] != termios.B50:
            settings[4] = settings[5] = termios.B50
            termios.tcsetattr(self._slave, termios.TCSANOW, settings)

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        """Send; bytes that do not fit because the other end does not read are lost, as on a real line."""
        if not self._closed:
            try:
                os.write(self._master, data)
            except BlockingIOError:
                return

    def is_closing(self) -> bool:
        """Whether the transport is closed."""
        return self._closed

    def pause_reading(self) -> None:
        """Stop reading."""
        self._loop.remove_reader(self._master)

    def abort(self) -> None:
        """Do nothing: a serial line has no connection to reset."""

    def close(self) -> None:
        """Close the transport."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._master)
            self._protocol.connection_lost(None)


class PseudoTerminal:
    """A pseudo terminal with a protocol behind it, reachable at `path`."""

    def __init__(self, path: Path, factory: Callable[[], asyncio.Protocol]) -> None:
        self._path = path
        self._factory = factory
        self._ends: tuple[int, int] | None = None
        self._transport: PtyTransport | None = None

    def open(self) -> None:
        """Create the terminal and the link to it.

        Raises:
            CollectorError: the path exists and is not a link of an earlier run.
        """
        if self._path.is_symlink():
            self._path.unlink()
        elif self._path.exists():
            raise CollectorError("exists and is not a simulator's link; name another path", subject=str(self._path))
        master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._ends = (master, slave)  # the slave stays open: without an open slave the master reports an error
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.symlink_to(os.ttyname(slave))
        self._transport = PtyTransport(self._factory(), master, slave)

    def close(self) -> None:
        """Remove the link and close the terminal."""
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        if self._ends is not None:
            for end in self._ends:
                os.close(end)
            self._ends = None
            self._path.unlink(missing_ok=True)
