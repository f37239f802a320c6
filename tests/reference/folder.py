# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a settlement folder: register.toml and CSV files. Valid folders only; nothing is refused with a message here.

Source: formats.md, "A settlement folder".
"""

from __future__ import annotations

import csv
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

from .exact_numbers import round_half_away, thousandths
from .model import (
    FOREVER,
    AreaState,
    BandRow,
    Exclusion,
    Folder,
    MeterChange,
    Order,
    PlantState,
    Policy,
    PowerRow,
    Record,
    ReserveCall,
    ReserveMinimum,
    RevenueRow,
    TablePrice,
    UnitRecords,
    UnitState,
)
from .times import DailyHours, local_midnight, parse_time

Row = dict[str, str]
T = TypeVar("T")

OPTIONAL_FILES = (
    "plan.csv",
    "orders.csv",
    "reserve.csv",
    "voltage_band.csv",
    "exclusions.csv",
    "revenue.csv",
)


def read_folder(folder: Path) -> Folder:
    """Reads everything a settlement folder holds."""
    register = tomllib.loads((folder / "register.toml").read_text(encoding="utf-8-sig"), parse_float=Decimal)
    return Folder(
        policy=_policy(register.get("policy", {})),
        areas=tuple(_area(row) for row in register.get("area", [])),
        plants=tuple(_plant(row) for row in register.get("plant", [])),
        units=tuple(_unit(row) for row in register.get("unit", [])),
        records=_records(folder / "records"),
        plan=_table(folder / "plan.csv", _plan_row),
        orders=_table(folder / "orders.csv", _order),
        reserve=_table(folder / "reserve.csv", _reserve_row),
        bands=_table(folder / "voltage_band.csv", _band),
        exclusions=_table(folder / "exclusions.csv", _exclusion),
        revenue=_table(folder / "revenue.csv", _revenue),
        pass_rates=_pass_rates(folder / "rates.csv"),
        price_table=tuple(price for price in _table(folder / "start_stop_table.csv", _table_price) if price),
        meter_changes=_table(folder / "meter_changes.csv", _meter_change),
        reserve_calls=_table(folder / "reserve_calls.csv", _reserve_call),
        reserve_minimum=_table(folder / "reserve_minimum.csv", _reserve_minimum),
        absent=tuple(name for name in OPTIONAL_FILES if not (folder / name).exists()),
    )


# ---- register.toml -----------------------------------------------------------------------------------------------


def _number(value: Any) -> Fraction | None:
    """A TOML number or a text, exactly; absent or empty is None."""
    text = "" if value is None else str(value).strip()
    return Fraction(text) if text else None


def _integer(value: Any) -> int | None:
    """A register number in MW, Mvar or kV as kW, kvar or V."""
    number = _number(value)
    return None if number is None else round_half_away(number * 1000)


def _required(value: Any) -> Fraction:
    number = _number(value)
    if number is None:
        raise ValueError("a required number is not there")
    return number


def _dates(row: dict[str, Any]) -> tuple[int, int]:
    """`from` inclusive and `until` exclusive, both 00:00 local; open where absent."""

    def midnight(value: date | str, otherwise: int) -> int:
        if not value:
            return otherwise
        return local_midnight(value if isinstance(value, date) else date.fromisoformat(value))

    return midnight(row.get("from", ""), -FOREVER), midnight(row.get("until", ""), FOREVER)


def _policy(row: dict[str, Any]) -> Policy:
    usual = Policy()

    def thousand_times(key: str, otherwise: int) -> int:  # s -> ms, Mvar -> kvar
        value = _integer(row.get(key))
        return otherwise if value is None else value

    def number(key: str, otherwise: Fraction) -> Fraction:
        value = _number(row.get(key))
        return otherwise if value is None else value

    return Policy(
        hold_ms=thousand_times("hold_limit_s", usual.hold_ms),
        min_coverage=number("min_coverage", usual.min_coverage),
        provisional_coverage=number("provisional_coverage", usual.provisional_coverage),
        settle_ms=thousand_times("settle_s", usual.settle_ms),
        at_limit_tolerance_kvar=thousand_times("at_limit_tolerance_mvar", usual.at_limit_tolerance_kvar),
        min_stop_ms=thousand_times("min_stop_s", usual.min_stop_ms),
        order_min_ratio=number("order_min_ratio", usual.order_min_ratio),
        plausible_ratio=number("plausible_ratio", usual.plausible_ratio),
    )


def _area(row: dict[str, Any]) -> AreaState:
    start, end = _dates(row)
    return AreaState(
        id=row["id"],
        start=start,
        end=end,
        dispatch_mode=row["dispatch_mode"],
        valley=tuple(DailyHours.parse(text) for text in row.get("valley_hours", [])),
        peak=tuple(DailyHours.parse(text) for text in row.get("peak_hours", [])),
        hours_filing=row.get("hours_filing") or None,
    )


def _plant(row: dict[str, Any]) -> PlantState:
    start, end = _dates(row)
    return PlantState(row["id"], start, end, row["area"], row["revenue_basis"], row["shares"])


def _unit(row: dict[str, Any]) -> UnitState:
    start, end = _dates(row)
    lower, upper = _integer(row.get("agc_lower_mw")), _integer(row.get("agc_upper_mw"))
    return UnitState(
        id=row["id"],
        start=start,
        end=end,
        plant=row["plant"],
        kind=row["kind"],
        rated_mw=_required(row["rated_mw"]),
        agc_range_kw=None if lower is None or upper is None else upper - lower,
        avc=row.get("avc", False),
        nominal_kv=_number(row.get("nominal_kv")),
        area=row.get("area") or None,
        q_max_kvar=_integer(row.get("q_max_mvar")),
        q_min_kvar=_integer(row.get("q_min_mvar")),
        tariff_yuan_per_mwh=_number(row.get("tariff_yuan_per_mwh")),
        black_start=row.get("black_start", False),
        black_start_document=row.get("black_start_document") or None,
        peak_group=row.get("peak_group") or None,
        droop_ratio=_number(row.get("droop_ratio")),
        evidence=row.get("evidence") or None,
        agc_lower_kw=lower,
        has_limits=any(row.get(key) for key in ("agc_lower_mw", "agc_upper_mw", "q_max_mvar", "q_min_mvar")),
    )


# ---- CSV ---------------------------------------------------------------------------------------------------------


def _rows(path: Path) -> Iterator[Row]:
    """The rows of a CSV file; cells stripped, a cell the row lacks is empty."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            if any(row.values()):
                yield {key.strip(): (cell or "").strip() for key, cell in row.items()}


