# SPDX-License-Identifier: GPL-3.0-or-later
"""Golden months: a folder in (`when/`), the statement's files out (`then/`), byte for byte; workings by hand beside."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from collector.report.folder import write_statement
from tests.settlement.golden_months import CASES, GOLDEN, statement_of


@pytest.mark.parametrize("case", CASES)
def test_a_golden_month_comes_out_byte_for_byte(case: str, tmp_path: Path) -> None:
    write_statement(statement_of(case), tmp_path / "out")
    expected = sorted((GOLDEN / case / "then").iterdir())
    assert {"lines.csv", "plants.csv"} <= {path.name for path in expected}
    for path in expected:
        written = (tmp_path / "out" / path.name).read_text(encoding="utf-8-sig")
        assert written == path.read_text(encoding="utf-8"), path.name


@pytest.mark.parametrize("case", CASES)
def test_every_golden_month_has_workings(case: str) -> None:
    assert len((GOLDEN / case / "workings.md").read_text(encoding="utf-8")) > 100


@pytest.mark.parametrize("case", CASES)
def test_determinants_segments_and_unpaid_time_say_the_same_of_every_service(case: str, tmp_path: Path) -> None:
    write_statement(statement_of(case), tmp_path / "out")
    of_determinants: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    seen: set[tuple[str, ...]] = set()
    for row in read(tmp_path, "determinants"):
        place = (row["unit"], row["service"], row["area"], row["plant"])
        if place in seen:  # figures shown beside the determinant have its times
            continue
        seen.add(place)
        scope, known, counted, excluded, own = (
            Decimal(row[f"{name}_s"]) for name in ("scope", "known", "counted", "excluded", "own_fault")
        )
        times = {"counted": counted, "missing": scope - known, "excluded": excluded, "own_fault": own}
        times["unpaid"] = known - counted - own
        for cause, seconds in times.items():
            of_determinants[row["unit"], row["service"], cause] += seconds
    of_segments: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    ends: dict[tuple[str, str], datetime] = {}
    for row in read(tmp_path, "segments"):
        start, end = (datetime.fromisoformat(row[name]) for name in ("start", "end"))
        line = (row["unit"], row["service"])
        assert ends.get(line, start) <= start < end, "segments overlap"
        ends[line] = end
        of_segments[*line, row["class"]] += Decimal((end - start) // timedelta(milliseconds=1)) / 1000
    of_unpaid: dict[tuple[str, str, str], Decimal] = defaultdict(Decimal)
    for row in read(tmp_path, "not_paid"):
        if row["class"] != "outside":
            of_unpaid[row["unit"], row["service"], row["class"]] += Decimal(row["duration_s"])
    assert not_zero(of_segments) == not_zero(of_determinants)
    assert not_zero(of_unpaid) == {
        key: seconds for key, seconds in not_zero(of_segments).items() if key[2] != "counted"
    }


def read(folder: Path, name: str) -> list[dict[str, str]]:
    """A CSV file of the statement."""
    with (folder / "out" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def not_zero(times: dict[tuple[str, str, str], Decimal]) -> dict[tuple[str, str, str], Decimal]:
    """Times that are not zero."""
    return {key: seconds for key, seconds in times.items() if seconds}
