# SPDX-License-Identifier: GPL-3.0-or-later
"""Settlement folders made at random: few days of records with gaps, nulls and values near every limit of the rule.

Half of them are *dense*: three days registered and recorded almost without a gap, with stops inside start-stop orders,
so that lines are paid and months final. Numbers are drawn from short lists around the limits, because a difference
shows where conditions meet. Nothing here knows what the result should be.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

DAY_MS = 86_400_000
JUNE_1 = 1_780_243_200_000  # 2026-06-01T00:00+08:00
KINDS = ("coal", "coal", "coal", "gas", "gas", "hydro", "hydro", "pumped_storage", "wind", "coal_other")
AREAS = ("jiangsu", "shanghai", "east_china_grid")
SERVICES = (
    "*", "*", "deep_peak", "agc_up", "agc_down", "agc_basic", "avc", "reactive_lag", "reactive_lead", "hydro_spill",
    "condenser_start", "condenser_run", "spinning_reserve", "hot_reserve", "gas_start_stop", "coal_start_stop",
    "hydro_start_stop", "black_start",
)  # fmt: skip
HEADERS = {
    "plan": "unit,start,end,power_mw,issued",
    "orders": "id,unit,kind,start,end",
    "reserve": "unit,kind,start,end,power_mw",
    "voltage_band": "unit,start,end,low_kv,high_kv",
    "exclusions": "unit,service,start,end,reason,note",
    "revenue": "plant,month,kind,amount_yuan,area",
    "rates": "unit,month,kind,value,source",
    "start_stop_table": "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from,document",
}
REASONS = ("own_fault", "test", "dispatch", "grid")
STATUSES = ("on_grid", "agc_in_service", "avc_in_service", "condenser", "spilling", "avc_at_limit")


@dataclass
class Made:
    """A folder being made."""

    rng: random.Random
    dense: bool = False
    tidy: bool = False  # dense, with nothing that would keep the month provisional for certain
    moves: bool = False  # some units change their dispatching authority, plant or equipment in the month
    stops: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # off grid inside an order, by unit
    tables: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in HEADERS})
    register: list[str] = field(default_factory=list)
    records: dict[str, list[str]] = field(default_factory=dict)


def make_folder(rng: random.Random, root: Path, *, moves: bool = False) -> None:
    """Write one folder for June 2026. `moves`: units change dispatching authority, plant or equipment in the month."""
    made = Made(rng, rng.random() < 0.5, moves=moves)
    made.tidy = made.dense and rng.random() < 0.4
    hold = rng.choice((1800, 7200) if made.dense else (120, 600, 1800, 7200, 40_000))
    settle = rng.choice((60, 60, 300))
    made.register.append(
        f"[policy]\nhold_limit_s = {hold}\nsettle_s = {settle}\n"
        f'min_coverage = "{rng.choice(("0", "0", "0.001", "0.5"))}"\nat_limit_tolerance_mvar = "1"\n'
    )
    areas = rng.sample(AREAS, rng.choice((1, 2)))
    for area in areas:
        _area(made, area)
    for number in range(rng.choice((1, 1, 2))):
        _plant(made, f"P{number}", areas)
    for number in range(rng.choice((1, 2, 3))):
        _unit(made, f"U{number}", rng.choice(("P0", "P1") if "P1" in "".join(made.register) else ("P0",)), areas)
    _write(made, root)


def _area(made: Made, area: str) -> None:
    rng = made.rng
    valley = rng.choice(('["00:00-08:00"]', '["22:00-06:00"]', '["23:10-24:00", "01:00-05:30"]', "[]"))
    peak = rng.choice(('["08:00-11:00", "17:00-21:00"]', '["20:00-02:00"]'))
    filing = 'hours_filing = "x"\n' if made.tidy or rng.random() < 0.8 else ""
    head = f'[[area]]\nid = "{area}"\nname = "{area}"\nvalley_hours = {valley}\npeak_hours = {peak}\n{filing}'
    modes = ("energy_saving", "annual_plan")
    if rng.random() < 0.2:
        made.register.append(f'{head}dispatch_mode = "{modes[0]}"\nuntil = 2026-06-03\n')
        made.register.append(f'{head}dispatch_mode = "{modes[1]}"\nfrom = 2026-06-03\n')
    else:
        made.register.append(f'{head}dispatch_mode = "{rng.choice(modes)}"\n')


def _plant(made: Made, plant: str, areas: list[str]) -> None:
    rng = made.rng
    basis = rng.choice(("on_grid", "on_grid", "lease", "two_part"))
    shares = rng.choice(("true", "true", "true", "true", "false"))
    made.register.append(
        f'[[plant]]\nid = "{plant}"\nname = "{plant}"\narea = "{areas[0]}"\nrevenue_basis = "{basis}"\n'
        f'shares = {shares}\nsettles_with = "g"\n'
    )
    for kind in {"on_grid": ("energy",), "lease": ("lease",), "two_part": ("energy", "capacity")}[basis]:
        amount = rng.choice(
            ("1000000", "333333.33", "0.01", "700000.1", "500", "-1" if rng.random() < 0.5 else "1", "0")
        )
        for area in rng.choice((("",), tuple(areas))):
            if rng.random() < 0.95:
                made.tables["revenue"].append(f"{plant},2026-06,{kind},{amount},{area}")


def _unit(made: Made, unit: str, plant: str, areas: list[str]) -> None:
    rng = made.rng
    kind = rng.choice(KINDS)
    rated = rng.choice(("600", "660.5", "1000", "550"))
    row = [f'id = "{unit}"', f'plant = "{plant}"', f'kind = "{kind}"']
    if rng.random() < 0.7:
        row += ['agc_lower_mw = "300"', f'agc_upper_mw = "{rng.choice(("600", "546.0004"))}"']
    row.append(f'nominal_kv = "{rng.choice(("500", "220", "110.05"))}"')
    row.append(f"avc = {rng.choice(('true', 'false')) if not made.tidy else 'false'}")
    optional = {
        "q_max_mvar": '"300"', "q_min_mvar": '"-100.5"', "tariff_yuan_per_mwh": '"391.37"', "black_start": "true",
        "droop_ratio": '"0.05"', "peak_group": f'"G-{plant}"', "area": f'"{areas[-1]}"', "black_start_document": '"d"',
    }  # fmt: skip
    row += [f"{key} = {value}" for key, value in optional.items() if rng.random() < 0.45]
    text = "[[unit]]\n" + "\n".join(row)
    if made.dense and made.moves and rng.random() < 0.5:
        moved = _moved(made, row, plant, areas)
        made.register.append(f'{text}\nrated_mw = "{rated}"\nuntil = 2026-06-02\n')
        made.register.append(f'{moved}\nrated_mw = "{rated}"\nfrom = 2026-06-02\nuntil = 2026-06-04\n')
    elif made.dense:
        made.register.append(f'{text}\nrated_mw = "{rated}"\nuntil = 2026-06-04\n')
    elif rng.random() < 0.25:
        cut = rng.choice(("2026-06-02", "2026-06-03"))
        made.register.append(f'{text}\nrated_mw = "{rated}"\nuntil = {cut}\n')
        if rng.random() < 0.7:
            moved = _moved(made, row, plant, areas) if made.moves else text
            made.register.append(f'{moved}\nrated_mw = "{rng.choice(("550", "600"))}"\nfrom = {cut}\n')
    else:
        made.register.append(f'{text}\nrated_mw = "{rated}"\n')
    _dispatch(made, unit)
    _records(made, unit, float(rated))


def _moved(made: Made, row: list[str], plant: str, areas: list[str]) -> str:
    """A unit's row at another dispatching authority, another plant, without AGC or designation, or as it was."""
    rng = made.rng
    dropped = rng.choice(("area", "area", "area", "plant", "plant", "agc_", "black_start"))
    kept = [key for key in row if not key.startswith(dropped)]
    if dropped == "plant":
        other = "P1" if plant == "P0" and 'id = "P1"' in "".join(made.register) else "P0"
        kept = [key for key in kept if not key.startswith("peak_group")]  # a group lies inside one plant
        kept.append(f'plant = "{other}"')
    if dropped == "area":
        here = areas[-1] if any(key.startswith("area") for key in row) else areas[0]
        kept.append(f'area = "{next((area for area in areas if area != here), here)}"')
    return "[[unit]]\n" + "\n".join(kept)


