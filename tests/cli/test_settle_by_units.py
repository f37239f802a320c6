# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder settled part by part gives the bytes it gives as a whole, and is read as a whole where it must be."""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from datetime import date
from pathlib import Path

import pytest

from collector.base.errors import ConfigError
from collector.base.resources import config_path
from collector.cli.settle.by_units import settle_parts, whole_segments
from collector.cli.settle.command import RULEBOOK, settle_folder
from collector.model.interval import Month
from collector.report.folder import write_statement
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import settle
from collector.tables.folder import load_folder
from tests.settlement.made_folders import make_folder

JUNE = Month.parse("2026-06")
BOOK = load_rulebook(config_path(RULEBOOK))
WHEN = Path(__file__).parents[1] / "golden"


def a_file_per_unit(data: Path) -> Path:
    """The records of a folder spread over files of one unit each, two where it has many; names in another order."""
    of_unit: dict[str, list[str]] = defaultdict(list)
    header = ""
    for path in sorted((data / "records").iterdir()):
        header, *rows = path.read_text("utf-8").splitlines()
        for row in rows:
            of_unit[row.split(",")[header.split(",").index("unit")]].append(row)
        path.unlink()
    for number, (unit, rows) in enumerate(of_unit.items()):
        half = len(rows) // 2
        for name, some in ((f"{9 - number}-{unit}", rows[:half]), (f"{unit}-late", rows[half:])):
            (data / "records" / f"{name}.csv").write_text("\n".join([header, *some, ""]), "utf-8")
    return data


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def as_a_whole(month: Month, data: Path, out: Path) -> dict[str, bytes]:
    write_statement(settle(month, load_folder(data), BOOK), out)
    return files_of(out)


def in_parts(month: Month, data: Path, out: Path) -> dict[str, bytes] | None:
    aside = out.with_name(f"{out.name}-aside")
    aside.mkdir()
    settled = settle_parts(month, data, BOOK, aside, fewest=2)
    if settled is None:
        return None
    write_statement(settled.statement, out, written=settled.written)
    return files_of(out)


def test_folders_made_at_random_give_the_same_bytes_either_way(tmp_path: Path) -> None:
    parted = 0
    for seed in range(12):
        folder = tmp_path / str(seed)
        folder.mkdir()
        make_folder(random.Random(seed), folder / "data")
        data = a_file_per_unit(folder / "data")
        found = in_parts(JUNE, data, folder / "parts")
        parted += found is not None
        assert found is None or found == as_a_whole(JUNE, data, folder / "whole"), seed
    assert parted >= 3


@pytest.mark.parametrize("name", ["peak-group-with-a-member-that-stops", "black-start-and-thirds"])
def test_golden_months_give_the_same_bytes_either_way(tmp_path: Path, name: str) -> None:
    shutil.copytree(WHEN / name / "when", tmp_path / "data")
    month = Month.parse((tmp_path / "data" / "revenue.csv").read_text("utf-8").splitlines()[1].split(",")[1])
    data = a_file_per_unit(tmp_path / "data")
    found = in_parts(month, data, tmp_path / "parts")
    assert found is None or found == as_a_whole(month, data, tmp_path / "whole")


def many(folder: Path, count: int = 5) -> Path:
    """A folder of some plants with a unit each and a file of ten-minute records each; one unit has none."""
    (folder / "records").mkdir(parents=True)
    register = (
        '[[area]]\nid = "shanghai"\nname = "上海"\ndispatch_mode = "annual_plan"\n'
        'valley_hours = ["00:00-04:00"]\npeak_hours = []\n'
    )
    for n in range(count + 1):
        register += (
            f'[[plant]]\nid = "P{n}"\nname = "P{n}"\narea = "shanghai"\nrevenue_basis = "on_grid"\nshares = true\n'
            f'[[unit]]\nid = "U{n}"\nplant = "P{n}"\nkind = "coal"\nrated_mw = "1000"\n'
        )
    (folder / "register.toml").write_text(register, "utf-8")
    span = JUNE.interval
    for n in range(count):
        rows = [f"U{n},{t},{350 + n},1" for t in range(span.start_ms, span.end_ms, 600_000)]
        (folder / "records" / f"{n}.csv").write_text("unit,time,active_power_mw,on_grid\n" + "\n".join(rows) + "\n")
    return folder


def test_the_command_settles_in_parts_and_its_segments_can_be_asked_for_again(tmp_path: Path) -> None:
    data = many(tmp_path / "data")
    statement = settle_folder(JUNE, data, tmp_path / "out", config_path(RULEBOOK))
    assert files_of(tmp_path / "out") == as_a_whole(JUNE, data, tmp_path / "whole")
    rows = sum(table.num_rows for table in statement.segments.tables())
    assert rows == sum(table.num_rows for table in whole_segments(JUNE, data, BOOK).tables())
    assert rows == len((tmp_path / "out" / "segments.csv").read_text("utf-8").splitlines()) - 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "out", "whole"]


def test_units_that_the_ends_of_a_file_do_not_show_are_found_out(tmp_path: Path) -> None:
    data = many(tmp_path / "data")
    first, *rows = (data / "records" / "0.csv").read_text("utf-8").splitlines()
    late = [row.replace("U0,", "U3,") for row in rows[:5]]
    (data / "records" / "3.csv").unlink()
    (data / "records" / "0.csv").write_text("\n".join([first, *rows[:100], *late, *rows[100:], ""]), "utf-8")
    assert in_parts(JUNE, data, tmp_path / "parts") is None
    settle_folder(JUNE, data, tmp_path / "out", config_path(RULEBOOK))
    assert files_of(tmp_path / "out") == as_a_whole(JUNE, data, tmp_path / "whole")


def test_a_folder_with_something_wrong_in_several_files_says_all_of_it(tmp_path: Path) -> None:
    data = many(tmp_path / "data")
    for name, row in (("1", "U1,2026-06-01T00:00:00,350,1"), ("4", "U4,2026-06-01T00:00:00+08:00,350,3")):
        with (data / "records" / f"{name}.csv").open("a") as file:
            file.write(row + "\n")
    (data / "orders.csv").write_text("id,unit,kind,start\n")
    with pytest.raises(ConfigError) as whole:
        load_folder(data)
    with pytest.raises(ConfigError) as parts:
        settle_folder(JUNE, data, tmp_path / "out", config_path(RULEBOOK))
    assert len(whole.value.problems) >= 3
    assert parts.value.problems == whole.value.problems
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_running_month_in_parts_is_that_of_the_whole(tmp_path: Path) -> None:
    data, day = tmp_path / "data", date(2026, 6, 12)
    make_folder(random.Random(11), data)
    a_file_per_unit(data)
    write_statement(settle(JUNE, load_folder(data), BOOK, last_day=day), tmp_path / "whole")
    (tmp_path / "aside").mkdir()
    settled = settle_parts(JUNE, data, BOOK, tmp_path / "aside", fewest=2, last_day=day)
    assert settled is not None
    write_statement(settled.statement, tmp_path / "parts", written=settled.written)
    assert files_of(tmp_path / "parts") == files_of(tmp_path / "whole")
    assert "yesterday.csv" in files_of(tmp_path / "whole")
