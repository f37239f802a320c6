# SPDX-License-Identifier: GPL-3.0-or-later
"""What a good folder is read as: exact integers, whatever form, encoding, order or spread the files have."""

from __future__ import annotations

import io
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.center.lake.day_file import build_day, write_table
from collector.center.lake.pieces import Origin, Piece
from collector.model.dispatch import ExclusionReason, Order, OrderKind, Reserve, ReserveKind, Revenue, RevenueKind
from collector.model.quantity import parse_scaled, to_scaled
from collector.model.register import LocalSpan, UnitKind
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.columns import CellForm, Column
from collector.tables.folder import load_folder
from collector.tables.read_long_table import read_long
from collector.tables.rounding import floats_to_scaled
from collector.wire import QuantityColumn, UnitColumns
from tests.tables.made_folder import RECORDS, REGISTER, T0, T0_MS, T1, T2, found, make

HOUR_MS = 3_600_000
ANALOG = (Column("v", CellForm.ANALOG, "v", 1000, filled=False),)


def scaled(texts: list[str]) -> list[int | None]:
    """The column as read from a CSV file."""
    data = ("v,w\n" + "".join(f"{text},\n" for text in texts)).encode()
    columns = (*ANALOG, Column("w", CellForm.STATUS, "w", filled=False))
    findings = Findings()
    long = read_long(Delivered("f.csv", data, ""), columns, findings, threads=False)
    assert not findings.problems()
    assert long is not None
    values: list[int | None] = long.table["v"].to_pylist()
    return values


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: (row["unit"], row["time"]))


def test_values_round_half_away_from_zero_from_their_text() -> None:
    assert scaled(["0.0005", "-0.0005", "0.00049999", "1.0015", "-2.5", "", "3."]) == [
        1,
        -1,
        0,
        1002,
        -2500,
        None,
        3000,
    ]


def test_a_text_longer_than_any_float_is_still_exact() -> None:
    assert scaled(["1.0004999999999999999999999", "1.0005000000000000000000001"]) == [1000, 1001]
    assert scaled(["400.34650000000002", "400.34649999999999"]) == [400347, 400346]


@pytest.mark.parametrize("text", ["18446744073709651.616", "-18446744073709551.516000001", "1e18"])
def test_a_number_that_64_bits_would_wrap_is_refused(text: str) -> None:
    findings = Findings()
    data = f"v,w\n100.0,0\n{text},1\n".encode()
    columns = (*ANALOG, Column("w", CellForm.STATUS, "w", filled=False))
    read_long(Delivered("f.csv", data, ""), columns, findings, threads=False)
    assert [(problem.row, problem.key) for problem in findings.problems()] == [(3, "v")]


DECIMALS = st.decimals(min_value=-999_999, max_value=999_999, allow_nan=False, places=None).map(lambda d: f"{d:f}"[:40])


@given(st.lists(DECIMALS, min_size=1, max_size=30))
def test_the_quick_and_the_careful_way_give_the_same_integers(texts: list[str]) -> None:
    expected = [parse_scaled(text, 1000) for text in texts]
    assert scaled(texts) == expected
    assert scaled([*texts, "+1"]) == [*expected, 1000]  # a sign that sends the whole file the careful way, or not


@given(st.lists(st.floats(-1e6, 1e6, width=64), min_size=1, max_size=50))
def test_a_float_counts_as_the_decimal_a_reader_sees(values: list[float]) -> None:
    array = np.array(values, np.float64)
    assert floats_to_scaled(array, 1000).tolist() == [to_scaled(Decimal(str(value)), 1000) for value in array]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=50))
def test_a_single_float_counts_as_the_short_decimal_it_prints(values: list[float]) -> None:
    array = np.array(values, np.float32)
    assert floats_to_scaled(array, 1000).tolist() == [to_scaled(Decimal(str(value)), 1000) for value in array]


