# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for every test."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Generator, Iterator

import pytest
from argon2 import PasswordHasher

from collector.center.people import passwords


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Passwords are hashed with the least of argon2id: its time and memory are for thieves, and test_passwords' matter.

    Processes that a test starts hash as the program does.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        yield


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
