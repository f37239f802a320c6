# SPDX-License-Identifier: GPL-3.0-or-later
"""What must not matter: order of rows, sharding, days per call, batch size, the host's time zone. And every fen."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.settlement import measure_units as measuring
from collector.settlement import settle as settling
from collector.settlement.inputs import Inputs
from collector.settlement.measure.records import RecordBook, tail_of
from collector.settlement.measure.results import Results
from collector.settlement.measure_units import LaneBatch, measure, plan_batches
from collector.settlement.price.allocate import allocate
from collector.settlement.settle import close, prepare, settle
from collector.settlement.statement import Statement
from collector.tables.folder import load_folder
from tests.settlement.made_folders import make_folder
from tests.settlement.small_month import JUNE, Case, at, shipped_rulebook, unit

SEEDS = range(2000, 2012)


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> list[Inputs]:
    """Some months made at random."""
    found = []
    for seed in SEEDS:
        root = tmp_path_factory.mktemp("month") / "folder"
        make_folder(random.Random(seed), root, moves=bool(seed % 2))
        found.append(load_folder(root))
    return found


def same(left: Statement, right: Statement) -> bool:
    """Whether two statements say the same in every figure."""
    assert left.lines == right.lines
    assert left.plants == right.plants
    assert left.determinants == right.determinants
    assert left.primary_frequency == right.primary_frequency
    assert left.primary_frequency_service == right.primary_frequency_service
    assert left.ledger == right.ledger
    return left.result_hash() == right.result_hash()


def test_the_order_of_rows_does_not_matter(months: list[Inputs]) -> None:
    rng = np.random.default_rng(7)
    for inputs in months:
        shuffled = replace(
            inputs,
            records=inputs.records.take(pa.array(rng.permutation(inputs.records.num_rows))),
            plan=inputs.plan and inputs.plan.take(pa.array(rng.permutation(inputs.plan.num_rows))),
            orders=inputs.orders and inputs.orders[::-1],
            reserves=inputs.reserves and inputs.reserves[::-1],
            exclusions=inputs.exclusions and inputs.exclusions[::-1],
            revenue=inputs.revenue and inputs.revenue[::-1],
        )
        assert same(settle(JUNE, inputs, shipped_rulebook()), settle(JUNE, shuffled, shipped_rulebook()))


def daily(inputs: Inputs) -> Iterator[Results]:
    """Every local day measured by itself, the last 25 days of May too, each with its head and tail records only."""
    context = prepare(JUNE, inputs, shipped_rulebook())
    policy = context.policy
    book = RecordBook(inputs.records, tail_ms=tail_of(policy.settle_ms, policy.hold_ms))
    days = [JUNE.first_day - timedelta(days=n) for n in range(25, 0, -1)] + list(JUNE.days)
    for day in days:
        for batch in plan_batches(context, book, day, 1, units=list(context.stretches)):
            only = LaneBatch(batch.lanes, 1, batch.rows, batch.together, runs_only=day < JUNE.first_day)
            yield measure(context, only)[0]


def test_k_days_measured_in_one_call_equal_k_calls(months: list[Inputs]) -> None:
    for inputs in months:
        whole = settle(JUNE, inputs, shipped_rulebook())
        assert same(whole, close(JUNE, inputs, shipped_rulebook(), daily(inputs)))


def test_an_excursion_that_begins_at_midnight_is_the_same_day_by_day() -> None:
    case = Case(units=[unit(kind="hydro", droop_ratio="0.05")], policy={"hold_limit_s": Decimal(3600)})
    for hour in range(72):
        hertz = {24: "50.1", 25: "50.1", 47: "49.9", 48: "49.9"}.get(hour, "50")
        cells = {"on_grid": "1", "frequency_hz": hertz, "active_power_mw": str(300 - hour)}
        case.record(at(1) + hour * 3_600_000, **cells)
    inputs = case.inputs()
    whole = settle(JUNE, inputs, shipped_rulebook())
    # 277 MW before midnight, 276 and 275 MW in the two hours after: 1 and 2 MWh less. 254, then 253 and 252 MW.
    assert [row.actual_mwh for row in whole.primary_frequency] == [-3, -3]
    assert same(whole, close(JUNE, inputs, shipped_rulebook(), daily(inputs)))


def test_evidence_and_meters_whose_day_ends_with_the_next_one_s_first_record_are_the_same_day_by_day() -> None:
    early = replace(unit(kind="gas", droop_ratio="0.05"), until_day=date(2026, 6, 3))
    late = replace(unit(kind="gas", rated="500", droop_ratio="0.04"), from_day=date(2026, 6, 3))
    case = Case(units=[early, late], policy={"hold_limit_s": Decimal(3600)})
    for hour in range(96):
        hertz = "50.1" if hour in range(47, 50) or hour >= 90 else "50"
        register = str(1000 + 95 * hour) if hour % 24 == 0 else ""
        cells = {"on_grid": "1", "frequency_hz": hertz, "energy_export_mwh": register}
        case.record(at(1) + hour * 3_600_000, active_power_mw="100", **cells)
    case.exclude("grid", at(2, 23.5), at(3), "primary_frequency")
    inputs = case.inputs()
    whole = settle(JUNE, inputs, shipped_rulebook())
    # Read at midnights only: 2280 MWh a day by the meter, 2400 by the power, on the three days that have both ends.
    days = [finding.subject for finding in whole.findings if finding.code == "meter_differs"]
    assert days == ["U1/2026-06-01", "U1/2026-06-02", "U1/2026-06-03"]
    # Out at 47 to 50; half an hour of it is excluded, after which there is no output to count from.
    assert [row.actual_mwh for row in whole.primary_frequency] == [0, None, 0]
    by_day = close(JUNE, inputs, shipped_rulebook(), daily(inputs))
    assert same(whole, by_day)
    assert whole.findings == by_day.findings


def test_threads_and_batch_sizes_do_not_matter(months: list[Inputs], monkeypatch: pytest.MonkeyPatch) -> None:
    for inputs in months:
        whole = settle(JUNE, inputs, shipped_rulebook())
        monkeypatch.setattr(measuring, "_BATCH_ROWS", 1)
        with ThreadPoolExecutor(2) as pool:
            assert same(whole, settle(JUNE, inputs, shipped_rulebook(), spread=pool.map))
        monkeypatch.undo()


def test_segments_kept_or_measured_again_are_the_same(months: list[Inputs], monkeypatch: pytest.MonkeyPatch) -> None:
    def rows(statement: Statement, units: frozenset[str] | None) -> list[dict[str, object]]:
        return [row for table in statement.segments.tables(units=units) for row in table.to_pylist()]

    monkeypatch.setattr(measuring, "_BATCH_ROWS", 1)
    for inputs in months[:6]:
        kept = settle(JUNE, inputs, shipped_rulebook())
        every = rows(kept, None)
        some = frozenset(sorted({str(row["unit"]) for row in every})[::2])
        for limit in (0, 20_000):  # none kept, the first few
            monkeypatch.setattr(settling, "_KEPT_SEGMENT_BYTES", limit)
            again = settle(JUNE, inputs, shipped_rulebook())
            assert rows(again, None) == every
            assert rows(again, some) == [row for row in every if row["unit"] in some] == rows(kept, some)
        monkeypatch.setattr(settling, "_KEPT_SEGMENT_BYTES", 1 << 30)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="no tzset on this platform")
def test_the_hosts_time_zone_does_not_matter(months: list[Inputs], monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = set()
    for zone in ("UTC", "America/Anchorage", "Asia/Shanghai"):
        monkeypatch.setitem(os.environ, "TZ", zone)
        time.tzset()
        hashes.add(settle(JUNE, months[0], shipped_rulebook()).result_hash())
    monkeypatch.undo()
    time.tzset()
    assert len(hashes) == 1


def test_segments_cover_each_scope_without_gap_or_overlap_and_sum_to_the_determinant(months: list[Inputs]) -> None:
    for inputs in months:
        statement = settle(JUNE, inputs, shipped_rulebook())
        rows = [row for table in statement.segments.tables() for row in table.to_pylist()]
        found: dict[tuple[str, str], list[dict[str, object]]] = {}
        for row in rows:
            found.setdefault((row["unit"], row["service"]), []).append(row)
        times: dict[tuple[str, str, str], list[int]] = {}
        for d in statement.determinants:  # those of a unit's parts together
            all_parts = times.setdefault((d.unit, d.service, d.determinant), [0, 0, 0, 0])
            for place, part_ms in enumerate((d.scope_ms, d.known_ms, d.excluded_ms, d.own_fault_ms)):
                all_parts[place] += part_ms
        for (ident, service, _), (scope_ms, known_ms, excluded_ms, own_fault_ms) in times.items():
            mine = found.get((ident, service), [])
            assert all(a["end"] <= b["start"] for a, b in pairwise(mine))  # type: ignore[operator]
            by_class: dict[object, int] = {}
            for row in mine:
                length = row["end"] - row["start"]  # type: ignore[operator]
                by_class[row["class"]] = by_class.get(row["class"], 0) + length
            missing = by_class.get("missing", 0)
            assert sum(by_class.values()) == scope_ms + excluded_ms
            assert missing == scope_ms - known_ms
            assert by_class.get("excluded", 0) == excluded_ms
            assert by_class.get("own_fault", 0) == own_fault_ms


def test_a_line_with_gaps_lies_between_its_bounds_and_one_without_has_none(months: list[Inputs]) -> None:
    bounded = 0
    for inputs in months:
        for line in settle(JUNE, inputs, shipped_rulebook()).lines:
            if line.coverage == 1:
                assert (line.low_yuan, line.high_yuan) == (None, None)
            if line.low_yuan is not None and line.high_yuan is not None:
                bounded += 1
                assert line.low_yuan <= line.high_yuan
                if line.amount_yuan is not None:
                    assert line.low_yuan <= line.amount_yuan <= line.high_yuan
    assert bounded > 20


@given(
    total=st.integers(0, 10**12),
    sold=st.lists(st.decimals("0", "1e9", places=2), min_size=1, max_size=8).filter(lambda f: sum(f) > 0),
)
def test_shares_sum_to_the_whole_and_each_is_within_a_fen_of_its_part(total: int, sold: list[Decimal]) -> None:
    amount = Decimal(total).scaleb(-2)
    shares = allocate(amount, {f"P{i}": f for i, f in enumerate(sold)})
    assert sum(shares.values()) == amount
    for index, revenue in enumerate(sold):
        assert abs(shares[f"P{index}"] * sum(sold) - amount * revenue) < Decimal("0.01") * sum(sold)


def test_a_folder_settles_the_same_from_any_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(random.Random(3), tmp_path / "folder")
    first = settle(JUNE, load_folder(tmp_path / "folder"), shipped_rulebook())
    monkeypatch.chdir(tmp_path)
    assert same(first, settle(JUNE, load_folder(Path("folder")), shipped_rulebook()))
