# SPDX-License-Identifier: GPL-3.0-or-later
"""Bare roots of a Debian release, for the tests of the packages, and services run in them as their units say.

ROOT_TAR: the root that `build_deb.sh` made. DEBS: a folder with packages and bundles of today and, below `old/`, the
packages of 0.1.0 made by the same recipe. No command here has a time limit: how long dpkg takes is the machine's
matter. A service that is waited for may take any time as long as it works; one that is idle for `HANG_S` hangs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from tests.patience import HangGuard, wait_until

DEBS: Final = Path(os.environ.get("DEBS", "dist")).resolve()
ROOT_TAR: Final = os.environ.get("ROOT_TAR", "")
ENVIRONMENT: Final = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
    "HOME": "/root",
}
_DEVICES: Final = (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9))


class Root:
    """A bare root, and commands inside of it; `network`: how a command enters the root's own network, if it has one."""

    def __init__(self, folder: Path, network: Sequence[str] = ()) -> None:
        self.folder, self.network = folder, list(network)

    def run(self, *command: str, user: str = "root", good: bool = True, answers: str = "") -> str:
        """A command's output; `good`: it must end with 0; `answers`: what a person would type."""
        done = subprocess.run(self.entered(command, user), capture_output=True, text=True, env=ENVIRONMENT,
                              input=answers)  # fmt: skip
        assert not good or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def run_at_terminal(self, *command: str, answers: Sequence[str]) -> str:
        """The output of a command that asks at a terminal; it is answered prompt by prompt, as a person would."""
        terminal, inside = os.openpty()
        process = subprocess.Popen(self.entered(command), stdin=inside, stdout=inside, stderr=inside, env=ENVIRONMENT)
        os.close(inside)
        said, left = b"", list(answers)
        with contextlib.suppress(OSError):  # how a terminal tells that its last program has gone
            while part := os.read(terminal, 4096):
                said += part
                if left and said.endswith(b": "):
                    os.write(terminal, f"{left.pop(0)}\n".encode())
        os.close(terminal)
        assert process.wait() == 0, f"{command}: {said.decode()}"
        return said.decode()

    def entered(self, command: Sequence[str], user: str = "root") -> list[str]:
        """The command as this machine starts it, with its own environment."""
        as_user = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        return [*self.network, "chroot", str(self.folder), *as_user, *command]

    def install(self, package: Path) -> str:
        """What dpkg says."""
        shutil.copy(package, self.folder / "tmp")
        return self.run("dpkg", "--force-confold", "--install", f"/tmp/{package.name}")

    def processes(self) -> list[int]:
        """Numbers of the processes that run in this root."""
        found = []
        for place in Path("/proc").glob("[0-9]*/root"):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                if place.readlink() == self.folder.resolve():
                    found.append(int(place.parent.name))
        return found

    def path(self, name: str) -> Path:
        """A path of the root as this machine sees it."""
        return self.folder / name.lstrip("/")

    @property
    def release(self) -> str:
        """Of Debian: 12, 13."""
        (number,) = re.findall(r'^VERSION_ID="(\d+)"$', self.path("/etc/os-release").read_text(), re.MULTILINE)
        return str(number)

    @property
    def architecture(self) -> str:
        """Its processor, in Debian's words: amd64, arm64."""
        return self.run("dpkg", "--print-architecture").strip()

    def package(self, side: str, folder: Path = DEBS) -> Path:
        """The package of a side for this release and processor, the one built last."""
        found = folder.glob(f"collector-{side}_*+deb{self.release}_{self.architecture}.deb")
        return max(found, key=lambda path: path.stat().st_mtime)


@contextlib.contextmanager
def bare_root(network: Sequence[str] = ()) -> Iterator[Root]:
    """A fresh one with /proc and the devices every program expects, in which packages start no services."""
    folder = Path(tempfile.mkdtemp(prefix="collector-root-", dir="/var/tmp"))
    folder.chmod(0o755)
    subprocess.run(["tar", "-C", str(folder), "--exclude=./dev/*", "-xf", ROOT_TAR], check=True)
    for name, minor in _DEVICES:
        os.mknod(folder / "dev" / name, 0o666 | 0o020000, os.makedev(1, minor))
        (folder / "dev" / name).chmod(0o666)
    policy = folder / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    subprocess.run(["mount", "-t", "proc", "proc", str(folder / "proc")], check=True)
    try:
        yield Root(folder, network)
    finally:
        subprocess.run(["umount", "--lazy", str(folder / "proc")], check=True)
        shutil.rmtree(folder)


@contextlib.contextmanager
def loopback_alone() -> Iterator[list[str]]:
    """A network namespace that leads nowhere; how a command enters it."""
    name = f"collector-alone-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-netns", name, "link", "set", "lo", "up"], check=True)
        yield ["nsenter", f"--net=/run/netns/{name}"]
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def exec_start(root: Root, unit: str, folder: str) -> list[str]:
    """The command of a unit."""
    (line,) = re.findall(r"^ExecStart=(.*)$", root.path(f"{folder}/{unit}").read_text(), re.MULTILINE)
    return str(line).split()


class Service:
    """A unit's ExecStart as its user, until it has said READY=1."""

    def __init__(self, root: Root, unit: str, *, folder: str = "/usr/lib/systemd/system") -> None:
        place = root.path("/run/notify")
        place.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            ready.bind(str(place))
            place.chmod(0o777)
            ready.settimeout(1.0)
            self.log = root.path(f"/tmp/{unit}.log")
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    root.entered(exec_start(root, unit, folder), "collector"), stdout=log, stderr=log,
                    env=ENVIRONMENT | {"NOTIFY_SOCKET": "/run/notify"},
                )  # fmt: skip
            guard = HangGuard(f"READY=1 of {unit}", self._work_done)
            said = b""
            while b"READY=1" not in said:
                assert self.process.poll() is None, self.log.read_text()
                guard.check()
                with contextlib.suppress(TimeoutError):
                    said = ready.recv(4096)

    def stop(self) -> None:
        """As systemd does."""
        self.process.send_signal(signal.SIGTERM)
        wait_until(lambda: self.process.poll() is not None, "its end", progress=self._work_done)
        assert self.process.returncode == 0, self.log.read_text()

    def _work_done(self) -> object:
        """Ticks of a processor it has used: they grow while it does anything, on however slow a machine."""
        try:
            stat = Path(f"/proc/{self.process.pid}/stat").read_text()
        except FileNotFoundError:
            return None
        return stat.rpartition(")")[2].split()[11:15]
