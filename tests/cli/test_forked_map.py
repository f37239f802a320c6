# SPDX-License-Identifier: GPL-3.0-or-later
"""Spreading work over forked processes changes nothing but the time: order, errors, nothing left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from collector.cli.settle.forked_map import spread

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks only on Linux")


def where(task: int) -> tuple[int, int]:
    return task, os.getpid()


def big(task: int) -> bytes:
    return bytes([task]) * 3_000_000


def fails_at(failing: set[int], task: int) -> int:
    if task in failing:
        raise ValueError(f"task {task}")
    return task


def dies_in_a_child(parent: int, task: int) -> int:
    if os.getpid() != parent:
        os._exit(9)
    return task


def held() -> tuple[int, str]:
    """How many files this process has open, and its children."""
    return len(list(Path("/proc/self/fd").iterdir())), Path(f"/proc/self/task/{os.getpid()}/children").read_text()


def results_come_in_the_order_of_the_tasks() -> None:
    for processes in (1, 2, 5):
        found = list(spread(where, range(200), processes=processes))
        assert [task for task, _ in found] == list(range(200))
        assert len({process for _, process in found}) <= processes


def results_larger_than_a_pipe_come_back_whole() -> None:
    assert list(spread(big, range(8), processes=3)) == [big(task) for task in range(8)]


def the_error_of_the_first_task_that_fails_is_raised_wherever_it_ran() -> None:
    for _ in range(5):
        with pytest.raises(ValueError, match="task 17"):
            list(spread(partial(fails_at, {17, 18, 60}), range(100), processes=3))


def what_a_child_took_with_it_is_done_again() -> None:
    assert list(spread(partial(dies_in_a_child, os.getpid()), range(50), processes=3)) == list(range(50))


def no_process_and_no_file_stays_open() -> None:
    before = held()
    list(spread(where, range(20), processes=4))
    assert held() == before


FORKING: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        results_come_in_the_order_of_the_tasks,
        results_larger_than_a_pipe_come_back_whole,
        the_error_of_the_first_task_that_fails_is_raised_wherever_it_ran,
        what_a_child_took_with_it_is_done_again,
        no_process_and_no_file_stays_open,
    )
}


@pytest.mark.parametrize("name", FORKING)
def test_forking(name: str) -> None:
    """In a process of its own: other tests leave threads of libraries, beside which nothing is forked."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, __file__, name], cwd=root, env={**os.environ, "PYTHONPATH": "."},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_nothing_is_forked_beside_another_thread() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert {process for _, process in spread(where, range(20), processes=4)} == {os.getpid()}
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    forks: list[int] = []
    os.register_at_fork(after_in_parent=lambda: forks.append(1))
    FORKING[sys.argv[1]]()
    assert forks, "nothing was forked: this says nothing"
