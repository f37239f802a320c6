# SPDX-License-Identifier: GPL-3.0-or-later
"""Many instants written as text at once read as each by itself."""

from __future__ import annotations

from collector.report.numbers import format_instant
from collector.report.segments import instant_texts


def test_instants_written_at_once_are_as_each_by_itself() -> None:
    times = [1_772_294_400_000, 1_772_294_399_999, 1_774_972_800_001, 0, 1_772_330_461_000]
    assert instant_texts(times) == [format_instant(time) for time in times]
    assert instant_texts(times[:1]) == ["2026-03-01T00:00:00+08:00"]
    assert instant_texts([]) == []
