# SPDX-License-Identifier: GPL-3.0-or-later
"""Building tiny settlement folders for tests: June 2026 (30 days, 720 h), one area, one plant, one unit unless said.

Records hold for 40 days by default, so that a single record can describe a whole month; a test about missing time sets
a short hold limit.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from .lines import Line
from .plants import PlantRow
from .settle import Result, settle_reference
from .times import HOUR_MS

MONTH = "2026-06"
FOREVER_S = 40 * 86_400

HEADERS = {
    "plan.csv": "unit,start,end,power_mw,issued",
    "orders.csv": "id,unit,kind,start,end",
    "reserve.csv": "unit,kind,start,end,power_mw",
    "voltage_band.csv": "unit,start,end,low_kv,high_kv",
    "exclusions.csv": "unit,service,start,end,reason,note",
    "revenue.csv": "plant,month,kind,amount_yuan,area",
    "rates.csv": "unit,month,kind,value,source",
    "start_stop_table.csv": (
        "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from,document"
    ),
}  # fmt: skip


def at(day: int, clock: str = "00:00", month: int = 6) -> str:
    """A local time of 2026; 24:00 is not needed, the next day's 00:00 is."""
    seconds = clock if clock.count(":") == 2 else f"{clock}:00"
    return f"2026-{month:02d}-{day:02d}T{seconds}+08:00"


START, END = at(1), at(1, month=7)


class Build:
    """A settlement folder in the making; `settle()` writes it and runs the reference."""

    def __init__(
        self, root: Path, *, mode: str = "annual_plan", area: str = "jiangsu", hold_s: int = FOREVER_S
    ) -> None:
        self.root = root
        self.mode = mode
        self.area = area
        self.hold_s = hold_s
        self.valley = ["00:00-08:00"]
        self.peak = ["08:00-11:00", "17:00-19:00"]
        self.register: list[str] = []
        self.records: dict[str, list[dict[str, object]]] = defaultdict(list)
        self.rows: dict[str, list[str]] = defaultdict(list)
        self.absent: set[str] = set()
        self.plain = True  # the usual area, plant P1 and its revenue

    def unit(self, name: str = "U1", /, **keys: object) -> Build:
        """A [[unit]] row; `kind`, `rated_mw`, `plant` have defaults, a `from_` key writes `from`."""
        return self._row("unit", {"id": name, "plant": "P1", "kind": "coal", "rated_mw": "600"} | keys)

    def plant(self, name: str, /, **keys: object) -> Build:
        """A further [[plant]] row."""
        usual = {"id": name, "name": name, "area": self.area, "revenue_basis": "on_grid", "shares": True}
        return self._row("plant", usual | {"settles_with": "grid"} | keys)

    def area_row(self, name: str, /, **keys: object) -> Build:
        """A further [[area]] row."""
        usual: dict[str, object] = {"id": name, "name": name, "dispatch_mode": self.mode, "hours_filing": "filed"}
        return self._row("area", usual | {"valley_hours": self.valley, "peak_hours": self.peak} | keys)

    def record(self, time: str, unit: str = "U1", /, **cells: object) -> Build:
        """A record; cells by column name, "" is an empty cell."""
        self.records[unit].append({"unit": unit, "time": time} | cells)
        return self

    def row(self, file: str, *cells: object) -> Build:
        """A row of a CSV file, cells in the order of its header; missing ones at the end are empty."""
        width = HEADERS[f"{file}.csv"].count(",") + 1
        self.rows[f"{file}.csv"].append(",".join([*map(str, cells), *[""] * (width - len(cells))]))
        return self

    def order(self, kind: str, start: str = START, end: str = END, unit: str = "U1") -> Build:
        """A row of orders.csv."""
        return self.row("orders", f"O{len(self.rows['orders.csv'])}", unit, kind, start, end)

    def exclude(self, reason: str, start: str, end: str, service: str = "*", unit: str = "U1") -> Build:
        """A row of exclusions.csv."""
        return self.row("exclusions", unit, service, start, end, reason)

    def _row(self, table: str, keys: dict[str, object]) -> Build:
        self.register.append(f"[[{table}]]\n" + "\n".join(f"{key.rstrip('_')} = {_toml(keys[key])}" for key in keys))
        return self

    def settle(self, month: str = MONTH) -> Result:
        """Writes the folder and settles it."""
        if self.plain:
            self.area_row(self.area)
            self.plant("P1")
            if not self.rows["revenue.csv"]:
                self.row("revenue", "P1", month, "energy", "1000000.00")
        policy = f"[policy]\nhold_limit_s = {self.hold_s}\n\n"
        (self.root / "register.toml").write_text(policy + "\n\n".join(self.register), encoding="utf-8")
        for name, header in HEADERS.items():
            if name not in self.absent:
                (self.root / name).write_text("\n".join([header, *self.rows[name], ""]), encoding="utf-8")
        records = self.root / "records"
        records.mkdir(exist_ok=True)
        for unit, rows in self.records.items():
            columns = list(dict.fromkeys(key for row in rows for key in row))
            table = [columns, *[[str(row.get(key, "")) for key in columns] for row in rows]]
            text = "\n".join(",".join(cells) for cells in table)
            (records / f"{unit}.csv").write_text(text + "\n", encoding="utf-8-sig")
        return settle_reference(self.root, month)


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    text = str(value)
    return text if len(text) == 10 and text.startswith("20") else f'"{text}"'  # a date, or a text


def line_of(result: Result, service: str, unit: str = "U1") -> Line:
    """The one line of a unit and service."""
    (line,) = [row for row in result.lines if (row["unit"], row["service"]) == (unit, service)]
    return line


def plant_of(result: Result, plant: str = "P1") -> PlantRow:
    """The one row of a plant."""
    (row,) = [row for row in result.plants if row["plant"] == plant]
    return row


def measured(line: Line) -> tuple[object, object]:
    """Quantity and coverage."""
    return line["quantity"], line["coverage"]


def determinant(result: Result, name: str, unit: str = "U1") -> tuple[object, float, float]:
    """Value, known hours and hours of scope of a determinant."""
    found = result.determinants[unit, name]
    return found["value"], found["known_ms"] / HOUR_MS, found["scope_ms"] / HOUR_MS


def verdict(line: Line) -> tuple[str, str, str]:
    """Amount, status and reason as texts; no amount is ""."""
    return "" if line["amount_yuan"] is None else str(line["amount_yuan"]), line["status"], line["reason"]
