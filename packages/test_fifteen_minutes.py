# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/fifteen-minutes.md word by word: two bare roots, a network of their own between them, no systemd.

Each command runs as it is printed, as root, in its machine. What a chroot lacks stands in for it: `systemctl` runs what
the unit would, `scp` copies the folder. Only `apt install` reaches Debian's archive. TRANSCRIPT: a file for the
commands, the wall time of each and what it printed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from packages.roots import ENVIRONMENT, Root, Service, bare_root
from tests.patience import wait_until

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs/fifteen-minutes.md"
PASSWORD = "correct horse battery"
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


class Machine:
    """A root in which a person types: where they are, what runs, what was written down."""

    def __init__(self, root: Root, name: str, transcript: list[str]) -> None:
        self.root, self.name, self.folder, self.transcript = root, name, "/root", transcript
        self.running: list[subprocess.Popen[bytes]] = []

    def type(self, command: str, others: dict[str, Machine]) -> str:
        """Do what a line of the page says."""
        began_s = time.monotonic()
        said = self._do(command, others)
        self.transcript.append(f"{time.monotonic() - began_s:6.1f} s  {self.name}# {command}\n{said}".rstrip())
        return said

    def _do(self, command: str, others: dict[str, Machine]) -> str:
        if command.startswith("cd "):
            self.folder = f"{self.folder}/{command.removeprefix('cd ')}"
            return ""
        if copied := re.fullmatch(r"scp -r (\S+) (\S+):", command):
            target = others[copied[2]].root.path("/root") / copied[1]
            shutil.copytree(self.root.path(f"{self.folder}/{copied[1]}"), target)
            return ""
        if unit := re.fullmatch(r"systemctl (?:restart|enable --now) (\S+)", command):
            self._start(unit[1])
            return ""
        if command.endswith("&"):
            self._begin(["/bin/bash", "-c", f"cd {self.folder} && exec {command.removesuffix('&')}"])
            return ""
        shell = ["/bin/bash", "-c", f"cd {self.folder} && {command}"]
        if " user add " in command:
            return self.root.run_at_terminal(*shell, answers=[PASSWORD, PASSWORD])
        if command.startswith("apt "):
            return Root(self.root.folder).run(*shell, answers="y\n")  # by this machine's network
        said = self.root.run(*shell, good=" agent doctor " not in command)
        if " agent doctor " in command:  # which may find that nobody sets this machine's clock, and nothing else
            assert set(re.findall(r"^(?:error|warning): (\w+)", said, re.MULTILINE)) <= {"clock"}, said
        return said

    def _start(self, unit: str) -> None:
        if unit == "mosquitto":  # RuntimeDirectory= of its unit, and its ExecStart
            self.root.run("install", "-d", "-o", "mosquitto", "/run/mosquitto", "/var/log/mosquitto")
            self._begin(["/usr/sbin/mosquitto", "-c", "/etc/mosquitto/mosquitto.conf"])
            return
        self.running.append(Service(self.root, f"{unit}.service").process)

    def _begin(self, command: list[str]) -> None:
        with self.root.path("/tmp/begun.log").open("ab") as log:
            self.running.append(subprocess.Popen(self.root.entered(command), stdout=log, stderr=log, env=ENVIRONMENT))

    def end(self) -> None:
        """Switch it off."""
        for process in reversed(self.running):
            process.kill()
            process.wait()
        for number in self.root.processes():  # what a killed `runuser` leaves behind
            os.kill(number, signal.SIGKILL)


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
        machines[machine].type(line, machines)
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
