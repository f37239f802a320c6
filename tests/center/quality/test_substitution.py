# SPDX-License-Identifier: GPL-3.0-or-later
"""Substituted values: approved by another person, in the sealed files beside the originals, withdrawable."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from collector.base.errors import Denied, StoreError
from collector.center.db.store import CenterStore
from collector.center.lake.retention import drop_old_payloads
from collector.center.lake.seal import enrol
from collector.center.operate.integrity import check_store
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.center.quality.substitution import (
    decide_substitution,
    decide_withdrawal,
    list_substitutions,
    propose_substitution,
    propose_withdrawal,
)
from collector.model.interval import DAY_MS, Interval, local_midnight_ms
from collector.sheets.findings import Findings
from collector.tables.records import read_records
from tests.center.center_batches import NOON, FixedClock, deliver, minutes, new_store, payload_of, record
from tests.center.lake.sealed_days import rows, seal

pytestmark = pytest.mark.usefixtures("on_both")

LI, WANG = Actor("li", Role.OPERATOR), Actor("wang", Role.APPROVER)
MIDNIGHT = local_midnight_ms(date(2026, 3, 10))
MINUTE = 60_000


def propose(store: CenterStore, interval: Interval, *, value: str = "250", fill_s: int | None = None) -> int:
    now = store.clock.now_utc_ms()
    return store.write(
        lambda c: propose_substitution(
            c, actor=LI, unit="U1", quantity="active_power_mw", interval=interval, value=value,
            method="neighbouring meter", reason="transducer failed", fill_s=fill_s, now_ms=now,
        )
    ).result()  # fmt: skip


def decide(store: CenterStore, number: int, *, actor: Actor = WANG, granted: bool = True) -> None:
    now = store.clock.now_utc_ms()
    store.write(lambda c: decide_substitution(c, number, actor=actor, granted=granted, now_ms=now)).result()


def propose_back(store: CenterStore, number: int, actor: Actor = LI) -> None:
    now = store.clock.now_utc_ms()
    store.write(lambda c: propose_withdrawal(c, number, actor=actor, reason="it was right", now_ms=now)).result()


def decide_back(store: CenterStore, number: int, actor: Actor = WANG, *, granted: bool = True) -> None:
    now = store.clock.now_utc_ms()
    store.write(lambda c: decide_withdrawal(c, number, actor=actor, granted=granted, now_ms=now)).result()


def withdraw(store: CenterStore, number: int) -> None:
    propose_back(store, number)
    decide_back(store, number)


def prepared(tmp_path: Path, clock: FixedClock | None = None) -> CenterStore:
    """Five minutes of U1 from noon, 300.000 … 300.004 MW, the third without a value."""
    store = new_store(tmp_path, clock)
    store.write(lambda c: enrol(c, {"P1": (["U1", "U2"], [])})).result()
    records = minutes("U1", NOON, 5)
    records[2] = record("U1", NOON + 2 * MINUTE, None)
    deliver(store, [payload_of(1, [*records, *minutes("U2", NOON, 5)])])
    return store


def powers(path: Path, unit: str = "U1") -> list[tuple[int, Decimal | None, int]]:
    """Minute after noon, power, quality."""
    named = ("unit", "time", "place", "active_power_mw", "active_power_mw_quality")
    return [((t - NOON) // MINUTE, p, q) for u, t, place, p, q in rows(path, *named) if u == unit and place == 0]


def test_an_approved_value_takes_the_place_and_the_original_stays_beside_it(tmp_path: Path) -> None:
    with prepared(tmp_path) as store:
        before = seal(store)["2026-03-10"]
        number = propose(store, Interval(NOON + MINUTE, NOON + 3 * MINUTE))
        assert seal(store)["2026-03-10"] == before  # proposed is not in force
        decide(store, number)
        path = seal(store)["2026-03-10"]
        assert powers(path) == [
            (0, Decimal("300.000"), 0),
            (1, Decimal("250.000"), 1),
            (2, Decimal("250.000"), 1),
            (3, Decimal("300.003"), 0),
            (4, Decimal("300.004"), 0),
        ]
        assert powers(path, "U2") == powers(before, "U2")
        sides = rows(path, "unit", "active_power_mw_original", "active_power_mw_original_quality")
        assert [side[1:] for side in sides if side[0] == "U1"] == [
            (None, None), (Decimal("300.001"), 0), (None, 20), (None, None), (None, None),
        ]  # fmt: skip
        assert before.exists()  # a run that pinned it still finds it
        assert check_store(store) == []
        [row] = store.read(lambda c: list_substitutions(c, unit="U1"))
        assert (row["state"], row["prepared_by"], row["decided_by"]) == ("in_force", "li", "wang")
        actions = [entry["action"] for entry in store.read(lambda c: audit.list_entries(c))]
        assert actions == ["substitution.decide", "substitution.propose"]


def test_withdrawn_gives_the_very_file_of_before(tmp_path: Path) -> None:
    with prepared(tmp_path) as store:
        before = seal(store)["2026-03-10"]
        number = propose(store, Interval(NOON, NOON + 5 * MINUTE))
        decide(store, number)
        assert seal(store)["2026-03-10"] != before
        withdraw(store, number)
        assert seal(store)["2026-03-10"] == before
        with pytest.raises(StoreError, match="not in force"):
            withdraw(store, number)
        decide(store, propose(store, Interval(NOON, NOON + MINUTE)))  # the place is free again


def test_a_late_record_keeps_the_substitution_also_after_the_payloads_have_gone(tmp_path: Path) -> None:
    clock = FixedClock()
    with prepared(tmp_path, clock) as store:
        number = propose(store, Interval(NOON, NOON + 2 * MINUTE))
        decide(store, number)
        before = powers(seal(store)["2026-03-10"])
        clock.now_ms += 63 * DAY_MS
        assert drop_old_payloads(store, keep_days=62) == 1
        deliver(store, [payload_of(2, [record("U1", NOON + 90_000, 7)])])
        path = seal(store)["2026-03-10"]
        assert powers(path)[:3] == [before[0], before[1], (1, Decimal("250.000"), 1)]
        withdraw(store, number)
        found = powers(seal(store)["2026-03-10"])
        assert found[:3] == [(0, Decimal("300.000"), 0), (1, Decimal("300.001"), 0), (1, Decimal("0.007"), 0)]
        assert found[3] == (2, None, 20)


def test_a_value_at_midnight_reaches_the_tail_before_and_the_head_after(tmp_path: Path) -> None:
    with new_store(tmp_path) as store:
        store.write(lambda c: enrol(c, {"P1": (["U1"], [])})).result()
        for n, start in enumerate((MIDNIGHT - 3_600_000, MIDNIGHT, MIDNIGHT + 2 * DAY_MS), 1):
            deliver(store, [payload_of(n, minutes("U1", start, 2))])
        before = seal(store)
        decide(store, propose(store, Interval(MIDNIGHT, MIDNIGHT + 3_600_000)))
        after = seal(store)
        assert {day for day in after if after[day] != before[day]} == {"2026-03-09", "2026-03-10", "2026-03-12"}
        for day, place in (("2026-03-09", 1), ("2026-03-12", -1)):
            shown = [q for p, q in rows(after[day], "place", "active_power_mw_quality") if p == place]
            assert set(shown) == {1}


def test_silence_is_filled_from_the_end_of_the_last_value_on(tmp_path: Path) -> None:
    with prepared(tmp_path) as store:
        deliver(store, [payload_of(2, minutes("U1", NOON + 30 * MINUTE, 1))])
        decide(store, propose(store, Interval(NOON + 3 * MINUTE, NOON + 32 * MINUTE), fill_s=600))
        path = seal(store)["2026-03-10"]
        # Noon + 4 min holds until + 14; made at 14 and 24; 30 is a record; 40 would be after the end.
        assert powers(path)[3:] == [(m, Decimal("250.000"), 1) for m in (3, 4, 14, 24, 30)]
        assert rows(path, "unit", "cause")[:7] == [("U1", c) for c in (0, 0, 0, 0, 0, 2, 2)]
        assert check_store(store) == []


def test_a_silent_day_gets_a_file_and_the_next_day_its_head(tmp_path: Path) -> None:
    with prepared(tmp_path) as store:
        deliver(store, [payload_of(2, minutes("U1", NOON + 2 * DAY_MS, 1))])
        number = propose(store, Interval(MIDNIGHT + DAY_MS, MIDNIGHT + DAY_MS + 7_200_000), fill_s=3600)
        decide(store, number)
        files = seal(store)
        named = ("unit", "time", "place", "active_power_mw", "cause")
        made = [r for r in rows(files["2026-03-11"], *named) if r[0] == "U1" and r[2] == 0]
        assert made == [("U1", MIDNIGHT + DAY_MS + h * 3_600_000, 0, Decimal(250), 2) for h in (0, 1)]
        head = [r for r in rows(files["2026-03-12"], *named) if r[0] == "U1" and r[2] == -1]
        assert head == [("U1", MIDNIGHT + DAY_MS + 3_600_000, -1, Decimal(250), 2)]
        assert check_store(store) == []
        withdraw(store, number)
        head = [r for r in rows(seal(store)["2026-03-12"], *named) if r[0] == "U1" and r[2] == -1]
        assert head == [("U1", NOON + 4 * MINUTE, -1, Decimal("300.004"), 0)]


def test_the_settlement_reads_the_substituted_value_and_no_more(tmp_path: Path) -> None:
    with prepared(tmp_path / "a") as store:
        decide(store, propose(store, Interval(NOON, NOON + MINUTE)))
        path = seal(store)["2026-03-10"]
        findings = Findings()
        folder = tmp_path / "records"
        folder.mkdir()
        (folder / path.name).write_bytes(path.read_bytes())
        records = read_records(folder, {"U1", "U2"}, findings)
        assert not findings
        assert records is not None
        assert records.table.column("active_power_mw").to_pylist()[0] == 250_000
        assert not [name for name in records.table.column_names if "original" in name]


def test_who_proposes_cannot_approve(tmp_path: Path) -> None:
    with prepared(tmp_path) as store:
        number = propose(store, Interval(NOON, NOON + MINUTE))
        with pytest.raises(Denied):
            decide(store, number, actor=Actor("li", Role.APPROVER))
        with pytest.raises(Denied):
            decide(store, number, actor=Actor("zhao", Role.OPERATOR))
        decide(store, number)
        with pytest.raises(StoreError, match="decided already"):
            decide(store, number)


def test_nobody_takes_a_substitution_back_alone(tmp_path: Path) -> None:
    with prepared(tmp_path) as store:
        number = propose(store, Interval(NOON, NOON + MINUTE))
        with pytest.raises(StoreError, match="not in force"):
            propose_back(store, number)
        decide(store, number)
        with pytest.raises(StoreError, match="nobody proposed"):
            decide_back(store, number)
        with pytest.raises(Denied, match="no permission prepare"):
            propose_back(store, number, actor=WANG)
        in_force = seal(store)
        propose_back(store, number)
        assert seal(store) == in_force  # counts until it is decided
        (row,) = store.read(list_substitutions)
        assert (row["state"], row["withdrawal_by"], row["withdrawal_reason"]) == ("in_force", "li", "it was right")
        with pytest.raises(StoreError, match="by li waits to be decided"):
            propose_back(store, number)
        for actor in (LI, Actor("li", Role.APPROVER)):
            with pytest.raises(Denied):
                decide_back(store, number, actor=actor)
        decide_back(store, number, granted=False)
        assert seal(store) == in_force
        withdraw(store, number)
        (row,) = store.read(list_substitutions)
        assert (row["state"], row["withdrawn_by"], row["withdrawal_by"]) == ("withdrawn", "wang", None)
        actions = [e["action"] for e in store.read(audit.list_entries)][:2]
        assert actions == ["substitution_withdrawal.decide", "substitution_withdrawal.propose"]


def test_two_values_for_one_cell_are_refused_and_a_refused_one_makes_room(tmp_path: Path) -> None:
    with prepared(tmp_path) as store:
        first = propose(store, Interval(NOON, NOON + 2 * MINUTE))
        with pytest.raises(StoreError, match=f"substitution {first} has a value there"):
            propose(store, Interval(NOON + MINUTE, NOON + 3 * MINUTE))
        decide(store, first, granted=False)
        before = seal(store)
        decide(store, propose(store, Interval(NOON + MINUTE, NOON + 3 * MINUTE)))
        assert seal(store) != before
        assert [r["state"] for r in store.read(list_substitutions)] == ["refused", "in_force"]


@pytest.mark.parametrize(
    ("value", "fill_s", "words"),
    [
        ("2501", None, "expected -2500 to 2500"),
        ("1.0001", None, "steps of"),
        ("x", None, "not a number"),
        ("1", 5, "10 to"),
    ],
)
def test_what_is_no_value_is_refused(tmp_path: Path, value: str, fill_s: int | None, words: str) -> None:
    with prepared(tmp_path) as store, pytest.raises(StoreError, match=words):
        propose(store, Interval(NOON, NOON + MINUTE), value=value, fill_s=fill_s)
