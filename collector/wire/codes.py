# SPDX-License-Identifier: GPL-3.0-or-later
"""What the codes of a refusal mean for the batch: done with, or to be offered again.

A *final* code settles the batch: the same bytes will never be right. A *curable* one does not: a clock that is put
right, a limit that is raised, or time itself lets the same bytes in. A code that neither list has comes from a newer
center and is taken as curable: nothing is freed on a word that is not understood.
"""

from __future__ import annotations

from typing import Final

FINAL: Final = frozenset({"oversized", "malformed", "bad_checksum", "unknown_version", "topic", "foreign_unit"})
CURABLE: Final = frozenset({"time_out_of_range", "too_many_days", "too_many_gaps", "too_many_streams", "over_share"})
