# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every test."""

from __future__ import annotations

import atexit
import gc
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from argon2 import PasswordHasher

from collector.center.people import passwords
from tests.made_once import share
from tests.size import FULL

if TYPE_CHECKING:
    from tests.center.runs.kept_months import KeptMonth


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Passwords are hashed with the least of argon2id: its time and memory are for thieves, and test_passwords' matter.

    Processes that a test starts hash as the program does.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


@pytest.fixture(scope="session", autouse=True)
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is made once is kept beside the folders of all processes that share the tests."""
    own = tmp_path_factory.getbasetemp()
    share(own.parent if "PYTEST_XDIST_WORKER" in os.environ else own)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What was collected stays to the end: the cycle collector neither looks while it grows nor ever scans it again.

    And it looks as rarely as in the center's own process. That was a tenth of the time of all tests.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        gc.enable()
        atexit.register(gc.unfreeze)  # extension modules look at the very end for what was left over


# What waits for minutes, for answers that come late or never, and hardly works.
_WAITING: Final = tuple(
    f"test_{name}.py"
    for name in (
        "device_contract", "driver_faults", "device_modbus_disorder", "iec104_link", "meters_disorder",
        "simulated_iec101",
    )
)  # fmt: skip
# What works for longest, the longest first.
_LONG: Final = tuple(
    f"test_{name}.py"
    for name in (
        "every_page", "demo", "center_operations", "month_measured", "accept_verb", "record_imports",
        "month_executors", "quickstart", "receiver", "broker_faults", "read_only_state", "wrong_user",
        "device_faults", "lanes", "replay", "several_machines", "commands", "isolation", "one_way",
    )
)  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One process waits, and each other begins with some of the longest work, so that none has much left at the end.

    Each is given an equal part of the list, and takes from another's end when it is done with its own (xdist's
    worksteal).
    """
    if not FULL and any(item.get_closest_marker("full") for item in items):
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("full")])
        items[:] = [item for item in items if not item.get_closest_marker("full")]
    workers: int = getattr(config, "workerinput", {}).get("workercount", 1)
    long: dict[str, list[pytest.Item]] = {name: [] for name in (*_WAITING, *_LONG)}
    rest: list[pytest.Item] = []
    for item in items:
        long.get(item.path.name, rest).append(item)
    parts: list[list[pytest.Item]] = [[] for _ in range(workers)]
    parts[0] += [item for name in _WAITING for item in long[name]]
    working = parts[1:] or parts
    for place, name in enumerate(_LONG):
        turn, worker = divmod(place, len(working))
        working[worker if turn % 2 == 0 else -1 - worker] += long[name]
    left = len(items)
    for n, part in enumerate(parts):
        more = max(0, left // (workers - n) - len(part))
        part += rest[:more]
        del rest[:more]
        left -= len(part)
    items[:] = [item for part in parts for item in part] + rest


@pytest.fixture(scope="session")
def filled_june() -> Path:
    """The state of a center that has everything of June, of which nothing is measured. To be copied, never opened."""
    from tests.center.runs.kept_months import filled_state  # half the center, which most tests of an agent do without

    return filled_state()


@pytest.fixture(scope="session")
def settled_june(tmp_path_factory: pytest.TempPathFactory) -> KeptMonth:
    """The same with June settled, and the run."""
    from tests.center.runs.kept_months import settle_june

    return settle_june(tmp_path_factory.mktemp("settled") / "state")
