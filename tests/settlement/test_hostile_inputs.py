# SPDX-License-Identifier: GPL-3.0-or-later
"""Nothing that is taken ends in an internal error later: hostile tables are refused as they come in, or settle.

Each table is made of cells at the edges of what is allowed, and some beyond. What is refused is refused by name
(ConfigError, RuleError); what is taken gives a statement whose identities hold.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.base.errors import ConfigError, RuleError
from collector.center.db.store import CenterStore
from collector.report.folder import write_statement
from collector.settlement.settle import settle
from collector.tables.folder import load_folder
from collector.tables.limits import InputRules
from tests.center.inputs.small_tables import take
from tests.center.runs.center_months import JUNE, new_store, settled
from tests.settlement.small_month import shipped_rulebook
from tests.size import sized

BOOK = shipped_rulebook()
NUMBERS = (
    "0",
    "-0",
    "0.0000001",
    "1e-9",
    "0.4999",
    "1",
    "100",
    "299.9995",
    "660",
    "792",
    "-792",
    "1e3",
    "999999.999",
    "",
)
POWERS = st.sampled_from(NUMBERS)
MONEY = st.sampled_from(("0", "-0.01", "0.01", "99999999999.99", "-99999999999.99", "1", ""))
TIMES = (
    *(
        "1974-01-01T00:00:00+08:00",
        "2026-05-31T23:59:59.999+08:00",
        "2026-06-01T00:00:00+08:00",
        "2026-06-01T24:00+08:00",
    ),
    *("2026-06-02T00:00:00.001+08:00", "2026-06-15T12:00:00Z", "2026-06-30T24:00:00+08:00", "2199-12-31T23:59+08:00"),
)
UNITS = st.sampled_from(("U1", "U2", "U3", "U4"))
SERVICE = st.sampled_from(("*", "avc", "deep_peak", "agc_up", "black_start", "spinning_reserve", "hydro_spill"))
STATES = st.sampled_from(("0", "1", ""))


@st.composite
def spans(draw: st.DrawFn) -> str:
    first, last = sorted(draw(st.lists(st.integers(0, len(TIMES) - 1), min_size=2, max_size=2, unique=True)))
    return f"{TIMES[first]},{TIMES[last]}"


def rows(header: str, *cells: st.SearchStrategy[str], most: int = 6) -> st.SearchStrategy[str]:
    """A table of up to so many rows."""
    row = st.tuples(*cells).map(",".join)
    return st.lists(row, max_size=most, unique=True).map(lambda lines: "\n".join((header, *lines)) + "\n")


INSTANT = st.sampled_from(TIMES)
RESERVES = st.sampled_from(("spinning", "hot"))
TABLES: dict[str, st.SearchStrategy[str]] = {
    "plan": rows("unit,start,end,power_mw,issued", UNITS, spans(), POWERS, st.sampled_from(("", *TIMES))),
    "orders": rows(
        "id,unit,kind,start,end",
        *(st.sampled_from("abcdef"), UNITS, st.sampled_from(("start_stop", "spill", "reactive", "condenser")), spans()),
    ),
    "reserve": rows("unit,kind,start,end,power_mw", UNITS, RESERVES, spans(), POWERS),
    "voltage_band": rows("unit,start,end,low_kv,high_kv", UNITS, spans(), POWERS, POWERS, most=3),
    "exclusions": rows(
        "unit,service,start,end,reason", UNITS, SERVICE, spans(), st.sampled_from(("own_fault", "test", "grid"))
    ),
    "revenue": rows("plant,month,kind,amount_yuan,area", st.sampled_from(("P1", "P2", "P3")), st.just("2026-06"),
                    st.sampled_from(("energy", "capacity", "lease")), MONEY, st.sampled_from(("", "jiangsu", "anhui"))),
    "rates": rows("unit,month,kind,value", UNITS, st.just("2026-06"), st.just("avc_pass"), st.sampled_from(("0", ""))),
    "start_stop_table": rows(
        "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from",
        *(st.just("0"), st.sampled_from(("1e-9", "999999")), st.just("0"), st.sampled_from(("1", "1e9"))),
        *(st.sampled_from(("9999999.999999", "-1", "0")), st.sampled_from(("0001-01-01", "2026-06-15", "9999-12-31"))),
        most=2,
    ),
    "meter_changes": rows(
        "unit,time,old_final_mwh,new_initial_mwh", UNITS, INSTANT, *[st.sampled_from(("0", "10000000000", "1e-7"))] * 2
    ),
    "reserve_calls": rows("unit,kind,called,power_mw", UNITS, RESERVES, INSTANT, POWERS, most=2),
    "reserve_minimum": rows(
        "area,start,end,power_mw", st.sampled_from(("jiangsu", "anhui")), spans(), POWERS, most=2
    ),
}  # fmt: skip
RECORDS = rows(
    "unit,time,active_power_mw,reactive_power_mvar,bus_voltage_kv,frequency_hz,on_grid,agc_in_service,avc_in_service,"
    "avc_target_kv,condenser,spilling,energy_export_mwh",
    *(UNITS, INSTANT, POWERS, POWERS, POWERS, st.sampled_from(("50", "0", "1e6", "")), STATES, STATES, STATES, POWERS),
    *(STATES, STATES, st.sampled_from(("", "0", "10000000000", "0.0000001"))),
    most=12,
)
DATES = st.sampled_from(("", "until = 2026-06-02\n", "from = 2026-06-30\n", "from = 0001-01-01\nuntil = 9999-12-31\n"))
HOURS = st.sampled_from(('["00:00-24:00"]', "[]", '["24:00-08:00"]', '["23:59-00:01"]'))


@st.composite
def registers(draw: st.DrawFn) -> str:
    pick = draw
    text = f"[policy]\nhold_limit_s = {pick(st.sampled_from((0.001, 60, 31622400)))}\n"
    text += (
        f"min_coverage = {pick(st.sampled_from((0, 1, '0.5')))!r}\nsettle_s = {pick(st.sampled_from((0, 60, 900)))}\n"
    )
    for area in ("jiangsu", "anhui"):
        mode = pick(st.sampled_from(("annual_plan", "energy_saving")))
        text += f'[[area]]\nid = "{area}"\ndispatch_mode = "{mode}"\nvalley_hours = {pick(HOURS)}\n'
        text += f"peak_hours = {pick(HOURS)}\n{pick(DATES) if area == 'anhui' else ''}"
    for plant, area in (("P1", "jiangsu"), ("P2", "anhui"), ("P3", "jiangsu")):
        basis = pick(st.sampled_from(("on_grid", "lease", "two_part")))
        text += f'[[plant]]\nid = "{plant}"\narea = "{area}"\nrevenue_basis = "{basis}"\n'
        text += f"shares = {pick(st.sampled_from(('true', 'false')))}\n"
    for unit, plant in (("U1", "P1"), ("U2", "P1"), ("U3", "P2"), ("U4", "P2")):
        kind = pick(st.sampled_from(("coal", "gas", "hydro", "pumped_storage", "nuclear")))
        text += f'[[unit]]\nid = "{unit}"\nplant = "{plant}"\nkind = "{kind}"\n'
        text += f"rated_mw = {pick(st.sampled_from(('0.0000001', '660', '1e6')))}\n"
        text += f"nominal_kv = {pick(st.sampled_from(('0.1', '500', '1e6')))}\n"
        for key, cells in OPTIONAL.items():
            if (value := pick(st.sampled_from(cells))) is not None:
                text += f"{key} = {value}\n"
        if pick(st.booleans()):
            text += 'agc_lower_mw = "0"\nagc_upper_mw = "0.0000001"\n'
        text += pick(DATES)
    return text


OPTIONAL: dict[str, Sequence[str | None]] = {
    "avc": ("true", "false"), "black_start": ("true", "false"), "peak_group": (None, '"G1"'),
    "droop_ratio": (None, '"1e-9"', '"0.05"'), "q_max_mvar": (None, '"0"', '"1e6"'), "q_min_mvar": (None, '"-1e6"'),
    "tariff_yuan_per_mwh": (None, '"0"', '"5000"'), "area": (None, '"jiangsu"', '"anhui"'),
}  # fmt: skip
FOLDERS = st.tuples(registers(), RECORDS, st.fixed_dictionaries({}, optional=TABLES))


@given(FOLDERS)
@settings(max_examples=sized(50, 150), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_folder_of_hostile_tables_is_refused_by_name_or_settles(made: tuple[str, str, dict[str, str]]) -> None:
    register, records, tables = made
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "data"
        (folder / "records").mkdir(parents=True)
        (folder / "register.toml").write_text(register, "utf-8")
        (folder / "records" / "a.csv").write_text(records, "utf-8")
        for kind, text in tables.items():
            (folder / f"{kind}.csv").write_text(text, "utf-8")
        try:
            statement = settle(JUNE, load_folder(folder, BOOK), BOOK)
        except (ConfigError, RuleError):
            return
        write_statement(statement, Path(root) / "out")


@given(st.tuples(registers(), st.fixed_dictionaries({}, optional=TABLES)))
@settings(max_examples=sized(6, 12), deadline=None, suppress_health_check=list(HealthCheck))
def test_what_the_center_takes_of_hostile_tables_it_settles_or_refuses_by_name(
    made: tuple[str, dict[str, str]],
) -> None:
    register, tables = made
    rules = InputRules.of(BOOK)
    with tempfile.TemporaryDirectory() as root, new_store(Path(root) / "state") as store:
        if not taken(store, "register", register, rules):
            return
        for kind, text in tables.items():
            taken(store, kind, text, rules)
        try:
            settled(store)
        except (ConfigError, RuleError):
            return


def taken(store: CenterStore, kind: str, text: str, rules: InputRules) -> bool:
    """Whether a table was taken."""
    try:
        take(store, kind, text, rules=rules, name="register.toml" if kind == "register" else "")
    except ConfigError:
        return False
    return True


def test_the_tables_made_here_are_taken_often_enough_to_prove_anything() -> None:
    counts = {"taken": 0, "made": 0}

    @given(FOLDERS)
    @settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    def count(made: tuple[str, str, dict[str, str]]) -> None:
        counts["made"] += 1
        with tempfile.TemporaryDirectory() as root:
            folder = Path(root)
            (folder / "records").mkdir()
            (folder / "register.toml").write_text(made[0], "utf-8")
            (folder / "records" / "a.csv").write_text(made[1], "utf-8")
            for kind, text in made[2].items():
                (folder / f"{kind}.csv").write_text(text, "utf-8")
            try:
                load_folder(folder, BOOK)
            except ConfigError:
                return
        counts["taken"] += 1

    count()
    assert counts["taken"] * 10 >= counts["made"], counts
