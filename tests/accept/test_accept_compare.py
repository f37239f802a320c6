# SPDX-License-Identifier: GPL-3.0-or-later
"""Records held against ticks and truth: each kind of fault is found, by hand-made records."""

from __future__ import annotations

from collector.accept.compare import Key, RecordComparison
from collector.accept.stored import StoredRecord, StoredRecords
from collector.accept.truth import TrueSource, Truth
from collector.model.record import Cause, GapRecord, Quality

P, B = ("U", "active_power_mw"), ("U", "on_grid")


def source(device: str, *, period_ms: int = 1000, step: int = 1, backup: bool = False) -> TrueSource:
    return TrueSource(device, "point", backup, period_ms, step, 0.0)


def row(time_ms: int, power: int | None, *, quality: Quality = Quality.GOOD, on: int = 1) -> StoredRecord:
    values = {"active_power_mw": (power, quality), "on_grid": (on, Quality.GOOD)}
    return StoredRecord("U", time_ms, Cause.TICK, None, values)


def comparison(
    rows: list[StoredRecord], *, gaps: list[GapRecord] | None = None, power: TrueSource | None = None
) -> RecordComparison:
    stored = StoredRecords(rows=rows, gaps=gaps or [])
    for each in rows:
        stored.by_place[each.unit, each.time_ms].append(each)
    ticks: dict[int, dict[Key, int | None]] = {t: {P: 100 + t // 1000, B: 1} for t in range(1000, 11_000, 1000)}
    truth = Truth(ticks, [(3217, "U", "on_grid", 0)], {(3217, "U")})
    sources = {P: [power or source("governor")], B: [source("telecontrol"), source("governor", backup=True)]}
    return RecordComparison(stored, sources, 1000, 3, truth, lambda _: 0)


def test_a_clean_stretch_has_nothing_to_tell() -> None:
    found = comparison([row(t, 100 + t // 1000) for t in range(1000, 6000, 1000)]).look(0, 5000)
    assert (found.wanted, found.held, found.in_gaps) == (5, 5, 0)
    assert (found.values, found.usable, found.compared) == (10, 10, 10)
    assert found.missing + found.doubled + found.unusable + found.wrong == []


def test_a_record_lost_doubled_or_in_a_gap_is_told_apart() -> None:
    rows = [row(1000, 101), row(3000, 103), row(3000, 103), row(5000, 105)]
    found = comparison(rows, gaps=[GapRecord(("U",), 3500, 5000, "agent_down")]).look(0, 5000)
    assert (found.wanted, found.held, found.in_gaps, len(found.missing), len(found.doubled)) == (5, 3, 1, 1, 1)
    assert found.missing == ["U 1970-01-01T08:00:02+08:00"]


def test_a_value_off_by_more_than_a_step_is_wrong_and_one_of_the_tick_before_too() -> None:
    rows = [row(1000, 102), row(2000, 104), row(3000, 101)]
    found = comparison(rows).look(0, 3000)  # 101, 102, 103; a step is 1
    assert [text.split()[-3:] for text in found.wrong] == [["104,", "truth", "102"], ["101,", "truth", "103"]]


def test_a_source_read_rarely_may_show_what_was_true_within_its_period() -> None:
    slow = source("meter", period_ms=3000, step=0)
    assert not comparison([row(4000, 101)], power=slow).look(3000, 4000).wrong
    assert comparison([row(5000, 101)], power=slow).look(4000, 5000).wrong


def test_a_silenced_device_may_not_show_a_usable_value_after_it_has_gone_stale() -> None:
    rows = [row(t, 101, quality=Quality.GOOD if t in (1000, 5000) else Quality.SILENT) for t in range(1000, 6000, 1000)]
    found = comparison(rows).look(0, 5000, silenced=("governor",))
    assert found.silenced == {"good": 2, "silent": 3}
    assert found.silent_usable == ["U active_power_mw 1970-01-01T08:00:05+08:00: 101"]
    assert (found.values, found.usable) == (5, 5)  # the breaker has another source


def test_a_link_that_may_not_know_yet_has_that_much_longer() -> None:
    rows = [row(5000, 105), row(6000, 106, quality=Quality.SILENT)]
    assert comparison(rows).look(0, 6000, silenced=("governor",)).silent_usable
    assert not comparison(rows).look(0, 6000, silenced=("governor",), noticed_ms=2000).silent_usable


def test_a_missing_value_is_unusable_and_not_compared() -> None:
    found = comparison([row(1000, None, quality=Quality.SILENT)]).look(0, 1000)
    assert found.unusable == ["U active_power_mw 1970-01-01T08:00:01+08:00: silent"]
    assert found.compared == 1


def test_a_record_between_ticks_and_a_change_that_never_was_are_made_up() -> None:
    change = StoredRecord("U", 3217, Cause.CHANGE, 3217, {"on_grid": (0, Quality.GOOD)})
    other = StoredRecord("U", 4217, Cause.CHANGE, 4217, {"on_grid": (1, Quality.GOOD)})
    assert comparison([row(1000, 101), change]).made_up(9000) == []
    assert comparison([row(1500, 101), other]).made_up(9000) == ["U 1500 tick", "U 4217 change"]


def test_a_change_must_have_its_tag_and_its_value() -> None:
    right = StoredRecord("U", 3217, Cause.CHANGE, 3217, {"on_grid": (0, Quality.GOOD)})
    late = StoredRecord("U", 3300, Cause.CHANGE, 3300, {"on_grid": (0, Quality.GOOD)})
    wrong = StoredRecord("U", 3217, Cause.CHANGE, 3217, {"on_grid": (1, Quality.GOOD)})
    assert comparison([right]).changes(0, 9000, 0) == (1, [])
    assert comparison([late]).changes(0, 9000, 100) == (1, [])
    for bad in (late, wrong):
        assert comparison([bad]).changes(0, 9000, 0)[1] == ["U on_grid → 0 1970-01-01T08:00:03.217+08:00"]
