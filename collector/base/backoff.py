# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a try that failed rests before the next one: of a broker, a device, a web hook."""

from __future__ import annotations


def backoff_s(failures: int, first_s: float, most_s: float, jitter: float = 0.0) -> float:
    """Seconds to rest after a failure that `failures` others in a row came before.

    Doubling from `first_s` up to `most_s`; `jitter`, 0 to 1 by chance, takes up to half of it, so that many who lost
    the same broker do not come back in the same moment.
    """
    return min(most_s, first_s * 2.0 ** min(failures, 30)) * (1 - jitter / 2)
