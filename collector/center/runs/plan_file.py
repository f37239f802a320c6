# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a run's folder as columns by unit, kept beside its plan.csv: for measuring and for pages.

Written from the rows of the imports when the folder is made; made again from the run's own plan.csv after it was
dropped.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from collector.center.db.store import CenterStore
from collector.center.db.verified import read_verified
from collector.center.runs.kept_files import find_kept, find_kept_bytes, keep_file, laid_out_folder
from collector.center.runs.row_groups import HashedGroups, keep_groups, known_groups
from collector.sheets.files import Delivered
from collector.sheets.findings import Findings
from collector.tables.columns import empty_table
from collector.tables.schedules import PLAN_COLUMNS, read_plan

PLAN: Final = "plan.csv"
NO_ROWS: Final = empty_table(PLAN_COLUMNS)
_ROWS_A_GROUP: Final = 32_768


def _name(sha256: str) -> str:
    return f"plan-{sha256}.parquet"


def keep_plan(store: CenterStore, sha256: str, plan: pa.Table) -> str:
    """Keep a plan (settlement/inputs.py) whose plan.csv has this hash; returns the SHA-256 of the file.

    Raises:
        OSError: the disk refuses.
    """
    table = plan.select(NO_ROWS.column_names)
    table = table.set_column(0, "unit", table["unit"].cast(pa.string()))
    table = table.sort_by([("unit", "ascending"), ("start", "ascending")])

    def write(path: Path) -> None:
        pq.write_table(table, path, compression="zstd", row_group_size=_ROWS_A_GROUP, use_dictionary=["unit"])

    return keep_file(store, _name(sha256), write)


def read_kept_plan(store: CenterStore, data: Path, sha256: str) -> pa.Table:
    """The plan of a run's folder `data` whose plan.csv has this hash, by unit and start. Raises as `_plan_bytes`."""
    table = pq.read_table(pa.BufferReader(_plan_bytes(store, data, sha256)), read_dictionary=["unit"])
    return table.unify_dictionaries().combine_chunks()


def read_plan_of(
    store: CenterStore, data: Path, sha256: str, unit: str, from_ms: int, to_ms: int
) -> list[tuple[int, int, int | None, int | None]]:
    """Rows of a unit that touch [from_ms, to_ms), in order of start: start, end, power (kW), issued.

    Raises as `_plan_bytes`.
    """
    names = NO_ROWS.column_names[1:]
    table = _groups_of(store, data, sha256, unit)
    touches = (pc.field("unit") == unit) & (pc.field("start") < to_ms) & (pc.field("end") > from_ms)
    table = table.filter(touches)
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))


def _groups_of(store: CenterStore, data: Path, sha256: str, unit: str) -> pa.Table:
    """The row groups of the kept file that may hold rows of a unit."""
    name = _name(sha256)

    def read(path: Path, expected: str) -> pa.Table:
        groups = known_groups(path, expected) or keep_groups(path, expected, read_verified(path, expected))
        return groups.read_unit(path, unit, NO_ROWS.column_names)

    found = find_kept(store, name, read)
    if found is None:  # made again
        whole = HashedGroups(_plan_bytes(store, data, sha256))
        found = whole.read_unit(laid_out_folder(store) / name, unit, NO_ROWS.column_names)
    return found


def _plan_bytes(store: CenterStore, data: Path, sha256: str) -> bytes:
    """The bytes of the kept file.

    Raises:
        Altered: the file was dropped, and plan.csv is not the run's.
        ConfigError: plan.csv is invalid.
    """
    kept = find_kept_bytes(store, _name(sha256))
    if kept is not None:
        return kept
    findings = Findings()
    plan = read_plan(Delivered(PLAN, read_verified(data / PLAN, sha256), sha256), None, findings)
    findings.refuse_if_any()
    made = keep_plan(store, sha256, NO_ROWS if plan is None else plan)
    return read_verified(laid_out_folder(store) / _name(sha256), made)
