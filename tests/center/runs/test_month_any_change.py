# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever changes late, in whatever combination: closing gives the bytes of settling the folder offline."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector.base.errors import ConfigError
from collector.center.db.store import CenterStore
from collector.center.runs.asking.run_queue import Asking, RunUnderWay, ask
from collector.center.runs.measuring.result_codec import as_results, decode_results, encode_results, join_days
from collector.center.runs.measuring.result_keys import MEASURING_VALUES
from collector.center.runs.run_list import list_asked
from collector.model.dispatch import OrderKind
from collector.model.record import UnitLayout
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure.results import Excursion, GroupEnergy, MonthTotals, Results, StatusRun
from collector.settlement.measure_units import measure, plan_batches
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.rulebook.rules import Rulebook, RuleRow
from collector.settlement.settle import prepare
from collector.tables.folder import load_folder
from tests.center.runs.center_months import JUNE, LI, RULES, assert_as_offline, new_store, settled, take
from tests.center.runs.kept_months import KeptMonth
from tests.center.runs.late_changes import BATCHES, NAMES, UNITS, at, gateways_of, record
from tests.settlement.made_folders import make_folder
from tests.settlement.small_month import Case
from tests.settlement.small_month import unit as a_unit
from tests.size import sized

every_unit = st.sampled_from(sorted(unit for units in UNITS.values() for unit in units))
# Quarter hours around the month's edges and inside it.
instants = st.integers(-4 * 24, 32 * 96).map(lambda q: at(1) + q * 900_000)
lengths = st.sampled_from((900_000, 7_200_000, 30_000_000, 100_000_000))
spans = st.tuples(instants, lengths).map(lambda pair: (pair[0], pair[0] + pair[1]))
Act = Callable[[CenterStore], None]
_ORDERS = ("start_stop", "reactive", "spill", "condenser")
_RESERVES = ("spinning", "hot")
_SERVICES = ("*", "deep_peak", "avc", "agc_up", "reactive_lag")
_WHY = ("test", "grid", "own_fault")


def rows(kind: str, header: str, cells: Callable[..., str]) -> st.SearchStrategy[Act]:
    """A row of a kind over some span, in place of whatever stands there."""

    def act(unit: str, span: tuple[int, int], number: int) -> Act:
        text = f"{header}\n{cells(unit, *span, number)}\n"
        return lambda store: _take(store, kind, text)

    return st.builds(act, every_unit, spans, st.integers(0, 9))


def _take(store: CenterStore, kind: str, text: str) -> None:
    with contextlib.suppress(ConfigError):  # low above high, a band that is none: refused, and nothing changes
        take(store, kind, text, replace=True)


def a_record(unit: str, time_ms: int, kw: int) -> Act:
    def act(store: CenterStore) -> None:
        plant = next(plant for plant, units in UNITS.items() if unit in units)
        sent = BATCHES + random.Random(f"{unit}{time_ms}{kw}").randrange(1, 10**6)
        gateways_of(store, sent=sent)[plant].send([UnitLayout(unit, NAMES)], [record(unit, time_ms + 1, kw * 1000)])

    return act


changes = st.one_of(
    st.builds(a_record, every_unit, instants, st.sampled_from((0, 150, 230, 400, 650))),
    rows(
        "plan",
        "unit,start,end,power_mw,issued",
        lambda unit, start, end, n: f"{unit},{start},{end},{300 + n * 20},{start if n % 2 else ''}",
    ),
    rows(
        "orders",
        "id,unit,kind,start,end",
        lambda unit, start, end, n: f"x{n}{unit},{unit},{_ORDERS[n % 4]},{start},{end}",
    ),
    rows(
        "reserve",
        "unit,kind,start,end,power_mw",
        lambda unit, start, end, n: f"{unit},{_RESERVES[n % 2]},{start},{end},{n * 10}",
    ),
    rows(
        "voltage_band",
        "unit,start,end,low_kv,high_kv",
        lambda unit, start, end, n: f"{unit},{start},{end},{499 + n},{505 + n}",
    ),
    rows(
        "exclusions",
        "unit,service,start,end,reason",
        lambda unit, start, end, n: f"{unit},{_SERVICES[n % 5]},{start},{end},{_WHY[n % 3]}",
    ),
)


@settings(
    max_examples=sized(4, 8),
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=st.lists(changes, min_size=1, max_size=6))
def test_any_late_changes_come_out_as_offline(settled_june: KeptMonth, acts: list[Act]) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        with new_store(settled_june.copy_to(work / "state")) as store:
            for act in acts:
                act(store)
            run = settled(store)
            assert_as_offline(store, run, work)
            assert settled(store).progress.measured == ()


# ---- what a key must hold ------------------------------------------------------------------------------------------


