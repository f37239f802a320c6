# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings: what was put in stands beside what was delivered, a month's days, months side by side; own figures only."""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from collector.center.inputs.service import deliver, delivered_of
from collector.center.quality.substitution import decide_substitution, propose_substitution
from collector.center.runs.settle_month import settle_month
from collector.center.runs.stored_run import OpenedRun, open_run
from collector.center.web.routes import API
from collector.model.interval import DAY_MS, HOUR_MS, Interval, Month, local_midnight_ms, parse_time_ms
from collector.report.numbers import format_instant
from tests.center.runs.center_months import RULES
from tests.center.web.conftest import JUNE, june_world
from tests.center.web.web_world import World

HERE = "/months/2026-06"
DAY = "2026-06-02"
CLASSES = ("counted", "unpaid", "missing", "excluded", "own_fault", "outside")


def data_of(page: str, name: str) -> dict[str, Any]:
    """What a page gives to be drawn."""
    found = re.search(rf'id="drawing-{name}">(.*?)</script>', page, re.DOTALL)
    assert found, page[:2000]
    made: dict[str, Any] = json.loads(found[1])
    return made


def held(run: OpenedRun, unit: str, at_ms: int) -> int | None:
    """The active power that counts at an instant by the records of a run, kW."""
    hold_ms = int(run.policy["hold_limit_s"] * 1000)
    last = None
    for row in run.records(unit, at_ms - hold_ms, at_ms + 1, limit=100_000):
        value = row.values.get("active_power_mw")
        last = None if value is None or value.value is None or not value.quality.usable else value.value
    return None if last is None else int(last * 1000)


def at(steps: list[list[int]], ms: int) -> int | None:
    return next((value for a, b, value in steps if a <= ms < b), None)


def test_what_was_put_in_stands_beside_what_was_delivered(tmp_path: Path) -> None:
    with june_world(tmp_path) as own:
        first = open_run(own.store, own.run_id)
        unit = next(u for u in sorted(first.plant_of) if len(first.record_table(u, *_day(DAY))) > 20)
        begin = local_midnight_ms(JUNE.days[1])
        times = first.record_table(unit, *_day(DAY))["time"].to_pylist()
        start, end = times[3], times[12]
        olga, anna, now_ms = own.actor("olga"), own.actor("anna"), own.clock.now_ms
        number = own.store.write(
            lambda c: propose_substitution(
                c, actor=olga, unit=unit, quantity="active_power_mw", interval=Interval(start, end), value="123.456",
                method="meter", reason="test", now_ms=now_ms,
            )
        ).result()  # fmt: skip
        own.store.write(lambda c: decide_substitution(c, number, actor=anna, granted=True, now_ms=now_ms)).result()
        replaced = times[16]
        table = f"unit,time,active_power_mw\n{unit},{format_instant(replaced)},77.5\n"
        taken = deliver(
            own.store, "records", delivered_of("meter.csv", table.encode()), actor=olga, replace=True, rules=None
        )
        assert taken.replaced == 1
        second = settle_month(own.store, Month(2026, 6), rulebook=RULES, actor=olga)
        with own.browser("olga", "en") as browser:
            page = browser.get(f"{HERE}/runs/{second.id}/days/{unit}/{DAY}")
            before = browser.get(f"{HERE}/runs/{own.run_id}/days/{unit}/{DAY}")
        (drawn,) = data_of(page.text, "day")["substitutes"]
        assert drawn["curve"] == "power"
        assert at(drawn["steps"], start - begin) == 123_456
        assert at(drawn["delivered"], start - begin) == held(first, unit, start)
        assert at(drawn["steps"], replaced - begin) == 77_500
        assert at(drawn["delivered"], replaced - begin) == held(first, unit, replaced)
        assert at(drawn["steps"], times[14] - begin) is None  # there nothing was put in
        lanes = {lane["name"]: lane["blocks"] for lane in data_of(page.text, "day")["lanes"]}
        assert "put in: active power" in lanes
        assert "Put in, beside what was delivered" in page.text
        assert "123.456 MW" in page.text
        assert data_of(before.text, "day")["substitutes"] == []


def _day(day: str) -> tuple[int, int]:
    begin = parse_time_ms(f"{day}T00:00:00+08:00")
    return begin, begin + DAY_MS


