# SPDX-License-Identifier: GPL-3.0-or-later
"""A small plant whose every value and switch is known beforehand, and what a center must have of it.

Two units under a Modbus controller each and one IEC 104 station for both: powers move at every tick of a second,
statuses switch at odd milliseconds between ticks. The truth is the simulators' own seeded world, gone through a second
time in the test, without sockets, agent or codec.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from collector.model.interval import Month, format_time
from simulators.plant.plant import World
from simulators.plant.scenario import load_scenario
from simulators.plant.signals import Board

PERIOD_MS = 1000
REORDER_MS = 400
UNITS = ("U1", "U2")
MONTH = Month(2026, 3)
START_MS = MONTH.interval.start_ms
LEAD_MS = 500  # passes before the first agent: at the very start of its run a plant has not moved yet
STATUSES = ("agc_in_service", "condenser", "spilling")
POWERS = ("active_power_mw", "reactive_power_mvar")
# kW and kvar as they are: a register shows exactly the integer that the world has.
_GOVERNOR = (
    "name,quantity,area,type,address,scale,raw_unit\n"
    "P,active_power_mw,holding,int32,0,1,kW\nQ,reactive_power_mvar,holding,int32,2,1,kvar\n"
)
_TELECONTROL = "name,unit,quantity,area,type,address,common_address\n" + "".join(
    f"{unit} {name},{unit},{name},30,bit,{number},{address}\n"
    for address, unit in enumerate(UNITS, 1)
    for number, name in enumerate(STATUSES, 1)
)


@dataclass(frozen=True, slots=True)
class Instant:
    """What one record must say: `values` by quantity; `change`: a status switched at this very instant."""

    values: dict[str, int | None]
    change: bool


def write_scenario(folder: Path, *, seconds: int, seed: int) -> Path:
    """plant.toml and point tables; statuses switch about every ten seconds for `seconds`, then no more."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "governor.csv").write_text(_GOVERNOR, "utf-8")
    (folder / "telecontrol.csv").write_text(_TELECONTROL, "utf-8")
    dice = random.Random(seed)
    rows = ["schema = 1", 'agent = "agent.toml"', f"seed = {seed}", f'month = "{MONTH}"', "step_s = 1", "lead_in_s = 0"]
    rows += [
        '[rule]\ndeep_lower_ratio = { jiangsu = "0.59" }\ndeep_gate_ratio = "0.40"\nstart_stop_gap_h = 24',
        'avc_settle_s = 60\navc_band_500_kv = "1.5"\navc_band_220_kv = "1.0"\navc_band_low_ratio = "0.01"',
        '[[area]]\nid = "jiangsu"\nname = "J"\ndispatch_mode = "annual_plan"\nvalley_hours = []\npeak_hours = []',
        '[[plant]]\nid = "P"\nname = "P"\narea = "jiangsu"\nenergy_bill_yuan = "1"',
    ]
    for unit in UNITS:
        rows.append(
            f'[[unit]]\nid = "{unit}"\nplant = "P"\nkind = "hydro"\nrated_mw = "300"\nq_max_mvar = "100"\n'
            f'q_min_mvar = "-50"\n[unit.moves]\nday_ratio = {[0.6] * 24}\nramp_ratio_per_min = 0.1\nnoise_ratio = 0.01'
        )
    state = dict.fromkeys(((unit, name) for unit in UNITS for name in STATUSES), 0)
    at_ms = START_MS + 2000
    while (at_ms := at_ms + dice.randrange(1, 10_000)) < START_MS + seconds * 1000:
        if at_ms % PERIOD_MS == 0:
            continue
        where = dice.choice(list(state))
        state[where] = 1 - state[where]
        rows.append(
            f'[[event]]\nat = "{format_time(at_ms)}"\nunit = "{where[0]}"\nquantity = "{where[1]}"\n'
            f'value = "{state[where]}"'
        )
    path = folder / "plant.toml"
    path.write_text("\n".join(rows) + "\n", "utf-8")
    return path


def truth(scenario_file: Path, end_ms: int) -> dict[str, dict[int, Instant]]:
    """Per unit every instant after the start up to `end_ms`: the ticks, and the switches between them."""
    world = World(load_scenario(scenario_file), board := Board())
    quantities = POWERS + STATUSES
    found: dict[str, dict[int, Instant]] = {unit: {} for unit in UNITS}

    def note(unit: str, time_ms: int, *, change: bool) -> None:
        values = {name: board.signal(unit, name).value for name in quantities}
        found[unit][time_ms] = Instant(values, change)

    switches = [(s.time_ms, s.unit) for schedule in world.schedules.values() for s in schedule.switches]
    for time_ms, unit in sorted([*switches, *_ticks(end_ms)]):
        if time_ms > end_ms:
            break
        world.advance(time_ms)
        for name in (unit,) if unit else UNITS:
            note(name, time_ms, change=bool(unit))
    return found


def _ticks(end_ms: int) -> Iterator[tuple[int, str]]:
    for time_ms in range(START_MS + PERIOD_MS, end_ms + 1, PERIOD_MS):
        yield time_ms, ""
