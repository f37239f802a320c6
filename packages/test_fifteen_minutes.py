# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/fifteen-minutes.md word by word: two bare roots, a network of their own between them, no systemd.

Each command runs as it is printed, as root, in its machine (packages/machine.py). TRANSCRIPT: a file for the commands,
the wall time of each and what it printed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from packages.machine import PASSWORD, Machine
from packages.roots import bare_root
from tests.patience import wait_until

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs/fifteen-minutes.md"
CENTER, GATEWAY = "center.example", "gateway-1"
ADDRESSES = {CENTER: "10.213.7.1", GATEWAY: "10.213.7.2"}


def commands() -> Iterator[tuple[str, str]]:
    """Machine and command, in the order of the page; a step says on which machine it is, or stays on the one before."""
    machine = CENTER
    for step in PAGE.read_text("utf-8").split("\n## ")[1:]:
        named = re.search(r"^On `([\w.-]+)`", step, re.MULTILINE)
        machine = named[1] if named else machine
        for block in re.findall(r"^```sh\n(.*?)^```$", step, re.MULTILINE | re.DOTALL):
            yield from ((machine, line) for line in block.splitlines())


@contextmanager
def networks() -> Iterator[dict[str, list[str]]]:
    """A network namespace for each machine, with a cable between both; how a command enters each."""
    names = {machine: f"collector-{number}-{os.getpid()}" for number, machine in enumerate(ADDRESSES)}
    ip = ["ip", "-batch", "-"]
    lines = [f"netns add {name}" for name in names.values()]
    lines += [
        f"link add vc{os.getpid()} netns {names[CENTER]} type veth peer name vg{os.getpid()} netns {names[GATEWAY]}"
    ]
    subprocess.run(ip, input="\n".join(lines), text=True, check=True)
    try:
        for machine, end in ((CENTER, "vc"), (GATEWAY, "vg")):
            device = f"{end}{os.getpid()}"
            up = f"address add {ADDRESSES[machine]}/24 dev {device}\nlink set {device} up\nlink set lo up\n"
            subprocess.run(["ip", "-netns", names[machine], "-batch", "-"], input=up, text=True, check=True)
        yield {machine: ["nsenter", f"--net=/run/netns/{name}"] for machine, name in names.items()}
    finally:
        for name in names.values():
            subprocess.run(["ip", "netns", "delete", name], check=True)


@pytest.fixture
def machines() -> Iterator[dict[str, Machine]]:
    """Both machines with their package in /root, and the name of the center in their hosts files."""
    with ExitStack() as stack:
        entered, made, transcript = stack.enter_context(networks()), dict[str, Machine](), list[str]()
        for name, side in ((CENTER, "center"), (GATEWAY, "agent")):
            root = stack.enter_context(bare_root(entered[name]))
            hosts = [f"{address} {host}\n" for host, address in ADDRESSES.items()]
            root.path("/etc/hosts").write_text("127.0.0.1 localhost\n" + "".join(hosts))
            shutil.copy("/etc/resolv.conf", root.path("/etc/resolv.conf"))
            shutil.copy(root.package(side), root.path("/root"))
            made[name] = Machine(root, name, transcript)
            stack.callback(made[name].end)
        yield made
        if kept := os.environ.get("TRANSCRIPT"):
            Path(kept).write_text("\n".join(transcript) + "\n", "utf-8")


def seen(machine: Machine, address: str) -> str:
    """A page as a person who has logged in sees it, from the machine it is on."""
    command = [*machine.root.network, sys.executable, "-m", "packages.look", address, "admin", PASSWORD]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_page_leads_from_two_packages_to_the_first_record(machines: dict[str, Machine]) -> None:
    center = machines[CENTER]
    lines = list(commands())
    assert {machine for machine, _ in lines} == set(machines)
    for machine, line in lines[:-1]:
        asks_doctor = " agent doctor " in line
        said = machines[machine].type(line, machines, good=not asks_doctor)
        if asks_doctor:  # which may find that nobody sets this machine's clock, and nothing else
            assert set(re.findall(r"^(?:error|warning): (\w+)", said, re.MULTILINE)) <= {"clock"}, said
    (last, look) = lines[-1]
    assert (last, look.split()[-1]) == (CENTER, "status")

    def records() -> int:
        found = center.root.run("/bin/bash", "-c", f"cd {center.folder} && {look} --json")
        return sum(unit["received"] for unit in json.loads(found)["units"])

    began_s = time.monotonic()
    wait_until(records, "a record at the center", every_s=1)
    center.transcript.append(f"{time.monotonic() - began_s:6.1f} s  until the first record is stored")
    assert "U1" in center.type(look, machines)
    page = seen(center, "http://127.0.0.1:8080/plants")
    assert "P1" in page
    assert GATEWAY in page
    center.transcript.append(page)
