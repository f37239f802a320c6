# SPDX-License-Identifier: GPL-3.0-or-later
"""Statements beside each other: which lines differ and what can have caused it; three months by service."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from collector.base.errors import ConfigError
from collector.cli import compare as verbs
from collector.model.interval import Month
from collector.report.compare import RunComparison, compare
from collector.report.folder import write_statement
from collector.report.saved_statement import load_saved
from collector.report.summary import summarise, summary_csv
from collector.settlement.price.plants import compute_ledger
from collector.settlement.statement import MonthStatus, ReadingUse, Statement
from tests.report.made_statement import RULE, line, statement

BASE = statement()
SOURCES = {"register.toml": "cd" * 32, "records/U1.csv": "ef" * 32, "plan.csv": "aa" * 32, "orders.csv": "bb" * 32}


def made(**changes: Any) -> Statement:
    return replace(BASE, **{"sources": SOURCES, **changes})


def plants(r: str, a1: str, a2: str, **changes: Any) -> dict[str, Any]:
    """P1 earns `r`, P1 and P2 bear `a1` and `a2`; area, plants and ledger in step."""
    net = Decimal(r) - Decimal(a1)
    rows = (
        replace(BASE.plants[0], compensation_yuan=Decimal(r), allocation_yuan=Decimal(a1), net_yuan=net),
        replace(BASE.plants[1], allocation_yuan=Decimal(a2), net_yuan=-net),
    )
    return {
        "plants": rows,
        "areas": (replace(BASE.areas[0], compensation_yuan=Decimal(r)),),
        "ledger": tuple(compute_ledger(Month(2026, 3), rows)),
        **changes,
    }


def changed_amount(**changes: Any) -> Statement:
    """The deep peak line at 3 000.00 in place of 3 600.00, everything else in step."""
    lines = (line("U1", "deep_peak", "3000.00"), BASE.lines[1])
    return made(**plants("3000.00", "1000.00", "2000.00", **{"lines": lines, **changes}))


def difference(tmp_path: Path, before: Statement, after: Statement) -> RunComparison:
    for name, one in (("a", before), ("b", after)):
        write_statement(one, tmp_path / name)
    return compare(load_saved(tmp_path / "a"), load_saved(tmp_path / "b"))


def measured(energy: int) -> dict[str, Any]:
    return {"determinants": (replace(BASE.determinants[0], value=Fraction(energy)),)}


def test_equal_statements_do_not_differ(tmp_path: Path) -> None:
    found = difference(tmp_path, made(), made())
    assert (found.changed, found.lines, found.plants) == ((), (), ())


def test_a_line_that_differs_shows_its_cells_and_the_plants_follow_from_it(tmp_path: Path) -> None:
    sources = {**SOURCES, "records/U1.csv": "00" * 32}
    found = difference(tmp_path, made(), changed_amount(sources=sources, **measured(300)))
    assert found.changed == ("records",)
    (only,) = found.lines
    assert (only.subject, only.service, only.causes) == ("U1", "deep_peak", ("records",))
    assert (only.before, only.after) == ({"amount_yuan": "3600.00"}, {"amount_yuan": "3000.00"})
    assert [(p.subject, p.causes) for p in found.plants] == [("P1", ("lines",)), ("P2", ("lines",))]


def test_records_are_no_cause_where_the_same_was_measured(tmp_path: Path) -> None:
    sources = {**SOURCES, "records/U1.csv": "00" * 32}
    cheaper = replace(RULE, value="9")
    after = changed_amount(sources=sources, rulebook_hash="00" * 32)
    after = replace(after, lines=(replace(after.lines[0], rules=(cheaper,)), after.lines[1]))
    found = difference(tmp_path, made(), after)
    assert found.changed == ("records", "rulebook")
    assert found.lines[0].causes == ("rulebook",)


@pytest.mark.parametrize(
    ("file", "causes"),
    [
        ("orders.csv", ("dispatch inputs: orders",)),
        ("exclusions.csv", ("dispatch inputs: exclusions",)),
        ("register.toml", ("register",)),
        ("plan.csv", ("unexplained",)),
    ],
)
def test_only_inputs_that_reach_a_service_are_named(tmp_path: Path, file: str, causes: tuple[str, ...]) -> None:
    found = difference(tmp_path, made(), changed_amount(sources={**SOURCES, file: "00" * 32}, **measured(300)))
    assert found.lines[0].causes == causes


def test_a_reading_is_named_by_its_id_where_it_stands_in_the_line_s_article(tmp_path: Path) -> None:
    readings = (
        ReadingUse("I-03", "13(3)", "from_gate_line", "2009-01-01", ""),
        ReadingUse("I-12", "17", "planned_as_is", "2009-01-01", ""),
    )
    before = made(readings=(BASE.readings[0], ReadingUse("I-12", "17", "planned_verified", "2009-01-01", "")))
    found = difference(tmp_path, before, changed_amount(readings=readings, **measured(300)))
    assert found.changed == ("reading I-03", "reading I-12")
    assert found.lines[0].causes == ("reading I-03",)


def test_a_line_that_is_not_there_differs(tmp_path: Path) -> None:
    after = made(lines=BASE.lines[:1])
    found = difference(tmp_path, made(), replace(after, sources={**SOURCES, "register.toml": "00" * 32}))
    assert [(d.service, d.after, d.causes) for d in found.lines] == [("avc", {}, ("register",))]


def test_other_months_and_changed_files_are_refused(tmp_path: Path) -> None:
    write_statement(made(), tmp_path / "a")
    write_statement(made(month="2026-04"), tmp_path / "b")
    with pytest.raises(ConfigError, match="is of 2026-04, the other of 2026-03"):
        compare(load_saved(tmp_path / "a"), load_saved(tmp_path / "b"))
    lines = tmp_path / "a" / "lines.csv"
    lines.write_text(lines.read_text().replace("3600.00", "9600.00"))
    with pytest.raises(ConfigError, match="is not the file the manifest names; it was changed"):
        load_saved(tmp_path / "a")
    with pytest.raises(ConfigError, match="is no statement folder"):
        load_saved(tmp_path)


def app() -> typer.Typer:
    made_app = typer.Typer()
    verbs.register(made_app)
    return made_app


def test_the_verb_exits_1_where_something_differs(tmp_path: Path) -> None:
    write_statement(made(), tmp_path / "a")
    write_statement(changed_amount(), tmp_path / "b")
    runner = CliRunner()
    assert runner.invoke(app(), ["compare", str(tmp_path / "a"), str(tmp_path / "a")]).exit_code == 0
    result = runner.invoke(app(), ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--json"])
    assert result.exit_code == 1
    assert json.loads(result.output)["lines"][0]["service"] == "deep_peak"
    assert "2 plants differ" in runner.invoke(app(), ["compare", str(tmp_path / "a"), str(tmp_path / "b")]).output


def test_months_are_summed_by_area_and_service_with_their_share(tmp_path: Path) -> None:
    agc = line("U1", "agc_up", "1200.00")
    second = made(
        month="2026-04",
        lines=(*(replace(n, month="2026-04") for n in BASE.lines), replace(agc, month="2026-04")),
        **plants("4800.00", "1600.00", "3200.00"),
    )
    blocked = made(
        month="2026-05",
        plants=tuple(replace(p, allocation_yuan=None, net_yuan=None) for p in BASE.plants),
        areas=(replace(BASE.areas[0], status=MonthStatus.BLOCKED, reason="no_revenue"),),
        ledger=(),
    )
    folders = []
    for one in (made(), second, blocked):
        write_statement(one, tmp_path / one.month)
        folders.append(load_saved(tmp_path / one.month))
    found = summarise(folders)
    assert found.open_months == ("2026-03", "2026-04", "2026-05")
    # deep peak 3 × 3 600, AGC up 1 200, together 12 000; what May's blocked area could not share is no allocation,
    # nor is it 0.00; no line of AVC has an amount.
    # March is of the first quarter, April and May of the second: 7 200 of 8 400 are deep peak there.
    assert summary_csv(found.rows).decode().splitlines() == [
        "period,area,service,compensation_yuan,allocation_yuan,units,share",
        "2026-03,shanghai,deep_peak,3600.00,3600.00,1,1.000000",
        "2026-03,shanghai,avc,,,0,",
        "2026-04,shanghai,deep_peak,3600.00,3600.00,1,0.750000",
        "2026-04,shanghai,agc_up,1200.00,1200.00,1,0.250000",
        "2026-04,shanghai,avc,,,0,",
        "2026-05,shanghai,deep_peak,3600.00,,1,1.000000",
        "2026-05,shanghai,avc,,,0,",
        "2026-Q1,shanghai,deep_peak,3600.00,3600.00,1,1.000000",
        "2026-Q1,shanghai,avc,,,0,",
        "2026-Q2,shanghai,deep_peak,7200.00,3600.00,1,0.857143",
        "2026-Q2,shanghai,agc_up,1200.00,1200.00,1,0.142857",
        "2026-Q2,shanghai,avc,,,0,",
        "2026,shanghai,deep_peak,10800.00,7200.00,1,0.900000",
        "2026,shanghai,agc_up,1200.00,1200.00,1,0.100000",
        "2026,shanghai,avc,,,0,",
    ]
    assert (tmp_path / "2026-03" / "summary.csv").read_bytes().decode().splitlines() == [
        "period,area,service,compensation_yuan,allocation_yuan,units,share",
        "2026-03,shanghai,deep_peak,3600.00,3600.00,1,1.000000",
        "2026-03,shanghai,avc,,,0,",
    ]
    with pytest.raises(ConfigError, match="2026-03 is there twice"):
        summarise([folders[0], folders[0]])
    result = CliRunner().invoke(app(), ["quarter", *(str(f.folder) for f in folders), "--out", str(tmp_path / "q.csv")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "q.csv").read_bytes() == summary_csv(found.rows)
    told = CliRunner().invoke(app(), ["quarter", str(folders[0].folder), "--json"])
    assert json.loads(told.output)["rows"][0] == {
        "period": "2026-03", "area": "shanghai", "service": "deep_peak", "compensation_yuan": "3600.00",
        "allocation_yuan": "3600.00", "units": 1, "share": "1.000000",
    }  # fmt: skip
