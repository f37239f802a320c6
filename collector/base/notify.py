# SPDX-License-Identifier: GPL-3.0-or-later
"""Notices to systemd (Type=notify, WatchdogSec=), one datagram each; nothing is sent where systemd does not run us."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable


def notify(message: str) -> None:
    """Send e.g. `READY=1`, `WATCHDOG=1`, `STATUS=…` or `STOPPING=1`."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
        try:
            datagram.sendto(message.encode(), address)
        except OSError:
            # A supervisor that does not listen must not stop the process; its watchdog will act.
            return


def watchdog() -> Callable[[], None]:
    """A function that tells systemd's watchdog that this process is alive; does nothing where none watches."""
    if not os.environ.get("NOTIFY_SOCKET"):
        return lambda: None  # called at every tick: looking into the environment each time cost as much as a record
    return lambda: notify("WATCHDOG=1")
