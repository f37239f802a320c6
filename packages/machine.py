# SPDX-License-Identifier: GPL-3.0-or-later
"""A bare root in which a person types what a page prints, as root. What a chroot lacks stands in for it.

`systemctl` starts and stops what the unit would, `scp` copies the folder; of the commands that only show something
(`systemctl status`, `journalctl`) nothing is left to do. Only `apt` reaches Debian's archive.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping

from packages.roots import ENVIRONMENT, Root, Service

PASSWORD = "correct horse battery"
_UNITS = ("/etc/systemd/system", "/usr/lib/systemd/system")


class Machine:
    """A root, and the person in it: where they are, what runs, what was written down."""

    def __init__(self, root: Root, name: str, transcript: list[str]) -> None:
        self.root, self.name, self.folder, self.transcript = root, name, "/root", transcript
        self.running: dict[str, Service | subprocess.Popen[bytes]] = {}

    def type(self, command: str, others: Mapping[str, Machine] | None = None, *, good: bool = True) -> str:
        """Do what a line of a page says; `good`: it must end with 0."""
        began_s = time.monotonic()
        said = self._do(command, others or {}, good=good)
        self.transcript.append(f"{time.monotonic() - began_s:6.1f} s  {self.name}# {command}\n{said}".rstrip())
        return said

    def _do(self, command: str, others: Mapping[str, Machine], *, good: bool) -> str:
        if command.startswith("cd "):
            self.folder = f"{self.folder}/{command.removeprefix('cd ')}"
            return ""
        if copied := re.fullmatch(r"scp -r (\S+) (\S+):", command):
            target = others[copied[2]].root.path("/root") / copied[1]
            shutil.copytree(self.root.path(f"{self.folder}/{copied[1]}"), target)
            return ""
        if command.startswith(("systemctl ", "journalctl ")):
            self._systemd(command.split()[1:])
            return ""
        if command.endswith("&"):
            self._begin(command, ["/bin/bash", "-c", f"cd {self.folder} && exec {command.removesuffix('&')}"])
            return ""
        shell = ["/bin/bash", "-c", f"cd {self.folder} && {command}"]
        if re.search(r" user (add|password) ", command) and "--password-file" not in command:
            return self.root.run_at_terminal(*shell, answers=[PASSWORD, PASSWORD])
        if command.startswith("apt "):
            return Root(self.root.folder).run(*shell, answers="y\n")  # by this machine's network
        return self.root.run(*shell, good=good)

    def _systemd(self, words: list[str]) -> None:
        """What systemd would do that a chroot can: start and stop. A timer's time does not come here."""
        starts = words[0] in ("start", "restart", "enable")
        if not starts and words[0] not in ("stop", "disable"):
            return
        for unit in words[1:]:
            if unit == "--now" or unit.endswith(".timer"):
                continue
            if (running := self.running.pop(unit, None)) is not None:
                _stop(running)
            if starts:
                self._start(unit)

    def _start(self, unit: str) -> None:
        if unit == "mosquitto":  # RuntimeDirectory= of its unit, and its ExecStart
            self.root.run("install", "-d", "-o", "mosquitto", "/run/mosquitto", "/var/log/mosquitto")
            self._begin(unit, ["/usr/sbin/mosquitto", "-c", "/etc/mosquitto/mosquitto.conf"])
            return
        folder = next(each for each in _UNITS if self.root.path(f"{each}/{unit}.service").exists())
        self.running[unit] = Service(self.root, f"{unit}.service", folder=folder)

    def _begin(self, name: str, command: list[str]) -> None:
        with self.root.path("/tmp/begun.log").open("ab") as log:
            process = subprocess.Popen(self.root.entered(command), stdout=log, stderr=log, env=ENVIRONMENT)
        self.running[name] = process

    def end(self) -> None:
        """Switch it off."""
        for running in reversed(self.running.values()):
            process = running.process if isinstance(running, Service) else running
            process.kill()
            process.wait()
        for number in self.root.processes():  # what a killed `runuser` leaves behind
            os.kill(number, signal.SIGKILL)


def _stop(running: Service | subprocess.Popen[bytes]) -> None:
    """As systemd does: SIGTERM, and its end is waited for."""
    if isinstance(running, Service):
        running.stop()
        return
    running.terminate()
    running.wait()