def test_the_days_of_a_month_are_those_of_its_records_and_segments(worked: World) -> None:
    run = open_run(worked.store, worked.run_id)
    unit = next(line.unit for line in run.lines if line.service == "deep_peak")
    with worked.browser("olga", "en") as browser:
        page = browser.get(f"{HERE}/runs/{run.facts.id}/units/{unit}?service=deep_peak")
        listed = browser.get(f"{API}/runs/{run.facts.id}/units/{unit}/days?service=deep_peak&limit=31")
    assert page.status_code == 200
    rows = {row["day"]: row for row in listed.json()["items"]}
    assert list(rows) == [day.isoformat() for day in JUNE.days]
    for day in JUNE.days[:4]:
        begin, row = local_midnight_ms(day), rows[day.isoformat()]
        values = _held_over(run, unit, begin)
        known = sum(values.values())
        assert row["known_h"] == f"{Decimal(known) / HOUR_MS:.2f}"
        if not known:
            assert (row["mean_mw"], row["lowest_mw"]) == (None, None)
            continue
        mean = Fraction(sum(kw * ms for kw, ms in values.items()), known)
        assert abs(Fraction(row["mean_mw"]) * 1000 - mean) <= 1
        assert Fraction(row["lowest_mw"]) * 1000 == min(values)
        assert Fraction(row["highest_mw"]) * 1000 == max(values)
    for row in rows.values():  # six classes, each rounded to 0.01 h, are the whole day, outside of valley hours too
        hours = [Decimal(row[f"{name}_h"]) for name in CLASSES]
        assert abs(sum(hours, Decimal(-24))) < Decimal("0.04"), row
    assert rows["2026-06-20"]["outside_h"] != "0.00"
    segments = run.segments(unit, "deep_peak").to_pylist()
    counted = sum(each["end"] - each["start"] for each in segments if each["class"] == "counted")
    assert abs(sum(Decimal(row["counted_h"]) for row in rows.values()) - Decimal(counted) / HOUR_MS) < Decimal("0.16")


def _held_over(run: OpenedRun, unit: str, begin: int) -> dict[int, int]:
    """For how long each power held on a day: each record until the next one, at most for the hold limit."""
    hold_ms = int(run.policy["hold_limit_s"] * 1000)
    rows = run.records(unit, begin - hold_ms, begin + DAY_MS, limit=1_000_000)
    found: dict[int, int] = defaultdict(int)
    for row, following in itertools.zip_longest(rows, rows[1:]):
        end = row.time_ms + hold_ms if following is None else min(following.time_ms, row.time_ms + hold_ms)
        length = min(end, begin + DAY_MS) - max(row.time_ms, begin)
        value = row.values.get("active_power_mw")
        if length > 0 and value is not None and value.value is not None and value.quality.usable:
            found[int(value.value * 1000)] += length
    return found


def test_months_side_by_side_add_up_to_their_lines_and_a_plant_sees_its_own(worked: World) -> None:
    run = open_run(worked.store, worked.run_id)
    expected: dict[str, Decimal] = defaultdict(Decimal)
    mine: dict[str, Decimal] = defaultdict(Decimal)
    for line in run.lines:
        if line.amount_yuan is not None:
            expected[line.service] += line.amount_yuan
            if line.plant == "P1":
                mine[line.service] += line.amount_yuan
    with worked.browser() as browser:
        for who, amounts in (("olga", expected), ("paul", mine)):
            found = browser.get(f"{API}/months/2026-06/beside", headers=worked.token_of(who)).json()
            assert found["months"] == ["2026-06"]
            paid = {row["service"]: row["amounts_yuan"] for row in found["services"]}
            assert {name: [str(amount)] for name, amount in amounts.items()} == {
                name: cells for name, cells in paid.items() if cells != [None]
            }
        nothing = browser.get(f"{API}/months/2026-05/beside", headers=worked.token_of("paul")).json()
        assert nothing == {"months": [], "run_ids": [], "services": []}
    with worked.browser("paul") as browser:
        assert "drawing-beside" not in browser.get(f"{HERE}/beside?plant=P0").text
        assert browser.get(f"{HERE}/runs/{run.facts.id}/units/U0").status_code == 404
