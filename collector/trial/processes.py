# SPDX-License-Identifier: GPL-3.0-or-later
"""The child processes of a demonstration: started with a log each, killed on purpose, and never left behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

from collector.base.errors import CollectorError, LinkError
from collector.base.text import tr

STOP_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Usage:
    """Resources a child used over all its starts: processor seconds, and the peak of its memory."""

    cpu_s: float = 0.0
    peak_memory_mb: float = 0.0


class Processes:
    """Named children of this process; leaving the `with` block ends them all.

    Args:
        log_dir: the folder of their log files.
        stop_timeout_s: how long `stop` waits after SIGTERM before it kills.
    """

    def __init__(self, log_dir: Path, *, stop_timeout_s: float = STOP_TIMEOUT_S) -> None:
        self.log_dir = log_dir
        self._stop_timeout_s = stop_timeout_s
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.usage: dict[str, Usage] = {}
        self._term_before: Callable[[int, FrameType | None], Any] | int | None = None

    def __enter__(self) -> Self:
        self.log_dir.mkdir(parents=True, exist_ok=True)
        if threading.current_thread() is threading.main_thread():
            # Without this a SIGTERM would end this process at once and leave the children behind.
            self._term_before = signal.signal(signal.SIGTERM, _end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._term_before is not None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second SIGTERM must not leave children behind
        for name in list(self._running):
            self.kill(name)
        if self._term_before is not None:
            signal.signal(signal.SIGTERM, self._term_before)

    def start(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start `python -m …` with its output appended to `<log_dir>/<name>.log`."""
        with self.log(name).open("ab") as log, _signals_put_off():
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **(environment or {})},
            )  # fmt: skip

    def run(self, name: str, *arguments: str, timeout_s: float) -> str:
        """Run `python -m …` to its end. Returns its stdout; its stderr goes to its log.

        Raises:
            CollectorError: the child does not end in time.
        """
        with self.log(name).open("ab") as log:
            with _signals_put_off():
                process = self._running[name] = subprocess.Popen(
                    [sys.executable, "-m", *arguments],
                    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, start_new_session=True,
                )  # fmt: skip
            try:
                printed, _ = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired as error:
                raise CollectorError(
                    tr("has not ended after {timeout_s:g} s", timeout_s=timeout_s), subject=name
                ) from error
            self._leave(name)
            log.write(printed)
        return printed.decode("utf-8", "replace")

    def check(self) -> None:
        """Check that no child has ended by itself.

        Raises:
            CollectorError: a child has ended; the message holds the end of its log.
        """
        for name, process in self._running.items():
            if process.poll() is not None:
                tail = self.log(name).read_text("utf-8", "replace").splitlines()[-15:]
                text = "\n".join(tail)
                raise CollectorError(
                    tr(
                        "ended by itself with exit code {returncode}:\n{text}", returncode=process.returncode, text=text
                    ),
                    subject=name,
                )

    def log(self, name: str) -> Path:
        """The log file of a child."""
        return self.log_dir / f"{name}.log"

    def stop(self, name: str) -> int:
        """Send SIGTERM to a child and return its exit code; kill it when it does not end in time."""
        process = self._leave(name)
        process.terminate()
        try:
            return process.wait(self._stop_timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self, name: str) -> None:
        """Send SIGKILL to a child and reap it."""
        process = self._leave(name)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def _leave(self, name: str) -> subprocess.Popen[bytes]:
        """Remove a child from the list and add up the resources it has used so far."""
        process = self._running.pop(name)
        folder = Path("/proc") / str(process.pid)
        with suppress(OSError, StopIteration):  # the child may be gone already
            ticks = folder.joinpath("stat").read_text().rpartition(")")[2].split()[11:13]
            cpu_s = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
            lines = folder.joinpath("status").read_text().splitlines()
            peak_mb = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
            before = self.usage.get(name, Usage())
            self.usage[name] = Usage(round(before.cpu_s + cpu_s, 2), round(max(before.peak_memory_mb, peak_mb), 1))
        return process


@contextmanager
def _signals_put_off() -> Iterator[None]:
    """Hold SIGINT and SIGTERM back: a child that is not on the list yet would be left behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda number, _frame: came.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for each in came:
            signal.raise_signal(each)


def _end(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def wait_for_port(port: int, *, processes: Processes, timeout_s: float = 20.0) -> None:
    """Wait until a process listens on the loopback port.

    Raises:
        LinkError: nothing listens there in time.
        CollectorError: a process ended meanwhile.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        processes.check()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise LinkError(tr("nothing listens here after {timeout_s:g} s", timeout_s=timeout_s), subject=f"127.0.0.1:{port}")


def wait_until(reached: Callable[[], bool], *, processes: Processes, timeout_s: float, what: str = "") -> None:
    """Wait until `reached` returns True; it is called ten times a second.

    Raises:
        CollectorError: the time is up, or a process ended meanwhile.
    """
    deadline = time.monotonic() + timeout_s
    while not reached():
        processes.check()
        if time.monotonic() > deadline:
            raise CollectorError(
                tr(
                    "not reached after {timeout_s:g} s: {what}; logs are in {log_dir}",
                    timeout_s=timeout_s,
                    what=what,
                    log_dir=processes.log_dir,
                )
            )
        time.sleep(0.1)


class SimulatorControl:
    """The control socket of a simulator process: one JSON object a line each way."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._file = self._socket.makefile("rwb")

    def ask(self, do: str, **arguments: object) -> dict[str, Any]:
        """Send one request and return the answer.

        Raises:
            LinkError: the simulator has ended or refuses.
        """
        self._file.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        self._file.flush()
        line = self._file.readline()
        if not line:
            raise LinkError(tr("the simulator has gone"), subject="control")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise LinkError(str(answer["error"]), subject=f"control {do}")
        return answer

    def close(self) -> None:
        """Close the control connection; the simulator keeps running."""
        self._file.close()
        self._socket.close()


def advance_time(port: int, by_ms: int) -> None:
    """Advance simulated time while no other process waits for it (the agent is dead)."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        now_utc_ms = int.from_bytes(_exactly(link, 8), "big", signed=True)
        link.sendall((now_utc_ms + by_ms).to_bytes(8, "big", signed=True))
        _exactly(link, 8)


def _exactly(link: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = link.recv(count - len(data))
        if not part:
            raise LinkError(tr("the simulator that keeps the time has gone"), subject="time")
        data += part
    return data
