# SPDX-License-Identifier: GPL-3.0-or-later
"""From an amount back to formula, rulebook rows, readings, segments and records."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pytest

from collector.base.errors import RuleError
from collector.model.interval import format_time
from collector.model.register import LocalSpan
from collector.report.explained import explanation_text
from collector.report.words import Lang
from collector.settlement.explain import READINGS_OF, explain, explain_parts, records_of
from collector.settlement.rulebook.catalogue import SERVICES
from collector.settlement.settle import settle
from collector.settlement.statement import SEGMENT_VALUE_DIVISOR
from tests.settlement.small_month import HOUR, JUNE, Case, area, at, shipped_rulebook, unit

AGC: dict[str, Any] = {"agc_lower_mw": "300", "agc_upper_mw": "600"}


def month() -> Case:
    """600 MW in Jiangsu at 200 MW from 02:00 to 06:00 on the 1st, a test from 05:00; a hole on the 2nd."""
    case = Case(units=[unit()])
    for time, power in ((at(1), "500"), (at(1, 2), "200"), (at(1, 6), "500"), (at(2, 3), ""), (at(2, 4), "300")):
        case.record(time, on_grid="1", active_power_mw=power)
    return case.exclude("test", at(1, 5), at(1, 6))


def told(case: Case, service: str = "deep_peak", *, lang: Lang = Lang.EN, segments: int = 40) -> str:
    return "\n".join(explanation_text(explain(case.settle(), "U1", service), segments=segments, lang=lang))


def test_a_line_is_explained_down_to_its_segments() -> None:
    text = told(month(), segments=7)
    assert text.startswith("2026-06, unit U1, deep peak shaving (Art. 13(1)-(3), 6(2)): 4620.00 yuan.")
    # (354 − 200) × 3 h = 462 MWh
    assert "462 MWh × 10 yuan/MWh = 4620" in text
    assert "price (annual plan) 10 yuan/MWh (Art. 13(3), from 2009-01-01)" in text
    assert "of the lower end of the basic range (I-03)" in text
    assert (
        "Of 239 h in scope 238 h are known, and 3 h count; 1 h were excluded, and 0 h are the plant's own fault."
        in text
    )
    assert "missing, active power missing 60 min" in text
    assert "it is 4620.00 yuan at least and 8160.00 at most" in text  # 1 h × 354 × 10 more
    assert "missing data cost 3540.00 yuan" in text
    assert "2026-06-01 02:00:00 to 2026-06-01 05:00:00: counted, 462 MWh" in text


def test_the_words_are_chinese_or_english_or_a_letter_in_each() -> None:
    chinese = told(month(), lang=Lang.ZH)
    assert chinese.startswith("2026年6月，U1 机组的深度调峰（第十三条(一)至(三)、第六条(二)）补偿 4620.00 元。")
    assert "第十三条(三)：“对低谷时段常规燃煤发电机组" in chinese
    assert "至少 4620.00 元，至多 8160.00 元" in chinese
    assert "缺数据、有功缺失 60 分钟" in chinese
    assert "从基本调峰范围的下限算起" in chinese
    english = told(month(), segments=1)
    assert told(month(), lang=Lang.BOTH, segments=1) == told(month(), lang=Lang.ZH, segments=1) + "\n\n" + english
    assert english.endswith("more, in the file of segments")
    unquoted = re.sub("“[^”]*”", "", english)
    assert not any("\u4e00" <= sign <= "\u9fff" for sign in unquoted)


def test_a_segment_leads_to_its_records() -> None:
    rows = records_of(month().inputs(), "U1", at(1, 3), at(1, 6))
    assert rows == [{"time": format_time(at(1, 2)), "active_power_mw": 200, "on_grid": 1}]
    rows = records_of(month().inputs(), "U1", at(2, 3), at(2, 5))
    assert [(row["time"], row["active_power_mw"]) for row in rows] == [
        (format_time(at(2, 3)), None),
        (format_time(at(2, 4)), 300),
    ]


def test_a_line_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(RuleError, match="U1/avc: the statement of 2026-06 has no such line; this unit has: deep_peak"):
        explain(month().settle(), "U1", "avc")


def test_every_paid_service_names_its_readings() -> None:
    assert set(READINGS_OF) == set(SERVICES) - {"primary_frequency"}


def test_time_outside_the_scope_is_a_class_of_its_own_and_the_whole_month_is_explained() -> None:
    case = month()
    case.units = [unit(from_day=date(2026, 6, 2))]
    found = explain(case.settle(), "U1", "deep_peak")
    rows = found.segments.to_pylist()
    assert (rows[0]["start"], rows[-1]["end"]) == (at(1), at(1, month=7))
    assert all(a["end"] == b["start"] for a, b in pairwise(rows))
    # 29 days × 16 h outside 00:00-08:00, and the day before commercial operation
    assert found.not_paid_ms["outside", "outside_valley"] == 29 * 16 * HOUR
    assert found.not_paid_ms["outside", "not_registered"] == 24 * HOUR


def test_what_a_line_was_measured_by_is_cited_beside_its_price() -> None:
    text = told(month())
    assert "lower limit of basic peak shaving, of P_N (Jiangsu) 0.59  (Art. 6(2), from 2009-01-01)" in text
    assert "gate of deep peak shaving, of P_N 0.40  (Art. 13(3), from 2009-01-01)" in text
    assert "how long a record holds" not in text  # this folder gave its own


def test_an_order_is_explained_by_the_time_off_that_counts_and_the_time_that_does_not() -> None:
    case = Case(units=[unit(kind="gas", rated="390")]).order("start_stop", at(2), at(4))
    for day, hour, on in ((1, 0, "1"), (2, 6, "0"), (2, 12, "1"), (3, 0, "0"), (3, 1, "1")):
        case.record(at(day, hour), on_grid=on)
    case.exclude("test", at(3, 20), at(4))
    found = explain(case.settle(), "U1", "gas_start_stop")
    inside = [(r["reason"], (r["end"] - r["start"]) / HOUR, r["value"]) for r in found.segments.to_pylist()]
    assert inside == [
        ("outside_order", 24, 0), ("on_grid", 6, 0), ("counted", 6, 1), ("on_grid", 12, 0), ("no_restart", 1, 0),
        ("on_grid", 19, 0), ("excluded", 4, 0), ("outside_order", 27 * 24, 0),
    ]  # fmt: skip
    row = found.determinant
    assert row is not None
    assert row.value == 1
    times = (row.scope_ms, row.known_ms, row.counted_ms, row.excluded_ms)
    assert times == (44 * HOUR, 44 * HOUR, 6 * HOUR, 4 * HOUR)


def test_time_of_an_unsynchronised_clock_is_used_and_its_hours_are_shown() -> None:
    case = Case(units=[unit(kind="gas")]).record(at(1), on_grid="1").record(at(2, 6), on_grid="1")
    inputs = case.inputs()
    clock = pa.array([1, 0], pa.int64())
    statement = settle(JUNE, replace(inputs, records=inputs.records.append_column("clock", clock)), shipped_rulebook())
    (finding,) = [f for f in statement.findings if f.code == "unsynchronised_clock"]
    assert (finding.subject, finding.provisional) == ("U1", False)
    assert finding.message.startswith("30.000 h stamped by a clock that was not synchronised: counted and used")
    assert statement.status == "final"


def test_avc_orders_and_on_grid_hours_are_explained_beside_what_they_belong_to() -> None:
    case = Case(units=[unit(kind="gas", agc_lower_mw="300", agc_upper_mw="600")])
    case.record(at(1), on_grid="1", agc_in_service="1", active_power_mw="400")
    text = told(case, "agc_basic")
    assert "time with AGC 720 h, time on grid 720 h" in text


def moving() -> Case:
    """600 MW at 200 MW from the 15th, 22:00, to the 16th, 02:00, in valley hours; in Shanghai from the 16th on."""
    night: dict[str, Any] = {"valley_hours": (LocalSpan(1320, 360),)}
    day = date(2026, 6, 16)
    units = [unit(until_day=day, **AGC), unit(from_day=day, area="shanghai", **AGC)]
    case = Case(units=units, areas=[area(**night), area(ident="shanghai", **night)])
    for time, power in ((at(1), "500"), (at(15, 22), "200"), (at(16, 2), "500")):
        case.record(time, on_grid="1", active_power_mw=power, agc_in_service="1")
    return case


def test_a_line_of_one_part_of_the_month_has_the_segments_of_that_part() -> None:
    statement = moving().settle()
    first, second = explain_parts(statement, "U1", "deep_peak")
    # 59 % of 600 is 354, 47 % is 282: (354 − 200) × 2 h = 308 MWh in Jiangsu, (282 − 200) × 2 h = 164 MWh in Shanghai.
    for part, edge, mwh, before in ((first, 1, 308, at(1)), (second, 0, 164, at(16))):
        counted = [row for row in part.segments.to_pylist() if row["class"] == "counted"]
        assert [row["value"] / 3_600_000_000 for row in counted] == [mwh]
        assert counted[0][("start", "end")[edge]] == at(16)
        assert part.segments["start"][0].as_py() == before
    days = [part.segments["end"][-1].as_py() - part.segments["start"][0].as_py() for part in (first, second)]
    assert days == [15 * 24 * HOUR, 15 * 24 * HOUR]
    for service in ("deep_peak", "agc_basic"):
        for part in explain_parts(statement, "U1", service):
            assert part.determinant is not None
            assert part.determinant.value is not None
            unpaid = part.determinant.scope_ms - part.determinant.counted_ms
            assert sum(ms for (cause, _), ms in part.not_paid_ms.items() if cause != "outside") == unpaid
            (unit_of_value,) = set(part.segments["value_unit"].to_pylist())
            total = sum(part.segments["value"].to_pylist())
            assert total == part.determinant.value * SEGMENT_VALUE_DIVISOR[unit_of_value]
