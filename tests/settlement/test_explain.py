# SPDX-License-Identifier: GPL-3.0-or-later
"""From an amount back to formula, rulebook rows, readings, segments and records."""

from __future__ import annotations

import pytest
from small_month import Case, at, unit

from collector.errors import RuleError
from collector.model.interval import format_time
from collector.settlement.catalogue import SERVICES
from collector.settlement.explain import READINGS_OF, explain, explanation_text, records_of


def month() -> Case:
    """600 MW in Jiangsu at 200 MW from 02:00 to 06:00 on the 1st, a test from 05:00; a hole on the 2nd."""
    case = Case(units=[unit()])
    for time, power in ((at(1), "500"), (at(1, 2), "200"), (at(1, 6), "500"), (at(2, 3), ""), (at(2, 4), "300")):
        case.record(time, on_grid="1", active_power_mw=power)
    return case.exclude("test", at(1, 5), at(1, 6))


def test_a_line_is_explained_down_to_its_segments() -> None:
    text = "\n".join(explanation_text(explain(month().settle(), "U1", "deep_peak"), segments=7))
    assert "U1  deep_peak  Art. 13(1)-(3), 6(2): " in text
    # (354 − 200) × 3 h = 462 MWh
    assert "462 MWh × 10 yuan/MWh = 4620" in text
    assert "deep_peak.price [annual_plan] = 10 yuan/MWh, Art. 13(3), from 2009-01-01" in text
    assert "I-03 (13(3)): from_lower_limit" in text
    assert "scope 239 h, known 238 h, counted 3 h, excluded 1 h" in text
    assert "not paid: no_power, 60 min" in text
    assert "with its gaps: at least 4620.00 元, at most 8160.00 元" in text  # 1 h × 354 × 10 more
    segment = f"{format_time(at(1, 2))} … {format_time(at(1, 5))}  counted"
    assert segment in text


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
