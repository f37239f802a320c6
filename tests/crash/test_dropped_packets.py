# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets dropped on the way by a real kernel: three network namespaces, the middle one forgets a route.

Agent and center are in the first, the broker in the third. Needs root; without it the proxy of test_broker_faults.py
does what it can. Everything happens inside the namespaces, which go with the test.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

NEAR, FAR = "10.231.7.1", "10.231.8.1"


def ip(*words: str) -> None:
    """One ip command."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


def leave(name: str) -> None:
    """End whoever is still in a namespace, then the namespace."""
    inside = subprocess.run(["ip", "netns", "pids", name], capture_output=True, text=True, check=False).stdout
    for pid in inside.split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)
    subprocess.run(["ip", "netns", "del", name], check=True)


@pytest.fixture
def namespaces() -> Iterator[tuple[str, str, str]]:
    """Here, router, there: two links and the routes between them."""
    if os.geteuid() or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    mark = secrets.token_hex(3)
    names = f"col{mark}a", f"col{mark}r", f"col{mark}b"
    with ExitStack() as stack:
        for name in names:
            made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
            if made.returncode:
                pytest.skip(f"network namespaces cannot be made here: {made.stderr.strip()}")
            stack.callback(leave, name)
            ip("-n", name, "link", "set", "lo", "up")
        here, router, there = names
        for end, address, via in ((here, NEAR, "10.231.7.2"), (there, FAR, "10.231.8.2")):
            ip("link", "add", "up0", "netns", end, "type", "veth", "peer", "name", f"to-{end[-1]}", "netns", router)
            ip("-n", end, "addr", "add", f"{address}/24", "dev", "up0")
            ip("-n", router, "addr", "add", f"{via}/24", "dev", f"to-{end[-1]}")
            ip("-n", end, "link", "set", "up0", "up")
            ip("-n", router, "link", "set", f"to-{end[-1]}", "up")
            ip("-n", end, "route", "add", "default", "via", via)
        forward = ["ip", "netns", "exec", router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]
        if subprocess.run(forward, capture_output=True, check=False).returncode:
            pytest.skip("a namespace may not forward here")
        yield here, router, there


@pytest.mark.crash
def test_packets_dropped_both_ways_and_either_way_lose_and_double_nothing(
    namespaces: tuple[str, str, str],
) -> None:
    scenario = Path(__file__).with_name("inside_namespace.py")
    # A folder of a short name: the path of the agent's socket in it may have 107 bytes.
    with tempfile.TemporaryDirectory(prefix="dropped-") as folder:
        inner = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", f"--basetemp={folder}/in"]
        # Without a limit of its own: every wait inside has one.
        done = subprocess.run(
            ["ip", "netns", "exec", namespaces[0], *inner, str(scenario)], capture_output=True, text=True, check=False,
            cwd=Path(__file__).parents[2],
            env=os.environ | {"COLLECTOR_NAMESPACES": ",".join((*namespaces, NEAR, FAR))},
        )  # fmt: skip
    print(done.stdout[-3000:])
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