def _span(rng: random.Random) -> tuple[int, int]:
    """An interval around the days that have records; sometimes across the month's start."""
    start = JUNE_1 + rng.randrange(-20 * 60, 72 * 60) * 60_000 + rng.choice((0, 0, 0, 1234))
    return start, start + rng.choice((10, 45, 180, 600, 2000)) * 60_000 + rng.choice((0, 0, 777))


def _apart(rng: random.Random, count: int) -> list[tuple[int, int]]:
    """Intervals that do not overlap."""
    spans: list[tuple[int, int]] = []
    for start, end in sorted(_span(rng) for _ in range(count)):
        if not spans or start >= spans[-1][1]:
            spans.append((start, end))
    return spans


def _dispatch(made: Made, unit: str) -> None:
    rng, tables = made.rng, made.tables
    for kind in ("start_stop", "spill", "reactive", "condenser"):
        for start, end in _apart(rng, rng.choice((0, 1, 3))):
            tables["orders"].append(f"o{len(tables['orders'])},{unit},{kind},{start},{end}")
            if kind == "start_stop" and rng.random() < 0.7:
                opening = start + rng.choice((0, 900_000, 1_800_000))
                made.stops.setdefault(unit, []).append((opening, opening + rng.choice((1, 4, 20)) * 1_800_000))
    for kind in ("spinning", "hot"):
        for start, end in _apart(rng, rng.choice((0, 0, 3))):
            tables["reserve"].append(f"{unit},{kind},{start},{end},{rng.choice(('100', '50.5', ''))}")
    for start, end in _apart(rng, rng.choice((0, 2, 4))):
        low, high = rng.choice((("504", "506"), ("504", ""), ("", "506"), ("505.5", "507")))
        tables["voltage_band"].append(f"{unit},{start},{end},{low},{high}")
    if made.tidy:
        tables["plan"].append(f"{unit},{JUNE_1 - 9 * DAY_MS},{JUNE_1 + 40 * DAY_MS},420,{JUNE_1 + 1}")
        tables["voltage_band"][:] = [row for row in tables["voltage_band"] if not row.startswith(f"{unit},")]
        tables["voltage_band"].append(f"{unit},{JUNE_1 - 9 * DAY_MS},{JUNE_1 + 40 * DAY_MS},504,506")
    for issued in ("", str(JUNE_1 - DAY_MS), str(JUNE_1)):
        for start, end in _apart(rng, rng.choice((0, 3, 8))):
            tables["plan"].append(f"{unit},{start},{end},{rng.choice(('240', '400.5', '500', ''))},{issued}")
    for _ in range(rng.choice((0, 0, 1, 3))):
        start, end = _span(rng)
        reason = rng.choice(("own_fault", "test", "dispatch", "grid", "own_fault"))
        tables["exclusions"].append(f"{unit},{rng.choice(SERVICES)},{start},{end},{reason},")
    if rng.random() < 0.1:  # all of a service's month
        whole = f"{JUNE_1 - 30 * DAY_MS},{JUNE_1 + 60 * DAY_MS}"
        tables["exclusions"].append(f"{unit},{rng.choice(SERVICES)},{whole},{rng.choice(REASONS)},")
    if rng.random() < 0.3:
        tables["rates"].append(f"{unit},2026-06,avc_pass,{rng.choice(('0.9', '1', ''))},x")
    if rng.random() < 0.2 and not tables["start_stop_table"]:
        tables["start_stop_table"].append("300,700,0,6,12.5,2020-01-01,d")
        tables["start_stop_table"].append("300,700,0,24,10,2019-01-01,d")


