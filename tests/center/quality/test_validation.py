# SPDX-License-Identifier: GPL-3.0-or-later
"""Findings of sealed days: written once, seen again, closed when a reseal no longer shows them."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from collector.center.db.store import CenterStore
from collector.center.lake.seal import seal_month_of
from collector.center.people.access import Actor, Role
from collector.center.quality.substitution import decide_substitution, propose_substitution
from collector.center.quality.validation import list_findings, validate_due
from collector.model.interval import DAY_MS, Interval, Month
from collector.model.record import UnitRecord
from tests.center.center_batches import EPOCH, NOON, FixedClock, deliver, new_store, payload_of, record
from tests.center.lake.sealed_days import deliver_from_both
from tests.center.quality.validated_days import policy_of, take_register

pytestmark = pytest.mark.usefixtures("on_both")

MARCH = Month(2026, 3)


def look(store: CenterStore) -> list[tuple[str, str, bool]]:
    """Seal, look at what is due, and list code, found, open."""
    seal_month_of(store, MARCH)
    validate_due(store, policy_of=policy_of)
    rows = store.read(lambda c: list_findings(c, month=MARCH, include_closed=True))
    return [(r["code"], r["found"], r["closed_ms"] is None) for r in rows]


def steady(start_ms: int, powers: list[int]) -> list[UnitRecord]:
    return [record("U1", start_ms + i * 60_000, power) for i, power in enumerate(powers)]


def test_a_finding_is_written_seen_again_and_closed_by_a_reseal(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store:
        take_register(store)
        deliver_from_both(store, [payload_of(1, steady(NOON, [300_000, 800_000]), gateway="second")])
        assert look(store) == [("out_of_range", "800 MW", True)]
        clock.now_ms += 1000
        assert validate_due(store, policy_of=policy_of) == 0  # nothing changed, nothing to look at
        deliver_from_both(store, [payload_of(1, steady(NOON - 60_000, [300_000]), gateway="second", epoch=7)])
        assert look(store) == [("out_of_range", "800 MW", True)]
        [row] = store.read(lambda c: list_findings(c, unit="U1"))
        assert (row["first_seen_ms"], row["last_seen_ms"]) == (NOON, NOON + 1000)
        # A record of another gateway that comes first by name takes the instant, and says 310 MW.
        deliver_from_both(store, [payload_of(1, steady(NOON + 60_000, [310_000]), gateway="first")])
        assert look(store) == [
            ("out_of_range", "800 MW", False),
            ("conflicting_records", "1 instants; the first: 800 beside 310", True),
        ]
        assert store.read(lambda c: list_findings(c, unit="U2")) == []


def test_a_standby_that_recorded_the_same_is_no_conflict(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        same = steady(NOON, [300_000, 310_000])
        deliver_from_both(store, [payload_of(1, same, gateway="a"), payload_of(1, same, gateway="b", epoch=EPOCH - 1)])
        assert look(store) == []


def test_a_late_record_that_loses_its_instant_is_a_conflict_though_the_day_file_stays_as_it_is(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        deliver_from_both(store, [payload_of(1, steady(NOON, [300_000, 310_000]), gateway="first")])
        assert look(store) == []
        [before] = seal_month_of(store, MARCH)
        deliver_from_both(store, [payload_of(1, steady(NOON, [300_001]), gateway="second", epoch=EPOCH - 1)])
        assert look(store) == [("conflicting_records", "1 instants; the first: 300.001 beside 300", True)]
        deliver_from_both(store, [payload_of(2, steady(NOON + 60_000, [7]), gateway="second", epoch=EPOCH - 1)])
        assert look(store) == [("conflicting_records", "2 instants; the first: 300.001 beside 300", True)]
        assert seal_month_of(store, MARCH) == (before,)
        assert validate_due(store, policy_of=policy_of) == 0


def test_another_register_makes_recent_days_due_again_and_old_ones_not(tmp_path: Path) -> None:
    clock = FixedClock()
    with new_store(tmp_path, clock) as store:
        deliver(store, [payload_of(1, steady(NOON, [300_000]))])
        assert look(store) == []  # nothing is registered: only the quantity's own range is known
        take_register(store, "200")
        assert look(store) == [("out_of_range", "300 MW", True)]
        clock.now_ms += 80 * DAY_MS
        take_register(store, "600")
        assert validate_due(store, policy_of=policy_of) == 0
        assert validate_due(store, policy_of=policy_of, days=[date(2026, 3, 10)]) == 0


def test_a_substituted_value_closes_the_finding_of_the_one_it_replaced(tmp_path: Path) -> None:
    li, wang = Actor("li", Role.OPERATOR), Actor("wang", Role.APPROVER)
    with new_store(tmp_path) as store:
        take_register(store)
        deliver(store, [payload_of(1, steady(NOON, [300_000, 800_000]))])
        assert look(store) == [("out_of_range", "800 MW", True)]
        number = store.write(
            lambda c: propose_substitution(
                c, actor=li, unit="U1", quantity="active_power_mw", interval=Interval(NOON + 1, NOON + 60_001),
                value="305", method="meter", reason="transducer", now_ms=NOON,
            )
        ).result()  # fmt: skip
        store.write(lambda c: decide_substitution(c, number, actor=wang, granted=True, now_ms=NOON)).result()
        assert look(store) == [("out_of_range", "800 MW", False)]


def test_looking_changes_no_record(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        take_register(store)
        deliver(store, [payload_of(1, steady(NOON, [300_000, 800_000]))])
        before = [path.read_bytes() for path in seal_month_of(store, MARCH)]
        look(store)
        assert [path.read_bytes() for path in seal_month_of(store, MARCH)] == before
