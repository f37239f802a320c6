# SPDX-License-Identifier: GPL-3.0-or-later
"""Settlement folders full of events: up to three days at the begin or the end of a month, every service asked for.

`made_folders.py` draws its values one by one and so seldom pays; here units run, stop on order, are steered by AGC and
AVC and called for reserve, with holes where they hurt (at edges, inside stops, before judging records), registers that
run back, faults, moves between areas and records across the month's end. Nothing here knows what the result should be.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
LOCAL_MS = 8 * HOUR
MONTHS = ("2026-06", "2026-02", "2025-12")
AREAS = ("jiangsu", "shanghai", "fujian")
HEADERS = {
    "plan": "unit,start,end,power_mw,issued",
    "orders": "id,unit,kind,start,end",
    "reserve": "unit,kind,start,end,power_mw",
    "voltage_band": "unit,start,end,low_kv,high_kv",
    "exclusions": "unit,service,start,end,reason",
    "revenue": "plant,month,kind,amount_yuan,area",
    "rates": "unit,month,kind,value,source",
    "start_stop_table": "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from,document",
    "meter_changes": "unit,time,old_final_mwh,new_initial_mwh",
    "reserve_calls": "unit,kind,called,power_mw",
    "reserve_minimum": "area,start,end,power_mw",
}
REQUIRED = ("plan", "orders", "reserve", "voltage_band", "exclusions", "revenue")
COLUMNS = (
    "on_grid", "active_power_mw", "reactive_power_mvar", "bus_voltage_kv", "frequency_hz",
    "primary_frequency_in_service", "agc_in_service", "agc_setpoint_mw", "avc_in_service",
    "avc_target_kv", "avc_at_limit", "condenser", "spilling", "energy_export_mwh",
)  # fmt: skip
SERVICES = (
    "*", "*", "deep_peak", "agc_basic", "agc_up", "agc_down", "avc", "reactive_lag", "condenser_run", "condenser_start",
    "gas_start_stop", "coal_start_stop", "hydro_start_stop", "hydro_spill", "spinning_reserve", "hot_reserve",
    "primary_frequency",
)  # fmt: skip


def first_ms(month: str) -> int:
    """00:00 local of a month's first day."""
    return int(datetime.fromisoformat(f"{month}-01").replace(tzinfo=UTC).timestamp()) * 1000 - LOCAL_MS


def day_text(ms: int) -> str:
    """The local date of a midnight."""
    return (datetime(1970, 1, 1) + timedelta(milliseconds=ms + LOCAL_MS)).date().isoformat()


