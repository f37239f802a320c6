# SPDX-License-Identifier: GPL-3.0-or-later
"""The rest between retries of something that failed: a broker, a device, a web hook."""

from __future__ import annotations


def backoff_s(failures: int, first_s: float, most_s: float, jitter: float = 0.0) -> float:
    """Seconds to rest after a failure that `failures` others in a row came before.

    The rest doubles from `first_s` up to `most_s`. `jitter`, a random number from 0 to 1, takes up to half of it away,
    so that many clients of one lost broker do not reconnect in the same moment.
    """
    return min(most_s, first_s * 2.0 ** min(failures, 30)) * (1 - jitter / 2)
