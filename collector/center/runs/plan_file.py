# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as Parquet by unit, beside its laid-out table: a page reads one unit of it, not three million rows."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_A_GROUP: Final = 32_768
_COLUMNS: Final = ("unit", "start", "end", "power_kw", "issued")


def plan_name(sha256: str) -> str:
    """What the plan whose table has this hash is kept under."""
    return f"plan-{sha256}.parquet"


def write_plan(plan: pa.Table, path: Path) -> None:
    """Write a plan (settlement/inputs.py) by unit and start.

    Raises:
        OSError: the disk refuses.
    """
    table = plan.select(_COLUMNS)
    table = table.set_column(0, "unit", table["unit"].cast(pa.string()))
    table = table.sort_by([("unit", "ascending"), ("start", "ascending")])
    pq.write_table(table, path, compression="zstd", row_group_size=_ROWS_A_GROUP, use_dictionary=["unit"])


def read_plan_of(data: bytes, unit: str, from_ms: int, to_ms: int) -> list[tuple[int, int, int | None, int | None]]:
    """Rows of a unit that touch [from_ms, to_ms), in order of start: start, end, power (kW), issued."""
    filters = [("unit", "=", unit), ("start", "<", to_ms), ("end", ">", from_ms)]
    table = pq.read_table(pa.BufferReader(data), columns=list(_COLUMNS[1:]), filters=filters)
    return list(zip(*(table[name].to_pylist() for name in _COLUMNS[1:]), strict=True))