def test_ties_of_floats_go_by_their_decimal() -> None:
    # 1.0005 is below, 2.0005 above the tie as a binary number; both print as the tie.
    assert floats_to_scaled(np.array([1.0005, 2.0005, -1.0005, 0.0005]), 1000).tolist() == [1001, 2001, -1001, 1]


def test_a_folder_is_read_into_stored_integers(tmp_path: Path) -> None:
    inputs = load_folder(make(tmp_path, {}))
    assert rows_of(inputs.records) == [
        {"unit": "U1", "time": T0_MS, "active_power_mw": 600_000, "on_grid": 1},
        {"unit": "U1", "time": T0_MS + HOUR_MS, "active_power_mw": 600_500, "on_grid": 1},
    ]
    assert inputs.unit_columns == {"U1": frozenset({"active_power_mw", "on_grid"})}
    assert sorted(inputs.sources) == ["records/a.csv", "register.toml"]
    assert (inputs.plan, inputs.orders, inputs.revenue, inputs.rates) == (None, None, None, None)


def test_the_register_is_read_exactly(tmp_path: Path) -> None:
    register = load_folder(make(tmp_path, {})).register
    assert register.areas[0].valley_hours == (LocalSpan(1320, 360),)
    assert [unit.kind for unit in register.units] == [UnitKind.COAL, UnitKind.PUMPED_STORAGE]
    assert [unit.rated_mw for unit in register.units] == [Decimal(660), Decimal("300.5")]


def test_dated_states_may_follow_each_other_with_a_gap(tmp_path: Path) -> None:
    second = '[[unit]]\nid = "U1"\nplant = "P1"\nkind = "coal"\nrated_mw = 700\nfrom = 2026-03-15\n'
    text = REGISTER.replace('rated_mw = "660"', 'rated_mw = "660"\nuntil = 2026-03-10') + second
    states = [unit for unit in load_folder(make(tmp_path, {"register.toml": text})).register.units if unit.id == "U1"]
    assert [(state.from_day, state.until_day) for state in states] == [
        (None, date(2026, 3, 10)),
        (date(2026, 3, 15), None),
    ]


def test_a_header_without_rows_is_delivered_and_empty(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "plan.csv": "unit,start,end,power_mw\n",
        "orders.csv": "id,unit,kind,start,end\n",
        "voltage_band.csv": "unit,start,end,low_kv,high_kv\n",
        "revenue.csv": "plant,month,kind,amount_yuan",
    }
    inputs = load_folder(make(tmp_path, files))
    assert inputs.plan is not None
    assert inputs.plan.num_rows == 0
    assert inputs.plan.column_names == ["unit", "start", "end", "power_kw", "issued"]
    assert inputs.voltage_band is not None
    assert inputs.voltage_band.num_rows == 0
    assert (inputs.orders, inputs.revenue) == ((), ())


def test_dispatch_side_tables_are_read(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "orders.csv": f"id,unit,kind,start,end\nO1,U1,start_stop,{T0},{T1}\n",
        "reserve.csv": f"unit,kind,start,end,power_mw\nU1,spinning,{T0},{T1},100.0005\nU1,hot,{T0},{T1},\n",
        "exclusions.csv": f"unit,service,start,end,reason,note\nU1,*,{T0},{T2},own_fault,a\nU1,*,{T0},{T1},test,\n",
        "revenue.csv": "plant,month,kind,amount_yuan\nP1,2026-03,energy,1000000.55\nP2,2026-03,capacity,\n",
        "plan.csv": f"unit,start,end,power_mw,issued\nU1,{T0},{T1},500,\nU1,{T0},{T1},510,{T0}\n",
    }
    inputs = load_folder(make(tmp_path, files))
    assert inputs.orders == (Order("O1", "U1", OrderKind.START_STOP, T0_MS, T0_MS + HOUR_MS),)
    assert inputs.reserves is not None
    assert inputs.reserves[0] == Reserve("U1", ReserveKind.SPINNING, T0_MS, T0_MS + HOUR_MS, 100_001)
    assert inputs.reserves[1].power_kw is None
    assert inputs.exclusions is not None
    assert [e.reason for e in inputs.exclusions] == [ExclusionReason.OWN_FAULT, ExclusionReason.TEST]
    assert inputs.revenue is not None
    assert inputs.revenue[0] == Revenue("P1", "2026-03", RevenueKind.ENERGY, Decimal("1000000.55"))
    assert inputs.revenue[1].amount_yuan is None
    assert inputs.plan is not None
    assert inputs.plan["issued"].to_pylist() == [None, T0_MS]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_a_chinese_unit_is_read_from_every_encoding(tmp_path: Path, encoding: str) -> None:
    register = REGISTER.replace('"U1"', '"一号机"')
    records = RECORDS.replace("U1", "一号机").encode(encoding)
    exclusions = f"unit,service,start,end,reason,note\n一号机,*,{T0},{T1},test,并网试验\n".encode(encoding)
    files: dict[str, str | bytes] = {"register.toml": register, "records/a.csv": records, "exclusions.csv": exclusions}
    inputs = load_folder(make(tmp_path, files))
    assert set(inputs.unit_columns) == {"一号机"}
    assert inputs.exclusions is not None
    assert inputs.exclusions[0].note == "并网试验"