def _table(path: Path, read: Callable[[Row], T]) -> tuple[T, ...]:
    return tuple(read(row) for row in _rows(path)) if path.exists() else ()


def _milli(row: Row, column: str) -> int | None:
    text = row.get(column, "")
    return thousandths(text) if text else None


def _millionths(row: Row, column: str) -> int | None:
    text = row.get(column, "")
    return round_half_away(Fraction(text) * 1_000_000) if text else None


def _flag(row: Row, column: str) -> bool | None:
    text = row.get(column, "")
    return None if not text else Fraction(text) == 1


def _span(row: Row) -> tuple[int, int]:
    return parse_time(row["start"]), parse_time(row["end"])


def _plan_row(row: Row) -> PowerRow:
    issued = row.get("issued", "")
    return PowerRow(row["unit"], *_span(row), _milli(row, "power_mw"), issued=parse_time(issued) if issued else None)


def _reserve_row(row: Row) -> PowerRow:
    return PowerRow(row["unit"], *_span(row), _milli(row, "power_mw"), kind=row["kind"])


def _order(row: Row) -> Order:
    return Order(row["id"], row["unit"], row["kind"], *_span(row))


def _band(row: Row) -> BandRow:
    return BandRow(row["unit"], *_span(row), _milli(row, "low_kv"), _milli(row, "high_kv"))


def _exclusion(row: Row) -> Exclusion:
    return Exclusion(row["unit"], row["service"], *_span(row), row["reason"])


def _revenue(row: Row) -> RevenueRow:
    amount = row["amount_yuan"]
    area = row.get("area") or None
    return RevenueRow(row["plant"], row["month"], row["kind"], Fraction(amount) if amount else None, area)


def _pass_rates(path: Path) -> dict[tuple[str, str], Fraction]:
    """The delivered AVC pass rates by unit and month (avc_pass is the only kind); an empty value is not a rate."""
    rows = _table(path, lambda row: row)
    return {(row["unit"], row["month"]): Fraction(row["value"]) for row in rows if row["value"]}


def _meter_change(row: Row) -> MeterChange:
    old, new = (Fraction(row[column]) for column in ("old_final_mwh", "new_initial_mwh"))
    return MeterChange(
        row["unit"], parse_time(row["time"]), round_half_away(old * 1_000_000), round_half_away(new * 1_000_000)
    )


def _reserve_call(row: Row) -> ReserveCall:
    return ReserveCall(row["unit"], row["kind"], parse_time(row["called"]), _milli(row, "power_mw"))


def _reserve_minimum(row: Row) -> ReserveMinimum:
    return ReserveMinimum(row["area"], *_span(row), _milli(row, "power_mw"))


def _table_price(row: Row) -> TablePrice | None:
    if not row["amount_wan_yuan"]:
        return None  # an empty cell is missing: such a row prices nothing
    return TablePrice(
        capacity_from_mw=Fraction(row["capacity_from_mw"]),
        capacity_to_mw=Fraction(row["capacity_to_mw"]),
        gap_from_h=Fraction(row["gap_from_h"]),
        gap_to_h=Fraction(row["gap_to_h"]),
        amount_wan_yuan=Fraction(row["amount_wan_yuan"]),
        start=local_midnight(date.fromisoformat(row["from"])) if row.get("from") else -FOREVER,
    )


def _records(folder: Path) -> dict[str, UnitRecords]:
    """All record files: a unit has a column if any file that names the unit has it."""
    columns: dict[str, set[str]] = defaultdict(set)
    records: dict[str, list[Record]] = defaultdict(list)
    for path in sorted(folder.glob("*.csv")):
        for row in _rows(path):
            columns[row["unit"]].update(row)
            records[row["unit"]].append(_record(row))
    return {
        unit: UnitRecords(frozenset(columns[unit]), tuple(sorted(records[unit], key=lambda record: record.time)))
        for unit in records
    }


def _record(row: Row) -> Record:
    return Record(
        time=parse_time(row["time"]),
        active_kw=_milli(row, "active_power_mw"),
        reactive_kvar=_milli(row, "reactive_power_mvar"),
        voltage_v=_milli(row, "bus_voltage_kv"),
        on_grid=_flag(row, "on_grid"),
        agc_in_service=_flag(row, "agc_in_service"),
        agc_setpoint_kw=_milli(row, "agc_setpoint_mw"),
        avc_in_service=_flag(row, "avc_in_service"),
        avc_target_v=_milli(row, "avc_target_kv"),
        avc_at_limit=_flag(row, "avc_at_limit"),
        condenser=_flag(row, "condenser"),
        spilling=_flag(row, "spilling"),
        frequency_uhz=_millionths(row, "frequency_hz"),
        primary_frequency=_flag(row, "primary_frequency_in_service"),
        energy_export_wh=_millionths(row, "energy_export_mwh"),
    )
