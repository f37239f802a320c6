# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a folder that must not change a fen: its form, its money's scale, an irrelevant plant, records doubled."""

from __future__ import annotations

import csv
import random
from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from collector.model.interval import parse_time_ms
from collector.model.quantity import BY_NAME, QuantityKind
from collector.settlement.settle import settle
from collector.settlement.statement import Statement
from collector.tables.folder import load_folder
from tests.settlement.made_folders import make_folder
from tests.settlement.small_month import JUNE, shipped_rulebook

TIMES = {"time", "start", "end"}
Row = dict[str, str]


@pytest.fixture(scope="module", params=[2001, 2004])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month made at random."""
    root = tmp_path_factory.mktemp("month") / "folder"
    make_folder(random.Random(request.param), root, moves=True)
    return root


def settled(folder: Path) -> Statement:
    """Its statement."""
    return settle(JUNE, load_folder(folder), shipped_rulebook())


def rewritten(folder: Path, to: Path, change: Callable[[str, list[Row]], list[Row]], separator: str = ",") -> Path:
    """A copy whose CSV files have their rows changed; `change` takes the path inside the folder and the rows."""
    (to / "records").mkdir(parents=True)
    (to / "register.toml").write_bytes((folder / "register.toml").read_bytes())
    for path in [*folder.glob("*.csv"), *folder.glob("records/*.csv")]:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            heads, rows = list(reader.fieldnames or ()), list(reader)
        with (to / path.relative_to(folder)).open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, heads, delimiter=separator)
            writer.writeheader()
            writer.writerows(change(path.relative_to(folder).as_posix(), rows))
    return to


def in_other_times(_: str, rows: list[Row]) -> list[Row]:
    """Each time in UTC ms, in UTC, or with another offset, in turn."""
    zones = [UTC, timezone(timedelta(hours=-3, minutes=-30))]
    for index, row in enumerate(rows):
        for name in TIMES & row.keys():
            ms = parse_time_ms(row[name])
            zone = zones[index % 2]
            told = datetime.fromtimestamp(ms / 1000, zone).isoformat(timespec="milliseconds")
            row[name] = str(ms) if index % 3 == 0 else told
    return rows


def test_times_in_other_zones_and_other_separators_change_nothing(folder: Path, tmp_path: Path) -> None:
    other = rewritten(folder, tmp_path / "other", in_other_times, ";")
    assert settled(other).result_hash() == settled(folder).result_hash()


def column(head: str, cells: list[str]) -> pa.Array:
    """A column of records as Parquet has it: an empty cell is null."""
    if head in ("unit", "time"):
        return pa.array(cells) if head == "unit" else pa.array(map(parse_time_ms, cells), pa.int64())
    kind = pa.int8() if BY_NAME[head].kind is QuantityKind.STATUS else pa.decimal128(18, 6)
    return pa.array([None if cell == "" else Decimal(cell) for cell in cells], pa.decimal128(18, 6)).cast(kind)


def test_records_in_more_files_some_of_them_parquet_change_nothing(folder: Path, tmp_path: Path) -> None:
    kept = rewritten(folder, tmp_path / "split", lambda name, rows: [] if name.startswith("records/") else rows)
    for path in sorted(folder.glob("records/*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file))
        half = len(rows) // 2
        (kept / "records" / path.name).unlink()
        with (kept / "records" / f"late-{path.name}").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([rows[0], *rows[half:][::-1]])
        table = pa.table({head: column(head, [row[at] for row in rows[1:half]]) for at, head in enumerate(rows[0])})
        pyarrow.parquet.write_table(table, kept / "records" / f"early-{path.stem}.parquet")
    assert settled(kept).result_hash() == settled(folder).result_hash()


def test_revenue_in_another_scale_shares_the_same_cost(folder: Path, tmp_path: Path) -> None:
    def sevenfold(name: str, rows: list[Row]) -> list[Row]:
        for row in rows if name == "revenue.csv" else ():
            whole, _, fen = row["amount_yuan"].partition(".")
            cents = 7 * int(whole + fen.ljust(2, "0"))
            row["amount_yuan"] = f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"
        return rows

    before, after = settled(folder), settled(rewritten(folder, tmp_path / "sevenfold", sevenfold))
    assert after.lines == before.lines
    assert [(p.area, p.plant, p.allocation_yuan, p.net_yuan, p.status) for p in after.plants] == [
        (p.area, p.plant, p.allocation_yuan, p.net_yuan, p.status) for p in before.plants
    ]


def test_a_plant_of_another_area_changes_nothing_in_the_others(folder: Path, tmp_path: Path) -> None:
    more = (
        '\n[[area]]\nid = "fujian"\ndispatch_mode = "annual_plan"\nvalley_hours = ["00:00-08:00"]\npeak_hours = []\n'
        'hours_filing = "filed"\n\n[[plant]]\nid = "elsewhere"\nname = "elsewhere"\narea = "fujian"\n'
        'revenue_basis = "on_grid"\nshares = true\n\n[[unit]]\nid = "far"\nplant = "elsewhere"\nkind = "coal"\n'
        'rated_mw = "600"\n'
    )

    def with_its_row(name: str, rows: list[Row]) -> list[Row]:
        row = {"plant": "elsewhere", "month": "2026-06", "kind": "energy", "amount_yuan": "5"}
        return [*rows, row] if name == "revenue.csv" else rows

    other = rewritten(folder, tmp_path / "more", with_its_row)
    with (other / "register.toml").open("a", encoding="utf-8") as file:
        file.write(more)
    before, after = settled(folder), settled(other)
    assert [line for line in after.lines if line.area != "fujian"] == list(before.lines)
    assert [plant for plant in after.plants if plant.area != "fujian"] == list(before.plants)


def test_each_record_said_twice_changes_no_amount(folder: Path, tmp_path: Path) -> None:
    """Again half way to the next one, where it still holds then. AVC orders are judged on records: not among them."""
    hold_ms = int(float((folder / "register.toml").read_text("utf-8").split("hold_limit_s = ")[1].split()[0]) * 1000)

    of_unit: dict[str, list[int]] = defaultdict(list)
    for path in folder.glob("records/*.csv"):
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                insort(of_unit[row["unit"]], parse_time_ms(row["time"]))

    def doubled(name: str, rows: list[Row]) -> list[Row]:
        found = []
        for row in rows if name.startswith("records/") else ():
            times, begin = of_unit[row["unit"]], parse_time_ms(row["time"])
            later = times[bisect_right(times, begin) :]
            if later and 1 < later[0] - begin <= hold_ms:
                found.append({**row, "time": str(begin + (later[0] - begin) // 2)})
        return [*rows, *found]

    def told(statement: Statement) -> list[tuple[object, ...]]:
        return [
            (x.unit, x.service, x.area, x.quantity, x.coverage, x.amount_yuan, x.status, x.reason)
            for x in statement.lines
            if x.service != "avc"
        ]

    assert told(settled(rewritten(folder, tmp_path / "doubled", doubled))) == told(settled(folder))
