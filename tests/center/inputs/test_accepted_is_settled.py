# SPDX-License-Identifier: GPL-3.0-or-later
"""What imports accepted, in whatever order they came or were taken back, a settling reads without complaint."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import update

from collector.base.errors import ConfigError, StoreError
from collector.center.db.store import CenterStore
from collector.center.db.tables_inputs import imported
from collector.center.inputs.imports import list_imports
from collector.center.inputs.kinds import KINDS
from collector.center.inputs.service import take_back
from collector.center.people.access import Actor
from collector.center.runs.input_folder import rows_of_month, write_csv
from collector.model.interval import Month
from collector.tables.folder import load_dispatch_side
from collector.tables.limits import InputRules
from tests.center.center_batches import new_store
from tests.center.inputs.small_tables import HOUR, MOVING, REGISTER, take
from tests.settlement.small_month import shipped_rulebook

LI = Actor.at_command_line("li")
MARCH = Month(2026, 3)
FILES = 24


def _some(kind: str, rng: random.Random) -> str:
    """A row, good by itself, that often meets another one."""
    pick, start, unit = rng.choice, rng.randrange(1, 9), rng.choice(["U1", "U2"])
    span = f"{HOUR.format(start)},{HOUR.format(start + rng.randrange(1, 4))}"
    power, at = pick(["50", "50.0", "60", ""]), HOUR.format(start)
    reserve = pick(["spinning", "hot"])
    low, gap = rng.randrange(4) * 100, rng.randrange(4)
    rows: dict[str, Callable[[], str]] = {
        "plan": lambda: f"{unit},{span},{power},{pick(['', HOUR.format(0)])}",
        "orders": lambda: f"o{rng.randrange(9)},{unit},{pick(['start_stop', 'spill', 'reactive'])},{span}",
        "reserve": lambda: f"{unit},{reserve},{span},{power or 70}",
        "voltage_band": lambda: f"{unit},{span},215,{pick(['230', '230.0', '231'])}",
        "exclusions": lambda: f"{unit},*,{span},{pick(['test', 'grid'])},{pick(['', 'x'])}",
        "revenue": lambda: (
            f"{pick(['P1,2026-03,energy', 'P2,2026-03,energy', 'P2,2026-03,capacity', 'P1,2026-02,energy'])},"
            f"{pick(['100', '100.00', '7', ''])},{pick(['', 'jiangsu', 'shanghai'])}"
        ),
        "rates": lambda: f"{unit},2026-0{pick('23')},avc_pass,{pick(['0.5', '0.50', '1'])},{pick(['', 'x'])}",
        "start_stop_table": lambda: (
            f"{low},{low + pick([100, 150, 300])},{gap}{pick(['', '.0'])},{gap + pick([1, 2])},"
            f"{pick(['40', '41'])},2026-0{pick('12')}-01,{pick(['', 'x'])}"
        ),
        "meter_changes": lambda: f"{unit},{at},{pick(['1', '1.0', '2'])},0,{pick(['', 'x'])}",
        "reserve_calls": lambda: f"{unit},{reserve},{at},{power or 70},{pick(['', 'x'])}",
        "reserve_minimum": lambda: f"{pick(['jiangsu', 'shanghai'])},{span},{power}",
    }
    return rows[kind]() + "\n"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    with new_store(tmp_path_factory.mktemp("state") / "state") as opened:
        take(opened, "register", MOVING, name="register.toml")
        yield opened


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_was_imported_is_read_without_complaint(store: CenterStore, kind: str, tmp_path: Path) -> None:
    rng, rulebook = random.Random(kind), shipped_rulebook()
    (tmp_path / "register.toml").write_text(MOVING)
    header, done = ",".join(KINDS[kind].columns) + "\n", dict.fromkeys(("taken", "refused", "undone"), 0)
    for number in range(FILES):
        rows = {_some(kind, rng) for _ in range(rng.randrange(1, 4))}
        try:
            if number % 5 == 4:
                mine = [i["id"] for i in store.read(list_imports) if i["kind"] == kind and i["undone_ms"] is None]
                take_back(store, rng.choice(mine), actor=LI, reason="wrong", rules=InputRules.of(rulebook))
                done["undone"] += 1
            else:
                text = header + "".join(sorted(rows))
                take(store, kind, text, replace=number % 3 == 2, rules=InputRules.of(rulebook))
                done["taken"] += 1
        except (ConfigError, StoreError):
            done["refused"] += 1
            continue
        table = store.read(lambda c: rows_of_month(c, store.imported, kind, MARCH))
        write_csv(tmp_path / f"{kind}.csv", kind, table)
        load_dispatch_side(tmp_path, rulebook)
    assert done["taken"] >= 4
    assert done["undone"]
    assert done["refused"] or kind == "exclusions"


SPAN = f"{HOUR.format(1)},{HOUR.format(2)}"
LEAN = MOVING.replace('id = "U2"', 'id = "U3"').replace('revenue_basis = "two_part"', 'revenue_basis = "lease"')
# What is in force, the register that does not fit it, and why.
UNFIT = {
    "a plan's unit": ("plan", f"U2,{SPAN},50,", MOVING, LEAN, r"row 2 of import 2 .*unknown unit 'U2'"),
    "a plan's limit": ("plan", f"U1,{SPAN},500,", MOVING, MOVING.replace('"660"', '"300"', 1), "at most 360 MW"),
    "a band's unit": ("voltage_band", f"U2,{SPAN},215,230", MOVING, LEAN, "unknown unit 'U2'"),
    "a note's unit": ("exclusions", f"U2,*,{SPAN},test,", MOVING, LEAN, "unknown unit 'U2'"),
    "a reserve's limit": ("reserve", f"U1,hot,{SPAN},500", MOVING, MOVING.replace('"660"', '"300"', 1), "can't be"),
    "a basis": ("revenue", "P2,2026-03,energy,1,", MOVING, LEAN, "'energy' is foreign to plant P2"),
    "an area": ("reserve_minimum", f"shanghai,{SPAN},9", MOVING, REGISTER, "unknown area 'shanghai'"),
    "an area that is left": (
        "revenue",
        "P1,2026-03,energy,1,\nP1,2026-03,energy,2,jiangsu",
        MOVING,
        MOVING.replace('area = "shanghai"\nrevenue_basis = "on_grid"', 'area = "jiangsu"\nrevenue_basis = "on_grid"'),
        r"row 3 of import 2 .*P1, 2026-03, energy, jiangsu is in import 2 too",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_register_beside_which_what_is_in_force_is_refused_is_refused_itself(case: str, tmp_path: Path) -> None:
    kind, row, first, second, reason = UNFIT[case]
    rules, text = InputRules.of(shipped_rulebook()), ",".join(KINDS[kind].columns) + f"\n{row}\n"
    with new_store(tmp_path / "state") as own:
        take(own, "register", first, name="register.toml", rules=rules)
        take(own, kind, text, rules=rules)
        with pytest.raises(ConfigError, match=f"could not be settled beside it: .*{reason.split('.*')[-1]}") as caught:
            take(own, "register", second, name="register.toml", replace=True, rules=rules)
        assert caught.match(reason)
        if kind != "revenue":
            assert caught.match(SPAN.replace(",", ", ").replace("+", r"\+"))  # its times not in milliseconds
        more = second + '[[unit]]\nid = "U9"\nplant = "P2"\nkind = "coal"\nrated_mw = "660"\n'
        take_back(own, 2, actor=LI, reason="wrong", rules=None)
        take(own, "register", more if "P2" in second else second, name="register.toml", replace=True, rules=rules)


def test_a_register_that_rows_were_imported_by_is_not_taken_back_from_under_them(tmp_path: Path) -> None:
    with new_store(tmp_path / "state") as own:
        take(own, "register", REGISTER, name="register.toml")
        more = REGISTER + '[[unit]]\nid = "U9"\nplant = "P1"\nkind = "coal"\nrated_mw = "660"\n'
        take(own, "register", more, name="register.toml", replace=True)
        take(own, "exclusions", f"unit,service,start,end,reason\nU1,*,{SPAN},test\nU9,*,{SPAN},test\n")
        with pytest.raises(StoreError, match="row 3 of import 3"):
            take_back(own, 2, actor=LI, reason="wrong", rules=None)
        take_back(own, 3, actor=LI, reason="wrong", rules=None)
        take_back(own, 2, actor=LI, reason="wrong", rules=None)


def test_a_register_that_is_not_as_it_was_imported_is_replaced_and_taken_back(tmp_path: Path) -> None:
    with new_store(tmp_path / "state") as own:
        take(own, "register", REGISTER, name="register.toml")
        take(own, "exclusions", f"unit,service,start,end,reason\nU1,*,{SPAN},test\n")
        take(own, "register", MOVING, name="register.toml", replace=True)
        wrong = update(imported).where(imported.c.id == 3).values(sha256="0" * 64)
        own.write(lambda c: c.execute(wrong)).result()
        with pytest.raises(ConfigError, match="unknown unit 'U1'"):
            take(own, "register", REGISTER.replace('"U1"', '"U7"'), name="register.toml", replace=True)
        take_back(own, 3, actor=LI, reason="damaged", rules=None)
        assert take(own, "register", MOVING, name="register.toml", replace=True).added == 1


@pytest.mark.parametrize(
    ("kind", "row", "reason"),
    [("plan", f"U1,{SPAN},500,", "at most 360 MW"), ("reserve", f"U1,hot,{SPAN},500", "at most 300 MW")],
)
def test_a_register_is_not_taken_back_from_under_a_power_that_the_one_before_does_not_allow(
    kind: str, row: str, reason: str, tmp_path: Path
) -> None:
    # 500 MW are no more than 1.2 × 660 or 660, but beyond 1.2 × 300 and 300: with the smaller rating back, no settling.
    rules, small = InputRules.of(shipped_rulebook()), MOVING.replace('"660"', '"300"', 1)
    with new_store(tmp_path / "state") as own:
        take(own, "register", small, name="register.toml", rules=rules)
        take(own, "register", MOVING, name="register.toml", replace=True, rules=rules)
        take(own, kind, ",".join(KINDS[kind].columns) + f"\n{row}\n", rules=rules)
        with pytest.raises(StoreError, match=reason):
            take_back(own, 2, actor=LI, reason="wrong", rules=rules)
        take_back(own, 3, actor=LI, reason="wrong", rules=rules)
        take_back(own, 2, actor=LI, reason="wrong", rules=rules)


def test_a_register_that_can_t_be_does_not_come_back(tmp_path: Path) -> None:
    # AGC up to 900 MW of 660 is beyond 1.1 × P_N: taken by a program that did not look, it is not what counts again.
    rules = InputRules.of(shipped_rulebook())
    wrong = MOVING.replace('rated_mw = "660"', 'rated_mw = "660"\nagc_lower_mw = "330"\nagc_upper_mw = "900"', 1)
    with new_store(tmp_path / "state") as own:
        take(own, "register", wrong, name="register.toml")
        take(own, "register", MOVING, name="register.toml", replace=True, rules=rules)
        with pytest.raises(StoreError, match="agc_limit_ratio"):
            take_back(own, 2, actor=LI, reason="wrong", rules=rules)


# Rows that another import replaced, the register that came after, and why they can't count again.
GONE = {
    "a plan's limit": ("plan", f"U1,{SPAN},500,", f"U1,{SPAN},50,", '"300"', "at most 360 MW"),
    "a reserve's limit": ("reserve", f"U1,hot,{SPAN},500", f"U1,hot,{SPAN},50", '"300"', "at most 300 MW"),
    "a call's limit": (
        "reserve_calls",
        f"U1,hot,{HOUR.format(1)},500,",
        f"U1,hot,{HOUR.format(1)},50,",
        '"300"',
        "300",
    ),
}


@pytest.mark.parametrize("case", GONE)
def test_rows_that_were_replaced_come_back_only_if_they_could_be_taken_now(case: str, tmp_path: Path) -> None:
    kind, before, after, rated, reason = GONE[case]
    rules, header = InputRules.of(shipped_rulebook()), ",".join(KINDS[kind].columns) + "\n"
    with new_store(tmp_path / "state") as own:
        take(own, "register", MOVING, name="register.toml", rules=rules)
        take(own, kind, f"{header}{before}\n", rules=rules)
        take(own, kind, f"{header}{after}\n", replace=True, rules=rules)
        smaller = MOVING.replace('"660"', rated, 1)
        take(own, "register", smaller, name="register.toml", replace=True, rules=rules)
        with pytest.raises(StoreError, match=f"could not be settled beside the register in force: .*{reason}"):
            take_back(own, 3, actor=LI, reason="wrong", rules=rules)
        take_back(own, 4, actor=LI, reason="wrong", rules=rules)
        take_back(own, 3, actor=LI, reason="wrong", rules=rules)


def test_a_unit_that_left_the_register_keeps_its_replaced_rows_from_coming_back(tmp_path: Path) -> None:
    header = ",".join(KINDS["exclusions"].columns) + "\n"
    with new_store(tmp_path / "state") as own:
        take(own, "register", MOVING, name="register.toml")
        take(own, "orders", f"id,unit,kind,start,end\no1,U2,spill,{SPAN}\n")
        take(own, "orders", f"id,unit,kind,start,end\no1,U1,spill,{SPAN}\n", replace=True)
        take(own, "exclusions", header)
        take(own, "register", LEAN, name="register.toml", replace=True)
        with pytest.raises(StoreError, match="unknown unit 'U2'"):
            take_back(own, 3, actor=LI, reason="wrong", rules=None)
