# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of what people deliver, and which rows of a kind claim the same place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

REGISTER: Final = "register"
# Columns whose cells are instants, kept as UTC ms whatever notation they came in.
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
    """A kind of table: its columns; which of them are unique together; within which of them intervals are exclusive.

    Empty where rows may stand beside each other freely. `ranges`: the pairs of columns of numbers, half-open, that make
    up what is exclusive; where there are none it is the time from start to end.
    """

    columns: tuple[str, ...]
    unique: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()
    ranges: tuple[tuple[str, str], ...] = ()

    @property
    def apart(self) -> bool:
        """Whether only rows of the same stretch of time can meet."""
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
# Records are no table of rows in force: `collector.center.inputs.record_imports` takes them.
RECORDS: Final = "records"
IMPORT_KINDS: Final = (*ALL_KINDS, RECORDS)
