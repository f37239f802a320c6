# SPDX-License-Identifier: GPL-3.0-or-later
"""Start-stops by hand-worked corners: what is certain, what holes may hide, and what an order pays.

A 100 MW gas unit earns 26 000.00 for each (260 yuan/MW).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .build import START, Build, at, line_of, verdict
from .times import parse_time


def stops(tmp_path: Path, *edges: tuple[str, object], kind: str = "gas", hold_s: int = 40 * 86_400) -> Build:
    """A 100 MW unit whose breaker follows the edges."""
    case = Build(tmp_path, hold_s=hold_s).unit(kind=kind, rated_mw="100")
    for time, on in edges:
        case.record(time, on_grid=on)
    return case


def stops_with_holes(
    tmp_path: Path, edges: dict[str, int], holes: list[tuple[str, str, int]], kind: str = "gas"
) -> Build:
    """As `stops`, with the breaker unknown from an instant on for some seconds; afterwards it is as by the edges."""
    begins = [(parse_time(start), parse_time(start) + seconds * 1000) for start, _, seconds in holes]
    states = sorted((parse_time(time), on) for time, on in edges.items())
    points: dict[int, object] = {
        time: on for time, on in states if not any(start <= time < end for start, end in begins)
    }
    for start, end in begins:
        points[start] = ""
        points[end] = [on for time, on in states if time <= end][-1]
    case = Build(tmp_path).unit(kind=kind, rated_mw="100")
    for time in sorted(points):
        case.record(str(time), on_grid=points[time], active_power_mw=90)  # no deep peak
    return case


@pytest.mark.parametrize(
    ("stop", "start", "order", "count"),
    [
        (at(3, "22:00"), at(4, "06:00"), (at(3, "22:00"), at(4, "06:01")), 1),  # order.start <= opening
        (at(3, "22:00"), at(4, "06:00"), (at(3, "22:01"), at(4, "12:00")), 0),
        (at(3, "22:00"), at(4, "06:00"), (at(3, "20:00"), at(4, "06:00")), 0),  # closing < order.end
        (at(3, "06:00"), at(4, "06:00"), (at(3), at(5)), 1),  # a gap of exactly 24 h
        (at(3, "06:00"), at(4, "06:00:01"), (at(3), at(5)), 0),
        (at(31, "22:00", month=5), at(1, "06:00"), (at(31, month=5), at(2)), 1),  # month of the restart (I-06)
        (at(30, "22:00"), at(1, "00:00", month=7), (at(30), at(2, month=7)), 0),
    ],
)
def test_an_occurrence_lies_inside_its_order_and_24_hours_and_belongs_to_the_month_of_its_closing(
    tmp_path: Path, stop: str, start: str, order: tuple[str, str], count: int
) -> None:
    case = stops(tmp_path, (at(30, month=5), 1), (stop, 0), (start, 1)).order("start_stop", *order)
    line = line_of(case.settle(), "gas_start_stop")
    assert line["quantity"] == count
    assert verdict(line) == (("26000.00", "paid", "") if count else ("0.00", "zero", "rounded"))


def test_without_a_breaker_column_a_record_tells_on_or_off_by_the_register_of_each_instant(tmp_path: Path) -> None:
    # Registered from 2 June. The record of 1 June, 23:57, shows 0 MW and holds into that day: off from midnight on, so
    # nothing could close on 2 June before the unit is known on again, and that is after the order.
    case = (
        Build(tmp_path, hold_s=600)
        .unit(kind="gas", rated_mw="100", from_="2026-06-02")
        .order("start_stop", START, at(2, "12:00"))
    )
    for minute in range(-3, 24 * 60, 5):
        clock = 24 * 60 + minute
        time = at(1 + clock // 1440, f"{clock // 60 % 24:02d}:{clock % 60:02d}")
        case.record(time, active_power_mw=0 if minute < 18 * 60 else 90)
    assert verdict(line_of(case.settle(), "gas_start_stop")) == ("0.00", "zero", "rounded")


def test_one_order_pays_one_occurrence(tmp_path: Path) -> None:
    edges = [(START, 1), (at(3, "01:00"), 0), (at(3, "02:00"), 1), (at(3, "03:00"), 0), (at(3, "04:00"), 1)]
    case = stops(tmp_path, *edges).order("start_stop", at(3), at(4))
    assert line_of(case.settle(), "gas_start_stop")["quantity"] == 1


def test_an_order_paid_in_the_month_before_pays_nothing_more(tmp_path: Path) -> None:
    before = [(at(31, "01:00", month=5), 1), (at(31, "10:00", month=5), 0), (at(31, "12:00", month=5), 1)]
    case = stops(tmp_path, *before, (at(1, "01:00"), 0), (at(1, "02:00"), 1))
    case.order("start_stop", at(31, month=5), at(2))
    assert line_of(case.settle(), "gas_start_stop")["quantity"] == 0


@pytest.mark.parametrize(
    ("holes", "paid"),
    [
        ([(at(4, "02:00"), "", 60)], True),  # a minute inside the gap
        ([(at(4, "02:00"), "", 4 * 3600)], True),  # four hours of it, up to the closing
        ([(at(3, "21:59:59"), "", 1)], True),  # a double point in travel before the opening
        (
            [(at(3, "21:00"), "", 3600), (at(4, "05:30"), "", 1800)],
            True,
        ),  # an hour before it, half of one before closing
        ([(at(3, "20:00"), "", 2 * 3600)], False),  # the last known on ends before the order begins
        ([(at(4, "06:00"), "", 6 * 3600)], False),  # the first known on comes with the order's end
        ([(at(3, "05:59:59"), "", 86_400)], False),  # on for the last time more than 24 h before
    ],
)
def test_a_stop_is_certain_where_on_off_and_on_are_known_whatever_the_holes_hide(
    tmp_path: Path, holes: list[tuple[str, str, int]], paid: bool
) -> None:
    # Off from 22:00 to 06:00; the order runs from 21:00 to 12:00 (from the day before where the 24 h are tried).
    edges = {at(2): 1, at(3, "22:00"): 0, at(4, "06:00"): 1}
    case = stops_with_holes(tmp_path, edges, holes)
    begin = at(2, "12:00") if holes[0][0] == at(3, "05:59:59") else at(3, "21:00")
    result = case.order("start_stop", begin, at(4, "12:00")).settle()
    expected = ("26000.00", "paid", "") if paid else ("", "blocked", "uncertain_edge")
    assert verdict(line_of(result, "gas_start_stop")) == expected
    assert result.plants[0]["status"] == ("final" if paid else "provisional")


@pytest.mark.parametrize(
    ("hole_s", "order", "uncertain"),
    [
        (299, (at(3), at(5)), False),  # shorter than min_stop_s: hides nothing between two known on
        (300, (at(3), at(5)), True),
        (300, (at(3, "12:04:59"), at(5)), True),  # the whole hole counts, though a second of it lies in the order
        (300, (at(3, "12:05"), at(5)), False),
        (300, (at(3, "06:00"), at(3, "12:00")), False),
    ],
)
def test_a_hole_between_two_known_on_hides_a_stop_from_min_stop_s_on(
    tmp_path: Path, hole_s: int, order: tuple[str, str], uncertain: bool
) -> None:
    case = stops_with_holes(tmp_path, {START: 1}, [(at(3, "12:00"), "", hole_s)]).order("start_stop", *order)
    expected = ("", "blocked", "uncertain_edge") if uncertain else ("0.00", "zero", "rounded")
    assert verdict(line_of(case.settle(), "gas_start_stop")) == expected


def test_a_short_hole_between_off_and_on_hides_its_one_edge_only(tmp_path: Path) -> None:
    # Off before the order; on again within the order after a hole of 60 s: no stop began inside the order.
    case = stops_with_holes(tmp_path, {START: 0, at(3, "12:00"): 1}, [(at(3, "11:59"), "", 60)])
    assert verdict(line_of(case.order("start_stop", at(3), at(4)).settle(), "gas_start_stop")) == (
        "0.00", "zero", "rounded",
    )  # fmt: skip


def test_with_a_certain_occurrence_elsewhere_it_is_paid_and_the_month_provisional(tmp_path: Path) -> None:
    edges = {START: 1, at(10, "01:00"): 0, at(10, "02:00"): 1}
    case = stops_with_holes(tmp_path, edges, [(at(3, "22:00"), "", 8 * 3600)])
    result = case.order("start_stop", at(3), at(5)).order("start_stop", at(10), at(11)).settle()
    assert verdict(line_of(result, "gas_start_stop")) == ("26000.00", "paid", "")
    assert result.plants[0]["status"] == "provisional"


def test_a_certain_occurrence_in_the_order_makes_its_other_missing_time_harmless(tmp_path: Path) -> None:
    edges = [(START, 1), (at(3, "01:00"), 0), (at(3, "02:00"), 1), (at(3, "03:00"), ""), (at(3, "04:00"), 1)]
    result = stops(tmp_path, *edges).order("start_stop", at(3), at(4)).settle()
    assert line_of(result, "gas_start_stop")["quantity"] == 1
    assert result.plants[0]["status"] == "final"


@pytest.mark.parametrize("reason", ["own_fault", "test"])
def test_an_occurrence_touched_by_an_exclusion_is_not_paid_and_counts_as_certain(tmp_path: Path, reason: str) -> None:
    # The exclusion begins at the closing itself: both ends belong to the occurrence. A short hole later is harmless.
    edges = {START: 1, at(3, "22:00"): 0, at(4, "06:00"): 1}
    for hole_s, expected in ((60, ("0.00", "zero", "rounded")), (3600, ("", "blocked", "uncertain_edge"))):
        root = tmp_path / str(hole_s)
        root.mkdir()
        case = stops_with_holes(root, edges, [(at(4, "12:00"), "", hole_s)]).order("start_stop", at(3), at(5))
        result = case.exclude(reason, at(4, "06:00"), at(4, "06:01")).settle()
        assert verdict(line_of(result, "gas_start_stop")) == expected


def test_a_hole_that_could_hide_another_stop_is_no_matter_where_it_is_excluded(tmp_path: Path) -> None:
    case = stops_with_holes(tmp_path, {START: 1}, [(at(3, "12:00"), "", 3600)]).order("start_stop", at(3), at(5))
    result = case.exclude("grid", at(3, "11:00"), at(3, "13:00")).settle()
    assert verdict(line_of(result, "gas_start_stop")) == ("0.00", "zero", "rounded")


@pytest.mark.parametrize(
    ("holes", "rows", "expected", "status"),
    [
        # Off from 22:00 to 06:00. The gap lies between 8 h and 8 h 4 min: one row covers both.
        ([(at(3, "21:56"), "", 240)], ["8,9,1.5"], "15000.00", "final"),
        ([(at(3, "21:56"), "", 240)], ["8,8.05,1.5", "8.05,9,2"], "15000.00", "provisional"),
        ([(at(3, "21:56"), "", 240)], ["8,8.05,1.5"], "15000.00", "provisional"),  # a possible gap without a row
        # An hour in the night may hide that the unit came back: a shorter gap would have been the first.
        ([(at(4, "02:00"), "", 3600)], ["0,8,1", "8,9,1.5"], "15000.00", "provisional"),
        ([(at(4, "02:00"), "", 299)], ["0,8,1", "8,9,1.5"], "15000.00", "final"),
        # An hour before, between two known on, may hide a stop of less than an hour.
        ([(at(3, "12:00"), "", 3600)], ["0,1,9", "1,9,1.5"], "15000.00", "provisional"),
        ([(at(3, "12:00"), "", 3600)], ["0,9,1.5"], "15000.00", "final"),
        ([(at(4, "08:00"), "", 3600)], ["0,1,9", "1,9,1.5"], "15000.00", "final"),  # after it: not the first
    ],
)
def test_a_coal_order_is_provisional_where_holes_leave_another_amount_of_the_table(
    tmp_path: Path, holes: list[tuple[str, str, int]], rows: list[str], expected: str, status: str
) -> None:
    edges = {START: 1, at(3, "22:00"): 0, at(4, "06:00"): 1}
    case = stops_with_holes(tmp_path, edges, holes, kind="coal").order("start_stop", at(3), at(5))
    for row in rows:
        case.row("start_stop_table", "100", "200", *row.split(","), "2026-01-01")
    result = case.settle()
    assert verdict(line_of(result, "coal_start_stop")) == (expected, "paid", "")
    assert result.plants[0]["status"] == status


def test_a_hole_at_the_months_end_is_seen_whole_with_the_records_just_after_it(tmp_path: Path) -> None:
    # Off at 23:50, a hole from 23:59:30 on, on again 30 s after midnight: it closes in July, June has no occurrence.
    for last, expected in (
        (at(1, "00:00:30", month=7), ("0.00", "zero", "rounded")),
        (None, ("", "blocked", "uncertain_edge")),
    ):
        root = tmp_path / str(last is None)
        root.mkdir()
        case = stops(root, (at(30, "23:49:30"), 1), (at(30, "23:50"), 0), hold_s=60)
        for second in range(60, 541, 30):
            case.record(at(30, f"23:{50 + second // 60}:{second % 60:02d}"), on_grid=0)
        case.record(at(30, "23:59:30"), on_grid="")
        if last is not None:
            case.record(last, on_grid=1)
        assert (
            verdict(line_of(case.order("start_stop", at(30, "23:49:31"), at(2, month=7)).settle(), "gas_start_stop"))
            == expected
        )


def test_an_excluded_occurrence_of_one_order_does_not_pay_for_the_missing_time_of_another(tmp_path: Path) -> None:
    # OPEN.md, 2: nothing can be paid, and the other order is uncertain, so the line is blocked.
    edges = [(START, 1), (at(3, "22:00"), 0), (at(4, "06:00"), 1), (at(10, "12:00"), ""), (at(10, "13:00"), 1)]
    case = stops(tmp_path, *edges).order("start_stop", at(3), at(5)).order("start_stop", at(10), at(11))
    result = case.exclude("test", at(3, "23:00"), at(4)).settle()
    assert verdict(line_of(result, "gas_start_stop")) == ("", "blocked", "uncertain_edge")


def test_an_excluded_occurrence_does_not_use_up_its_order(tmp_path: Path) -> None:
    edges = [(START, 1), (at(3, "01:00"), 0), (at(3, "02:00"), 1), (at(3, "03:00"), 0), (at(3, "04:00"), 1)]
    case = stops(tmp_path, *edges).order("start_stop", at(3), at(4)).exclude("grid", at(3, "01:30"), at(3, "01:31"))
    assert line_of(case.settle(), "gas_start_stop")["quantity"] == 1


def test_coal_is_pending_without_the_table_and_zero_without_an_occurrence(tmp_path: Path) -> None:
    case = stops(tmp_path, (START, 1), (at(3, "22:00"), 0), (at(4, "06:00"), 1), kind="coal")
    result = case.order("start_stop", at(3), at(5)).settle()
    line = line_of(result, "coal_start_stop")
    assert verdict(line) == ("", "pending", "table_unknown")
    assert line["quantity"] == 1
    assert result.plants[0]["status"] == "provisional"


def test_a_loaded_table_prices_by_capacity_gap_and_the_latest_date_not_after_the_closing(tmp_path: Path) -> None:
    # Gap 8 h, 100 MW, closing 4 June: the row from 1 June wins over 1 January; the one from 5 June is too late.
    case = stops(tmp_path, (START, 1), (at(3, "22:00"), 0), (at(4, "06:00"), 1), kind="coal")
    case.order("start_stop", at(3), at(5))
    for amount, since in (("1.5", "2026-01-01"), ("2.25", "2026-06-01"), ("9", "2026-06-05")):
        case.row("start_stop_table", "100", "200", "8", "12", amount, since)
    case.row("start_stop_table", "100", "200", "6", "8", "7", "2026-06-02")  # half-open: 8 h is not in it
    assert verdict(line_of(case.settle(), "coal_start_stop")) == ("22500.00", "paid", "")