def _records(made: Made, unit: str, rated: float) -> None:
    """Irregular records over up to four days; statuses change now and then, cells go missing."""
    rng = made.rng
    columns = [c for c in STATUSES if made.tidy or rng.random() < 0.75]
    if made.tidy or rng.random() < 0.9:
        columns += ["frequency_hz", "primary_frequency_in_service"]
        columns += ["active_power_mw", "reactive_power_mvar", "bus_voltage_kv", "avc_target_kv"]
    state = {c: rng.choice("01") for c in columns}
    state.update(on_grid="1", avc_in_service="1", agc_in_service="1", avc_target_kv="505", condenser="0")
    time = JUNE_1 - rng.choice((0, 60_000, 30_000_000))
    step = 900_000 if made.dense else rng.choice((60_000, 300_000, 900_000))
    powers = [f"{rated * r:.4f}" for r in (0.399, 0.4, 0.4001, 0.3, 0.47, 0.005, 0.0051, 0.59, 0.8, -0.2, 0.0)]
    hidden = 0.0 if made.tidy else rng.choice((0.0, 0.0, 0.002) if made.dense else (0.0, 0.01, 0.1))
    rows = []
    for _ in range(350 if made.dense else rng.choice((5, 60, 250))):
        for status in STATUSES:
            if rng.random() < (0.02 if made.dense else 0.08):
                state[status] = rng.choice("01")
        if rng.random() < 0.2:
            state["avc_target_kv"] = rng.choice(("505", "505.0004", "506", "110", "220.5", ""))
        if rng.random() < 0.5:
            state["active_power_mw"] = rng.choice(powers)
        state["frequency_hz"] = rng.choice(("50", "50.02", "50.051", "49.9", "50.1"))
        state["primary_frequency_in_service"] = rng.choice("0111")
        state["reactive_power_mvar"] = rng.choice(("300", "299", "298.9995", "450", "-100", "-99.5", "-200", "0"))
        state["bus_voltage_kv"] = rng.choice(("505", "506.5", "506.5001", "504", "220", "110", "503.9"))
        stopped = any(start <= time < end for start, end in made.stops.get(unit, ()))
        now = {**state, "on_grid": "0"} if stopped else state
        cells = ["" if rng.random() < hidden else now.get(c, "") for c in columns]
        rows.append(
            f"{unit},{time},{','.join(cells)}".rstrip(",") if not columns else f"{unit},{time},{','.join(cells)}"
        )
        far = 30 * step if rng.random() < 0.1 else step
        time += rng.choice(
            (step, step, step, step // 3 + 1) if made.dense else (step, step, step, step // 3 + 1, 4 * step, far)
        )
    rng.shuffle(rows)
    half = rng.choice((0, len(rows) // 2))
    header = ",".join(["unit", "time", *columns])
    made.records[f"{unit}a"] = [header, *rows[half:]]
    made.records[f"{unit}b"] = [header, *rows[:half]]


def _write(made: Made, root: Path) -> None:
    (root / "records").mkdir(parents=True)
    (root / "register.toml").write_text("\n".join(made.register), encoding="utf-8")
    for name, header in HEADERS.items():
        if made.tidy or made.rng.random() < 0.97:
            (root / f"{name}.csv").write_text("\n".join([header, *made.tables[name], ""]), encoding="utf-8")
    for name, rows in made.records.items():
        if len(rows) > 1:
            (root / "records" / f"{name}.csv").write_text("\n".join([*rows, ""]), encoding="utf-8")
