# SPDX-License-Identifier: GPL-3.0-or-later
"""What every long-lived task has to know about cancellation."""

from __future__ import annotations

import asyncio


def heed_cancellation() -> None:
    """Raise CancelledError if the running task was asked to end.

    Before Python 3.12 `asyncio.wait_for` forgets a cancellation that arrives together with the result or the failure it
    waits for, and libraries wait with it; a loop that goes on after such a call would never end.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