@dataclass
class Event:
    """A month being made: `start` to `end` is the time in which units are registered."""

    rng: random.Random
    month: str
    start: int
    end: int
    step: int
    hold_s: int
    settle_s: int
    areas: list[str]
    tables: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in HEADERS})
    register: list[str] = field(default_factory=list)
    records: list[str] = field(default_factory=list)
    stops: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    quiet: bool = False

    def instant(self, margin: int = 0) -> int:
        """A whole minute in the days, now and then a little off."""
        minutes = self.rng.randrange((self.end - self.start - margin) // MINUTE)
        return self.start + minutes * MINUTE + self.rng.choice((0, 0, 0, 777, 30_000))

    def maybe(self, chance: float) -> bool:
        """True with that chance."""
        return self.rng.random() < chance


def make_events(rng: random.Random, root: Path) -> str:
    """Write one folder and return its month."""
    month = rng.choice(MONTHS)
    begin, after = first_ms(month), first_ms(month) + 32 * DAY
    after = first_ms(day_text(after)[:7])
    days = rng.choice((1, 2, 2, 3))
    start = rng.choice((begin, begin, after - days * DAY, begin + 9 * DAY))
    step = rng.choice((60_000, 120_000, 300_000, 300_000))
    hold = step // 1000 * rng.choice((1, 2, 2, 6))
    made = Event(rng, month, start, start + days * DAY, step, hold, rng.choice((60, 60, 180)),
                 rng.sample(AREAS, rng.choice((1, 2, 2))))  # fmt: skip
    made.quiet = made.maybe(0.35)
    made.register.append(
        f"[policy]\nhold_limit_s = {hold}\nsettle_s = {made.settle_s}\nmin_stop_s = {rng.choice((300, 300, 900, 60))}\n"
        f'min_coverage = "{rng.choice(("0.5", "0.5", "0", "0.2"))}"\n'
        f'order_min_ratio = "{rng.choice(("0.1", "0.1", "0.4"))}"\n'
    )
    for area in made.areas:
        _area(made, area)
    plants = ["P0", "P1"] if made.maybe(0.7) else ["P0"]
    for plant in plants:
        _plant(made, plant)
    _units(made, plants)
    if made.maybe(0.6):
        _start_stop_table(made)
    _write(made, root)
    return month


def _area(made: Event, area: str) -> None:
    rng = made.rng
    valley = rng.choice(('["00:00-08:00"]', '["22:00-06:00"]', '["23:10-24:00", "01:00-05:30"]'))
    peak = rng.choice(('["08:00-11:00", "17:00-21:00"]', '["20:00-02:00"]'))
    filing = 'hours_filing = "x"\n' if made.quiet or made.maybe(0.85) else ""
    head = f'[[area]]\nid = "{area}"\nname = "{area}"\nvalley_hours = {valley}\npeak_hours = {peak}\n{filing}'
    modes = ["energy_saving", "annual_plan"]
    rng.shuffle(modes)
    if made.maybe(0.2) and made.end - made.start > DAY:
        cut = day_text(made.start + DAY)
        made.register.append(f'{head}dispatch_mode = "{modes[0]}"\nuntil = {cut}\n')
        made.register.append(f'{head}dispatch_mode = "{modes[1]}"\nfrom = {cut}\n')
    else:
        made.register.append(f'{head}dispatch_mode = "{modes[0]}"\n')
    for begin, end in _apart(made, rng.choice((0, 1, 2))):
        made.tables["reserve_minimum"].append(f"{area},{begin},{end},{rng.choice(('100', '149.9999', '300', ''))}")


def _plant(made: Event, plant: str) -> None:
    rng = made.rng
    basis = rng.choice(("on_grid", "on_grid", "lease", "two_part"))
    shares = "true" if plant == "P0" or made.maybe(0.8) else "false"
    home = made.areas[0] if plant == "P0" else made.areas[-1]
    made.register.append(
        f'[[plant]]\nid = "{plant}"\nname = "{plant}"\narea = "{home}"\nrevenue_basis = "{basis}"\n'
        f'shares = {shares}\nsettles_with = "g"\n'
    )
    for kind in {"on_grid": ("energy",), "lease": ("lease",), "two_part": ("energy", "capacity")}[basis]:
        for area in made.areas:
            amount = rng.choice(("1000000", "333333.33", "700000.10", "0.03", "0", "123456.78"))
            if made.maybe(0.97):
                made.tables["revenue"].append(f"{plant},{made.month},{kind},{amount},{area}")


def _units(made: Event, plants: list[str]) -> None:
    rng = made.rng
    shapes = rng.sample(("coal", "gas", "hydro", "group", "coal", "pumped_storage", "wind"), 2)
    number = 0
    for shape in shapes:
        plant = rng.choice(plants)
        for _ in range(rng.choice((1, 2, 2, 3)) if shape == "group" else 1):
            unit = f"U{number}"
            number += 1
            kind = "coal" if shape == "group" else shape
            rated = rng.choice({"coal": ("600", "660.5", "1000"), "gas": ("390", "110.4")}.get(kind, ("300", "75.25")))
            _unit(made, unit, plant, kind, rated, f"G-{plant}" if shape == "group" else "")


def _unit(made: Event, unit: str, plant: str, kind: str, rated: str, group: str) -> None:
    rng = made.rng
    mw = Fraction(rated)
    keys = {"id": f'"{unit}"', "plant": f'"{plant}"', "kind": f'"{kind}"', "rated_mw": f'"{rated}"'}
    nominal = rng.choice(("500", "220", "110.05"))
    if made.maybe(0.8):
        keys |= {"agc_lower_mw": f'"{float(mw / 2):.4f}"', "agc_upper_mw": f'"{rated}"'}
    keys |= {"nominal_kv": f'"{nominal}"', "avc": rng.choice(("true", "true", "false"))}
    optional = {
        "q_max_mvar": f'"{float(mw / 2)}"', "q_min_mvar": f'"-{float(mw / 5)}"', "droop_ratio": '"0.05"',
        "tariff_yuan_per_mwh": '"391.37"', "area": f'"{rng.choice(made.areas)}"', "evidence": '"report"',
    }  # fmt: skip
    keys |= {key: value for key, value in optional.items() if made.maybe(0.7)}
    if made.maybe(0.2):
        keys |= {"black_start": "true"} | ({"black_start_document": '"d"'} if made.maybe(0.7) else {})
    if group:
        keys["peak_group"] = f'"{group}"'
    first, last = day_text(made.start), day_text(made.end)
    if made.end - made.start > DAY and made.maybe(0.35):
        cut = day_text(made.start + DAY)
        moved = dict(keys)
        change = rng.choice(("area", "area", "tariff", "agc_upper_mw", "rated"))
        if change == "area":
            moved["area"] = f'"{rng.choice(made.areas)}"'
        elif change == "agc_upper_mw" and "agc_upper_mw" in moved:
            moved["agc_upper_mw"] = f'"{float(mw * Fraction("0.9")):.3f}"'
        elif change == "tariff":
            moved["tariff_yuan_per_mwh"] = '"402.01"'
        else:
            moved["nominal_kv"] = '"220"'
        made.register.append(_row("unit", {**keys, "from": first, "until": cut}))
        made.register.append(_row("unit", {**moved, "from": cut, "until": last}))
    else:
        made.register.append(_row("unit", {**keys, "from": first, "until": last}))
    _dispatch(made, unit, kind, mw)
    _records(made, unit, kind, mw, Fraction(nominal))


def _row(table: str, keys: dict[str, str]) -> str:
    return f"[[{table}]]\n" + "\n".join(f"{key} = {value}" for key, value in keys.items()) + "\n"


def _apart(made: Event, count: int, lengths: tuple[int, ...] = (10, 45, 180, 420)) -> list[tuple[int, int]]:
    """Intervals that do not overlap, in the days and a little about them."""
    spans: list[tuple[int, int]] = []
    for start in sorted(made.instant() - made.rng.choice((0, 0, 2 * HOUR)) for _ in range(count)):
        if not spans or start >= spans[-1][1]:
            spans.append((start, start + made.rng.choice(lengths) * MINUTE + made.rng.choice((0, 0, 0, 1234))))
    return spans


def _dispatch(made: Event, unit: str, kind: str, mw: Fraction) -> None:
    rng, tables = made.rng, made.tables

    def order(what: str, start: int, end: int) -> None:
        tables["orders"].append(f"o{len(tables['orders'])},{unit},{what},{start},{end}")

    if kind in ("coal", "gas", "hydro", "pumped_storage") and made.maybe(0.75):
        begin = made.start - rng.choice((0, 3, 5)) * HOUR
        for _ in range(rng.choice((1, 1, 2))):
            opening = begin + rng.randrange(1, 12 * 60) * MINUTE
            closing = opening + rng.choice((4, 20, 61, 180, 420, 421, 480, 1439, 1445)) * MINUTE
            finish = closing + rng.choice((1, 30, 120)) * MINUTE
            order("start_stop", opening - rng.choice((0, 5, 60)) * MINUTE, finish)
            made.stops.setdefault(unit, []).append((opening, closing))
            if made.maybe(0.25):  # once more in the same order
                made.stops[unit].append((closing + 20 * MINUTE, closing + 40 * MINUTE))
            begin = finish + 90 * MINUTE
    if kind in ("hydro", "pumped_storage"):
        for start, end in _apart(made, rng.choice((0, 1, 2))):
            order("spill", start, end)
        for start, end in _apart(made, rng.choice((0, 1, 2))):
            order("condenser", start, end)
    for start, end in _apart(made, rng.choice((0, 1, 2))):
        order("reactive", start, end)
    for what in ("spinning", "hot"):
        for start, end in _apart(made, rng.choice((0, 1, 2))):
            tables["reserve"].append(f"{unit},{what},{start},{end},{rng.choice(('50', '20.5', '75', ''))}")
        if made.maybe(0.3):
            tables["reserve_calls"].append(f"{unit},{what},{made.instant()},{rng.choice(('10', '30', '0', ''))}")
    tables["voltage_band"] += [
        f"{unit},{start},{end},{rng.choice(('504', '219', '100', ''))},{rng.choice(('506', '506.5', ''))}"
        for start, end in _apart(made, rng.choice((0, 2, 4)), (180, 420, 900))
    ]
    time = made.start - HOUR
    while time < made.end + HOUR:
        if made.quiet or made.maybe(0.97):
            power = (
                ""
                if not made.quiet and made.maybe(0.02)
                else f"{float(mw * rng.choice((Fraction(1, 3), Fraction(3, 5), Fraction(4, 5)))):.3f}"
            )
            tables["plan"].append(f"{unit},{time},{time + HOUR},{power},{rng.choice(('', str(made.start)))}")
        if made.maybe(0.05):
            tables["plan"].append(
                f"{unit},{time + 10 * MINUTE},{time + 80 * MINUTE},{float(mw / 2):.1f},{made.start + 1}"
            )
            tables["plan"].append(f"{unit},{time + HOUR},{time + 2 * HOUR},{float(mw / 4):.1f},{made.start + 2}")
            time += HOUR
        time += HOUR
    for _ in range(rng.choice((0, 0, 1, 2))):
        start = made.instant()
        reason = rng.choice(("own_fault", "own_fault", "test", "dispatch", "grid"))
        length = rng.choice((7, 60, 400)) * MINUTE
        tables["exclusions"].append(f"{unit},{rng.choice(SERVICES)},{start},{start + length},{reason}")
    if made.maybe(0.15):
        tables["rates"].append(f"{unit},{made.month},avc_pass,{rng.choice(('0.9', '1', '0'))},x")


def _start_stop_table(made: Event) -> None:
    for begin, end, amount in ((0, 1, "3.5"), (1, 7, "12.25"), (7, 8, "20"), (8, 24, "31.4159")):
        if made.maybe(0.9):
            made.tables["start_stop_table"].append(f"300,700,{begin},{end},{amount},2020-01-01,d")
    if made.maybe(0.5):
        made.tables["start_stop_table"].append(f"300,2000,0,25,17,{day_text(made.start + DAY)},d")


def _records(made: Event, unit: str, kind: str, mw: Fraction, nominal: Fraction) -> None:
    rng, step = made.rng, made.step
    no_breaker_column = made.maybe(0.1)
    columns = [c for c in COLUMNS if c != "on_grid" or not no_breaker_column]
    if kind not in ("hydro", "pumped_storage"):
        columns = [c for c in columns if c not in ("condenser", "spilling")]
    if made.maybe(0.4):
        columns.remove("avc_at_limit")
    if made.maybe(0.2) and "spilling" in columns:
        columns.remove("spilling")
    stops = made.stops.get(unit, [])
    holes = _holes(made, stops)
    powers = [float(mw * Fraction(r)) for r in ("0.399", "0.4", "0.4001", "0.3", "0.25", "0.6", "0.8", "1", "0.55")]
    base = nominal * Fraction("1.01")
    target, power, agc, avc, cond, spill, limit, pfr = base, rng.choice(powers), "1", "1", "0", "1", "0", "1"
    setpoint, energy, share, cleared = power, Fraction(5000), Fraction(1), 0
    # A day steered by AGC has an hour of records each ten seconds.
    quick = made.instant(2 * HOUR) if made.maybe(0.5) else None
    time = made.start - rng.choice((0, 1, 30)) * step - rng.choice((0, 0, 7000))
    finish = made.end + rng.choice((0, 1, 2, 40)) * step
    while time < finish:
        fast = quick is not None and quick <= time < quick + 20 * MINUTE
        if made.maybe(0.03 if fast else 0.25):
            power = rng.choice(powers)
        if made.maybe(0.04 if fast else 0.1):
            setpoint = rng.choice(powers)
        if fast:
            power += max(-8.0, min(8.0, setpoint - power))
        if made.maybe(0.12 if not fast else 0.01):
            target = base + Fraction(rng.choice((-20, -10, 0, 10, 20, 1, 2, 15))) / 10 * nominal / 500
        agc = rng.choice("01") if made.maybe(0.04) else agc
        avc = rng.choice("01") if made.maybe(0.03) else avc
        cond = rng.choice("01") if made.maybe(0.1) else cond
        spill = rng.choice("01") if made.maybe(0.1) else spill
        limit = rng.choice("01") if made.maybe(0.05) else limit
        pfr = rng.choice("01") if made.maybe(0.05) else pfr
        off = any(opening <= time < closing for opening, closing in stops)
        shown = 0.0 if off else power
        voltage = target + Fraction(rng.choice((0, 0, 0, 5, -9, 11, -16, 25))) / 10 * nominal / 500
        cells = {
            "on_grid": "0" if off else "1", "active_power_mw": f"{shown:.4f}",
            "reactive_power_mvar": f"{float(mw) * rng.choice((0.0, 0.4, 0.499, 0.6, 0.9, -0.2, -0.19, -0.4)):.4f}",
            "bus_voltage_kv": f"{float(voltage):.3f}",
            "frequency_hz": rng.choice(("50", "50", "50.034", "49.95", "50.06")),
            "primary_frequency_in_service": pfr, "agc_in_service": agc, "agc_setpoint_mw": f"{setpoint:.3f}",
            "avc_in_service": avc, "avc_target_kv": f"{float(target):.3f}", "avc_at_limit": limit,
            "condenser": cond, "spilling": spill, "energy_export_mwh": "",
        }  # fmt: skip
        if made.maybe(0.3) or (time + LOCAL_MS) % DAY == 0:
            cells["energy_export_mwh"] = f"{float(energy):.6f}"
        hidden = next((hole for hole in holes if hole[0] <= time < hole[1]), None)
        lost = hidden is not None and hidden[2] == "record"
        if hidden is not None and not lost:
            for name in columns if hidden[2] == "all" else (hidden[2],):
                cells[name] = ""
        if not made.quiet and made.maybe(0.01):
            cells[rng.choice(columns)] = ""
        if not made.quiet and made.maybe(0.003):
            cells["active_power_mw"] = f"{shown * 1000:.1f}" if shown else "99999"
        if not lost:
            made.records.append(
                f"{unit},{time}," + ",".join(cells.get(c, "") if c in columns else "\0" for c in COLUMNS)
            )
        length = 10_000 if fast else step if not made.maybe(0.02) else rng.choice((step + 1000, step // 2, 3 * step))
        if fast and made.maybe(0.02):
            length = 11_000
        energy += Fraction(max(shown, 0.0)) * length / HOUR * share
        if (time + LOCAL_MS) // DAY != cleared:
            cleared, share = (
                (time + LOCAL_MS) // DAY,
                rng.choice((Fraction(1), Fraction(1), Fraction("1.0102"), Fraction("0.98"))),
            )
        if made.maybe(0.0008):
            old, energy = energy, Fraction(rng.choice((3, 90_000)))
            if made.maybe(0.6):
                made.tables["meter_changes"].append(
                    f"{unit},{time + length // 2},{max(float(old + rng.choice((0, 0, -5))), 0.0):.6f},{energy}"
                )
        time += length


def _holes(made: Event, stops: list[tuple[int, int]]) -> list[tuple[int, int, str]]:
    """Stretches with nothing or one cell missing: anywhere, and where a stop opens, lasts, closes."""
    rng = made.rng
    found = []
    lengths = (made.step, 2 * made.step, 20 * MINUTE, 90 * MINUTE) if not made.quiet else (made.step,)
    what = (
        "record",
        "all",
        "on_grid",
        "active_power_mw",
        "agc_in_service",
        "avc_in_service",
        "condenser",
        "bus_voltage_kv",
    )
    for _ in range(rng.choice((0, 1, 3)) if not made.quiet else rng.choice((0, 0, 1))):
        start = made.instant()
        found.append((start, start + rng.choice(lengths), rng.choice(what)))
    for opening, closing in stops:
        for at in (opening, (opening + closing) // 2, closing):
            if made.maybe(0.25):
                length = rng.choice(lengths)
                start = at - rng.choice((0, length // 2, length))
                found.append((start, start + length, rng.choice(("on_grid", "record"))))
    return found


def _write(made: Event, root: Path) -> None:
    (root / "records").mkdir(parents=True)
    (root / "register.toml").write_text("\n".join(made.register), encoding="utf-8")
    for name, header in HEADERS.items():
        wanted = made.tables[name] or name in REQUIRED
        if wanted and (name not in REQUIRED or made.quiet or made.maybe(0.99)):
            (root / f"{name}.csv").write_text("\n".join([header, *made.tables[name], ""]), encoding="utf-8")
    by_columns: dict[tuple[str, ...], list[str]] = {}
    for row in made.records:
        unit, time, *cells = row.split(",")
        names = tuple(name for name, cell in zip(COLUMNS, cells, strict=True) if cell != "\0")
        kept = [cell for cell in cells if cell != "\0"]
        by_columns.setdefault(names, []).append(",".join([unit, time, *kept]))
    for index, (names, rows) in enumerate(by_columns.items()):
        text = "\n".join([",".join(["unit", "time", *names]), *rows, ""])
        (root / "records" / f"r{index}.csv").write_text(text, encoding="utf-8")
