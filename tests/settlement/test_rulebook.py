# SPDX-License-Identifier: GPL-3.0-or-later
"""The rulebook: every shipped value against the text, and every way a file can be wrong."""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from collector.base.errors import ConfigError, RuleError
from collector.settlement.rulebook.catalogue import CALENDAR_VALUES, READINGS, SERVICES, VALUES
from collector.settlement.rulebook.load import load_rulebook, read_rulebook_files, rulebook_of
from tests.settlement.small_month import RULES, shipped_rulebook

# Typed from regulation.zh.txt and rules.md: value by id and key. Changing any shipped number makes this fail.
OF_THE_TEXT = {
    "deep_peak.lower_limit_ratio": {
        "east_china_grid": "0.57", "shanghai": "0.47", "jiangsu": "0.59",
        "zhejiang": "0.59", "anhui": "0.57", "fujian": "0.65",
    },
    "deep_peak.gate_ratio": {"": "0.40"},
    "deep_peak.price": {"energy_saving": "50", "annual_plan": "10"},
    "start_stop.max_gap": {"": "24"},
    "coal_start_stop.price": {"": None},
    "gas_start_stop.price": {"": "260"},
    "hydro_spill.ratio": {"": "0.5"},
    "hydro_start_stop.price": {"": "20"},
    "agc_basic.price": {"": "240"},
    "agc_up.price": {"energy_saving": "10", "annual_plan": "10"},
    "agc_down.price": {"energy_saving": "50", "annual_plan": "10"},
    "reactive.free_ratio_lag": {"": "0.75"},
    "reactive.free_ratio_lead": {"": "0.328684105"},
    "reactive_lag.price": {"": "15"},
    "reactive_lead.price": {"": "15"},
    "condenser_start.price": {"": "14"},
    "condenser_run.price": {"": "15"},
    "avc.price": {"": "0.1"},
    "avc.high_class": {"": "500"},
    "avc.middle_class": {"": "220"},
    "avc.high_band": {"": "1.5"},
    "avc.middle_band": {"": "1.0"},
    "avc.low_band_ratio": {"": "0.01"},
    "spinning_reserve.price": {"energy_saving": "50", "annual_plan": "10"},
    "hot_reserve.price": {"energy_saving": "50", "annual_plan": "10"},
    "black_start.price": {
        "hydro": "60000", "pumped_storage": "60000", "coal": "80000", "coal_other": "80000", "gas": "80000",
        "nuclear": "80000", "wind": "80000", "solar": "80000", "other": "80000",
    },
    "primary_frequency.dead_band": {
        "coal": "0.033", "coal_other": "0.033", "gas": "0.033", "nuclear": "0.033", "other": "0.033",
        "hydro": "0.05", "pumped_storage": "0.05", "wind": None, "solar": None,
    },
    "primary_frequency.nominal": {"": "50"},
    "agc_command.band_ratio": {"": "0.005"},  # rules.md section 2: by more than 0.5 % of P_N
    "agc_command.min_step_ratio": {"": "0.01"},
    "agc_command.record_gap": {"": "10"},
    "policy.hold_limit": {"": "60"},
    "policy.settle": {"": "60"},
    "policy.min_stop": {"": "300"},
    "policy.order_min_ratio": {"": "0.1"},
    "policy.plausible_ratio": {"": "1.2"},
    "policy.plausible_voltage_low": {"": "0.5"},
    "policy.plausible_voltage_high": {"": "1.5"},
    "policy.min_coverage": {"": "0.5"},
    "policy.provisional_coverage": {"": "0.95"},
    "policy.at_limit_tolerance": {"": "1"},
    "policy.on_grid_ratio": {"": "0.005"},
    "policy.meter_difference_ratio": {"": "0.01"},
    "disclosure.day": {"": "10"},
    "review.day": {"": "15"},
    "answer.working_days": {"": "3"},
    "filing.day": {"": "20"},
    "publication.day": {"": "25"},
}  # fmt: skip


