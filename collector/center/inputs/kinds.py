# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of delivered tables, and the rule by which rows of a kind conflict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from collector.model.interval import format_time

REGISTER: Final = "register"
# Columns of instants, stored as UTC ms whatever notation they were written in.
TIMES: Final = frozenset({"start", "end", "issued", "time", "called"})
# Columns of numbers: equal however they are written (1.0, 1.00, 1e0).
NUMBERS: Final = frozenset(
    {
        *("power_mw", "low_kv", "high_kv", "amount_yuan", "value"),
        *("old_final_mwh", "new_initial_mwh"),
        *("capacity_from_mw", "capacity_to_mw", "gap_from_h", "gap_to_h", "amount_wan_yuan"),
    }
)


@dataclass(frozen=True, slots=True)
class TableKind:
    """A kind of table: its columns, and the two rules by which rows conflict.

    `unique`: columns that are unique together; `exclusive`: columns within which intervals are exclusive. Both are
    empty where rows never conflict. `ranges`: the pairs of columns of numbers, half-open, that must not overlap;
    without any, it is the time from start to end.
    """

    columns: tuple[str, ...]
    unique: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()
    ranges: tuple[tuple[str, str], ...] = ()

    @property
    def apart(self) -> bool:
        """True if only rows of the same stretch of time can conflict."""
        return bool(self.exclusive) and not self.unique and not self.ranges


KINDS: Final[Mapping[str, TableKind]] = {
    "plan": TableKind(("unit", "start", "end", "power_mw", "issued"), exclusive=("unit", "issued")),
    "orders": TableKind(("id", "unit", "kind", "start", "end"), unique=("id",), exclusive=("unit", "kind")),
    "reserve": TableKind(("unit", "kind", "start", "end", "power_mw"), exclusive=("unit", "kind")),
    "voltage_band": TableKind(("unit", "start", "end", "low_kv", "high_kv"), exclusive=("unit",)),
    "exclusions": TableKind(("unit", "service", "start", "end", "reason", "note")),
    "revenue": TableKind(("plant", "month", "kind", "amount_yuan", "area"), unique=("plant", "month", "kind", "area")),
    "rates": TableKind(("unit", "month", "kind", "value", "source"), unique=("unit", "month", "kind")),
    "start_stop_table": TableKind(
        ("capacity_from_mw", "capacity_to_mw", "gap_from_h", "gap_to_h", "amount_wan_yuan", "from", "document"),
        exclusive=("from",),
        ranges=(("capacity_from_mw", "capacity_to_mw"), ("gap_from_h", "gap_to_h")),
    ),
    "meter_changes": TableKind(
        ("unit", "time", "old_final_mwh", "new_initial_mwh", "document"), unique=("unit", "time")
    ),
    "reserve_calls": TableKind(("unit", "kind", "called", "power_mw", "note"), unique=("unit", "kind", "called")),
    "reserve_minimum": TableKind(("area", "start", "end", "power_mw"), exclusive=("area",)),
}
ALL_KINDS: Final = (REGISTER, *KINDS)
# Records have no table of rows in force: `collector.center.inputs.record_imports` takes them.
RECORDS: Final = "records"
IMPORT_KINDS: Final = (*ALL_KINDS, RECORDS)


def row_to_read(kind: str, cells: Sequence[str]) -> str:
    """The cells of a stored row as a finding shows them: only those with something in them, instants in local time."""
    named = zip(KINDS[kind].columns, cells, strict=True)
    return ", ".join(format_time(int(cell)) if name in TIMES else cell for name, cell in named if cell)
