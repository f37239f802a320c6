# SPDX-License-Identifier: GPL-3.0-or-later
"""A change of any input, made late: exactly the days it can reach are measured again, and the result is a fresh one's.

Nothing is marked; the keys tell. Each case names the plant-days by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from collector.center.db.store import CenterStore
from collector.center.inputs.service import take_back
from collector.center.runs.settle_month import MadeRun
from collector.model.record import UnitLayout
from tests.center.runs.center_months import (
    LI,
    RULES,
    Gateway,
    assert_as_offline,
    new_store,
    settled,
    settled_offline,
    take,
)
from tests.center.runs.kept_months import KeptMonth
from tests.center.runs.late_changes import (
    BATCHES,
    NAMES,
    PLAN,
    REGISTER,
    UNIT,
    UNITS,
    at,
    gateways_of,
    measured_days,
    plan_rows,
    record,
    register,
    rules_with,
)

Days = set[tuple[str, int]]
ALL: Days = {(plant, day) for plant in UNITS for day in range(1, 31)}


class World:
    """A settled month that things happen to."""

    def __init__(self, store: CenterStore, root: Path, first: MadeRun) -> None:
        self.store, self.root, self.rules = store, root, RULES
        self.gateways: dict[str, Gateway] = gateways_of(store, sent=BATCHES)
        self.runs: list[MadeRun] = [first]

    def again(self) -> Days:
        """Settle again, hold it against the folder offline, and say what was measured for it."""
        run = settled(self.store, rules=self.rules)
        assert run.row.result_hash == settled_offline(self.store, run).result_hash()
        self.runs.append(run)
        return measured_days(run)

    def late(self, unit: str, time_ms: int, power_kw: int) -> None:
        """A record arrives late."""
        plant = next(plant for plant, units in UNITS.items() if unit in units)
        self.gateways[plant].send([UnitLayout(unit, NAMES)], [record(unit, time_ms, power_kw)])


@pytest.fixture
def world(settled_june: KeptMonth, tmp_path: Path) -> Iterator[World]:
    with new_store(settled_june.copy_to(tmp_path / "state")) as store:
        yield World(store, tmp_path, settled_june.run)


def test_the_first_closing_measures_every_day_and_the_next_none(world: World) -> None:
    assert measured_days(world.runs[0]) == ALL
    assert_as_offline(world.store, world.runs[0], world.root)
    assert world.again() == set()


def test_in_a_month_under_way_the_days_to_come_are_measured_once(tmp_path: Path) -> None:
    """Records up to the tenth: one more reaches that day and, as far as it holds, the next; no other."""
    layout = [UnitLayout("V1", NAMES)]
    with new_store(tmp_path / "state") as store:
        gateway = gateways_of(store)["P2"]
        times = [at(day, hour) for day in (3, 4, 10) for hour in range(24)]
        gateway.send(layout, [record("V1", time) for time in times])
        take(store, "register", register())
        assert measured_days(settled(store)) == ALL
        gateway.send(layout, [record("V1", at(10, 23.9))])
        run = settled(store)
        assert measured_days(run) == {("P2", 10), ("P2", 11)}
        assert_as_offline(store, run, tmp_path)


# (what happens, the plant-days it reaches). Records come at one and nine minutes past every second hour.
RECORDS: dict[str, tuple[str, int, Days]] = {
    "in the middle of a day": ("U1", at(10, 13), {("P1", 10)}),
    "in the tail of the day before": ("V1", at(10, 0.2), {("P2", 9), ("P2", 10)}),
    "the last of its day, in the head of the next": ("U2", at(10, 23.5), {("P1", 10), ("P1", 11)}),
    "on the last evening of the month": ("U1", at(30, 23.9), {("P1", 30)}),
    "the last before the month": ("U1", at(0, 23.9), {("P1", 1)}),
}


@pytest.mark.parametrize("case", RECORDS)
def test_a_late_record_reaches_the_days_whose_files_hold_it(case: str, world: World) -> None:
    unit, time_ms, expected = RECORDS[case]
    world.late(unit, time_ms, 111_000)
    assert world.again() == expected


def orders(rows: str) -> str:
    return f"id,unit,kind,start,end\n{rows}\n"


TABLES: dict[str, tuple[str, str, Days]] = {
    "a plan row": ("plan", PLAN + f"U1,{at(12, 6)},{at(12, 12)},333,\n", {("P1", 12)}),
    "a plan row that begins at midnight": (
        "plan",
        PLAN + f"U1,{at(12)},{at(12, 6)},333,\n",
        {("P1", 11), ("P1", 12)},
    ),
    "a plan of another unit": ("plan", PLAN + "".join(plan_rows("V1", (20, 21))), {("P2", d) for d in range(19, 23)}),
    "a reactive order": ("orders", orders(f"o2,U1,reactive,{at(7, 1)},{at(7, 5)}"), {("P1", 7)}),
    "a start-stop order": ("orders", orders(f"o2,U1,start_stop,{at(8, 1)},{at(9, 5)}"), {("P1", 8), ("P1", 9)}),
    "a start-stop order from midnight on": (
        "orders",
        orders(f"o2,V1,start_stop,{at(8)},{at(8, 5)}"),
        {("P2", 7), ("P2", 8)},
    ),
    "an order that ends elsewhere": ("orders", orders(f"o1,U2,reactive,{at(3, 9)},{at(4, 2)}"), {("P1", 3), ("P1", 4)}),
    "a reserve": ("reserve", f"unit,kind,start,end,power_mw\nU2,spinning,{at(6)},{at(7)},70\n", {("P1", 6)}),
    "a voltage band": (
        "voltage_band",
        f"unit,start,end,low_kv,high_kv\nU2,{at(20)},{at(22)},500,510\n",
        {("P1", 20), ("P1", 21)},
    ),
    "an exclusion over midnight": (
        "exclusions",
        f"unit,service,start,end,reason\nU1,avc,{at(14, 20)},{at(15, 2)},grid\n",
        {("P1", 14), ("P1", 15)},
    ),
    "an exclusion's note": (
        "exclusions",
        f"unit,service,start,end,reason,note\nV1,*,{at(5, 3)},{at(5, 4)},test,n\n",
        set(),
    ),
    "revenue": ("revenue", "plant,month,kind,amount_yuan\nP1,2026-06,energy,1500\n", set()),
    "a delivered rate": ("rates", "unit,month,kind,value,source\nU1,2026-06,avc_pass,0.5,x\n", set()),
    "a meter change": (
        "meter_changes",
        f"unit,time,old_final_mwh,new_initial_mwh\nU1,{at(12, 6)},5,0\n",
        {("P1", 12)},
    ),
    "a meter change at midnight": (
        "meter_changes",
        f"unit,time,old_final_mwh,new_initial_mwh\nU1,{at(12)},5,0\n",
        {("P1", 11), ("P1", 12)},
    ),
    "a reserve that was called": (
        "reserve_calls",
        f"unit,kind,called,power_mw\nU1,hot,{at(12, 23)},5\n",
        {("P1", 12), ("P1", 13)},
    ),
    "a least reserve": ("reserve_minimum", f"area,start,end,power_mw\njiangsu,{at(12)},{at(13)},5\n", set()),
    "the table of 13(4)": (
        "start_stop_table",
        "capacity_from_mw,capacity_to_mw,gap_from_h,gap_to_h,amount_wan_yuan,from,document\n"
        "0,900,0,24,5,2020-01-01,d\n",
        set(),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLES)
def test_a_late_row_reaches_the_days_it_touches_and_undone_it_is_as_if_it_never_came(case: str, world: World) -> None:
    kind, text, expected = TABLES[case]
    taken = take(world.store, kind, text, replace=True)
    assert taken.import_id is not None
    assert world.again() == expected
    number = taken.import_id
    take_back(world.store, number, actor=LI, reason="wrong", rules=None)
    undone = settled(world.store)
    assert measured_days(undone) == set()
    assert undone.row.result_hash == world.runs[0].row.result_hash


def area_from(day: int, *, valley: str = "00:00-08:00", mode: str = "annual_plan") -> str:
    """The usual area up to a day, and another state of it from then on."""
    head, body = REGISTER.split("[[area]]")
    later = body.replace("00:00-08:00", valley).replace("annual_plan", mode)
    return f"{head}[[area]]{body}until = 2026-06-{day:02d}\n[[area]]{later}from = 2026-06-{day:02d}\n"


def unit_from(day: int, **keys: str) -> str:
    """U1 as it is up to a day, and with other values from then on."""
    before = UNIT.format("U1", "P1", "600", f'droop_ratio = "0.05"\nuntil = 2026-06-{day:02d}')
    rated = keys.pop("rated_mw", "600")
    droop = keys.pop("droop_ratio", "0.05")
    after = UNIT.format("U1", "P1", rated, f'droop_ratio = "{droop}"\nfrom = 2026-06-{day:02d}')
    for key, value in keys.items():
        after = "".join(f"{key} = {value}\n" if s.startswith(f"{key} ") else s for s in after.splitlines(keepends=True))
    return before + after


def days_from(day: int, *plants: str) -> Days:
    return {(plant, d) for plant in plants for d in range(day, 31)}


REGISTERS: dict[str, tuple[Callable[[], str], Days]] = {
    "valley hours": (lambda: register(area=area_from(15, valley="01:00-08:00")), days_from(15, "P1", "P2")),
    "dispatch mode, a price": (lambda: register(area=area_from(15, mode="energy_saving")), set()),
    "rated power": (
        lambda: register(first_unit=unit_from(20, rated_mw="640")),
        days_from(19, "P1"),
    ),  # by 1.2 P_N a value just after the 19th is one or none
    "AGC limit": (lambda: register(first_unit=unit_from(21, agc_upper_mw='"590"')), days_from(21, "P1")),
    "peak group": (
        lambda: register(first_unit=unit_from(22, q_min_mvar='"-100"\npeak_group = "G"')),
        days_from(22, "P1"),
    ),
    "droop, looked at when closing": (lambda: register(first_unit=unit_from(20, droop_ratio="0.04")), set()),
    "a unit that leaves": (
        lambda: register(first_unit=UNIT.format("U1", "P1", "600", 'droop_ratio = "0.05"\nuntil = 2026-06-28')),
        days_from(27, "P1"),  # as above: the values just after the 27th have no limit then
    ),
    "a plant's basis": (lambda: register().replace('id = "P2"\nname = "P2"', 'id = "P2"\nname = "two"'), set()),
    "coverage that pays": (lambda: register(area=REGISTER.replace('"0.05"', '"0.2"')), set()),
    "how long a record holds": (lambda: register(area=REGISTER.replace("800", "700")), ALL),
}


@pytest.mark.parametrize("case", REGISTERS)
def test_a_change_of_the_register_reaches_the_days_from_which_it_holds(case: str, world: World) -> None:
    make, expected = REGISTERS[case]
    take(world.store, "register", make(), replace=True)
    assert world.again() == expected


RULE_ROWS: dict[str, tuple[str, str, str, Days]] = {
    "a value measured with": (
        "article-13.toml",
        "deep_peak.gate_ratio",
        '  value = "0.38"\n  from = 2026-06-25\n  state = "in_force"\n  cite = "notice"',
        days_from(25, "P1", "P2"),
    ),
    "a price": (
        "article-14.toml",
        "agc_basic.price",
        '  value = "250"\n  from = 2026-06-10\n  state = "in_force"\n  cite = "notice"',
        set(),
    ),
    "the coverage below which nothing is paid": (
        "policy.toml",
        "policy.provisional_coverage",
        '  value = "0.9"\n  from = 2026-06-01\n  state = "in_force"\n  cite = "notice"',
        set(),
    ),
}


@pytest.mark.parametrize("case", RULE_ROWS)
def test_a_change_of_the_rulebook_reaches_days_only_where_it_is_measured_with(case: str, world: World) -> None:
    file, value_id, row, expected = RULE_ROWS[case]
    world.rules = rules_with(world.root / "rules", file, value_id, row)
    assert world.again() == expected
    assert world.runs[-1].row.rulebook_hash != world.runs[0].row.rulebook_hash


def test_another_reading_of_the_text_measures_every_day(world: World) -> None:
    world.rules = rules_with(world.root / "rules", "article-13.toml", "deep_peak.gate_ratio", _SAME_GATE)
    readings = world.rules / "readings.toml"
    text = readings.read_text("utf-8")
    begin = text.index('id = "I-05"')
    end = text.find("\n[[reading]]", begin)
    row = '\n  [[reading.row]]\n  adopted = "quarter_hour_mean"\n  from = 2026-06-01\n  cite = "draft"\n'
    readings.write_text(text[:end] + row + text[end:], "utf-8")
    assert world.again() == ALL


_SAME_GATE = '  value = "0.40"\n  from = 2026-06-25\n  state = "in_force"\n  cite = "notice"'


def test_what_nobody_asked_for_in_long_is_dropped_and_measured_again_when_it_is(world: World) -> None:
    from collector.center.lake.retention import drop_unused_results
    from tests.center.center_batches import FixedClock

    clock = world.store.clock
    assert isinstance(clock, FixedClock)
    assert drop_unused_results(world.store, keep_days=90) == 0
    clock.now_ms += 91 * 86_400_000
    take(world.store, "plan", PLAN + f"U1,{at(12, 6)},{at(12, 12)},333,\n", replace=True)
    assert world.again() == {("P1", 12)}  # and the others are in use again
    assert drop_unused_results(world.store, keep_days=90) == 1  # the twelfth as it was before
    assert world.again() == set()
    clock.now_ms += 91 * 86_400_000
    assert drop_unused_results(world.store, keep_days=90) == len(ALL)
    assert world.again() == ALL


def test_that_results_are_in_use_is_noted_once_a_day(world: World) -> None:
    from sqlalchemy import select, union

    from collector.center.db.tables_results import day_result, file_facts
    from tests.center.center_batches import FixedClock

    clock = world.store.clock
    assert isinstance(clock, FixedClock)

    def used() -> set[int]:
        both = union(select(day_result.c.used_ms), select(file_facts.c.used_ms))
        return set(world.store.read(lambda c: c.execute(both).scalars().all()))

    first = clock.now_ms
    assert used() == {first}
    clock.now_ms += 3_600_000
    assert world.again() == set()
    assert used() == {first}
    clock.now_ms += 86_400_000
    assert world.again() == set()
    assert used() == {clock.now_ms}
