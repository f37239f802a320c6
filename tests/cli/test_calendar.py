# SPDX-License-Identifier: GPL-3.0-or-later
"""The duties of a month, on working days checked against an independent table."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path

import chinese_calendar
import pytest
import typer
from typer.testing import CliRunner

from collector.base.errors import ConfigError, RuleError
from collector.base.resources import config_path
from collector.cli import calendar as verb
from collector.model.interval import Month
from collector.settlement.rulebook.calendar import Duties, DutyDays, compute_duties, load_working_days
from collector.settlement.rulebook.load import load_rulebook

DAYS = load_working_days(config_path("calendar"))
RULES = config_path("rules/east-china-trial")


def duties(month: str, *received: date, rules: Path = RULES) -> Duties:
    return compute_duties(Month.parse(month), DutyDays(DAYS, load_rulebook(rules)), received)


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


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A copy of the shipped rulebook to change."""
    return Path(shutil.copytree(RULES, tmp_path / "rules"))


def change(rules: Path, article: int, old: str, new: str) -> None:
    file = rules / f"article-{article}.toml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


def later(value: str, day: str) -> str:
    """A row that takes over on a day, to stand before the first one."""
    row = f'value = "{value}"\n  state = "in_force"\n  from = {day}\n  cite = "notice"\n'
    return f"[[value.row]]\n  {row}\n  [[value.row]]"


def test_another_filing_day_clashes_with_other_answers(rules: Path) -> None:
    # June 2026: asked on Monday 15, answered by Thursday 18. Dragon Boat Festival takes the 19th, with Saturday 20 and
    # Sunday 21: a filing on one of them does not move. Filed on Wednesday 17, which is worked, the answer comes after.
    (clash,) = duties("2026-05").clashes
    assert clash.startswith("the filing with the regulator falls on 2026-06-20, no working day")
    change(rules, 28, 'value = "20"', 'value = "19"')
    (clash,) = duties("2026-05", rules=rules).clashes
    assert clash.startswith("the filing with the regulator falls on 2026-06-19, no working day")
    change(rules, 28, 'value = "19"', 'value = "17"')
    (clash,) = duties("2026-05", rules=rules).clashes
    assert clash.startswith("answer to a question of 2026-06-15 is due on 2026-06-18, after the filing on 2026-06-17")


def test_a_month_goes_by_what_is_in_force_on_the_first_day_of_the_month_after_it(rules: Path) -> None:
    # From 1 June on: the duties of May, done in June, are the first. From 2 June on: those of June, done in July.
    change(rules, 27, "[[value.row]]", later("12", "2026-06-01"))
    change(rules, 28, "[[value.row]]", later("22", "2026-06-02"))
    shown = {}
    for month in ("2026-04", "2026-05", "2026-06"):
        due = {duty.id: duty.due.day for duty in duties(month, rules=rules).duties}
        shown[month] = (due["review"], due["filing"])
    assert shown == {"2026-04": (15, 20), "2026-05": (12, 20), "2026-06": (12, 22)}


def test_more_working_days_to_answer_are_counted_over_the_holiday(rules: Path) -> None:
    # Asked on Monday 15 June 2026: 16, 17, 18, then Dragon Boat Festival 19-21, so the fourth is Monday the 22nd.
    change(rules, 27, 'value = "3"', 'value = "4"')
    assert {d.id: d.due for d in duties("2026-05", rules=rules).duties}["answer"] == date(2026, 6, 22)


@pytest.mark.parametrize(
    ("article", "value"),
    [(26, "disclosure.day"), (27, "review.day"), (28, "filing.day")],
)
def test_a_rulebook_without_the_calendar_is_sound_and_only_the_calendar_refuses_it(
    rules: Path, article: int, value: str
) -> None:
    (rules / f"article-{article}.toml").unlink()
    with pytest.raises(RuleError, match=rf"{value}: the calendar needs it.* add article-{article}\.toml"):
        duties("2026-05", rules=rules)


def test_a_day_that_is_unknown_or_that_the_month_lacks_is_refused(rules: Path) -> None:
    change(rules, 28, 'value = "25"', 'value = "30"')
    assert duties("2026-02", rules=rules).duties[-1].due == date(2026, 3, 30)
    with pytest.raises(RuleError, match=r"publication\.day: 2026-02 has no day 30; see article-28\.toml"):
        duties("2026-01", rules=rules)
    change(rules, 28, 'value = "30"\n  state = "in_force"', 'state = "unknown"')
    with pytest.raises(RuleError, match=r"publication\.day: .*article-28\.toml has none in force on 2026-03-01"):
        duties("2026-02", rules=rules)


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


def test_the_verb_takes_another_rulebook_and_says_what_one_lacks(rules: Path) -> None:
    app = typer.Typer()
    verb.register(app)
    app.command("other")(lambda: None)
    change(rules, 28, 'value = "25"', 'value = "27"')
    arguments = ["calendar", "2026-05", "--rulebook", str(rules), "--json"]
    result = CliRunner().invoke(app, arguments)
    assert json.loads(result.output)["duties"][-1]["due"] == "2026-06-27"
    (rules / "article-27.toml").unlink()
    refused = CliRunner().invoke(app, arguments)
    assert isinstance(refused.exception, RuleError)
    assert str(refused.exception).startswith("review.day: the calendar needs it")