class Watched(Rulebook):
    """A rulebook that notes which values are read."""

    read: set[str] = set()

    def row(self, value_id: str, day: date, *, area: str = "", key: str = "") -> RuleRow:
        self.read.add(value_id)
        return super().row(value_id, day, area=area, key=key)


def test_measuring_reads_the_values_that_are_in_the_key_and_no_others(tmp_path: Path) -> None:
    book = load_rulebook(RULES)
    parts: Mapping[str, Any] = {field.name: getattr(book, field.name) for field in fields(book)}
    read: set[str] = set()
    months = []
    for seed in range(3000, 3016):
        make_folder(random.Random(seed), tmp_path / str(seed))
        months.append(load_folder(tmp_path / str(seed)))
    commanded = Case(units=[a_unit(agc_lower_mw="300", agc_upper_mw="600")])
    for second, setpoint in ((0, "400"), (10, "440")):
        cells = {"on_grid": "1", "agc_in_service": "1", "agc_setpoint_mw": setpoint, "active_power_mw": "400"}
        commanded.record(JUNE.interval.start_ms + second * 1000, **cells)
    for inputs in [*months, commanded.inputs()]:
        context = prepare(JUNE, inputs, Watched(**parts))
        records = RecordBook(inputs.records, tail_ms=tail_of(context.policy.settle_ms, context.policy.hold_ms))
        Watched.read.clear()
        for batch in plan_batches(context, records, JUNE.first_day, 30, units=list(context.stretches), segments=True):
            measure(context, batch)
        read |= Watched.read
    assert read == set(MEASURING_VALUES)


def test_results_go_into_the_store_and_come_back_the_same() -> None:
    import numpy as np

    results = Results(("U1", "U2"), (7, 7), 1)
    results.columns = {"b.value": np.array([[5], [-(2**62)]]), "a.zero": np.zeros((2, 1), dtype=np.int64)}
    results.runs = [StatusRun(OrderKind.CONDENSER, "U2", 1, 2, 0, after=True)]
    results.groups = [GroupEnergy(7, ("U2", "U1"), 12)]
    results.excursions = [Excursion("U1", 3, 4, True, None, None, -9), Excursion("U2", 3, 4, False, 1, 2, 3)]
    back = as_results(decode_results(encode_results(results)))
    assert (back.units, back.first_day_ordinals, back.days) == (results.units, results.first_day_ordinals, 1)
    assert {name: values.tolist() for name, values in back.columns.items()} == {"b.value": [[5], [-(2**62)]]}
    assert (back.runs, back.groups, back.excursions) == (results.runs, results.groups, results.excursions)
    assert encode_results(back) == encode_results(results)


def test_days_joined_to_lanes_of_a_month_add_up_as_each_day_by_itself() -> None:
    """Plants of one to four units, columns that are zero on some days, days that are lacking, breaker runs and all."""
    import numpy as np

    rng, first = random.Random(11), JUNE.first_day.toordinal()
    parts = []
    for plant in range(6):
        units = tuple(f"P{plant}U{n}" for n in range(rng.randrange(1, 5)))
        for day in sorted(rng.sample(range(30), 20)):
            results = Results(units, (first + day,) * len(units), 1)
            names = rng.sample(["a.value", "a.known", "b.value", "c.best"], rng.randrange(5))
            values = {name: [[rng.randrange(-(2**60), 2**60)] for _ in units] for name in names}
            results.columns = {name: np.array(column, dtype=np.int64) for name, column in values.items()}
            results.runs = [StatusRun(OrderKind.START_STOP, units[0], day, day + 1, 1)]
            results.excursions = [Excursion(units[-1], day, day + 1, True, 1, None, day)]
            parts.append(decode_results(encode_results(results)))
    joined, apart = (
        MonthTotals([join_days(parts, first, 30)], first, 30),
        MonthTotals(map(as_results, parts), first, 30),
    )
    for unit in {unit for part in parts for unit in part.units}:
        for name in ("a.value", "a.known", "b.value", "c.best"):
            assert joined.daily(unit, name) == apart.daily(unit, name)
    assert (joined.runs, joined.excursions) == (apart.runs, apart.excursions)
    assert join_days([], first, 30).units == ()


def test_a_run_that_fails_while_it_is_written_leaves_nothing(settled_june: KeptMonth, tmp_path: Path) -> None:
    with new_store(settled_june.copy_to(tmp_path / "state")) as store:
        before = sorted((store.directory / "runs").iterdir())

        def work(run: RunUnderWay) -> None:
            (run.folder / "data").mkdir()
            raise OSError("no space left on device")

        with pytest.raises(OSError, match="no space"):
            ask(store, Asking(JUNE, LI, ()), work).carry_out()
        assert sorted((store.directory / "runs").iterdir()) == before
        row = store.read(list_asked)[-1]
        assert (row.state, row.why) == ("failed", "no space left on device")
