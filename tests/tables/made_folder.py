# SPDX-License-Identifier: GPL-3.0-or-later
"""A small good settlement folder, and files put in the place of its own."""

from __future__ import annotations

from pathlib import Path

from collector.base.errors import ConfigError
from collector.settlement.rulebook.rules import Rulebook
from collector.tables.folder import load_folder

REGISTER = """\
[[area]]
id = "shanghai"
name = "上海"
dispatch_mode = "annual_plan"
valley_hours = ["22:00-06:00"]
peak_hours = ["08:00-11:00", "17:00-21:00"]

[[plant]]
id = "P1"
area = "shanghai"
revenue_basis = "on_grid"
shares = true

[[plant]]
id = "P2"
area = "shanghai"
revenue_basis = "two_part"
shares = true

[[unit]]
id = "U1"
plant = "P1"
kind = "coal"
rated_mw = "660"

[[unit]]
id = "U2"
plant = "P2"
kind = "pumped_storage"
rated_mw = 300.5
"""
T0 = "2026-03-01T00:00:00+08:00"
T1 = "2026-03-01T01:00:00+08:00"
T2 = "2026-03-01T02:00:00+08:00"
T0_MS = 1_772_294_400_000
RECORDS = f"unit,time,active_power_mw,on_grid\nU1,{T0},600,1\nU1,{T1},600.5,1\n"


def make(folder: Path, files: dict[str, str | bytes]) -> Path:
    """The good folder with `files` in the place of, or beside, its own."""
    (folder / "records").mkdir(parents=True, exist_ok=True)
    for name, content in {"register.toml": REGISTER, "records/a.csv": RECORDS, **files}.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name).write_bytes(data)
    return folder


def found(folder: Path, files: dict[str, str | bytes], rulebook: Rulebook | None = None) -> list[str]:
    """What is found wrong with the folder, line by line."""
    try:
        load_folder(make(folder, files), rulebook)
    except ConfigError as error:
        return [str(problem) for problem in error.problems]
    return []
