# SPDX-License-Identifier: GPL-3.0-or-later
"""The codes of a refusal: final (the batch is finished) or curable (the agent retries).

After a *final* code the same bytes can never be accepted. After a *curable* one they can: when a clock is corrected, a
limit is raised, or time has passed. A code in neither list comes from a newer center and counts as curable: the agent
frees nothing because of a code it does not know.
"""

from __future__ import annotations

from typing import Final

FINAL: Final = frozenset({"oversized", "malformed", "topic", "foreign_unit"})
# `unknown_version` is curable: a newer center will read it.
CURABLE: Final = frozenset(
    {"time_out_of_range", "too_many_days", "too_many_gaps", "too_many_streams", "over_share", "unknown_version"}
)
