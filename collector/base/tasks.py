# SPDX-License-Identifier: GPL-3.0-or-later
"""Cancellation of long-lived tasks."""

from __future__ import annotations

import asyncio


def heed_cancellation() -> None:
    """Raise CancelledError if the running task was asked to end.

    Before Python 3.12 `asyncio.wait_for` forgets a cancellation that arrives together with the result or the failure it
    waits for, and libraries use it; a loop that continues after such a call would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
