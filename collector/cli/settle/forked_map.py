# SPDX-License-Identifier: GPL-3.0-or-later
"""`map` over the cores of this machine, for the offline settlement, with forked processes.

A forked child sees every record without a copy and without starting Python again (8 ms with 800 MB loaded); threads
would wait for each other, as numpy releases the interpreter only for a moment at a time. The processes take task
numbers from one pipe, so that none is idle while another has many left. Results come in the order of the tasks; a task
that failed in a child is run again here, so an error is raised as in a single process. Where forking is not safe (other
threads run) or not worth it (one core), this is `map`. docs/decisions/0014.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NoReturn, TypeVar

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
_DRAW_BYTES: Final = 4
_MOST_TASKS: Final = 8192  # their numbers fit into the pipe's buffer


def spread(
    work: Callable[[_Task], _Result], tasks: Iterable[_Task], /, *, processes: int | None = None
) -> Iterator[_Result]:
    """`map(work, tasks)` over `processes` (default: one per core this process may use). Results must be picklable.

    Raises:
        Exception: what `work` raises, of the first task that fails.
    """
    listed = list(tasks)
    count = min(_cores() if processes is None else processes, len(listed))
    if count < 2 or len(listed) > _MOST_TASKS or not _may_fork():
        return map(work, listed)
    done = _side_by_side(work, listed, count)
    return (done[n] if n in done else work(task) for n, task in enumerate(listed))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def _may_fork() -> bool:
    """True on Linux without other threads: a thread could hold a lock that the child would wait for."""
    return sys.platform == "linux" and threading.active_count() == 1


def _side_by_side(work: Callable[[Any], Any], tasks: list[Any], count: int) -> dict[int, Any]:
    """Results by number of the task; failed tasks are missing."""
    drawn, drawing = os.pipe()
    children: dict[int, int] = {}  # process id: the memory file of its results
    try:
        os.write(drawing, b"".join(n.to_bytes(_DRAW_BYTES, "little") for n in range(len(tasks))))
        os.close(drawing)
        for _ in range(count - 1):
            memory = os.memfd_create("results", os.MFD_CLOEXEC)
            child = os.fork()
            if not child:
                _be_child(work, tasks, drawn, memory)
            children[child] = memory
        done = _draw(work, tasks, drawn)
        for child, memory in list(children.items()):
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
                done |= _read(memory)
            os.close(children.pop(child))
        return done
    finally:
        os.close(drawn)
        for child, memory in children.items():  # only where this process was interrupted
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(memory)


def _draw(work: Callable[[Any], Any], tasks: list[Any], drawn: int) -> dict[int, Any]:
    """Run tasks until none is left, or one fails: that one is run again by the parent, and raises there."""
    done: dict[int, Any] = {}
    while number := os.read(drawn, _DRAW_BYTES):
        n = int.from_bytes(number, "little")
        try:
            done[n] = work(tasks[n])
        except Exception:
            break
    return done


def _be_child(work: Callable[[Any], Any], tasks: list[Any], drawn: int, memory: int) -> NoReturn:
    """Write the results to memory and exit at once: nothing of the parent's is flushed, closed or cleaned up here."""
    code = 1
    try:
        done = _draw(work, tasks, drawn)
        with os.fdopen(memory, "wb") as file:
            pickle.dump(done, file, protocol=5)
        code = 0
    finally:
        os._exit(code)


def _read(memory: int) -> dict[int, Any]:
    with os.fdopen(os.dup(memory), "rb") as file:
        file.seek(0)
        done: dict[int, Any] = pickle.load(file)
    return done
