# SPDX-License-Identifier: GPL-3.0-or-later
"""A month of two plants with everything that is measured, and changes to it that come late."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from collector.base.clock_state import ClockState
from collector.center.db.store import CenterStore
from collector.center.runs.settle_month import MadeRun
from collector.model.interval import DAY_MS, HOUR_MS, local_midnight_ms
from collector.model.record import Quality, UnitLayout, UnitRecord
from tests.center.runs.center_months import RULES, Gateway, take

NAMES = (
    "active_power_mw", "reactive_power_mvar", "bus_voltage_kv", "frequency_hz", "on_grid", "agc_in_service",
    "avc_in_service", "avc_target_kv",
)  # fmt: skip
UNITS = {"P1": ("U1", "U2"), "P2": ("V1",)}
DAYS = range(1, 31)
PLAN = "unit,start,end,power_mw,issued\n"

REGISTER = """[policy]
hold_limit_s = 800
min_coverage = "0.05"
settle_s = 60

[[area]]
id = "jiangsu"
name = "江苏"
dispatch_mode = "annual_plan"
valley_hours = ["00:00-08:00"]
peak_hours = ["08:00-11:00"]
hours_filing = "x"
"""
PLANT = """
[[plant]]
id = "{0}"
name = "{0}"
area = "jiangsu"
revenue_basis = "on_grid"
shares = true
settles_with = "x"
"""
UNIT = """
[[unit]]
id = "{0}"
plant = "{1}"
kind = "coal"
rated_mw = "{2}"
agc_lower_mw = "240"
agc_upper_mw = "600"
avc = true
nominal_kv = "500"
q_max_mvar = "300"
q_min_mvar = "-100"
{3}
"""


def at(day: int, hour: float = 0.0) -> int:
    """A local time of June 2026 as UTC ms; day 0 is the last of May."""
    return local_midnight_ms(date(2026, 6, 1)) + (day - 1) * DAY_MS + round(hour * HOUR_MS)


def register(*, first_unit: str = "", area: str = "") -> str:
    """The register; `first_unit`, `area` in place of the usual U1 and the usual area."""
    usual = UNIT.format("U1", "P1", "600", 'droop_ratio = "0.05"')
    units = [first_unit or usual, UNIT.format("U2", "P1", "660", ""), UNIT.format("V1", "P2", "1000", "")]
    return (area or REGISTER) + PLANT.format("P1") + PLANT.format("P2") + "".join(units)


def record(unit: str, time_ms: int, power_kw: int | None = None) -> UnitRecord:
    """A record whose values follow the hour and the day."""
    hour, day, minute = time_ms // HOUR_MS % 24, time_ms // DAY_MS, time_ms // 60_000 % 60
    power = (200_000 if hour >= 16 else 420_000) + day % 7 * 1000 if power_kw is None else power_kw
    frequency = 49_900_000 if hour == 3 else 50_000_000
    target = 505_000 if minute < 5 else 506_000
    values = (power, 350_000, 505_000, frequency, 1, 1, 1, target)
    return UnitRecord(unit, time_ms, values, (Quality.GOOD,) * len(NAMES), clock=ClockState.SYNCHRONISED)


BATCHES = 31  # of each plant: the evening before, and thirty days


def gateways_of(store: CenterStore, *, sent: int = 0) -> dict[str, Gateway]:
    """The gateway of each plant."""
    return {plant: Gateway(store, plant, units, sent=sent) for plant, units in UNITS.items()}


def fill(store: CenterStore) -> None:
    """Two records of every unit every two hours, from the evening before the month on; and a row of each kind."""
    gateways = gateways_of(store)
    for plant, units in UNITS.items():
        for day in (0, *DAYS):
            hours = (22,) if day == 0 else range(0, 24, 2)
            times = [at(day, hour) + minute * 60_000 for hour in hours for minute in (1, 9)]
            records = [record(unit, time) for unit in units for time in times]
            gateways[plant].send([UnitLayout(unit, NAMES) for unit in units], records)
    take(store, "register", register())
    take(store, "plan", PLAN + "".join(plan_rows("U1", DAYS)))
    take(store, "orders", f"id,unit,kind,start,end\no1,U2,reactive,{at(3, 9)},{at(3, 15)}\n")
    take(store, "reserve", f"unit,kind,start,end,power_mw\nU1,spinning,{at(4)},{at(5)},50\n")
    take(store, "voltage_band", f"unit,start,end,low_kv,high_kv\nU2,{at(1)},{at(20)},500,510\n")
    take(store, "exclusions", f"unit,service,start,end,reason\nV1,*,{at(5, 3)},{at(5, 4)},test\n")
    revenue = "plant,month,kind,amount_yuan\nP1,2026-06,energy,1000\nP2,2026-06,energy,2000\n"
    take(store, "revenue", revenue)
    take(store, "rates", "unit,month,kind,value,source\n")


def plan_rows(unit: str, days: Iterable[int], *, power: str = "400") -> list[str]:
    """Plan rows of six hours each."""
    return [f"{unit},{at(day, hour)},{at(day, hour + 6)},{power},\n" for day in days for hour in (0, 6, 12, 18)]


def measured_days(run: MadeRun) -> set[tuple[str, int]]:
    """Plant and day of June of what was measured for a run."""
    return {(cell.plant, (cell.first_day - date(2026, 6, 1)).days + 1) for cell in run.progress.measured}


def rules_with(folder: Path, file: str, value_id: str, row: str) -> Path:
    """The shipped rulebook with one more row of a value."""
    shutil.copytree(RULES, folder)
    path = folder / file
    text = path.read_text("utf-8")
    begin = text.index(f'id = "{value_id}"')
    end = text.find("\n[[", begin)
    end = len(text) if end < 0 else end
    path.write_text(f"{text[:end].rstrip()}\n\n  [[value.row]]\n{row}\n{text[end:]}", "utf-8")
    return folder
