# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of what people deliver, and which rows of a kind claim the same place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

REGISTER: Final = "register"
# Columns whose cells are instants, kept as UTC ms whatever notation they came in.
TIMES: Final = frozenset({"start", "end", "issued"})


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of table: its columns; which of them are unique together; within which of them intervals are exclusive.

    Empty where rows may stand beside each other freely.
    """

    columns: tuple[str, ...]
    unique: tuple[str, ...] = ()
    exclusive: tuple[str, ...] = ()

    @property
    def apart(self) -> bool:
        """Whether only rows of the same stretch of time can meet."""
        return bool(self.exclusive) and not self.unique


KINDS: Final[Mapping[str, Kind]] = {
    "plan": Kind(("unit", "start", "end", "power_mw", "issued"), exclusive=("unit", "issued")),
    "orders": Kind(("id", "unit", "kind", "start", "end"), unique=("id",), exclusive=("unit", "kind")),
    "reserve": Kind(("unit", "kind", "start", "end", "power_mw"), exclusive=("unit", "kind")),
    "voltage_band": Kind(("unit", "start", "end", "low_kv", "high_kv"), exclusive=("unit",)),
    "exclusions": Kind(("unit", "service", "start", "end", "reason", "note")),
    "revenue": Kind(("plant", "month", "kind", "amount_yuan", "area"), unique=("plant", "month", "kind", "area")),
    "rates": Kind(("unit", "month", "kind", "value", "source"), unique=("unit", "month", "kind")),
    "start_stop_table": Kind(
        ("capacity_from_mw", "capacity_to_mw", "gap_from_h", "gap_to_h", "amount_wan_yuan", "from", "document"),
        unique=("capacity_from_mw", "capacity_to_mw", "gap_from_h", "gap_to_h", "from"),
    ),
}
ALL_KINDS: Final = (REGISTER, *KINDS)
# Records are no table of rows in force: `collector.center.inputs.record_imports` takes them.
RECORDS: Final = "records"
IMPORT_KINDS: Final = (*ALL_KINDS, RECORDS)
