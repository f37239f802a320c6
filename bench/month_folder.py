# SPDX-License-Identifier: GPL-3.0-or-later
"""A seeded settlement folder of a month at one minute: plants of five units, ten quantities, and what dispatch sent.

Power follows an AGC set-point, deep at night; every tenth unit is off grid for a night on a start-stop order; voltage
and frequency wander; one value in five hundred is missing, and each unit loses twenty minutes. Records go out as CSV
(a file per plant), as Parquet with floats (a file per plant), or as day files of the lake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from collector.center.lake.day_file import decimal_array, write_table
from collector.center.lake.pieces import DAY, HEAD, TAIL
from collector.model.interval import DAY_MS, Month, format_time
from collector.model.quantity import BY_NAME, QuantityKind
from collector.model.record import Quality

MONTH: Final = Month.parse("2026-03")
MINUTES: Final = len(MONTH.days) * 1440
START_MS: Final = MONTH.interval.start_ms
UNITS_PER_PLANT: Final = 5
RATED_MW: Final = 660
NAMES: Final = (
    "active_power_mw",
    "reactive_power_mvar",
    "bus_voltage_kv",
    "frequency_hz",
    "on_grid",
    "agc_in_service",
    "agc_setpoint_mw",
    "avc_in_service",
    "avc_target_kv",
    "energy_export_mwh",
)
_TAIL_MS: Final = 900_000
_SEED: Final = 20260301

Array = np.ndarray[Any, Any]
Writer = Callable[[Path, int, pa.Table], None]


def write_folder(folder: Path, plants: int, write_records: Writer) -> int:
    """Write the folder; returns how many records it has."""
    (folder / "records").mkdir(parents=True)
    rng = np.random.default_rng(_SEED)
    units = plants * UNITS_PER_PLANT
    nights = _nights(units)
    (folder / "register.toml").write_text(_register(units), "utf-8")
    _write_dispatch(folder, units, nights, rng)
    count = 0
    for plant in range(plants):
        table = _records(plant, nights, rng)
        write_records(folder / "records", plant, table)
        count += len(table)
    return count


def write_csv(records: Path, plant: int, table: pa.Table) -> None:
    """One file per plant; times with an offset, as a historian exports them."""
    local = pa.array(table["time"].to_numpy() + 8 * 3_600_000, pa.timestamp("ms"))
    text = pc.strftime(local.cast(pa.timestamp("s")), format="%Y-%m-%dT%H:%M:%S+08:00")
    out = table.set_column(1, "time", text).set_column(0, "unit", table["unit"].cast(pa.string()))
    options = pyarrow.csv.WriteOptions(quoting_style="none")
    pyarrow.csv.write_csv(out, records / f"{_plant(plant)}.csv", options)


def write_parquet(records: Path, plant: int, table: pa.Table) -> None:
    """One file per plant with binary floats, as pandas writes it."""
    floats = [
        column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column for column in table.itercolumns()
    ]
    pq.write_table(pa.table(floats, names=table.column_names), records / f"{_plant(plant)}.parquet")


def write_lake(records: Path, plant: int, table: pa.Table) -> None:
    """Day files as the center seals them: decimals, qualities, copies of the neighbours' rows."""
    time = table["time"].to_numpy()
    day_of = (time - START_MS) // DAY_MS
    for index, day in enumerate(MONTH.days):
        begin = START_MS + index * DAY_MS
        head = time == begin - 60_000
        tail = (time >= begin + DAY_MS) & (time < begin + DAY_MS + _TAIL_MS)
        place = np.where(head, HEAD, np.where(tail, TAIL, DAY)).astype(np.int8)
        keep = head | tail | (day_of == index)
        rows = table.filter(pa.array(keep)).combine_chunks()
        _write_day(records, plant, day, rows, place[keep])