@pytest.mark.parametrize(
    "records",
    [
        RECORDS.replace("\n", "\r\n"),
        RECORDS.replace("unit,time", " unit , time "),
        RECORDS.replace("U1,", '"U1",').replace("\n", "\n\n"),
        RECORDS.replace(T0, str(T0_MS)).replace(T1, str(T0_MS + HOUR_MS)),
        RECORDS.replace(T0, str(T0_MS)),
        RECORDS.replace(T0, "2026-02-28T16:00:00Z").replace(T1, "2026-02-28T17:00:00.000+0000"),
        RECORDS.replace("+08:00", "+08"),
        RECORDS.replace("+08:00", "+08").replace("600,1", "+600,1 "),
        "on_grid,time,unit,active_power_mw\n1," + f"{T1},U1,600.5\n1,{T0},U1,600\n",
    ],
)
def test_the_form_of_a_file_changes_nothing(tmp_path: Path, records: str) -> None:
    plain = load_folder(make(tmp_path / "plain", {}))
    other = load_folder(make(tmp_path / "other", {"records/a.csv": records}))
    columns = plain.records.column_names
    assert rows_of(other.records.select(columns)) == rows_of(plain.records)


def test_files_may_have_other_columns_and_a_unit_has_those_of_any_of_its_files(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {"records/b.csv": f"unit,time,spilling\nU1,{T2},0\nU2,{T2},1\n"}
    inputs = load_folder(make(tmp_path, files))
    assert inputs.unit_columns == {
        "U1": frozenset({"active_power_mw", "on_grid", "spilling"}),
        "U2": frozenset({"spilling"}),
    }
    assert inputs.records.num_rows == 4
    assert inputs.records["spilling"].null_count == 2


def workbook(rows: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in rows:
        sheet.append(row)
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def test_a_workbook_has_the_same_columns(tmp_path: Path) -> None:
    files: dict[str, str | bytes] = {
        "records/b.xlsx": workbook(
            [
                ["unit", "time", "active_power_mw", "on_grid"],
                ["U2", T0, 0.1 + 0.2, True],
                [None],
                ["U2", T0_MS + 1, -5, 0],
            ]
        ),
        "revenue.xlsx": workbook(
            [["plant", "month", "kind", "amount_yuan"], ["P1", datetime(2026, 3, 1), "energy", 12.5]]
        ),
    }
    inputs = load_folder(make(tmp_path, files))
    assert [row["active_power_mw"] for row in rows_of(inputs.records)][2:] == [300, -5000]
    assert inputs.revenue == (Revenue("P1", "2026-03", RevenueKind.ENERGY, Decimal("12.5")),)


def test_formulas_and_errors_in_a_workbook_are_refused_with_the_remedy(tmp_path: Path) -> None:
    header = ["unit", "start", "end", "power_mw"]
    rows: list[list[Any]] = [header, ["U1", T0, T1, "=1+1"], ["U1", T1, T2, "#N/A"]]
    problems = found(tmp_path, {"plan.xlsx": workbook(rows)})
    assert "plan.xlsx:2: power_mw: D2 holds a formula; paste the value itself (paste special: values)" in problems
    assert "plan.xlsx:3: power_mw: D3 holds the error #N/A; write the value or leave it empty" in problems
    assert len(problems) == 2


def test_merged_cells_of_a_table_are_refused_and_fine_below_it(tmp_path: Path) -> None:
    data = workbook([["unit", "start", "end", "power_mw"], ["U1", T0, T1, 1], ["U1", T1, T2, 1]])
    book = openpyxl.load_workbook(io.BytesIO(data))
    sheet = book.worksheets[0]
    sheet.merge_cells("A5:D5")
    below, within = io.BytesIO(), io.BytesIO()
    book.save(below)
    sheet.merge_cells("D2:D3")  # shows 1 in both rows, holds it in the first
    book.save(within)
    assert (plan := load_folder(make(tmp_path / "a", {"plan.xlsx": below.getvalue()})).plan) is not None
    assert plan.num_rows == 2
    problems = found(tmp_path / "b", {"plan.xlsx": within.getvalue()})
    assert (
        "plan.xlsx:2: cells D2:D3 are merged: only the first of them holds anything; unmerge them and fill every cell"
    ) in problems


def test_a_cell_far_beside_the_table_is_refused_not_passed_over(tmp_path: Path) -> None:
    book = openpyxl.load_workbook(io.BytesIO(workbook([["unit", "start", "end", "power_mw"], ["U1", T0, T1, 1]])))
    book.worksheets[0]["XFD2"] = "void"
    target = io.BytesIO()
    book.save(target)
    (problem,) = found(tmp_path, {"plan.xlsx": target.getvalue()})
    assert problem.startswith("plan.xlsx: has a cell in column XFD; at most 1048576 rows, 256 columns are read")


def test_a_workbook_of_the_old_form_is_named_so(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, {"plan.xlsx": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"})
    assert problem == "plan.xlsx: is a workbook of the old .xls form; save it as .xlsx or CSV"


def test_a_workbook_that_unpacks_without_end_is_refused(tmp_path: Path) -> None:
    import zipfile

    target = io.BytesIO()
    with (
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("xl/worksheets/sheet1.xml", "w") as part,
    ):
        for _ in range(600):
            part.write(b"\0" * 1024**2)
    (problem,) = found(tmp_path, {"orders.xlsx": target.getvalue()})
    assert problem.startswith("orders.xlsx: has 629145600 bytes unpacked, 1 parts; at most 536870912 bytes")


def parquet(columns: dict[str, Any], metadata: dict[str, str] | None = None) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), target)
    return target.getvalue()


@pytest.mark.parametrize(
    ("time", "power"),
    [
        (pa.array([T0_MS, T0_MS + HOUR_MS]), pa.array([600.0, 600.5])),
        (pa.array([T0_MS, T0_MS + HOUR_MS], pa.timestamp("ms", "UTC")), pa.array([600, 600.5], pa.float32())),
        (
            pa.array([T0_MS * 1000, (T0_MS + HOUR_MS) * 1000], pa.timestamp("us", "Asia/Shanghai")),
            pa.array([Decimal(600), Decimal("600.5")], pa.decimal128(9, 2)),
        ),
        (pa.array([T0, T1]), pa.array([Decimal(600), Decimal("600.5")], pa.decimal128(30, 12))),
    ],
)
def test_parquet_of_any_program_gives_the_same_integers(tmp_path: Path, time: Any, power: Any) -> None:
    data = parquet({"unit": ["U2", "U2"], "time": time, "active_power_mw": power, "on_grid": [True, None]})
    rows = rows_of(load_folder(make(tmp_path, {"records/b.parquet": data})).records)
    assert rows[2:] == [
        {"unit": "U2", "time": T0_MS, "active_power_mw": 600_000, "on_grid": 1},
        {"unit": "U2", "time": T0_MS + HOUR_MS, "active_power_mw": 600_500, "on_grid": None},
    ]


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"time": pa.array([T0_MS], pa.timestamp("ms"))}, "b.parquet: time: is a timestamp without time zone; "),
        ({"time": pa.array([T0_MS / 1000])}, "b.parquet: time: is double, expected integer UTC ms, "),
        ({"time": pa.array([T0_MS // 1000])}, "b.parquet:1: time: is no plausible time; expected UTC milliseconds"),
        ({"time": pa.array([None], pa.int64())}, "b.parquet:1: time: is empty; a value is needed here"),
        ({"active_power_mw": pa.array([float("nan")])}, "b.parquet: active_power_mw: holds NaN or infinity; "),
        ({"active_power_mw": pa.array([1e9])}, "b.parquet: active_power_mw: is beyond any plausible value; "),
        (
            {"active_power_mw": pa.array([Decimal("18446744073709651.616")], pa.decimal128(38, 9))},
            "b.parquet:1: active_power_mw: is beyond any plausible value; ",
        ),
        ({"active_power_mw": pa.array(["1"])}, "b.parquet: active_power_mw: is string, expected a decimal or a number"),
        ({"on_grid": pa.array([2])}, "b.parquet:1: on_grid: is no boolean: expected 0 or 1"),
        ({"ongrid": pa.array([1])}, "b.parquet: ongrid: unknown column; did you mean 'on_grid'?"),
        ({"unit": pa.array(["U9"])}, "b.parquet:1: unit: unknown unit 'U9': not in register.toml"),
    ],
)
def test_parquet_is_refused_with_its_column(tmp_path: Path, changes: dict[str, Any], finding: str) -> None:
    columns = {"unit": ["U2"], "time": pa.array([T0_MS]), "active_power_mw": pa.array([1.0]), **changes}
    problems = found(tmp_path, {"records/b.parquet": parquet(columns)})
    assert len(problems) == 1, problems
    assert problems[0].startswith("records/" + finding)


def day_file(
    unit: list[str], time: list[int], power: list[str | None], quality: list[int | None], place: list[int]
) -> bytes:
    """A day file of the lake, as the center seals them."""
    return parquet(
        {
            "unit": pa.array(unit).dictionary_encode(),
            "time": pa.array(time, pa.int64()),
            "place": pa.array(place, pa.int8()),
            "cause": pa.array([0] * len(unit), pa.uint8()),
            "era": pa.array([0] * len(unit), pa.uint16()),
            "clock": pa.array([0] * len(unit), pa.uint8()),
            "device_time": pa.array([None] * len(unit), pa.int64()),
            "active_power_mw": pa.array([None if p is None else Decimal(p) for p in power], pa.decimal128(18, 3)),
            "active_power_mw_quality": pa.array(quality, pa.uint8()),
        },
        {"collector_lake": "1", "plant": "P2", "day": "2026-03-01"},
    )


def test_a_day_file_of_the_lake_is_a_record_file(tmp_path: Path) -> None:
    data = day_file(
        ["U1", "U2", "U2", "U2"],
        [T0_MS + 5, T0_MS, T0_MS + 1, T0_MS + 2],
        [None, "300.000", "301.000", None],
        [None, 0, 18, 19],
        [0, 0, 0, 0],
    )
    inputs = load_folder(make(tmp_path, {"records/a.csv": "unit,time\n", "records/b.parquet": data}))
    assert [row["active_power_mw"] for row in rows_of(inputs.records)] == [None, 300_000, None, None]
    assert inputs.records["clock"].to_pylist() == [0, 0, 0, 0]
    # a quality that is null throughout: the unit's records do not carry the quantity
    assert inputs.unit_columns == {"U1": frozenset(), "U2": frozenset({"active_power_mw"})}


def test_copies_of_the_neighbour_days_count_only_where_the_row_itself_is_not_there(tmp_path: Path) -> None:
    first = day_file(["U2"] * 3, [T0_MS - 60_000, T0_MS, T0_MS + 60_000], ["1", "2", "3"], [0] * 3, [-1, 0, 1])
    second = day_file(["U2"] * 3, [T0_MS, T0_MS + 60_000, T0_MS + 120_000], ["2", "3", "4"], [0] * 3, [-1, 0, 1])
    files: dict[str, str | bytes] = {
        "records/a.csv": "unit,time\n",
        "records/1.parquet": first,
        "records/2.parquet": second,
    }
    records = load_folder(make(tmp_path, files)).records
    assert [row["active_power_mw"] for row in rows_of(records)] == [1000, 2000, 3000, 4000]
    assert "place" not in records.column_names


def test_copies_that_differ_are_refused(tmp_path: Path) -> None:
    one, other = (day_file(["U2"], [T0_MS], [power], [0], [-1]) for power in ("1", "2"))
    problems = found(tmp_path, {"records/1.parquet": one, "records/2.parquet": other})
    assert problems == ["records/2.parquet:1: time: differs from the copy of this row in another day file; seal again"]


def test_what_the_center_seals_is_read_back_to_the_same_integers(tmp_path: Path) -> None:
    def piece(unit: str, quantity: str, values: list[int], qualities: list[int]) -> Piece:
        count = len(values)
        zeros = np.zeros(count, np.int64)
        column = QuantityColumn(np.array(values), np.ones(count, bool), np.array(qualities, np.uint8))
        records = UnitColumns(
            unit=unit,
            time_utc_ms=T0_MS + np.arange(count, dtype=np.int64),
            era=zeros,
            cause=zeros,
            clock=zeros,
            tagged=np.zeros(count, bool),
            device_time_utc_ms=zeros,
            columns={quantity: column},
        )
        return Piece(records, 0, Origin(0, "g", 1, 1))

    good, late, out_of_range = 0, 2, 18
    pieces = [
        piece("U1", "active_power_mw", [600_123, -5, 9_999_999_999], [good, late, out_of_range]),
        piece("U2", "energy_export_mwh", [1_234_567_890_123, 1, 2], [good, good, good]),
    ]
    day = build_day(pieces, plant="P1", day="2026-03-01")
    path, sha256, _ = write_table(day.table, tmp_path / "lake", "2026-03-01")
    files: dict[str, str | bytes] = {"records/a.csv": "unit,time\n", f"records/{path.name}": path.read_bytes()}
    inputs = load_folder(make(tmp_path / "data", files))
    rows = rows_of(inputs.records)
    assert [row["active_power_mw"] for row in rows] == [600_123, -5, None, None, None, None]
    assert [row["energy_export_mwh"] for row in rows] == [None, None, None, 1_234_567_890_123, 1, 2]
    assert inputs.unit_columns == {"U1": frozenset({"active_power_mw"}), "U2": frozenset({"energy_export_mwh"})}
    assert inputs.sources[f"records/{path.name}"] == sha256


def test_a_long_file_with_one_odd_cell_keeps_its_row_numbers(tmp_path: Path) -> None:
    rows = [f"U1,{T0_MS + n},{n}.0005,1" for n in range(300_000)]
    odd = [*rows[:250_000], "U1,soon,1,1", *rows[250_000:]]
    header = "unit,time,active_power_mw,on_grid\n"
    files: dict[str, str | bytes] = {"records/a.csv": header + "\n".join(odd) + "\n"}
    (problem,) = found(tmp_path / "odd", files)
    assert problem.startswith("records/a.csv:250002: time: not a time")
    mixed = [*rows, f"U1,{T2},+5,1"]  # good, but only the careful way can tell
    records = load_folder(make(tmp_path / "mixed", {"records/a.csv": header + "\n".join(mixed)})).records
    assert records.num_rows == 300_001
    assert records["active_power_mw"].to_pylist()[-2:] == [300_000_000 - 1000 + 1, 5000]
