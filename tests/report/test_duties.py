# SPDX-License-Identifier: GPL-3.0-or-later
"""The duties of a month, on working days checked against an independent table."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import chinese_calendar
import pytest
import typer
from typer.testing import CliRunner

from collector.cli import duties as verb
from collector.errors import ConfigError, RuleError
from collector.model.interval import Month
from collector.resources import config_path
from collector.settlement.calendar import Duties, compute_duties, load_working_days

DAYS = load_working_days(config_path("calendar"))


def duties(month: str, *received: date) -> Duties:
    return compute_duties(Month.parse(month), DAYS, received)


def due(month: str, *received: date) -> dict[str, date]:
    return {duty.id: duty.due for duty in duties(month, *received).duties}


@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_every_day_of_the_tables_agrees_with_chinese_calendar(year: int) -> None:
    day = date(year, 1, 1)
    while day.year == year:
        assert DAYS.is_working(day) == chinese_calendar.is_workday(day), day
        day += timedelta(days=1)


def test_a_year_without_a_table_is_refused_and_not_guessed() -> None:
    with pytest.raises(RuleError, match="no working-day table for 2027"):
        duties("2026-12")


def test_an_ordinary_month_keeps_the_days_of_the_text() -> None:
    # June 2026: the 10th is a Wednesday; the 15th a Monday, so an answer is due on Thursday the 18th.
    assert due("2026-05") == {
        "disclosure": date(2026, 6, 10),
        "review": date(2026, 6, 15),
        "answer": date(2026, 6, 18),
        "filing": date(2026, 6, 20),
        "publication": date(2026, 6, 25),
    }


def test_the_tenth_moves_over_a_weekend_and_only_the_tenth() -> None:
    # 10 May 2026 is a Sunday; the 9th is worked in exchange, so Monday the 11th is next.
    (disclosure, *others) = duties("2026-04").duties
    assert (disclosure.due, disclosure.moved_from) == (date(2026, 5, 11), date(2026, 5, 10))
    assert all(duty.moved_from is None for duty in others)


def test_a_tenth_that_is_worked_in_exchange_does_not_move() -> None:
    # Saturday 10 October 2026 is worked for the National Day holiday.
    assert due("2026-09")["disclosure"] == date(2026, 10, 10)


def test_spring_festival_discloses_after_reviews_have_closed_and_says_so() -> None:
    # 2024: holiday 10-17 February, Sunday the 18th worked.
    found = duties("2024-01")
    assert found.duties[0].due == date(2024, 2, 18)
    assert "disclosed on 2024-02-18, after reviews closed on 2024-02-15" in found.clashes[0]


def test_an_answer_counts_from_the_day_after_receipt_over_holidays() -> None:
    # Received Friday 13 February 2026: Saturday 14 worked (1), holiday 15-23, Tuesday 24 (2), Wednesday 25 (3).
    found = duties("2026-01", date(2026, 2, 13))
    assert [d.due for d in found.duties if d.id == "answer"] == [date(2026, 2, 25)]
    assert any("due on 2026-02-25, after the filing on 2026-02-20" in clash for clash in found.clashes)


def test_each_question_has_its_own_answer_and_a_late_one_is_shown() -> None:
    found = duties("2026-05", date(2026, 6, 16), date(2026, 6, 11))
    assert [d.due for d in found.duties if d.id == "answer"] == [date(2026, 6, 16), date(2026, 6, 22)]
    assert any("the question of 2026-06-16 came after reviews closed" in clash for clash in found.clashes)


def test_a_question_of_another_month_is_refused() -> None:
    with pytest.raises(RuleError, match="is asked in 2026-06, not on 2026-07-01"):
        duties("2026-05", date(2026, 7, 1))


def test_a_filing_day_that_is_free_is_shown_as_a_clash() -> None:
    assert any("filing with the regulator falls on 2026-06-20" in clash for clash in duties("2026-05").clashes)


@pytest.mark.parametrize(
    ("content", "finding"),
    [
        ("year = 2025\n", "2026.toml: year: is 2025, the file is named 2026.toml"),
        ('[[holiday]]\nname = "x"\n', "2026.toml: holiday[1]: expected the keys first, last, name, worked"),
        (
            '[[holiday]]\nname = "x"\nfirst = 2026-05-05\nlast = 2026-05-01\nworked = []\n',
            "2026.toml: holiday[1].last: 2026-05-01 is no end of a holiday from 2026-05-05",
        ),
        (
            '[[holiday]]\nname = "x"\nfirst = 2026-05-01\nlast = 2026-05-05\nworked = [2026-05-06]\n',
            "2026.toml: holiday[1].worked: 2026-05-06 is no weekend day that could be worked",
        ),
        ("nonsense = 1\n", "2026.toml: nonsense: unknown key"),
    ],
)
def test_a_wrong_table_is_refused_with_its_place(tmp_path: Path, content: str, finding: str) -> None:
    (tmp_path / "2026.toml").write_text(content)
    with pytest.raises(ConfigError) as caught:
        load_working_days(tmp_path)
    assert finding in [str(problem) for problem in caught.value.problems]


def test_the_verb_prints_json() -> None:
    app = typer.Typer()
    verb.register(app)
    app.command("other")(lambda: None)
    result = CliRunner().invoke(app, ["calendar", "2026-04", "--received", "2026-05-12", "--json"])
    assert result.exit_code == 0, result.output
    shown = json.loads(result.output)
    assert [row["due"] for row in shown["duties"]] == [
        "2026-05-11",
        "2026-05-15",
        "2026-05-15",
        "2026-05-20",
        "2026-05-25",
    ]