def _write_day(records: Path, plant: int, day: date, rows: pa.Table, place: Array) -> None:
    count = len(rows)
    zeros = np.zeros(count, np.uint8)
    arrays: dict[str, Any] = {
        "unit": rows["unit"],
        "time": rows["time"],
        "place": pa.array(place),
        "cause": pa.array(zeros),
        "era": pa.array(np.ones(count, np.uint16)),
        "clock": pa.array(zeros),
        "device_time": pa.nulls(count, pa.int64()),
    }
    for name in NAMES:
        missing = rows[name].is_null().to_numpy()
        arrays[name] = rows[name]
        arrays[f"{name}_quality"] = pa.array(np.where(missing, Quality.SILENT, Quality.GOOD).astype(np.uint8))
    metadata = {"collector_lake": "1", "plant": _plant(plant), "day": day.isoformat()}
    path, *_ = write_table(pa.table(arrays).replace_schema_metadata(metadata), records, day.isoformat())
    assert isinstance(path, Path)
    path.rename(records / f"{_plant(plant)}-{path.name}")


def unit_name(unit: int) -> str:
    """The id of a unit."""
    return f"U{unit + 1:04d}"


def _plant(plant: int) -> str:
    return f"P{plant + 1:03d}"


def _nights(units: int) -> Array:
    """The minute each unit leaves the grid for ten hours; -1: it stays."""
    unit = np.arange(units)
    return np.where(unit % 10 == 3, (unit // 10 * 7 % 28 + 1) * 1440 + 21 * 60, -1)


def _records(plant: int, nights: Array, rng: np.random.Generator) -> pa.Table:
    """The records of a plant, by unit, then time, values as exact decimals."""
    first = plant * UNITS_PER_PLANT
    parts = [_unit_records(unit, int(nights[unit]), rng) for unit in range(first, first + UNITS_PER_PLANT)]
    return pa.concat_tables(parts).unify_dictionaries()


def _unit_records(unit: int, night: int, rng: np.random.Generator) -> pa.Table:
    minute = np.arange(MINUTES)
    hour = minute // 60 % 24
    off = (minute >= night) & (minute < night + 600) if night >= 0 else np.zeros(MINUTES, bool)
    setpoint = _setpoint(hour, rng)
    power = np.where(off, 0.0, _follow(setpoint) + rng.normal(0, 0.4, MINUTES))
    target = 525 + np.repeat(np.cumsum(rng.choice((-0.5, 0.0, 0.5), MINUTES // 15)) % 4, 15)
    values = {
        "active_power_mw": power,
        "reactive_power_mvar": np.where(off, 0.0, 40 + _wander(rng, 12)),
        "bus_voltage_kv": target + rng.normal(0, 0.4, MINUTES),
        "frequency_hz": 50 + _wander(rng, 0.012),
        "on_grid": ~off,
        "agc_in_service": ~off & (rng.random(MINUTES // 240 + 1).repeat(240)[:MINUTES] > 0.02),
        "agc_setpoint_mw": setpoint,
        "avc_in_service": ~off & (rng.random(MINUTES // 240 + 1).repeat(240)[:MINUTES] > 0.02),
        "avc_target_kv": target,
        "energy_export_mwh": 1_000_000 + np.cumsum(power) / 60,
    }
    keep = np.ones(MINUTES, bool)
    hole = int(rng.integers(0, MINUTES - 20))
    keep[hole : hole + 20] = False
    count = int(keep.sum())
    arrays: dict[str, Any] = {
        "unit": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([unit_name(unit)])),
        "time": pa.array((START_MS + minute * 60_000)[keep]),
    }
    for name, signal in values.items():
        present = rng.random(count) >= 0.002
        arrays[name] = _column(name, signal[keep], present)
    return pa.table(arrays)


def _column(name: str, signal: Array, present: Array) -> Any:
    """A signal in steps of its telemetry: 0.01 MW, Mvar and kV, 1 mHz, 1 kWh."""
    quantity = BY_NAME[name]
    if quantity.kind is QuantityKind.STATUS:
        return pa.array(signal.astype(np.int8), mask=~present)
    step = 10 if quantity.scale == 1000 else 1000
    stored = np.rint(signal * (quantity.scale // step)).astype(np.int64) * step
    return decimal_array(stored, present, len(str(quantity.scale)) - 1)


def _setpoint(hour: Array, rng: np.random.Generator) -> Array:
    """A new set-point every five minutes: deep at night, high by day; MW."""
    base = np.where(hour < 6, 0.46, np.where((hour > 8) & (hour < 21), 0.85, 0.7))
    return np.round(RATED_MW * base + rng.normal(0, 15, MINUTES // 5).repeat(5), 1)


def _follow(setpoint: Array) -> Array:
    """The unit runs behind its set-point by about three minutes."""
    kernel = np.array([0.4, 0.3, 0.2, 0.1])
    return np.convolve(np.concatenate([setpoint[:1].repeat(3), setpoint]), kernel, "valid")


def _wander(rng: np.random.Generator, size: float) -> Array:
    """A slow walk around 0 of about `size`."""
    noise = rng.normal(0, 1, MINUTES + 63)
    return size / 8 * np.convolve(noise, np.ones(64), "valid")


def _register(units: int) -> str:
    area = (
        '[[area]]\nid = "jiangsu"\nname = "江苏"\ndispatch_mode = "annual_plan"\nvalley_hours = ["00:00-08:00"]\n'
        'peak_hours = ["08:00-11:00", "17:00-21:00"]\nhours_filing = "seeded"\n'
    )
    plants = (
        f'[[plant]]\nid = "{_plant(plant)}"\nname = "{_plant(plant)}"\narea = "jiangsu"\n'
        'revenue_basis = "on_grid"\nshares = true\nsettles_with = "grid"\n'
        for plant in range(units // UNITS_PER_PLANT)
    )
    rows = (
        f'[[unit]]\nid = "{unit_name(unit)}"\nplant = "{_plant(unit // UNITS_PER_PLANT)}"\nkind = "coal"\n'
        f'rated_mw = "{RATED_MW}"\nagc_lower_mw = "264"\nagc_upper_mw = "660"\navc = true\nnominal_kv = "500"\n'
        'q_max_mvar = "320"\nq_min_mvar = "-150"\n'
        for unit in range(units)
    )
    return "\n".join([area, *plants, *rows])


def _write_dispatch(folder: Path, units: int, nights: Array, rng: np.random.Generator) -> None:
    names = [unit_name(unit) for unit in range(units)]
    quarters = [format_time(START_MS + q * 900_000) for q in range(MINUTES // 15 + 1)]
    days = [format_time(START_MS + d * DAY_MS) for d in range(len(MONTH.days) + 1)]
    plan = (
        f"{name},{quarters[q]},{quarters[q + 1]},{power:.1f}"
        for name in names
        for q, power in enumerate(_setpoint(np.arange(MINUTES) // 60 % 24, rng)[::15].tolist())
    )
    _write(folder / "plan.csv", "unit,start,end,power_mw", plan)
    bands = (f"{name},{days[d]},{days[d + 1]},515,535" for name in names for d in range(len(days) - 1))
    _write(folder / "voltage_band.csv", "unit,start,end,low_kv,high_kv", bands)
    _write(folder / "orders.csv", "id,unit,kind,start,end", _orders(names, nights))
    spinning = (f"{name},spinning,{days[d]},{days[d + 1]},20" for name in names[::7] for d in range(0, 30, 3))
    _write(folder / "reserve.csv", "unit,kind,start,end,power_mw", spinning)
    excluded = (f"{name},*,{days[4]},{quarters[4 * 96 + 8]},test" for name in names[::9])
    _write(folder / "exclusions.csv", "unit,service,start,end,reason", excluded)
    plants = (f"{_plant(p)},{MONTH},energy,{80_000_000 + p * 1_000_000}" for p in range(units // UNITS_PER_PLANT))
    _write(folder / "revenue.csv", "plant,month,kind,amount_yuan", plants)
    _write(folder / "rates.csv", "unit,month,kind,value,source", ())
    _write(
        folder / "start_stop_table.csv", "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from", ()
    )


def _orders(names: list[str], nights: Array) -> Iterator[str]:
    for unit, name in enumerate(names):
        if nights[unit] >= 0:
            begin = START_MS + int(nights[unit]) * 60_000
            span = f"{format_time(begin - 1_800_000)},{format_time(begin + 40_000_000)}"
            yield f"S{unit},{name},start_stop,{span}"
        if unit % 5 == 0:
            day = MONTH.first_day + timedelta(days=unit % 20)
            yield f"Q{unit},{name},reactive,{day}T10:00:00+08:00,{day}T14:00:00+08:00"


def _write(path: Path, header: str, rows: Iterator[str] | tuple[str, ...]) -> None:
    path.write_text("\n".join([header, *rows]) + "\n", "utf-8")
