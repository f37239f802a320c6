# SPDX-License-Identifier: GPL-3.0-or-later
"""A statement as E text, read back by a parser of the test's own, written from Q/GDW 215-2008 alone, and by ours."""

from __future__ import annotations

import csv
import re
import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from collector.cli.main import app
from collector.sheets.efile_writer import ETable, efile_text

GOLDEN = Path(__file__).parents[1] / "golden" / "deep-peak-shanghai-annual-plan"
# What E text can say in a cell; neither a line feed nor both kinds of quotes.
cells = st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), max_size=12).map(
    lambda t: t.strip().replace('"', "")
)


def parsed(data: bytes) -> tuple[dict[str, str], dict[str, list[dict[str, str]]]]:
    """Facts of the head, and each table's records by the class of the table."""
    first, *lines = data.decode("utf-8").splitlines()
    assert first.startswith("<!")
    assert first.endswith("!>")
    facts = dict(word.split("=", 1) for word in shlex.split(first[2:-2], posix=True))
    tables: dict[str, list[dict[str, str]]] = {}
    inside, header = "", list[str]()
    for line in lines:
        if closing := re.fullmatch(r"</(\S+)::(\S+)>", line):
            assert closing[1] == inside
            inside = ""
        elif opening := re.fullmatch(r"<(\S+)::(\S+)>", line):
            assert not inside
            inside = opening[1]
            tables[inside] = []
        elif line.startswith("@"):
            header = words(line[1:])
        else:
            assert line.startswith("#"), line
            tables[inside].append(dict(zip(header, words(line[1:]), strict=True)))
    assert not inside
    return facts, tables


def words(text: str) -> list[str]:
    """Cells parted by blanks; a quoted one is what stands in the quotes, NULL is empty."""
    found = re.findall(r"\s+(?:'([^']*)'|\"([^\"]*)\"|(\S+))(?=\s|$)", text)
    return [one or two or ("" if bare == "NULL" else bare) for one, two, bare in found]


def test_a_statement_as_e_text_says_what_its_csv_files_say(tmp_path: Path) -> None:
    runner, out = CliRunner(), tmp_path / "june"
    settled = runner.invoke(app, ["settle", "2026-06", "--data", str(GOLDEN / "when"), "--out", str(out)])
    assert settled.exit_code == 0, settled.output
    written = runner.invoke(app, ["etext", str(out), "--out", str(tmp_path / "june.e")])
    assert written.exit_code == 0, written.output
    facts, tables = parsed((tmp_path / "june.e").read_bytes())
    assert (facts["Data"], facts["Code"], facts["TimeZone"]) == ("2026-06", "UTF-8", "+08:00")
    for name in ("lines", "plants", "summary"):
        with (out / f"{name}.csv").open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows
        assert [row.pop("序号") for row in tables[name]] == [str(n) for n in range(1, len(rows) + 1)]
        assert tables[name] == rows
    # By hand (the case's workings): 360 MWh at 10 yuan.
    assert {row["amount_yuan"] for row in tables["lines"] if row["service"] == "deep_peak"} == {"3600.00"}


@given(st.lists(st.lists(cells, min_size=2, max_size=2), max_size=5))
def test_whatever_a_cell_holds_comes_back(rows: list[list[str]]) -> None:
    data = efile_text({"Data": "x y"}, [ETable("lines", "2026-06", ["a", "b c"], rows)])
    facts, tables = parsed(data)
    assert facts["Data"] == "x y"
    assert [[row["a"], row["b c"]] for row in tables["lines"]] == rows


@pytest.mark.parametrize("text", ["two\nlines", "'both\"", "a\rb"])
def test_what_e_text_cannot_say_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no way to write"):
        efile_text({}, [ETable("lines", "2026-06", ["a"], [[text]])])
