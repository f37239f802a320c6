# SPDX-License-Identifier: GPL-3.0-or-later
"""An opened run says what its statement and its inputs say, unit by unit, without settling anything again."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from collector.base.errors import StoreError
from collector.center.db.store import CenterStore
from collector.center.runs.settle_month import MadeRun
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.model.interval import DAY_MS, Month, local_day, local_midnight_ms
from collector.model.quantity import BY_NAME
from collector.report.timeline.drawing import drawn_days
from collector.settlement.explain import explain
from collector.settlement.inputs import Inputs
from collector.settlement.rulebook.load import load_rulebook
from collector.settlement.settle import settle
from collector.settlement.statement import Statement
from collector.tables.folder import load_folder
from tests.center.runs.center_months import RULES, fill_store, new_store, settled
from tests.settlement.made_folders import make_folder

SEED = 3116  # three units, orders over the month's edge, every kind of row


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CenterStore, MadeRun, OpenedRun]]:
    """A run, and the same opened."""
    root = tmp_path_factory.mktemp("opened")
    make_folder(random.Random(SEED), root / "folder")
    with new_store(root / "state") as store:
        fill_store(store, root / "folder")
        run = settled(store)
        yield store, run, open_run(store, run.row.id)


@pytest.fixture(scope="module")
def offline(opened: tuple[CenterStore, MadeRun, OpenedRun]) -> tuple[Inputs, Statement]:
    """The run's folder settled offline."""
    _, _, run = opened
    inputs = load_folder(run.data)
    return inputs, settle(Month.parse(run.facts.month), inputs, load_rulebook(RULES))


def test_its_rows_are_those_of_the_statement(
    opened: tuple[CenterStore, MadeRun, OpenedRun], offline: tuple[Inputs, Statement]
) -> None:
    run, statement = opened[2], offline[1]
    assert run.lines == tuple(replace(line, steps=(), rules=()) for line in statement.lines)
    assert (run.plants, run.areas, run.findings) == (statement.plants, statement.areas, statement.findings)
    assert (run.readings, run.policy, run.ledger) == (statement.readings, statement.policy, statement.ledger)
    units = {line.unit for line in statement.lines}
    assert len(units) > 1
    for unit in units:
        assert run.lines_of(unit) == tuple(line for line in statement.lines if line.unit == unit)
        assert run.determinants(unit) == tuple(d for d in statement.determinants if d.unit == unit)
        excursions, service = run.primary_frequency(unit)
        assert excursions == tuple(e for e in statement.primary_frequency if e.unit == unit)
        assert service in statement.primary_frequency_service
    assert run.plant_of == {line.unit: line.plant for line in statement.lines}


def test_a_lines_explanation_is_the_one_made_offline(
    opened: tuple[CenterStore, MadeRun, OpenedRun], offline: tuple[Inputs, Statement]
) -> None:
    run, statement = opened[2], offline[1]
    for line in statement.lines:
        ours, theirs = run.explanation(line.unit, line.service), explain(statement, line.unit, line.service)
        assert ours.segments.to_pylist() == theirs.segments.to_pylist()
        assert replace(ours, segments=theirs.segments) == theirs
        unpaid = {(u.cause, u.reason): u.duration_ms for u in run.unpaid(line.unit, line.service)}
        assert unpaid == dict(theirs.not_paid_ms) or not theirs.segments.num_rows


def test_segments_of_a_unit_service_and_day_are_part_of_the_whole(
    opened: tuple[CenterStore, MadeRun, OpenedRun], offline: tuple[Inputs, Statement]
) -> None:
    run, statement = opened[2], offline[1]
    every = [row for table in statement.segments.tables() for row in table.to_pylist()]
    unit = every[0]["unit"]
    mine = [row for row in every if row["unit"] == unit]
    assert run.segments(unit).to_pylist() == mine
    service, day = mine[-1]["service"], local_day(mine[0]["start"])
    assert run.segments(unit, service).to_pylist() == [row for row in mine if row["service"] == service]
    begin = local_midnight_ms(day)
    of_day = [row for row in mine if row["start"] < begin + DAY_MS and row["end"] > begin]
    assert of_day
    assert run.segments(unit, None, day).to_pylist() == of_day
    assert not len(run.segments("nobody"))


def test_records_are_those_of_the_pinned_files_with_their_qualities(
    opened: tuple[CenterStore, MadeRun, OpenedRun], offline: tuple[Inputs, Statement]
) -> None:
    run, inputs = opened[2], offline[0]
    unit = min(inputs.unit_columns)
    begin = local_midnight_ms(date(2026, 6, 1))
    rows = [r for r in inputs.records.to_pylist() if r["unit"] == unit and begin <= r["time"] < begin + 2 * DAY_MS]
    shown = run.records(unit, begin, begin + 2 * DAY_MS)
    assert [r.time_ms for r in shown] == [r["time"] for r in rows]
    assert len(shown) > 10
    for ours, theirs in zip(shown, rows, strict=True):
        assert set(ours.values) == inputs.unit_columns[unit]
        for name, value in ours.values.items():
            stored = theirs[name]
            assert value.value == (None if stored is None else Decimal(stored) / BY_NAME[name].scale)
            assert value.quality.usable is (stored is not None)
    assert len(run.records(unit, begin, begin + 2 * DAY_MS, limit=3)) == 3


def test_a_unit_day_shows_plan_orders_bands_and_what_is_registered(
    opened: tuple[CenterStore, MadeRun, OpenedRun], offline: tuple[Inputs, Statement]
) -> None:
    run, inputs = opened[2], offline[0]
    assert inputs.plan is not None
    assert inputs.orders is not None
    found = 0
    for unit in run.plant_of:
        for day in (date(2026, 6, n) for n in (1, 2, 3, 4)):
            begin = local_midnight_ms(day)
            shown = run.unit_day(unit, day)
            plan = sorted(
                (r["start"], r["end"], str(r["power_kw"]))
                for r in inputs.plan.to_pylist()
                if r["unit"] == unit and r["start"] < begin + DAY_MS and r["end"] > begin
            )
            assert sorted((s.start_ms, s.end_ms, str(s.power_kw)) for s in shown.plan) == plan
            orders = {
                o.id for o in inputs.orders if o.unit == unit and o.start_ms < begin + DAY_MS and o.end_ms > begin
            }
            assert {row[0] for row in shown.dispatch.orders} == orders
            found += len(plan) + len(orders)
    assert found > 10


def test_a_units_month_can_be_drawn_from_its_own_inputs(
    opened: tuple[CenterStore, MadeRun, OpenedRun], offline: tuple[Inputs, Statement]
) -> None:
    run, (inputs, statement) = opened[2], offline
    line = statement.lines[0]
    explanation = explain(statement, line.unit, line.service)
    book = load_rulebook(RULES)
    theirs = drawn_days(explanation, statement, inputs, book)
    ours = drawn_days(
        run.explanation(line.unit, line.service), run.statement_of(line.unit), run.inputs_of(line.unit), book
    )
    assert ours == theirs


def test_a_run_is_opened_once_and_one_that_is_not_there_is_refused(
    opened: tuple[CenterStore, MadeRun, OpenedRun],
) -> None:
    store, _, run = opened
    assert open_run(store, run.facts.id) is run
    with pytest.raises(StoreError, match="no run with this number"):
        open_run(store, 99)
    with pytest.raises(StoreError, match="does not speak of it"):
        run.determinants("nobody")
