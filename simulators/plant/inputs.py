# SPDX-License-Identifier: GPL-3.0-or-later
"""The dispatching side of a scenario as a settlement folder (formats.md): register, plan, orders, revenue.

A kind without rows gets a file with only its header: delivered and empty. Records are not written here.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from collector.model.interval import QUARTER_HOUR_MS, format_time
from simulators.plant.scenario import Scenario
from simulators.plant.scenario_model import Unit
from simulators.plant.schedule import Schedule, make_schedule

_EMPTY: Final[dict[str, tuple[str, ...]]] = {
    "exclusions.csv": ("unit", "service", "start", "end", "reason", "note"),
    "rates.csv": ("unit", "month", "kind", "value", "source"),
    "start_stop_table.csv": (
        "capacity_from_mw", "capacity_to_mw", "gap_from_h", "gap_to_h", "amount_wan_yuan", "from", "document",
    ),
}  # fmt: skip
_UNIT_KEYS: Final = (
    "id", "plant", "kind", "rated_mw", "agc_lower_mw", "agc_upper_mw", "avc", "nominal_kv", "droop_ratio",
    "q_max_mvar", "q_min_mvar", "evidence", "black_start", "black_start_document",
)  # fmt: skip


def write_inputs(scenario: Scenario, directory: Path) -> None:
    """Write register.toml and every CSV kind except records and start_stop_table's rows into `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "register.toml").write_text(_register(scenario), "utf-8")
    schedules = [make_schedule(scenario, unit) for unit in scenario.settings.unit]
    span = scenario.month.interval
    _write(
        directory / "plan.csv", ("unit", "start", "end", "power_mw"),
        (row for schedule in schedules for row in _plan_rows(schedule, span.start_ms, span.end_ms)),
    )  # fmt: skip
    _write(
        directory / "orders.csv", ("id", "unit", "kind", "start", "end"),
        ((o.id, o.unit, o.kind.value, format_time(o.start_ms), format_time(o.end_ms))
         for schedule in schedules for o in schedule.orders),
    )  # fmt: skip
    _write(
        directory / "revenue.csv", ("plant", "month", "kind", "amount_yuan"),
        ((plant.id, str(scenario.month), "energy", plant.energy_bill_yuan) for plant in scenario.settings.plant),
    )  # fmt: skip
    _write(
        directory / "reserve.csv", ("unit", "kind", "start", "end", "power_mw"),
        ((r.unit, r.kind, r.start, r.end, r.power_mw) for r in scenario.settings.reserve),
    )  # fmt: skip
    _write(
        directory / "voltage_band.csv", ("unit", "start", "end", "low_kv", "high_kv"),
        ((b.unit, b.start, b.end, b.low_kv, b.high_kv) for b in scenario.settings.voltage_band),
    )  # fmt: skip
    for name, header in _EMPTY.items():
        _write(directory / name, header, ())


def _plan_rows(schedule: Schedule, start_ms: int, end_ms: int) -> Iterable[tuple[str, str, str, str]]:
    for start in range(start_ms, end_ms, QUARTER_HOUR_MS):
        power_kw = schedule.plan_at(start)
        yield schedule.unit, format_time(start), format_time(start + QUARTER_HOUR_MS), _mw(power_kw)


def _mw(power_kw: int) -> str:
    whole, rest = divmod(power_kw, 1000)
    return f"{whole}.{rest:03d}".rstrip("0").rstrip(".")


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _register(scenario: Scenario) -> str:
    settings = scenario.settings
    parts = [f"[policy]\nhold_limit_s = {settings.hold_limit_s}\n"]
    for area in settings.area:
        keys = ("id", "name", "dispatch_mode", "valley_hours", "peak_hours", "hours_filing")
        parts.append(_table("area", {key: getattr(area, key) for key in keys}))
    for plant in settings.plant:
        keys = ("id", "name", "area", "revenue_basis", "shares", "settles_with")
        parts.append(_table("plant", {key: getattr(plant, key) for key in keys}))
    parts.extend(_table("unit", _unit_values(unit)) for unit in settings.unit)
    return "\n".join(parts)


def _unit_values(unit: Unit) -> dict[str, object]:
    return {key: value for key in _UNIT_KEYS if (value := getattr(unit, key)) is not None}


def _table(name: str, values: dict[str, object]) -> str:
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value != ""]
    return "\n".join([f"[[{name}]]", *lines, ""])


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    text = str(value)
    if any(ord(char) < 32 or char in '"\\' for char in text):
        raise ValueError(f"a register text must be plain: {text!r}")
    return f'"{text}"'