@pytest.mark.parametrize("value_id", sorted(VALUES | CALENDAR_VALUES))
def test_a_shipped_value_is_the_one_of_the_text_from_2009_on(value_id: str) -> None:
    value = shipped_rulebook().values[value_id]
    shipped = {row.key: None if row.value is None else str(row.value) for row in value.rows}
    assert shipped == OF_THE_TEXT[value_id]
    assert all(row.from_day == date(2009, 1, 1) and row.placeholder and row.cite for row in value.rows)


def test_every_service_and_reading_is_there_and_the_first_choice_is_adopted() -> None:
    book = shipped_rulebook()
    assert set(book.services) == set(SERVICES)
    assert {ident: book.adopted(ident, date(2026, 6, 1)) for ident in READINGS} == {
        i: c[0] for i, c in READINGS.items()
    }
    assert all(row.placeholder for reading in book.readings.values() for row in reading.rows)


def test_nothing_is_in_force_before_the_first_row() -> None:
    with pytest.raises(RuleError, match=r"agc_basic\.price: no row holds on 2008-12-31"):
        shipped_rulebook().value("agc_basic.price", date(2008, 12, 31))


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A copy of the shipped rulebook to damage."""
    return Path(shutil.copytree(RULES, tmp_path / "rules"))


def edit(rules: Path, file: str, old: str, new: str) -> None:
    """Replace one passage of a file."""
    text = (rules / file).read_text(encoding="utf-8")
    assert old in text
    (rules / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def add(rules: Path, file: str, value_id: str, row: str) -> None:
    """Append a row to a value."""
    text = (rules / file).read_text(encoding="utf-8")
    head, tail = text.split(f'id = "{value_id}"', 1)
    place = tail.find("\n[[")
    end = len(tail) if place < 0 else tail.index("\n[[", 0) if not tail[:place].strip() else place
    (rules / file).write_text(
        f'{head}id = "{value_id}"{tail[:end]}\n  [[value.row]]\n{row}\n{tail[end:]}', encoding="utf-8"
    )


def problems(rules: Path) -> str:
    """Everything the loader finds wrong."""
    with pytest.raises(ConfigError) as found:
        load_rulebook(rules)
    return str(found.value)


ROW = '  value = "300"\n  state = "in_force"\n  from = 2026-06-16\n  cite = "notice"\n'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('unit = "yuan/MW"', 'unit = "yuan/MWh"', "article-14.toml: agc_basic.price.unit: expected 'yuan/MW'"),
        ('key = "dispatch_mode"', 'key = "area"', "article-14.toml: agc_up.price.key: expected 'dispatch_mode'"),
        ('value = "240"', "value = 240.0", 'agc_basic.price.row[1].value: write numbers as text'),
        ('value = "240"', 'valeu = "240"', "agc_basic.price.row[1].valeu: unknown key; did you mean 'value'?"),
        ('value = "240"', 'value = "NaN"', "agc_basic.price.row[1].value: not a number: 'NaN'"),
        ('  cite = "每月按…乘积补偿240元/兆瓦"\n', "", "agc_basic.price.row[1].cite: expected a text"),
        ('id = "agc_basic.price"', 'id = "agc_basic.prise"', "this value; did you mean 'agc_basic.price'"),
        ('dispatch_mode = "annual_plan"', 'dispatch_mode = "annual"', "expected one of energy_saving, annual_plan"),
        ("from = 2009-01-01", 'from = "2009-01-01"', ".from: expected a local date like 2009-01-01"),
        ('state = "in_force"', 'state = "valid"', ".state: expected one of in_force, expected, ended, unknown"),
        ('state = "in_force"\n  from', 'state = "unknown"\n  from', ".value: a row that is unknown has no value"),
        ('value = "240"', 'until = 2008-01-01\n  value = "240"', "ends on 2008-01-01, before it begins"),
        ('value = "240"', 'area = "hunan"\n  value = "240"', "row[1].area: expected one of east_china_grid"),
        ('article = "14"', 'artikle = "14"', "artikle: unknown key; did you mean 'article'?"),
        ('article = "14"', 'article = ', "article-14.toml: not TOML"),
        ('id = "agc_down"', 'id = "agc_sideways"', "agc_sideways: no such service; known: deep_peak"),
        ('id = "agc_down"', 'id = "agc_up"', "agc_up: declared twice, first in article-14.toml"),
        ('factor = "1"', 'factor = "one"', ".factor: not a number: 'one'"),
        ('unit_kinds = ["coal"', 'unit_kinds = ["coals"', ".unit_kinds: expected some of coal"),
        ('value = "240"', 'value = "-240"', "article-14.toml: agc_basic.price.row[1].value: -240 is below 0"),
        ('factor = "1"', 'factor = "-1"', ".factor: -1 is below 0"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_with_its_place(rules: Path, old: str, new: str, said: str) -> None:
    edit(rules, "article-14.toml", old, new)
    assert said in problems(rules)


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("article-06.toml", '"0.57"', '"57"', "deep_peak.lower_limit_ratio.row[1].value: 57 is no ratio"),
        ("article-13.toml", '"0.40"', '"40"', "deep_peak.gate_ratio.row[1].value: 40 is no ratio"),
        ("policy.toml", '"0.95"', '"95"', "policy.provisional_coverage.row[1].value: 95 is no ratio"),
        ("policy.toml", '"0.5"', '"50"', "policy.min_coverage.row[1].value: 50 is no ratio"),
    ],
)
def test_a_percentage_is_no_share(rules: Path, file: str, old: str, new: str, said: str) -> None:
    edit(rules, file, old, new)
    assert problems(rules).endswith(f"{file}: {said}: expected 0 to 1, not percent")


def test_a_duplicate_an_overlap_and_a_gap_are_refused(rules: Path) -> None:
    add(rules, "article-14.toml", "agc_basic.price", ROW.replace("2026-06-16", "2009-01-01"))
    assert "agc_basic.price: duplicate rows from 2009-01-01" in problems(rules)
    edit(rules, "article-14.toml", 'from = 2009-01-01\n  cite = "notice"', 'from = 2026-06-16\n  cite = "notice"')
    edit(rules, "article-14.toml", 'value = "240"\n', 'value = "240"\n  until = 2026-07-01\n')
    assert "agc_basic.price: rows overlap from 2026-06-16 to 2026-07-01" in problems(rules)
    edit(rules, "article-14.toml", "until = 2026-07-01", "until = 2026-06-01")
    assert "agc_basic.price: gap between rows from 2026-06-01 to 2026-06-16" in problems(rules)


def test_a_missing_value_a_missing_key_and_a_missing_directory_are_refused(rules: Path) -> None:
    (rules / "article-18.toml").unlink()
    edit(rules, "article-06.toml", 'area = "fujian"', 'area = "anhui"')
    found = problems(rules)
    assert "black_start.price: this value is missing: no file declares it" in found
    assert "deep_peak.lower_limit_ratio: no row for area 'fujian'" in found
    assert "no rulebook.toml here" in problems(rules / "nowhere")


def test_a_reading_changes_only_with_a_month_and_only_to_a_choice_that_works(rules: Path) -> None:
    edit(
        rules,
        "readings.toml",
        'adopted = "from_lower_limit"\n  from = 2009-01-01',
        'adopted = "x"\n  from = 2009-01-02',
    )
    found = problems(rules)
    assert "I-03.row[1].adopted: expected one of from_lower_limit, from_gate_line" in found
    assert "I-03.row[1].from: a reading changes with a month, on its first day" in found


def test_a_reading_says_its_question_and_every_choice_in_english_and_in_chinese_or_is_refused(rules: Path) -> None:
    for reading in shipped_rulebook().readings.values():
        texts = [reading.question_zh, *reading.choices_zh.values()]
        assert all(any("\u4e00" <= letter <= "\u9fff" for letter in text) for text in texts), reading.id
        assert list(reading.choices_zh) == list(reading.choices)
    edit(rules, "readings.toml", 'question_zh = "深度调峰电量从哪条线算起?"\n', "")
    edit(rules, "readings.toml", '  from_gate_line = "从额定容量40%的线算起"\n', "")
    edit(rules, "readings.toml", 'paid_for_both = "可以"', 'paid_for_both = ""')
    found = problems(rules)
    assert "I-03.question_zh: expected a text, got None" in found
    assert "I-03.choices_zh: expected from_lower_limit, from_gate_line, got {'from_lower_limit': " in found
    assert "I-08c.choices_zh.paid_for_both: expected a text, got ''" in found


def test_an_exception_for_one_area_wins_there_from_its_day_and_nowhere_else(rules: Path) -> None:
    add(rules, "article-14.toml", "agc_basic.price", ROW + '  area = "jiangsu"\n')
    book = load_rulebook(rules)
    assert book.value("agc_basic.price", date(2026, 6, 15), area="jiangsu") == 240
    assert book.value("agc_basic.price", date(2026, 6, 16), area="jiangsu") == 300
    assert book.value("agc_basic.price", date(2026, 6, 16), area="anhui") == 240
    assert date(2026, 6, 16) in book.change_days()
    assert book.hash != shipped_rulebook().hash


def test_an_expected_row_changes_nothing_yet_and_a_value_is_exact(rules: Path) -> None:
    add(rules, "article-14.toml", "agc_basic.price", ROW.replace("in_force", "expected"))
    assert load_rulebook(rules).value("agc_basic.price", date(2027, 1, 1)) == 240
    assert shipped_rulebook().value("reactive.free_ratio_lead", date(2026, 1, 1)) == Fraction(Decimal("0.328684105"))


@pytest.mark.parametrize("day", ["0", "32", "10.5", "1e1", "-3", "010"])
def test_a_day_of_the_calendar_is_a_whole_number_of_a_month(rules: Path, day: str) -> None:
    edit(rules, "article-26.toml", 'value = "10"', f'value = "{day}"')
    said = f"article-26.toml: disclosure.day.row[1].value: expected a whole number from 1 to 31, got '{day}'"
    assert said in problems(rules)


def test_the_calendar_makes_no_exception_for_an_area(rules: Path) -> None:
    edit(rules, "article-28.toml", 'value = "20"', 'value = "20"\n  area = "jiangsu"')
    assert "article-28.toml: filing.day.row[1].area: the calendar is the same for all areas" in problems(rules)


def test_a_rulebook_without_the_calendar_loads_and_a_change_of_it_cuts_no_month_in_two(rules: Path) -> None:
    add(rules, "article-26.toml", "disclosure.day", ROW.replace("300", "9"))
    book = load_rulebook(rules)
    assert book.value("disclosure.day", date(2026, 6, 16)) == 9
    assert date(2026, 6, 16) not in book.change_days()
    for article in (26, 27, 28):
        (rules / f"article-{article}.toml").unlink()
    bare = load_rulebook(rules)
    assert not set(CALENDAR_VALUES) & set(bare.values)
    assert bare.change_days() == shipped_rulebook().change_days()


def test_the_same_files_are_one_rulebook_wherever_a_copy_lies_and_a_changed_byte_is_another() -> None:
    files = read_rulebook_files(RULES)
    book = rulebook_of(files, "runs/1/rulebook")
    assert rulebook_of(dict(files), "runs/2/rulebook") is book
    changed = rulebook_of(files | {"rulebook.toml": files["rulebook.toml"] + b"\n"}, "runs/1/rulebook")
    assert changed.hash != book.hash
    with pytest.raises(ConfigError, match=r"runs/3/rulebook: no rulebook.toml here"):
        rulebook_of({}, "runs/3/rulebook")
