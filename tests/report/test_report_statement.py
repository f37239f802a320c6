# SPDX-License-Identifier: GPL-3.0-or-later
"""A statement as files: columns and digits as formats.md says, whole or not at all, the same bytes every time."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pytest
from openpyxl.worksheet.worksheet import Worksheet

from collector.base.errors import ConfigError, InvariantBroken
from collector.report import words
from collector.report.evidence import TITLES
from collector.report.folder import write_statement
from collector.report.numbers import format_fraction, format_percent, group_digits
from collector.report.segments import format_traces, write_segments
from collector.report.workbook import SHEETS
from collector.settlement.evidence import EVIDENCE, Traces, schema_of
from collector.settlement.measure.results import REASONS
from collector.settlement.rulebook.catalogue import SERVICES
from collector.settlement.statement import MonthStatus
from tests.patience import HANG_S
from tests.report.made_statement import START_MS, line, segment_table, segments, statement

FILES = sorted(
    [
        *("determinants.csv", "ledger.csv", "lines.csv", "manifest.json", "not_paid.csv", "plants.csv"),
        *("segments.csv", "statement.html", "statement.xlsx", "summary.csv"),
        *(f"{name}.csv" for name in TITLES if name != "yesterday"),  # only of a running month
    ]
)


def text(folder: Path, name: str) -> str:
    return (folder / name).read_bytes().decode("utf-8")


def test_lines_and_plants_have_the_columns_and_digits_of_the_format(tmp_path: Path) -> None:
    paid, blocked = statement().lines
    bounded = replace(blocked, low_yuan=Decimal("0.00"), provisional=True)
    write_statement(statement(lines=(paid, bounded)), tmp_path / "out")
    assert text(tmp_path / "out", "lines.csv") == (
        "month,area,plant,unit,service,article,quantity,quantity_unit,coverage,amount_yuan,status,reason,"
        "low_yuan,high_yuan,provisional\n"
        "2026-03,shanghai,P1,U1,deep_peak,13(3),360.000000,MWh,1.000000,3600.00,paid,,,,0\n"
        "2026-03,shanghai,P1,U1,avc,13(3),,MWh,0.333333,,blocked,coverage,0.00,,1\n"
    )
    assert text(tmp_path / "out", "plants.csv") == (
        "month,area,plant,compensation_yuan,revenue_yuan,allocation_yuan,net_yuan,status\n"
        "2026-03,shanghai,P1,3600.00,100.00,1200.00,2400.00,provisional\n"
        "2026-03,shanghai,P2,0.00,200.00,2400.00,-2400.00,provisional\n"
    )


def test_what_was_measured_is_written_exactly(tmp_path: Path) -> None:
    manifest = write_statement(statement(), tmp_path / "out")
    out = tmp_path / "out"
    assert text(out, "determinants.csv").splitlines()[1] == (
        "2026-03,shanghai,P1,U1,deep_peak,energy,360.000000,MWh,7201.500,7200.000,3600.000,0.000,0.000"
    )
    assert text(out, "primary_frequency.csv").splitlines()[1] == (
        "U1,2026-03-01T00:00:00+08:00,2026-03-01T00:00:30.500+08:00,0.333333,0.666667,0.500000"
    )
    run = manifest["run"]
    assert text(out, "ledger.csv").splitlines() == [
        "entry,reverses,month,edition,run,area,plant,debit_yuan,credit_yuan,posted",
        f"1,,2026-03,,{run},shanghai,,3600.00,0.00,",
        f"2,,2026-03,,{run},shanghai,P1,0.00,3600.00,",
        f"3,,2026-03,,{run},shanghai,P1,1200.00,0.00,",
        f"4,,2026-03,,{run},shanghai,,0.00,1200.00,",
        f"5,,2026-03,,{run},shanghai,P2,2400.00,0.00,",
        f"6,,2026-03,,{run},shanghai,,0.00,2400.00,",
    ]


def test_one_hash_stands_for_all_files_beside_that_of_the_result_both_with_a_version(tmp_path: Path) -> None:
    manifest = write_statement(statement(), tmp_path / "out")
    listed = "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted((tmp_path / "out").iterdir())
        if path.name != "manifest.json"
    )
    assert manifest["statement_hash"] == hashlib.sha256(listed.encode()).hexdigest()
    assert (manifest["result_hash_version"], manifest["statement_hash_version"]) == (2, 1)


def test_segments_are_written_by_column_and_unpaid_time_is_added_up(tmp_path: Path) -> None:
    unpaid = write_segments(segments(), tmp_path).unpaid
    # 1 296 000 000 000 kWms ÷ 3 600 000 000 = 360 MWh
    assert text(tmp_path, "segments.csv") == (
        "unit,service,start,end,class,reason,value,value_unit\n"
        "U1,deep_peak,2026-03-01T00:00:00+08:00,2026-03-01T01:00:00+08:00,counted,counted,360.000000,MWh\n"
        "U1,deep_peak,2026-03-01T01:00:00+08:00,2026-03-01T02:00:00+08:00,unpaid,above_gate,0.000000,MWh\n"
        "U1,deep_peak,2026-03-01T02:00:00+08:00,2026-03-01T02:00:01.500+08:00,missing,no_power,,MWh\n"
    )
    assert [(u.service, u.cause, u.reason, u.duration_ms) for u in unpaid] == [
        ("deep_peak", "missing", "no_power", 1500),
        ("deep_peak", "unpaid", "above_gate", 3_600_000),
    ]


def _renamed(name: str) -> pa.Table:
    table = segment_table()
    return table.set_column(0, "unit", pa.array([name] * table.num_rows).dictionary_encode())


def test_a_unit_with_a_comma_is_quoted_and_nothing_else() -> None:
    lines = bytes(format_traces(Traces(_renamed("U,1"))).lines["segments"])
    assert lines.startswith(b'"U,1",deep_peak,')
    assert next(csv.reader(io.StringIO(lines.decode())))[0] == "U,1"
    assert lines.replace(b'"U,1"', b"U1") == bytes(format_traces(Traces(_renamed("U1"))).lines["segments"])


def test_the_longest_numbers_beside_no_text_are_written_whole() -> None:
    """-(2^63 - 1) millionths, and a missing number; nothing else takes room in these lines."""
    columns: dict[str, list[Any]] = {
        c.name: ["", ""] if c.form == "text" else [None, None] for c in EVIDENCE["agc_commands"]
    }
    columns |= {"rate_mw_per_min": [1 - 2**63] * 2, "accuracy_mw": [1 - 2**63, None]}
    table = pa.table(columns, schema=schema_of("agc_commands"))
    lines = bytes(format_traces(Traces(segment_table().slice(0, 0), {"agc_commands": table})).lines["agc_commands"])
    assert lines == b",,,,,-9223372036854.775807,-9223372036854.775807,\n,,,,,-9223372036854.775807,,\n"


def test_units_written_together_have_the_lines_of_each_alone() -> None:
    tables = [_renamed("U,1"), _renamed("U2")]
    together = format_traces(Traces(pa.concat_tables(tables).unify_dictionaries()))
    alone = [format_traces(Traces(table)) for table in tables]
    assert bytes(together.lines["segments"]) == b"".join(bytes(each.lines["segments"]) for each in alone)
    assert together.rows == {"segments": sum(each.rows["segments"] for each in alone)}


def test_the_folder_is_complete_and_the_manifest_names_every_file(tmp_path: Path) -> None:
    write_statement(statement(), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES
    manifest = json.loads(text(tmp_path / "out", "manifest.json"))
    assert sorted(manifest["files"]) == [name for name in FILES if name != "manifest.json"]
    assert manifest["readings"] == [
        {"id": "I-03", "clause": "13(3)", "adopted": "from_lower_limit", "from": "2009-01-01"}
    ]
    assert manifest["inputs"]["register.toml"] == "cd" * 32
    assert manifest["result_hash"] == statement().result_hash()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_same_statement_gives_the_same_bytes_in_any_time_zone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_statement(statement(), tmp_path / "one")
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        write_statement(statement(), tmp_path / "two")
    finally:
        monkeypatch.undo()
        time.tzset()
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_an_earlier_statement_is_replaced(tmp_path: Path) -> None:
    write_statement(statement(), tmp_path / "out")
    write_statement(statement(kernel_version="2"), tmp_path / "out")
    assert json.loads(text(tmp_path / "out", "manifest.json"))["versions"]["kernel"] == "2"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_folder_with_anything_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="has something in it that is no statement"):
        write_statement(statement(), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_statement(statement(), tmp_path / "out")
    assert (tmp_path / "out" / "manifest.json").exists()


def test_a_statement_that_contradicts_itself_leaves_no_file(tmp_path: Path) -> None:
    wrong = statement(lines=(line("U1", "deep_peak", "1.00"),))
    with pytest.raises(InvariantBroken):
        write_statement(wrong, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_leaves_the_earlier_statement(tmp_path: Path) -> None:
    write_statement(statement(), tmp_path / "out")
    before = text(tmp_path / "out", "manifest.json")
    broken = segment_table().drop_columns(["reason"])
    with pytest.raises(KeyError):
        write_statement(statement(segments=segments(broken)), tmp_path / "out")
    assert text(tmp_path / "out", "manifest.json") == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_the_page_shows_amounts_and_reasons_in_words_and_escapes_everything(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    made = statement()
    lines = (replace(made.lines[0], unit=evil), *made.lines[1:])
    write_statement(replace(made, lines=lines), tmp_path / "out")
    page = text(tmp_path / "out", "statement.html")
    assert evil not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "3\u202f600.00" in page
    assert "深度调峰" in page
    assert "数据完整率不足" in page
    assert "分摊费用" in page
    assert "33.33 %" in page
    assert "http://" not in page
    assert "https://" not in page


def test_the_workbook_has_its_sheets_headers_and_totals_that_agree(tmp_path: Path) -> None:
    write_statement(statement(), tmp_path / "out")
    path = tmp_path / "out" / "statement.xlsx"
    formulas, values = openpyxl.load_workbook(path), openpyxl.load_workbook(path, data_only=True)
    assert formulas.sheetnames == [*SHEETS, *(title for name, (title, _) in TITLES.items() if name != "yesterday")]
    for sheet in formulas:
        assert sheet.freeze_panes == "A4"
        assert sheet.page_setup.paperSize == 9
        assert sheet.print_title_rows == "$3:$3"
    assert formulas["补偿明细"]["I6"].value == "=SUM(I4:I5)"
    assert values["补偿明细"]["I6"].value == 3600
    assert values["补偿明细"]["I5"].value is None
    assert formulas["分摊"]["G4"].value == "=F4-E4"
    assert [values["分摊"][cell].value for cell in ("C6", "E6", "F6", "G6")] == [300, 3600, 3600, 0]
    assert [values["结算汇总"][cell].value for cell in ("C6", "D6", "E6")] == [3600, 3600, 0]
    for sheet in formulas:
        _check_sums(sheet, values[sheet.title])


def test_a_blocked_area_has_no_total_of_shares_that_are_not_known(tmp_path: Path) -> None:
    made = statement()
    plants = tuple(replace(row, allocation_yuan=None, net_yuan=None, status=MonthStatus.BLOCKED) for row in made.plants)
    areas = tuple(replace(row, status=MonthStatus.BLOCKED, reason="no_revenue") for row in made.areas)
    write_statement(replace(made, plants=plants, areas=areas, ledger=()), tmp_path / "out")
    book = openpyxl.load_workbook(tmp_path / "out" / "statement.xlsx")
    assert [book["结算汇总"][cell].value for cell in ("C6", "D6", "E6")] == ["=SUM(C4:C5)", None, None]
    assert [book["分摊"][cell].value for cell in ("E6", "F6", "G6")] == [None, "=SUM(F4:F5)", None]


def _check_sums(formulas: Worksheet, values: Worksheet) -> None:
    """Every SUM has beside it what its cells add up to."""
    for row in formulas.iter_rows():
        for cell in row:
            if isinstance(cell.value, str) and cell.value.startswith("=SUM("):
                cells = [c.value for (c,) in values[cell.value[5:-1]] if c.value is not None]
                total = sum(Decimal(str(value)) for value in cells)
                assert Decimal(str(values[cell.coordinate].value)) == total


def test_a_reading_is_said_in_chinese_and_where_an_old_run_has_none_in_english(tmp_path: Path) -> None:
    made = statement()
    old = replace(made, readings=(replace(made.readings[0], text_zh=""),))
    for number, (shown, wanted) in enumerate(((made, "两条线都须低于"), (old, "both gates"))):
        out = tmp_path / str(number)
        write_statement(shown, out)
        assert f"<td>{wanted}</td>" in text(out, "statement.html")
        (row,) = [row for row in openpyxl.load_workbook(out / "statement.xlsx")["规则依据"].values if "I-03" in row]
        assert wanted in row


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t"])
def test_text_that_reads_like_a_formula_stays_text(tmp_path: Path, start: str) -> None:
    evil = start + 'HYPERLINK("http://x","y")'
    made = statement()
    write_statement(replace(made, lines=(replace(made.lines[0], unit=evil), made.lines[1])), tmp_path / "out")
    cell = openpyxl.load_workbook(tmp_path / "out" / "statement.xlsx")["补偿明细"]["C4"]
    assert (cell.value, cell.data_type, cell.quotePrefix) == (evil, "s", True)


def test_every_service_and_segment_reason_has_its_words() -> None:
    assert set(SERVICES) <= set(words.SERVICES)
    assert {reason for reason, _ in REASONS if reason} <= set(words.REASONS)
    assert {kind for _, kind in REASONS if kind} <= set(words.CLASSES)
    assert words.both(words.REASONS, "some_new_code") == "some_new_code"


@pytest.mark.parametrize(
    ("value", "digits", "shown"),
    [
        (Fraction(1, 3), 6, "0.333333"),
        (Fraction(1, 2_000_000), 6, "0.000001"),
        (Fraction(-1, 2_000_000), 6, "-0.000001"),
        (Fraction(-1, 3_000_000), 6, "0.000000"),
        (Fraction(-5, 2), 0, "-3"),
        (None, 6, ""),
    ],
)
def test_fractions_are_shown_half_away_from_zero(value: Fraction | None, digits: int, shown: str) -> None:
    assert format_fraction(value, digits) == shown


def test_a_coverage_just_under_whole_is_not_shown_as_whole() -> None:
    assert format_percent(Fraction(99_999, 100_000)) == "99.99 %"
    assert format_percent(Fraction(1)) == "100.00 %"


def test_digits_are_grouped_for_pages() -> None:
    assert [group_digits(t) for t in ("0.00", "-1234.50", "1234567.00")] == [
        "0.00",
        "-1\u202f234.50",
        "1\u202f234\u202f567.00",
    ]


def test_times_of_the_made_statement_are_the_month_s_start() -> None:
    assert START_MS == 1_772_294_400_000
    assert os.environ.get("TZ", "") != "America/New_York"


def test_the_process_of_the_workbook_loads_nothing_of_the_page() -> None:
    code = "import sys, collector.report.workbook; print({'jinja2', 'markupsafe'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=HANG_S, check=True)
    assert done.stdout.strip() == "set()"
