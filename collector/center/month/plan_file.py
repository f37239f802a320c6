# SPDX-License-Identifier: GPL-3.0-or-later
"""A plan as Parquet by unit, beside its laid-out table: a page reads one unit of it, not three million rows."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

_ROWS_A_GROUP: Final = 32_768
_COLUMNS: Final = ("unit", "start", "end", "power_kw", "issued")


def plan_path(folder: Path, sha256: str) -> Path:
    """Where the plan whose table has this hash lies."""
    return folder / f"plan-{sha256}.parquet"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path whose file takes the place of `path` at the end; nothing is left of it otherwise."""
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        yield temporary
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_plan(plan: pa.Table, path: Path) -> None:
    """Write a plan (settlement/inputs.py) by unit and start.

    Raises:
        OSError: the disk refuses.
    """
    table = plan.select(_COLUMNS)
    table = table.set_column(0, "unit", table["unit"].cast(pa.string()))
    table = table.sort_by([("unit", "ascending"), ("start", "ascending")])
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", row_group_size=_ROWS_A_GROUP, use_dictionary=["unit"])


def read_plan_of(path: Path, unit: str, from_ms: int, to_ms: int) -> list[tuple[int, int, int | None, int | None]]:
    """Rows of a unit that touch [from_ms, to_ms), in order of start: start, end, power (kW), issued.

    Raises:
        OSError: it can't be read.
    """
    filters = [("unit", "=", unit), ("start", "<", to_ms), ("end", ">", from_ms)]
    table = pq.read_table(path, columns=list(_COLUMNS[1:]), filters=filters)
    return list(zip(*(table[name].to_pylist() for name in _COLUMNS[1:]), strict=True))
