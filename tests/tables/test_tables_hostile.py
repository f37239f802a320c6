# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever bytes a folder holds, it is read or refused with findings; nothing else comes out."""

from __future__ import annotations

import contextlib
import io
import tempfile
import zipfile
from pathlib import Path

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.base.errors import ConfigError
from collector.sheets.efile import read_efile
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.folder import TABLES, load_folder
from tests.size import sized
from tests.tables.made_folder import RECORDS, REGISTER, T0, T0_MS, T1, found, make


def workbook() -> bytes:
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(["unit", "time", "active_power_mw"])
    book.active.append(["U2", T0, 1.5])
    target = io.BytesIO()
    book.save(target)
    return target.getvalue()


def parquet() -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table({"unit": ["U2"], "time": [T0_MS], "active_power_mw": [1.5]}), target)
    return target.getvalue()


SAMPLES = {
    "register.toml": REGISTER.encode(),
    "records/b.csv": RECORDS.replace("U1", "U2").encode(),
    "records/b.xlsx": workbook(),
    "records/b.parquet": parquet(),
    "plan.csv": f"unit,start,end,power_mw\nU1,{T0},{T1},5\n".encode(),
    "revenue.csv": b"plant,month,kind,amount_yuan\nP1,2026-03,energy,1\n",
}


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=sized(25, 60))
@given(st.data())
def test_damaged_files_are_read_or_refused(name: str, data: st.DataObject) -> None:
    content = bytearray(SAMPLES[name])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=6))
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), {name: bytes(content)})
        with contextlib.suppress(ConfigError):
            load_folder(Path(folder))


@settings(max_examples=sized(30, 100))
@given(
    st.sampled_from([f"{name}.csv" for name in TABLES] + ["register.toml", "records/b.csv", "orders.xlsx"]), st.binary()
)
def test_random_bytes_are_refused(name: str, content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), {name: content})
        with pytest.raises(ConfigError):
            load_folder(Path(folder))


def test_a_workbook_whose_xml_defines_entities_without_end_is_refused(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    head = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "lol">{entities}]>'
    bomb = f"{head}<worksheet><sheetData>&e11;</sheetData></worksheet>"
    source, target = zipfile.ZipFile(io.BytesIO(workbook())), io.BytesIO()
    with source, zipfile.ZipFile(target, "w") as archive:
        for member in source.namelist():
            archive.writestr(member, bomb if "sheet1" in member else source.read(member))
    (problem,) = found(tmp_path, {"records/b.xlsx": target.getvalue()})
    assert problem.startswith("records/b.xlsx: ")


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_a_huge_cell_is_refused_and_not_repeated_in_full(tmp_path: Path, size: int) -> None:
    problems = found(tmp_path, {"orders.csv": "id,unit,kind,start,end\n1,U1," + "x" * size + f",{T0},{T1}\n"})
    assert len(problems) == 1
    assert len(problems[0]) < 500


def test_what_is_shown_of_a_file_can_not_steer_a_terminal(tmp_path: Path) -> None:
    (problem,) = found(tmp_path, {"records/b.csv": f"unit,time,\x1b[2Jclear\nU2,{T0},1\n"})
    assert problem.startswith("records/b.csv:1: \ufffd[2Jclear: unknown column")


def test_a_row_numbered_beyond_every_sheet_is_refused_and_not_counted_up_to(tmp_path: Path) -> None:
    book, source, target = openpyxl.Workbook(), io.BytesIO(), io.BytesIO()
    assert book.active is not None
    book.active.append(["id", "unit", "kind", "start", "end"])
    book.active.append(["1", "U1", "agc", T0, T1])
    book.save(source)
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for member in old.namelist():
            # Counting the empty rows before it would take for ever.
            new.writestr(member, old.read(member).replace(b'r="2"', b'r="900000000000"'))
    (problem,) = found(tmp_path, {"orders.xlsx": target.getvalue()})
    assert problem == (
        "orders.xlsx: has more than 1048576 rows; at most 1048576 rows, 256 columns are read; "
        "split it, save a workbook as CSV, or delete what lies below and beside the table"
    )


@pytest.mark.parametrize("part", ["a.", "'a' . ", '"a".'])
def test_a_register_whose_key_has_very_many_parts_is_refused_before_it_is_parsed(tmp_path: Path, part: str) -> None:
    # Parsed, this takes forty gigabytes.
    (problem,) = found(tmp_path, {"register.toml": f"{REGISTER}\nx = 1\n{part * 100_000}a = 1\n"})
    line = REGISTER.count("\n") + 3
    assert problem == f"register.toml:{line}: a key has at most 64 parts between dots"


def test_a_register_of_unknown_keys_lists_some_of_them_and_counts_the_others(tmp_path: Path) -> None:
    problems = found(tmp_path, {"register.toml": "".join(f"k{n} = 1\n" for n in range(30_000)) + REGISTER})
    assert len(problems) == 101
    assert "register.toml: and 29900 more unknown keys" in problems


def test_a_head_of_e_text_without_any_fact_takes_no_longer_than_it_is_long() -> None:
    findings = Findings()
    # By trying every place as the beginning of a fact, hours.
    read_efile(Delivered("plan.e", b"<!" + b"x" * 4_000_000 + b"!>\n<plan>\n@ unit\n</plan>\n", ""), findings)
    assert not findings
