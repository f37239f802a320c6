# SPDX-License-Identifier: GPL-3.0-or-later
"""Primary frequency evidence and the meter check, by hand where the slow reference and the kernel once parted."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction

import pytest

from collector.base.text import into
from collector.model.interval import Month
from tests.settlement.small_month import JUNE, Case, at, unit

HZ = {"on_grid": "1", "primary_frequency_in_service": "1"}


def test_an_excursion_across_midnight_asks_by_the_capacity_and_droop_of_each_day() -> None:
    # 0.1 Hz over, 0.067 Hz beyond thermal's 0.033. Until midnight 600 MW at 5 %: 0.067 ÷ 2.5 × 600 = 16.08 MW less for
    # half an hour, 8.04 MWh. From midnight 500 MW at 4 %: 0.067 ÷ 2 × 500 = 16.75 MW, 8.375 MWh. Together -16.415 MWh.
    # The unit went from 400 to 390 MW and stayed there an hour: -10 MWh.
    early = replace(unit(droop_ratio="0.05"), until_day=date(2026, 6, 2))
    late = replace(unit(rated="500", droop_ratio="0.04"), from_day=date(2026, 6, 2))
    case = Case(units=[early, late])
    for hour, hertz, power in ((0, "50", "400"), (23.5, "50.1", "390"), (24.5, "50", "400")):
        case.record(at(1, hour), frequency_hz=hertz, active_power_mw=power, **HZ)
    (row,) = case.settle().primary_frequency
    assert (row.start_ms, row.end_ms) == (at(1, 23.5), at(2, 0.5))
    assert (row.actual_mwh, row.theoretical_mwh) == (Fraction(-10), Fraction("-16.415"))
    assert row.ratio == Fraction(-10) / Fraction("-16.415")
    case.units = [early, replace(late, droop_ratio=None)]  # a part without a droop leaves the whole unjudged
    (row,) = case.settle().primary_frequency
    assert row.actual_mwh == -10
    assert (row.theoretical_mwh, row.ratio) == (None, None)


def test_time_of_a_test_leaves_hours_in_service_and_ends_the_excursion_but_own_fault_does_not() -> None:
    # Out from 10:00 to 12:00 of the 1st; 11:00 to 12:00 under test. One hour of the excursion is left, 719 of June.
    def month(reason: str) -> tuple[list[tuple[int, int]], int]:
        case = Case(units=[unit(droop_ratio="0.05")])
        for hour, hertz in ((0, "50"), (10, "49.9"), (12, "50")):
            case.record(at(1, hour), frequency_hz=hertz, active_power_mw="400", **HZ)
        statement = case.exclude(reason, at(1, 11), at(1, 12), "primary_frequency").settle()
        rows = [(row.start_ms, row.end_ms) for row in statement.primary_frequency]
        return rows, statement.primary_frequency_service[0].in_service_ms // 3_600_000

    assert month("test") == ([(at(1, 10), at(1, 11))], 719)
    assert month("own_fault") == ([(at(1, 10), at(1, 12))], 720)


def test_where_the_frequency_was_out_before_the_unit_could_answer_there_is_no_output_to_count_from() -> None:
    # Out since 31 May 23:00: what stood before it is another month's. Asked for all the same: 16.08 MW for two hours.
    case = Case(units=[unit(droop_ratio="0.05")])
    for time, hertz in ((at(31, 23, month=5), "50.1"), (at(1, 2), "50")):
        case.record(time, frequency_hz=hertz, active_power_mw="400", **HZ)
    (row,) = case.settle().primary_frequency
    assert (row.start_ms, row.actual_mwh, row.theoretical_mwh, row.ratio) == (at(1), None, Fraction("-32.16"), None)
    # The same where the unit's registration begins in the middle of it, or its breaker closes.
    case.units = [unit(droop_ratio="0.05", from_day=date(2026, 6, 2))]
    case.record(at(1, 23), frequency_hz="50.1", active_power_mw="400", **HZ)
    case.record(at(2, 1), frequency_hz="50", active_power_mw="400", **HZ)
    case.record(at(2, 2), frequency_hz="50.1", active_power_mw="0", on_grid="0", primary_frequency_in_service="1")
    case.record(at(2, 3), frequency_hz="50.1", active_power_mw="100", **HZ)
    case.record(at(2, 4), frequency_hz="50", active_power_mw="400", **HZ)
    rows = case.settle().primary_frequency
    assert [(row.start_ms, row.actual_mwh) for row in rows] == [(at(2), None), (at(2, 3), None)]


def test_a_register_read_at_midnights_only_checks_the_day_between_them() -> None:
    # 100 MW over 24 h is 2400 MWh; A meter of 2424.242 is 24.242 away, 1 % of it is 24.24242.
    def findings(closing_mwh: str, from_day: date | None = None) -> list[str]:
        case = Case(units=[replace(unit(), from_day=from_day)])
        for day, register in ((2, "1000"), (3, closing_mwh)):
            case.record(at(day), on_grid="1", active_power_mw="100", energy_export_mwh=register)
        case.record(at(3, 1), on_grid="1", active_power_mw="100", energy_export_mwh="")
        return [finding.subject for finding in case.settle().findings if finding.code == "meter_differs"]

    assert findings("3424.242") == []
    assert findings("3424.243") == ["U1/2026-06-02"]  # 24.243 against 24.24243
    assert findings("3500", from_day=date(2026, 6, 3)) == []  # before commercial operation (Art. 3) nothing is checked


def test_a_reading_at_the_month_s_end_closes_its_last_day() -> None:
    case = Case(units=[unit()])
    for time, register in ((at(30), "0"), (at(1, month=7), "2000")):
        case.record(time, on_grid="1", active_power_mw="100", energy_export_mwh=register)
    found = [finding.subject for finding in case.settle().findings if finding.code == "meter_differs"]
    assert found == ["U1/2026-06-30"]


def rows_of(case: Case, name: str, month: Month = JUNE) -> list[dict[str, object]]:
    """The evidence table of a name; texts as they are, numbers as stored."""
    return list(case.settle(month=month).segments.evidence(name).to_pylist())


def test_each_quarter_hour_of_agc_tells_plan_output_and_net_or_why_not() -> None:
    # Plan 400 MW all day. To 00:05 at 460 MW, then to 00:15 at 385: +60 × 5 min − 15 × 10 min = +5 − 2.5 = 2.5 MWh.
    # To 00:30 at 340 MW: −15 MWh. From 00:30 AGC is out; at 01:00 the breaker opens; from 02:00 no output is known.
    case = Case(units=[unit(agc_lower_mw="300", agc_upper_mw="600")])
    case.plan = [("U1", at(1), at(2), 400_000, None)]
    states = {"on_grid": "1", "agc_in_service": "1"}
    for minute, power, change in (
        (0, "460", {}), (5, "385", {}), (15, "340", {}), (30, "340", {"agc_in_service": "0"}),
        (60, "0", {"on_grid": "0", "agc_in_service": "0"}), (120, "", {}),
    ):  # fmt: skip
        case.record(at(1, minute / 60), active_power_mw=power, **(states | change))
    rows = rows_of(case, "agc_quarter_hours")
    assert len(rows) == 30 * 96
    seen = [(r["start"], r["plan_mwh"], r["actual_mwh"], r["net_mwh"], r["class"], r["reason"]) for r in rows]
    mwh = 3_600_000_000
    assert seen[0] == (at(1), 100 * mwh, 102.5 * mwh, 2.5 * mwh, "up", "")
    assert seen[1] == (at(1, 0.25), 100 * mwh, 85 * mwh, -15 * mwh, "down", "")
    assert seen[2] == (at(1, 0.5), None, None, None, "unpaid", "agc_off")
    assert seen[4] == (at(1, 1), None, None, None, "unpaid", "off_grid")
    assert seen[8] == (at(1, 2), None, None, None, "missing", "no_power")
    assert seen[96] == (at(2), None, None, None, "missing", "no_plan")


def test_a_quarter_hour_counted_in_part_says_what_took_the_rest() -> None:
    # 10 min at 430 MW against 400: 5 MWh; then five minutes without AGC.
    case = Case(units=[unit(agc_lower_mw="300", agc_upper_mw="600")])
    case.plan = [("U1", at(1), at(2), 400_000, None)]
    case.record(at(1), on_grid="1", agc_in_service="1", active_power_mw="430")
    case.record(at(1, 1 / 6), on_grid="1", agc_in_service="0", active_power_mw="430")
    row = rows_of(case, "agc_quarter_hours")[0]
    assert (row["net_mwh"], row["class"], row["reason"]) == (5 * 3_600_000_000, "up", "agc_off")


def follow(*steps: tuple[float, str, str], hour: float = 1) -> list[dict[str, object]]:
    """Commands of a 600 MW unit (1 % is 6 MW, 0.5 % is 3 MW); steps of (second, set-point, output)."""
    case = Case(units=[unit(agc_lower_mw="300", agc_upper_mw="600")])
    for second, setpoint, power in steps:
        time = at(1, hour) + round(second * 1000)
        case.record(time, on_grid="1", agc_in_service="1", agc_setpoint_mw=setpoint, active_power_mw=power)
    return rows_of(case, "agc_commands")


def told(row: dict[str, object]) -> tuple[object, ...]:
    return row["response_s"], row["rate_mw_per_min"], row["accuracy_mw"], row["reason"]


def test_a_command_has_response_rate_and_accuracy() -> None:
    # From 400 to 440 MW at second 10. Left 400 by more than 3 MW at 30 (405): 20 s. A quarter (410) at 40, three
    # quarters (430) at 80: 20 MW in 40 s, 30 MW/min. In the band of 3 MW at 100 (438): 2 MW off for 10 s, then 1 MW
    # (441) for 10 s, up to the next command at 120: 1.5 MW.
    outputs = [400, 400, 402, 405, 410, 415, 420, 425, 430, 435, 438, 441]
    steps = [(10.0 * n, "400" if n == 0 else "440", str(mw)) for n, mw in enumerate(outputs)]
    (first, second) = follow(*steps, (120.0, "400", "441"), (130.0, "400", "440"))
    assert (first["start"], first["from_mw"], first["to_mw"]) == (at(1, 1) + 10_000, 400_000, 440_000)
    assert told(first) == (20_000, 30_000_000, 1_500_000, "")
    assert told(second) == (None, None, None, "no_response")


def test_records_a_tenth_of_a_second_apart_give_the_response_in_tenths() -> None:
    # From 400 to 440 MW at 10.3 s; the output rises by 0.5 MW in each tenth from 10.8 s on, which shows 400.5. Left 400
    # by more than 3 MW at 11.4 (403.5): 1.1 s. A quarter (410) at 12.7, three quarters (430) at 16.7: 20 MW in 4 s,
    # 300 MW/min. In the band at 18.1 (437), and 3 MW down to 0 at 18.7 (440), where it stays to the end at 20.0: the
    # command is not ended by another, its accuracy is the mean to the last record.
    steps = []
    for tenth in range(100, 201):
        output = min(440.0, 400 + 0.5 * max(0, tenth - 107))
        steps.append((tenth / 10, "440" if tenth >= 103 else "400", str(output)))
    (row,) = follow(*steps)
    assert row["start"] == at(1, 1) + 10_300
    # 3, 2.5, 2, 1.5, 1, 0.5 MW for a tenth each in 1.9 s: 1.05 MW·s, 0.552631... MW.
    assert told(row) == (1_100, 300_000_000, 552_632, "")


def test_a_change_below_one_percent_is_no_command_and_one_of_exactly_one_percent_is() -> None:
    assert follow((0, "400", "400"), (10, "405.999", "400"), (20, "405.999", "400")) == []
    assert len(follow((0, "400", "400"), (10, "406", "400"), (20, "406", "400"))) == 1


def test_a_command_is_not_judged_where_records_are_apart_a_value_is_missing_or_another_command_comes_first() -> None:
    assert told(*follow((0, "400", "400"), (10, "440", "400"), (20.001, "440", "430")))[3] == "records_apart"
    assert told(*follow((0, "400", "400"), (10, "440", "400"), (20, "440", "")))[3] == "no_value"
    first, second = follow((0, "400", "400"), (10, "440", "400"), (20, "460", "409.999"), (30, "460", "445"))
    assert told(first) == (None, None, None, "superseded")  # 9.999 MW is below a quarter of 40
    # Counted from 409.999 to 460: a quarter (422.49925) and three quarters (447.49975) of 50.001 MW.
    assert told(second) == (10_000, None, None, "not_reached")


def test_what_is_reached_in_the_record_of_the_next_command_is_reached_before_it() -> None:
    # That record's 410 MW is what the first command brought about: exactly a quarter of its 40 MW, so not superseded.
    first, _ = follow((0, "400", "400"), (10, "440", "400"), (20, "460", "410"), (30, "460", "455"))
    assert told(first) == (10_000, None, None, "not_reached")
    # A quarter (410) at second 20, three quarters (430) at 30 together with the next: 20 MW in 10 s are 120 MW/min.
    first, _ = follow((0, "400", "400"), (10, "440", "400"), (20, "440", "410"), (30, "400", "430"), (40, "400", "430"))
    assert told(first) == (10_000, 120_000_000, None, "")
    # Arrived (438) only there: no time of it is left to have an accuracy.
    first, _ = follow((0, "400", "400"), (10, "440", "400"), (20, "440", "410"), (30, "400", "438"), (40, "400", "430"))
    assert told(first) == (10_000, 120_000_000, None, "")


def test_an_output_missing_at_the_next_command_leaves_open_only_what_was_not_reached_earlier() -> None:
    first, second = follow((0, "400", "400"), (10, "440", "400"), (20, "460", ""), (30, "460", "455"))
    assert (told(first)[3], told(second)[3]) == ("no_value", "no_value")
    first, _ = follow((0, "400", "400"), (10, "440", "400"), (20, "440", "410"), (30, "440", "430"), (40, "400", ""))
    assert told(first) == (10_000, 120_000_000, None, "")


@pytest.mark.parametrize("lost", ["agc_setpoint_mw", "agc_in_service", "on_grid"])
def test_a_record_that_does_not_show_whether_another_command_came_leaves_the_command_unjudged(lost: str) -> None:
    # From 400 to 440 MW at second 10, risen by 10 MW a record; at second 20 a value is missing. Nothing is said of it:
    # neither that the unit did not answer (at second 10 it had not yet) nor, once it had, how near it stayed.
    def row(*outputs: int, missing: int) -> dict[str, object]:
        case = Case(units=[unit(agc_lower_mw="300", agc_upper_mw="600")])
        for number, mw in enumerate(outputs):
            cells = {"on_grid": "1", "agc_in_service": "1", "agc_setpoint_mw": "400" if number == 0 else "440"}
            cells |= {lost: ""} if number == missing else {}
            case.record(at(1, 1) + 10_000 * number, active_power_mw=str(mw), **cells)
        (only,) = rows_of(case, "agc_commands")
        return only

    assert told(row(400, 400, 410, 420, 430, 440, missing=2)) == (None, None, None, "no_value")
    assert told(row(400, 400, 410, 420, 430, 440, 440, missing=6)) == (None, None, None, "no_value")


def test_agc_known_out_ends_a_command_whatever_else_its_record_lacks() -> None:
    # Left 400 by more than 3 MW at second 20; a quarter (410) there, three quarters (430) never: AGC is out at 30.
    case = Case(units=[unit(agc_lower_mw="300", agc_upper_mw="600")])
    steps = ((0, "1", "400", "400"), (10, "1", "440", "400"), (20, "1", "440", "410"), (30, "0", "", "430"))
    for second, agc, setpoint, power in steps:
        cells = {"agc_in_service": agc, "agc_setpoint_mw": setpoint, "active_power_mw": power}
        case.record(at(1, 1) + second * 1000, on_grid="1", **cells)
    (row,) = rows_of(case, "agc_commands")
    assert told(row) == (10_000, None, None, "not_reached")


def test_a_command_inside_the_band_has_arrived_at_once_and_has_no_response_to_give() -> None:
    # At 438 MW the set-point goes from 430 to 440: 2 MW off, inside the band of 3 MW. 2 MW for 10 s, then 1 MW (439)
    # for 10 s up to the next command: 1.5 MW. Half of the step's 2 MW is done: another command did not come too early.
    steps = ((0, "430", "438"), (10, "440", "438"), (20, "440", "439"), (30, "460", "439"), (40, "460", "450"))
    first, _ = follow(*steps)
    assert told(first) == (None, None, 1_500_000, "")
    # On its set-point to the kW a quarter of nothing is done at once, also if the next command comes at once.
    first, _ = follow((0, "430", "440"), (10, "440", "440"), (20, "460", "440"), (30, "460", "450"))
    assert told(first) == (None, None, 0, "")
    # 2 MW off and nothing of it done when the next comes: superseded, as any command is.
    first, _ = follow((0, "430", "438"), (10, "440", "438"), (20, "460", "438"), (30, "460", "450"))
    assert told(first) == (None, None, None, "superseded")


def test_a_trip_that_ends_a_command_is_no_answer_to_it() -> None:
    # From 440 down to 400; at second 30 the breaker is out and the output 0.
    case = Case(units=[unit(agc_lower_mw="300", agc_upper_mw="600")])
    for second, on, setpoint, power in (
        (0, "1", "440", "440"),
        (10, "1", "400", "440"),
        (20, "1", "400", "439"),
        (30, "0", "400", "0"),
    ):
        case.record(
            at(1, 1) + second * 1000, on_grid=on, agc_in_service="1", agc_setpoint_mw=setpoint, active_power_mw=power
        )
    (row,) = rows_of(case, "agc_commands")
    assert told(row) == (None, None, None, "no_response")


def test_a_step_within_one_record_has_no_rate_and_a_fall_is_judged_as_a_rise() -> None:
    (jump,) = follow((0, "400", "400"), (10, "440", "400"), (20, "440", "439"), (30, "440", "439"))
    assert told(jump) == (10_000, None, 1_000_000, "one_record")
    outputs = ["440", "440", "430", "420", "410", "400", "400"]
    (fall,) = follow(*[(10.0 * n, "440" if n == 0 else "400", mw) for n, mw in enumerate(outputs)])
    assert told(fall) == (10_000, 60_000_000, 0, "")  # from 430 to 410 in 20 s


def test_a_command_before_midnight_is_followed_as_far_as_the_day_s_records_reach() -> None:
    # A command at midnight itself, and one 10 s before it that is answered after it.
    steps = [(0.0, "400", "400"), *[(10.0 * n, "440", str(400 + 10 * (n - 1))) for n in range(1, 6)]]
    (row,) = follow(*steps, hour=24 - 10 / 3600)
    assert row["start"] == at(2)
    (row,) = follow(*steps, hour=24 - 20 / 3600)
    assert (row["start"], *told(row)) == (at(2) - 10_000, 10_000, 60_000_000, None, "")


def test_records_usually_further_apart_than_they_hold_are_a_finding_with_both_numbers_and_the_remedy() -> None:
    case = Case(units=[unit()], policy={"hold_limit_s": Decimal(60)})
    for minute in range(0, 600, 2):  # every 120 s
        case.record(at(1, minute / 60), on_grid="1")
    (found,) = [f for f in case.settle().findings if f.code == "records_apart"]
    assert (found.subject, found.count, found.provisional) == ("U1", 299, False)
    assert "120.0 s apart" in found.message
    assert "holds for 60 s" in found.message
    assert "hold_limit_s" in into(found.message, "zh")
    case.policy = {"hold_limit_s": Decimal(120)}
    assert not [f for f in case.settle().findings if f.code == "records_apart"]


def test_limits_without_the_report_they_rest_on_are_a_finding() -> None:
    def found(**keys: str) -> list[str]:
        statement = Case(units=[unit(**keys)]).settle()
        return [f.subject for f in statement.findings if f.code == "no_evidence"]

    assert found(q_max_mvar="300") == ["U1"]
    assert found(q_max_mvar="300", evidence="report 7") == []
    assert found() == []  # no limits: nothing to prove


def test_a_deep_peak_interval_tells_the_limits_in_mw_and_the_output() -> None:
    # Jiangsu: 59 % of 600 is 354 MW, 40 % is 240. One hour at 300 MW, one at 200: 154 MWh, then 400 to the end.
    case = Case(units=[unit()])
    for hour, power in ((0, "300"), (1, "200"), (2, "400")):
        case.record(at(1, hour), on_grid="1", active_power_mw=power)
    rows = rows_of(case, "deep_peak")[:3]
    assert [(r["start"], r["end"], r["reason"], r["power_mw"], r["energy_mwh"]) for r in rows] == [
        (at(1), at(1, 1), "above_gate", 300_000_000, 0),
        (at(1, 1), at(1, 2), "counted", 200_000_000, 154 * 3_600_000_000),
        (at(1, 2), at(1, 8), "above_lower_limit", 400_000_000, 0),
    ]
    assert {(r["lower_limit_mw"], r["gate_mw"], r["rated_mw"], r["share"], r["group"]) for r in rows} == {
        (354_000, 240_000, 600_000, 1_000_000, "")
    }


def test_a_peak_group_tells_its_sums_and_shares_and_whose_data_are_missing() -> None:
    # 600 and 300 MW: 59 % of 900 is 531, 40 % is 360. 330 MW together: 201 MWh in the first hour, 134 and 67.
    # In the second hour U2's output is missing; in the third it is off, and U1 alone at 200 MW against 354.
    case = Case(units=[unit(peak_group="G"), unit("U2", rated="300", peak_group="G")])
    case.record(at(1), on_grid="1", active_power_mw="200").record(at(1), "U2", on_grid="1", active_power_mw="130")
    case.record(at(1, 1), "U2", on_grid="1", active_power_mw="").record(at(1, 2), "U2", on_grid="0")
    rows = {u: [r for r in rows_of(case, "deep_peak") if r["unit"] == u][:3] for u in ("U1", "U2")}
    names = ("reason", "rated_mw", "lower_limit_mw", "power_mw", "share", "energy_mwh", "missing")
    told = {u: [tuple(r[name] for name in names) for r in some] for u, some in rows.items()}
    mwh = 3_600_000_000
    assert told["U1"] == [
        ("counted", 900_000, 531_000, 330_000_000, 666_667, 134 * mwh, ""),
        ("group_member_missing", 600_000, 354_000, None, 0, 0, "U2"),
        ("counted", 600_000, 354_000, 200_000_000, 1_000_000, 6 * 154 * mwh, ""),
    ]
    assert [row[0] for row in told["U2"]] == ["counted", "no_power", "off_grid"]
    assert told["U2"][0][4:6] == (333_333, 67 * mwh)
    # Segments of the members add up to the line: 134 + 924 and every night after it the same alone.
    statement = case.settle()
    sums = dict.fromkeys(rows, 0)
    for table in statement.segments.tables():
        for row in table.to_pylist():
            sums[row["unit"]] += row["value"] if row["service"] == "deep_peak" else 0
    assert {u: Fraction(kwms, mwh) for u, kwms in sums.items()} == {
        line.unit: line.quantity for line in statement.lines if line.service == "deep_peak"
    }


def test_every_avc_order_is_a_row_with_its_verdict() -> None:
    # 500 kV: band 1.5. The first target stands. 510 is judged 60 s later at 509: passed. 505 at 507: failed. 500 has no
    # voltage: not judged. A change of 0.1 kV is below a tenth of the band and no order (I-21).
    case = Case(units=[unit(avc=True, nominal_kv="500")])
    on = {"on_grid": "1", "avc_in_service": "1"}
    targets = ((0, "505", "505"), (1, "510", "505"), (2, "505", "509"), (3, "500", "507"), (4, "500.1", "500"))
    for hour, target, voltage in targets:
        case.record(at(1, hour), avc_target_kv=target, bus_voltage_kv=voltage, **on)
        after = {1: "509", 2: "507", 3: ""}.get(hour, voltage)
        case.record(at(1, hour) + 60_000, avc_target_kv=target, bus_voltage_kv=after, **on)
    rows = rows_of(case, "avc_orders")
    names = ("time", "previous_kv", "target_kv", "judged_at", "voltage_kv", "band_kv", "verdict", "reason")
    assert [tuple(row[name] for name in names) for row in rows] == [
        (at(1, 1), 505_000, 510_000, at(1, 1) + 60_000, 509_000, 1_500_000, "passed", ""),
        (at(1, 2), 510_000, 505_000, at(1, 2) + 60_000, 507_000, 1_500_000, "failed", ""),
        (at(1, 3), 505_000, 500_000, at(1, 3) + 60_000, None, 1_500_000, "not_judged", "no_voltage"),
    ]


def test_a_band_of_part_of_a_volt_is_shown_whole_and_decides_whole() -> None:
    # 1 % of 110.05 kV is 1.1005 kV: 1.100 off is inside, 1.101 off is not.
    on = {"on_grid": "1", "avc_in_service": "1"}
    case = Case(units=[unit(avc=True, nominal_kv="110.05")])
    for hour, target, voltage in ((1, "110", "110"), (2, "111", "109.9"), (3, "110", "111.101")):
        case.record(at(1, hour), avc_target_kv=target, bus_voltage_kv="110", **on)
        case.record(at(1, hour) + 60_000, avc_target_kv=target, bus_voltage_kv=voltage, **on)
    rows = rows_of(case, "avc_orders")
    assert [(row["band_kv"], row["verdict"]) for row in rows] == [(1_100_500, "passed"), (1_100_500, "failed")]


def test_a_voltage_that_is_missing_is_no_zero_whatever_else_keeps_the_order_from_being_judged() -> None:
    # 60 s after the order there is no voltage and AVC is out: the row names AVC, and its voltage stays empty.
    case = Case(units=[unit(avc=True, nominal_kv="500")])
    for second, target, voltage, avc in ((0, "505", "505", "1"), (600, "510", "505", "1"), (660, "510", "", "0")):
        cells = {"avc_target_kv": target, "bus_voltage_kv": voltage, "avc_in_service": avc}
        case.record(at(1) + second * 1000, on_grid="1", **cells)
    (row,) = rows_of(case, "avc_orders")
    assert (row["judged_at"], row["voltage_kv"], row["reason"]) == (at(1) + 660_000, None, "avc_out")


def test_every_start_stop_order_says_what_became_of_it() -> None:
    # Stopped at 02:00, on again at 10:00: paid, 8 h. The order of the next day saw no restart.
    case = Case(units=[unit(kind="gas", rated="390")])
    for day, hour, state in ((2, 0, "1"), (2, 2, "0"), (2, 10, "1"), (3, 2, "0")):
        case.record(at(day, hour), on_grid=state)
    case.order("start_stop", at(2, 1), at(2, 12)).order("start_stop", at(3, 1), at(3, 12))
    first, second = case.settle().start_stops
    assert first[3:] == (at(2, 2), at(2, 2), at(2, 10), at(2, 10), 8 * 3_600_000, "paid", "")
    assert second[3:] == (None, None, None, None, None, "none", "no_restart")
