# SPDX-License-Identifier: GPL-3.0-or-later
"""What a process has taken, by the kernel's own count.

`ru_maxrss` is of no use here: a child inherits it from the process that started it. VmHWM begins anew with the program.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def cpu_s(pid: int) -> float:
    """CPU seconds of a process so far, its ended children not included."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def threads_cpu_s(pid: int) -> float:
    """CPU seconds of the threads a process has now, to the nanosecond: for what takes less than a few hundredths."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text("ascii").split()[0]) for task in tasks) / 1e9


def ended_cpu_s(command: Sequence[str], **environment: str) -> float:
    """CPU seconds of a process until it ends, all its children that it waited for included.

    Raises:
        AssertionError: it failed.
    """
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_WRONLY, 0) for number in (1, 2)]
    pid = os.posix_spawn(command[0], list(command), {**os.environ, **environment}, file_actions=silent)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise AssertionError(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    return usage.ru_utime + usage.ru_stime


def peak_mb(pid: int | str = "self") -> float:
    """The most memory a process has had resident."""
    for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"no VmHWM of {pid}")
