# SPDX-License-Identifier: GPL-3.0-or-later
"""A revision of the rulebook as data (Art. 30): a month across its day settles by both, each on its own days."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from collector.base.errors import ConfigError
from collector.base.resources import config_path
from collector.model.register import LocalSpan
from collector.report.explained import explanation_text
from collector.report.words import Lang
from collector.settlement.explain import explain
from collector.settlement.rulebook.load import load_rulebook, read_rulebook_files, rulebook_of
from tests.settlement.small_month import FOREVER, Case, area, at, plant, shipped_rulebook, unit

REVISION = config_path("rules/example-revision")
DAY = date(2026, 6, 16)


def month() -> Case:
    """A gas unit with a stop on order before and after the day, and reserves over all of June; valley hours change."""
    other_hours = area(valley_hours=(LocalSpan(1380, 420),), from_day=DAY)
    new = area(ident="example_area", from_day=DAY)
    case = Case(
        units=[unit(kind="gas", rated="390"), unit("N1", "gas", "390", of="P2")],
        areas=[replace(area(), until_day=DAY), other_hours, new],
        plants=[plant(), plant("P2", "example_area")],
    )
    for ident in ("U1", "N1"):
        case.record(at(1), ident=ident, on_grid="1")
        for day in (10, 20):
            case.order("start_stop", at(day), at(day + 1), ident=ident)
            case.record(at(day, 2), ident=ident, on_grid="0").record(at(day, 8), ident=ident, on_grid="1")
    case.reserve("spinning", at(15), at(17), 100_000).reserve("hot", at(10, 2), at(20, 12), 50_000)
    return case


def test_a_month_across_the_day_is_priced_by_the_old_rows_before_it_and_the_new_ones_from_it_on() -> None:
    statement = month().settle(load_rulebook(REVISION))
    lines = {(line.unit, line.service): line.amount_yuan for line in statement.lines}
    # 10 June: 260 × 390 = 101 400; 20 June: 300 × 390 = 117 000
    assert str(lines["U1", "gas_start_stop"]) == "218400.00"
    # the area is registered from the 16th on: only the second stop
    assert str(lines["N1", "gas_start_stop"]) == "117000.00"
    # 5 peak hours a day: the 15th 100 × 5 × 10 = 5 000, the 16th 100 × 5 × 12 = 6 000
    assert str(lines["U1", "spinning_reserve"]) == "11000.00"
    # hot while off, in peak hours, until the 15th; both stops end at 08:00, when the peak begins
    assert str(lines["U1", "hot_reserve"]) == "0.00"


def test_an_added_service_is_explained_by_what_its_formula_reads() -> None:
    case = Case(units=[unit(kind="coal_other", rated="300")], policy={"hold_limit_s": FOREVER})
    case.order("start_stop", at(20), at(21)).exclude("own_fault", at(25), at(26), "coal_other_start_stop")
    case.record(at(1), on_grid="1").record(at(20, 2), on_grid="0").record(at(20, 8), on_grid="1")
    statement = case.settle(load_rulebook(REVISION))
    told = explain(statement, "U1", "coal_other_start_stop")
    assert (told.line.amount_yuan, told.line.article) == (Decimal("30000.00"), "30")  # 100 × 300
    assert {"I-06", "I-20"} <= {reading.id for reading in told.readings}
    assert {"start_stop.max_gap", "coal_other_start_stop.price"} <= {rule.id for rule in told.line.rules}
    letter = "\n".join(explanation_text(told, lang=Lang.EN))
    assert "start-stop peak shaving, other coal" in letter
    assert [row.verdict for row in statement.start_stops] == ["paid"]
    assert not case.settle(shipped_rulebook()).lines  # the trial rules pay other coal nothing


def added(**changes: str) -> dict[str, bytes]:
    """The files of the example with the added service changed: `formula="…"` puts another text in place of its own."""
    files = read_rulebook_files(REVISION)
    text = files["revision-2026-06-16.toml"].decode()
    for key, value in changes.items():
        old = {"formula": 'formula = "gas_start_stop"', "ident": 'id = "coal_other_start_stop"'}
        text = text.replace(old.get(key, key), value)
    return {**files, "revision-2026-06-16.toml": text.encode()}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"formula": 'formula = "avc"'}, "formula: expected one of gas_start_stop"),
        ({"formula": ""}, "One of the rulebook's own names its formula"),
        ({"ident": 'id = "Other coal!"'}, "small letters"),
        ({'title_en = "start-stop peak shaving, other coal"': ""}, "title_en"),
        ({'id = "coal_other_start_stop.price"': 'id = "coal_other_start_stop.prize"'}, "nothing reads this value"),
    ],
)
def test_a_service_that_can_not_be_added_is_refused_with_what_is_wrong(change: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        rulebook_of(added(**change), "x")
    assert told in str(refused.value)


def test_a_reserve_that_a_rulebook_adds_is_measured_as_its_formula_says_with_exclusions_of_its_own() -> None:
    """100 MW in peak hours of one day, 5 h, of which an hour is excluded for the added service alone."""
    files = added(
        **{
            'formula = "gas_start_stop"': 'formula = "spinning_reserve"',
            'unit_kinds = ["coal_other"]': 'unit_kinds = ["coal_other", "gas"]',
            'quantity_unit = "count"': 'quantity_unit = "MWh"',
            'unit = "yuan/MW"\n\n  [[value.row]]\n  value = "100"': 'unit = "yuan/MWh"\nkey = "dispatch_mode"\n\n'
            '  [[value.row]]\n  dispatch_mode = ["annual_plan", "energy_saving"]\n  value = "100"',
        }
    )
    case = Case(units=[unit(kind="gas", rated="300"), unit("H1", "hydro", "300")]).record(at(1), on_grid="1")
    case.record(at(1), "H1", on_grid="1").reserve("spinning", at(20), at(21), 100_000)
    case.reserve("spinning", at(20), at(21), 100_000, "H1").exclude(
        "test", at(20, 8), at(20, 9), "coal_other_start_stop"
    )
    statement = case.settle(rulebook_of(files, "x"))
    lines = {(line.unit, line.service): str(line.amount_yuan) for line in statement.lines if "reserve" in line.service}
    assert lines == {("U1", "spinning_reserve"): "6000.00", ("H1", "spinning_reserve"): "6000.00"}  # 500 MWh × 12
    (line,) = [line for line in statement.lines if line.service == "coal_other_start_stop"]
    assert (line.unit, str(line.amount_yuan), line.coverage) == ("U1", "40000.00", Fraction(1))  # 400 MWh × 100
    found = [row for table in statement.segments.tables() for row in table.to_pylist()]
    assert {row["unit"] for row in found if row["service"] == "coal_other_start_stop"} == {"U1"}


def test_before_the_day_nothing_differs_from_the_rulebook_that_is_revised() -> None:
    case = month()
    case.areas, case.plants, case.units = [area()], [plant()], [unit(kind="gas", rated="390")]
    case.reserves = [reserve for reserve in case.reserves if reserve.end_ms <= at(16)]
    case.orders = [order for order in case.orders if order.unit == "U1" and order.end_ms < at(16)]
    case.records = [record for record in case.records if record[0] == "U1" and record[1] < at(16)]
    old, new = (case.settle(book).lines for book in (shipped_rulebook(), load_rulebook(REVISION)))
    assert [line.amount_yuan for line in old] == [line.amount_yuan for line in new]


def test_the_new_area_has_its_names_and_a_register_may_name_it() -> None:
    book = load_rulebook(REVISION)
    assert (book.areas["example_area"].name_zh, book.areas["jiangsu"].name_zh) == ("示例区域", "江苏")
    assert "example_area" not in shipped_rulebook().areas


def test_a_copy_of_a_revision_s_files_stands_for_itself(tmp_path: Path) -> None:
    files = read_rulebook_files(REVISION)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert load_rulebook(tmp_path).hash == load_rulebook(REVISION).hash


def test_a_revision_of_nothing_is_refused(tmp_path: Path) -> None:
    files = read_rulebook_files(REVISION)
    text = files["revision-2026-06-16.toml"].replace(b"gas_start_stop.price", b"gas_start_stop.prize")
    with pytest.raises(ConfigError, match="nothing with this id is declared"):
        rulebook_of({**files, "revision-2026-06-16.toml": text}, "x")
    shutil.copytree(REVISION, tmp_path / "alone")
    with pytest.raises(ConfigError, match="no file declares it"):
        load_rulebook(tmp_path / "alone")
