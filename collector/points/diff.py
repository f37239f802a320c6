# SPDX-License-Identifier: GPL-3.0-or-later
"""Two versions of a point table compared by point name: which points must be verified again (对点).

A point must be verified again where it reads another value. Meanings are compared, not text: 03 and holding, 0x10 and
16, CSV and XLSX, the order of rows are no differences.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.points.findings import TableFindings
from collector.points.grid import read_table
from collector.points.lint import guess_family
from collector.points.load import family_of, read_entries
from collector.points.point import COLUMNS, Point, cells_of

# A change of place or meaning; a change elsewhere (range, deadband, period, words) reads the same value.
ADDRESS: Final = frozenset({"device", "area", "type", "address", "common_address", "registers", "bit", "order"})
MEANING: Final = frozenset(
    {"unit", "quantity", "scale", "offset", "raw_unit", "sign", "backup", "guard", "no_value", "norm_base", "map"}
)  # fmt: skip

Key = tuple[str, str]  # device, name


def reasons_for(changed: Set[str]) -> tuple[str, ...]:
    """The reasons to verify a point again whose columns changed: address, meaning, or none."""
    return tuple(name for name, columns in (("address", ADDRESS), ("meaning", MEANING)) if changed & columns)


@dataclass(frozen=True, slots=True)
class CellChange:
    """One cell that differs."""

    column: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class PointChange:
    """A point in both versions, rows as the spreadsheets show them. `name`, `device`: of the new version."""

    device: str
    name: str
    old_row: int
    new_row: int
    cells: tuple[CellChange, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons to verify the point again: address, meaning, or none."""
        return reasons_for({cell.column for cell in self.cells})


@dataclass(frozen=True, slots=True)
class PointTableDifference:
    """The difference of two versions of a point table.

    `renamed`: points with a new name and nothing else new. `no_longer_read`: (unit, quantity) that lost every source.
    """

    added: tuple[Point, ...]
    removed: tuple[Point, ...]
    renamed: tuple[PointChange, ...]
    changed: tuple[PointChange, ...]
    no_longer_read: tuple[tuple[str, str], ...]

    @property
    def equal(self) -> bool:
        """True if the versions do not differ."""
        return not (self.added or self.removed or self.renamed or self.changed)

    @property
    def verify_again(self) -> tuple[tuple[str, str, tuple[str, ...]], ...]:
        """(device, name, reasons) of every point to verify before its values count, in the order of the new table."""
        rows: list[tuple[int, str, str, tuple[str, ...]]]
        rows = [(p.row, p.device, p.name, ("new",)) for p in self.added]
        rows += [(c.new_row, c.device, c.name, c.reasons) for c in self.changed if c.reasons]
        return tuple((device, name, reasons) for _, device, name, reasons in sorted(rows))


def load_version(path: Path, protocol: str | None = None, ignored: Iterable[str] = ()) -> tuple[tuple[Point, ...], str]:
    """All points of a table and its protocol family; with `protocol` None the family is guessed from the table.

    Raises:
        ConfigError: every problem of the table.
    """
    findings = TableFindings(str(path))
    table = read_table(path, findings, ignored)
    family = family_of(protocol) if protocol else (guess_family(table) if table is not None else "")
    if table is not None and not family:
        findings.find("protocol_unknown")
    entries = read_entries(table, family, findings) if table is not None and family else []
    findings.refuse_if_any()
    return tuple(entry.point for entry in entries), family


def compare_points(old: tuple[Point, ...], new: tuple[Point, ...], family: str) -> PointTableDifference:
    """The difference of two versions of a table."""
    before, after = {_key(p): p for p in old}, {_key(p): p for p in new}
    removed = {key: p for key, p in before.items() if key not in after}
    added = {key: p for key, p in after.items() if key not in before}
    renamed = _take_renamed(removed, added, family)
    both = [(before[key], p) for key, p in after.items() if key in before]
    changes = [_change(first, second, family) for first, second in both]
    return PointTableDifference(
        added=tuple(added.values()),
        removed=tuple(removed.values()),
        renamed=renamed,
        changed=tuple(change for change in changes if change.cells),
        no_longer_read=tuple(sorted(_sources(old) - _sources(new))),
    )


def _key(point: Point) -> Key:
    return point.device, point.name


def _sources(points: tuple[Point, ...]) -> set[tuple[str, str]]:
    return {(point.unit, point.quantity) for point in points if point.quantity}


def _take_renamed(removed: dict[Key, Point], added: dict[Key, Point], family: str) -> tuple[PointChange, ...]:
    """Pairs equal in all but the name, removed from both sides; where two candidates are alike, no pair is made."""
    gone, come = _by_rest(removed, family), _by_rest(added, family)
    pairs = [(gone[rest][0], keys[0]) for rest, keys in come.items() if len(keys) == 1 == len(gone.get(rest, ()))]
    return tuple(_change(removed.pop(old), added.pop(new), family) for old, new in pairs)


def _by_rest(points: Mapping[Key, Point], family: str) -> dict[tuple[str, ...], list[Key]]:
    result: dict[tuple[str, ...], list[Key]] = {}
    for key, point in points.items():
        cells = cells_of(point, family)
        result.setdefault(tuple(cells[column] for column in COLUMNS if column != "name"), []).append(key)
    return result


def _change(old: Point, new: Point, family: str) -> PointChange:
    first, second = cells_of(old, family), cells_of(new, family)
    cells = (CellChange(column, first[column], second[column]) for column in COLUMNS if first[column] != second[column])
    return PointChange(new.device, new.name, old.row, new.row, tuple(cells))
