# SPDX-License-Identifier: GPL-3.0-or-later
"""A station that accepts and closes at once, as one with all its clients: whatever it does, the process lives.

c104's own STARTDT ends the process here at the first hundred connections; see `startdt.py`. So the links are in a
process of their own.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from collector.agent.device.iec104.link import Link
from collector.agent.device.iec104.startdt import TransferStart
from collector.points.agent_config import DeviceConfig
from simulators.plant.scenario import free_ports
from tests.patience import SILENCE_S, HangGuard, wait_until

ROOT = Path(__file__).parents[3]
# Not more: their callbacks share one interpreter, and c104 ends a process in which one waits 0.1 s for another's lock.
LINKS = 30
TURNED_AWAY = 300
STARTDT_ACT = bytes.fromhex("680407000000")


def settings(port: int) -> DeviceConfig:
    return DeviceConfig(
        id="d", protocol="iec104", host="127.0.0.1", port=port, points="p.csv", common_addresses=[1], t0_s=1, t1_s=1
    )


def connect_all(port: int) -> None:
    """Many links to one server, each asking for its start whenever it seems connected, until they are all refused."""
    links = [Link(settings(port), ("127.0.0.1", port), lambda: 0, lambda: None) for _ in range(LINKS)]
    for link in links:
        link.start()
    while True:
        for link in links:
            if link.is_muted:
                link.start_transfer()
        time.sleep(0.005)


@pytest.mark.parametrize("longest_s", [0.0, 0.03])
def test_the_process_outlives_a_station_that_turns_everybody_away(longest_s: float) -> None:
    chance = random.Random(7)
    with socket.create_server(("127.0.0.1", 0), backlog=LINKS) as server:
        port = server.getsockname()[1]
        child = subprocess.Popen([sys.executable, __file__, str(port)], cwd=ROOT, env={**os.environ, "PYTHONPATH": "."})
        turned_away = 0
        try:
            server.settimeout(SILENCE_S)
            guard = HangGuard("a link to connect", lambda: turned_away)
            while turned_away < TURNED_AWAY and child.poll() is None:
                guard.check()
                with contextlib.suppress(TimeoutError), server.accept()[0]:
                    turned_away += 1
                    if longest_s:
                        time.sleep(chance.random() * longest_s)
            assert child.poll() is None, f"it ended with {child.returncode} after {turned_away} connections"
        finally:
            child.kill()
            child.wait()


def test_a_start_is_asked_for_once_on_each_connection_and_on_no_other() -> None:
    (port,) = free_ports(1)
    start = TransferStart("127.0.0.1", port)
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_server(("127.0.0.1", 0)) as another:
        start.ask()  # no connection, no harm
        with socket.create_connection(another.getsockname()) as foreign, socket.create_connection(("127.0.0.1", port)):
            theirs, at_station = another.accept()[0], server.accept()[0]
            start.ask()
            start.ask()
            assert at_station.recv(100) == STARTDT_ACT
            with socket.create_connection(("127.0.0.1", port)):
                again = server.accept()[0]
                start.ask()
                assert again.recv(100) == STARTDT_ACT
                for quiet in (theirs, at_station):
                    quiet.setblocking(False)
                    with pytest.raises(BlockingIOError):
                        quiet.recv(1)
            for accepted in (theirs, at_station, again):
                accepted.close()
            assert foreign.fileno() >= 0


def test_asking_leaves_no_descriptor_behind() -> None:
    (port,) = free_ports(1)
    start = TransferStart("localhost", port)
    with socket.create_server(("127.0.0.1", port)), socket.create_connection(("127.0.0.1", port)):
        start.ask()
        before = len(threading.enumerate()), _open_descriptors()
        for _ in range(20):
            start.ask()
        wait_until(lambda: (len(threading.enumerate()), _open_descriptors()) == before, "every descriptor closed")


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


if __name__ == "__main__":
    connect_all(int(sys.argv[1]))
