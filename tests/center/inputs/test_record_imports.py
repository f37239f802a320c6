# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of records: into the lake as any record, nothing twice, nothing replaced silently, and out of it again."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from collector.base.clock_state import ClockState
from collector.base.errors import ConfigError, Denied, StoreError
from collector.center.db import tables_receive
from collector.center.db.store import CenterStore
from collector.center.inputs.imports import Imported, list_imports
from collector.center.inputs.service import deliver as take_file
from collector.center.inputs.service import read_import, take_back
from collector.center.lake.retention import drop_old_payloads
from collector.center.lake.seal import find_stale_days, seal_month_of
from collector.center.operate.integrity import check_store
from collector.center.operate.status import read_gateways
from collector.center.people import audit
from collector.center.people.access import Actor, Role
from collector.model.interval import DAY_MS, Month, format_time, parse_time_ms
from collector.model.record import Quality
from collector.sheets.files import Delivered
from tests.center.center_batches import NOON, deliver, minutes, new_store, payload_of, record
from tests.center.inputs.small_tables import REGISTER, take
from tests.size import sized

pytestmark = pytest.mark.usefixtures("on_both")

LI = Actor("li", Role.OPERATOR)
MARCH = Month(2026, 3)
HEADER = "unit,time,active_power_mw,on_grid\n"
T0, T1, T2 = (f"2026-03-10T12:0{n}:00+08:00" for n in range(3))  # T0 is NOON


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CenterStore]:
    with new_store(tmp_path / "state") as opened:
        take(opened, "register", REGISTER)
        yield opened


def give(
    store: CenterStore, text: str | bytes, *, replacing: bool = False, name: str = "r.csv", actor: Actor = LI
) -> Imported:
    data = text if isinstance(text, bytes) else text.encode()
    delivered = Delivered(name, data, hashlib.sha256(data).hexdigest())
    return take_file(store, "records", delivered, actor=actor, replace=replacing, rules=None)


def undo(store: CenterStore, number: int) -> None:
    take_back(store, number, actor=LI, reason="wrong", rules=None)


def refusal(store: CenterStore, text: str | bytes, *, name: str = "r.csv") -> list[tuple[int, str, str]]:
    """Row, column and message of each problem; nothing of the file was taken."""
    before = state_of(store)
    with pytest.raises(ConfigError) as refused:
        give(store, text, name=name)
    assert state_of(store) == before
    return [(p.row, p.key, p.message) for p in refused.value.problems]


def state_of(store: CenterStore) -> list[Any]:
    """Everything an import could have left behind."""
    tables = (
        tables_receive.stream,
        tables_receive.batch,
        tables_receive.batch_day,
        tables_receive.unit_day,
        tables_receive.lake_day,
    )
    counts = [store.read(lambda c, t=table: sorted(map(str, c.execute(select(t))))) for table in tables]  # type: ignore[misc]
    return [*counts, store.read(list_imports)]


def power(store: CenterStore, unit: str = "U1") -> dict[int, tuple[Decimal | None, int]]:
    """Per instant of the month's own records: power and its quality, from the sealed day files."""
    found = {}
    for path in seal_month_of(store, MARCH):
        for row in pq.read_table(path).to_pylist():
            if row["unit"] == unit and row["place"] == 0:
                found[row["time"]] = (row["active_power_mw"], row["active_power_mw_quality"])
    assert store.read(lambda c: find_stale_days(c, days=MARCH.days)) == []
    assert check_store(store) == []
    return found


def test_records_of_a_file_are_in_the_day_file_and_marked_as_not_from_the_devices(store: CenterStore) -> None:
    done = give(store, f"{HEADER}U1,{T0},300.5,1\nU1,{T1},,1\n")
    assert done == Imported(2, 2, 0, 0)
    assert power(store) == {
        NOON: (Decimal("300.500"), Quality.SUBSTITUTED),
        NOON + 60_000: (None, Quality.SILENT),  # a missing cell stays missing
    }
    (entry,) = store.read(lambda c: [e for e in audit.list_entries(c) if e["action"] == "import.take"])
    assert entry["detail"]["kind"] == "records"
    assert entry["detail"]["added"] == 2
    data = f"{HEADER}U1,{T0},300.5,1\nU1,{T1},,1\n".encode()
    assert store.read(lambda c: read_import(c, 2))[1] == data


def test_the_same_file_again_changes_nothing(store: CenterStore) -> None:
    text = f"{HEADER}U1,{T0},300,1\nU1,{T1},,0\n"
    give(store, text)
    before = state_of(store)
    assert give(store, text) == Imported(None, 0, 2, 0)
    assert give(store, text, replacing=True) == Imported(None, 0, 2, 0)
    assert state_of(store) == before


def test_what_a_gateway_delivered_and_the_file_repeats_is_there_already(store: CenterStore) -> None:
    deliver(store, [payload_of(1, minutes("U1", NOON, 2))])  # 300.000 and 300.001 MW, on the grid
    text = f"{HEADER}U1,{T0},300,1\nU1,{T1},300.001,1\nU1,{T2},300.002,1\n"
    assert give(store, text) == Imported(2, 1, 2, 0)
    assert {at: quality for at, (_, quality) in power(store).items()} == {
        NOON: Quality.GOOD,
        NOON + 60_000: Quality.GOOD,
        NOON + 120_000: Quality.SUBSTITUTED,
    }


def test_a_row_that_says_something_else_is_refused_with_its_row_and_both_values(store: CenterStore) -> None:
    deliver(store, [payload_of(1, minutes("U1", NOON, 2))])
    found = refusal(store, f"{HEADER}U1,{T2},302,1\nU1,{T1},301,1\nU1,{T0},300,\n")
    assert [(row, column) for row, column, _ in found] == [(3, "active_power_mw"), (4, "on_grid")]
    assert "301 here, 300.001 stored" in found[0][2]
    assert "no value here, 1 stored" in found[1][2]


def test_of_many_conflicts_the_first_are_listed_and_the_rest_counted(store: CenterStore) -> None:
    deliver(store, [payload_of(1, minutes("U1", NOON, 50))])
    text = HEADER + "".join(f"U1,{format_time(NOON + n * 60_000)},9,1\n" for n in range(50))
    found = refusal(store, text)
    assert len(found) == 21
    assert any("30 more rows" in message for _, _, message in found)


def test_a_replacing_record_counts_and_keeps_what_the_file_does_not_have(store: CenterStore) -> None:
    deliver(store, [payload_of(1, minutes("U1", NOON, 2))])
    assert give(store, f"unit,time,active_power_mw\nU1,{T0},310\nU1,{T1},300.001\n", replacing=True) == Imported(
        2, 0, 1, 1
    )
    assert power(store)[NOON] == (Decimal("310.000"), Quality.SUBSTITUTED)
    (path,) = [p for p in seal_month_of(store, MARCH) if "2026-03-10" in p.name]
    row = next(r for r in pq.read_table(path).to_pylist() if r["time"] == NOON and r["place"] == 0)
    assert (row["frequency_hz"], row["frequency_hz_quality"]) == (Decimal("50.000000"), Quality.GOOD)
    (others,) = (store.directory / "lake-others" / "P1").glob("2026-03-10-*.parquet")
    assert [r["active_power_mw"] for r in pq.read_table(others).to_pylist()] == [Decimal("300.000")]


def test_the_latest_replacement_counts_whatever_comes_late_from_a_gateway(store: CenterStore) -> None:
    give(store, f"{HEADER}U1,{T0},300,1\n")
    give(store, f"{HEADER}U1,{T0},310,1\n", replacing=True)
    give(store, f"{HEADER}U1,{T0},320,1\n", replacing=True)
    assert power(store)[NOON][0] == 320
    deliver(store, [payload_of(1, [record("U1", NOON, 400_000)])])
    assert power(store)[NOON][0] == 320
    undo(store, 4)
    assert power(store)[NOON][0] == 310
    undo(store, 3)
    assert power(store)[NOON] == (Decimal("400.000"), Quality.GOOD)  # what devices say, before what people bring


def test_a_replacement_counts_also_over_a_record_of_a_synchronised_clock_that_comes_later(store: CenterStore) -> None:
    deliver(store, [payload_of(1, [record("U1", NOON, 300_000, clock=ClockState.UNSYNCHRONISED)])])
    give(store, f"{HEADER}U1,{T0},310,1\n", replacing=True)
    deliver(store, [payload_of(2, [record("U1", NOON, 330_000)])])
    assert power(store)[NOON][0] == 310


def test_an_import_taken_back_leaves_no_trace_but_its_journal(store: CenterStore) -> None:
    deliver(store, [payload_of(1, minutes("U1", NOON, 3))])
    power(store)
    before = {p.name for p in seal_month_of(store, MARCH)}
    units = store.read(lambda c: sorted(map(str, c.execute(select(tables_receive.unit_day)))))
    next_day = "2026-03-12T00:00:00+08:00"
    give(
        store,
        f"{HEADER}U1,{T0},333,1\nU1,2026-03-10T23:59:00+08:00,1,1\nU1,{next_day},2,1\nU2,{T0},3,1\n",
        replacing=True,
    )
    assert len(power(store)) == 5
    assert {p.name for p in seal_month_of(store, MARCH)} != before
    undo(store, 2)
    assert len(power(store)) == 3
    now = {p.name for p in seal_month_of(store, MARCH)}
    assert before <= now  # the day is, byte for byte, what it was
    assert store.read(lambda c: sorted(map(str, c.execute(select(tables_receive.unit_day))))) == units
    with pytest.raises(StoreError, match="undone already"):
        undo(store, 2)
    actions = [e["action"] for e in store.read(audit.list_entries)]
    assert actions == ["import.undo", "import.take"]
    assert give(store, f"{HEADER}U2,{T0},3,1\n").added == 1  # and it can be imported again


def test_a_head_shows_the_record_before_an_import_again_when_that_is_undone(store: CenterStore) -> None:
    give(store, f"{HEADER}U1,2026-03-08T10:00:00+08:00,1,1\n")
    give(store, f"{HEADER}U1,2026-03-09T10:00:00+08:00,2,1\n")
    give(store, f"{HEADER}U1,2026-03-10T10:00:00+08:00,3,1\n")

    def head() -> Any:
        (path,) = [p for p in seal_month_of(store, MARCH) if "2026-03-10" in p.name]
        return [r["active_power_mw"] for r in pq.read_table(path).to_pylist() if r["place"] == -1]

    assert head() == [2]
    undo(store, 3)
    assert head() == [1]


def test_what_has_gone_into_the_day_file_for_good_can_not_be_taken_back(store: CenterStore) -> None:
    give(store, f"{HEADER}U1,{T0},300,1\n")
    seal_month_of(store, MARCH)
    store.clock.now_ms = NOON + 90 * DAY_MS  # type: ignore[attr-defined]
    assert drop_old_payloads(store, keep_days=62) == 1
    with pytest.raises(StoreError, match="as a replacement"):
        undo(store, 2)
    assert give(store, f"{HEADER}U1,{T0},300,1\n") == Imported(None, 0, 1, 0)  # compared with the day file
    assert give(store, f"{HEADER}U1,{T0},301,1\n", replacing=True).replaced == 1
    assert power(store)[NOON][0] == 301


def test_everything_wrong_in_a_file_is_said_at_once_and_nothing_of_it_is_taken(store: CenterStore) -> None:
    found = refusal(
        store, f"{HEADER}U1,{T0},300,1\nX9,{T0},1,1\nU1,{T0},301,1\nU1,{T1},abc,7\nU1,2026-03-10 12:00,1,1\n"
    )
    assert {(row, column) for row, column, _ in found} == {
        (3, "unit"), (4, "time"), (5, "active_power_mw"), (5, "on_grid"), (6, "time"),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("r.csv", b"unit,time\nU1,2026-03-10T12:00:00+08:00\n"),  # says nothing
        ("r.csv", b"unit,time,active_power\nU1,2026-03-10T12:00:00+08:00,1\n"),
        ("r.csv", b"\x00\x01\x02"),
        ("r.csv", b""),
        ("r.exe", b"unit,time,active_power_mw\n"),
        ("r.parquet", b"PAR1 and then something else PAR1"),
        ("r.xlsx", b"PK\x03\x04"),
        ("r.e", b"<!"),
    ],
)
def test_a_file_that_is_none_is_refused(name: str, data: bytes, store: CenterStore) -> None:
    assert refusal(store, data, name=name)


def parquet(**columns: Any) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return target.getvalue()


def test_a_parquet_file_that_would_unpack_to_too_much_is_refused_before_it_is_unpacked(store: CenterStore) -> None:
    rows = 3_000_002
    data = parquet(unit=pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int8()), ["U1"]))
    ((_, _, message),) = refusal(store, data, name="r.parquet")
    assert "split it" in message


def test_a_clock_state_that_is_none_is_refused(store: CenterStore) -> None:
    data = parquet(unit=["U1"], time=[NOON], active_power_mw=[1.0], clock=[9])
    assert refusal(store, data, name="r.parquet")[0][1] == "clock"


def test_a_sealed_day_file_of_another_center_is_taken_with_its_neighbours_rows(
    store: CenterStore, tmp_path: Path
) -> None:
    deliver(store, [payload_of(1, [*minutes("U1", NOON, 3), record("U1", NOON + 180_000, None)])])
    (path, *_) = [p for p in seal_month_of(store, MARCH) if "2026-03-10" in p.name]
    with new_store(tmp_path / "other") as other:
        take(other, "register", REGISTER)
        assert give(other, path.read_bytes(), name="day.parquet").added == 4
        assert {at: value for at, (value, _) in power(other).items()} == {
            at: value for at, (value, _) in power(store).items()
        }


def test_a_unit_that_was_registered_or_enrolled_is_stored_under_its_plant(store: CenterStore) -> None:
    deliver(store, [payload_of(1, [record("V1", NOON)], plant="P2")], topic="collector/v1/P2/g1/batch")
    give(store, f"{HEADER}V1,{T1},5,1\nU1,{T1},5,1\n")
    assert sorted({p.parent.name for p in seal_month_of(store, MARCH)}) == ["P1", "P2"]


def test_imports_are_no_gateways(store: CenterStore) -> None:
    give(store, f"{HEADER}U1,{T0},300,1\n")
    assert store.read(read_gateways) == ()


def test_who_may_not_import_may_not_import_records(store: CenterStore) -> None:
    with pytest.raises(Denied):
        give(store, f"{HEADER}U1,{T0},300,1\n", actor=Actor("w", Role.AUDITOR))


def test_a_unit_day_at_one_second_goes_into_batches_of_bounded_size(store: CenterStore) -> None:
    start = parse_time_ms("2026-03-10T00:00:00+08:00")
    times = list(range(start, start + 45_000 * 1000, 1000))
    data = parquet(unit=["U1"] * 45_000, time=times, active_power_mw=[300.0] * 45_000, on_grid=[1] * 45_000)
    assert give(store, data, name="r.parquet").added == 45_000
    counts = store.read(lambda c: sorted(c.execute(select(tables_receive.batch.c.record_count)).scalars()))
    assert counts == [5_000, 20_000, 20_000]
    assert len(power(store)) == 45_000


@pytest.mark.parametrize("seed", range(sized(2, 4)))
def test_whatever_is_sent_imported_replaced_and_undone_the_lake_is_as_a_list_of_it_says(
    seed: int, store: CenterStore
) -> None:
    rng = random.Random(seed)
    instants = [NOON + n * 60_000 for n in (0, 1, 719, 720, 725, 735)]  # two days, also the tail of the first
    sent: dict[int, Decimal] = {}
    imports: dict[int, tuple[dict[int, Decimal], dict[int, Decimal]]] = {}  # number -> added, replacing

    def counting() -> dict[int, Decimal]:
        found: dict[int, Decimal] = {}
        for added, _ in imports.values():
            found |= added
        found |= sent  # what devices said goes before what people brought
        for number in sorted(imports):
            found |= imports[number][1]
        return found

    for sequence in range(1, 15):
        chosen = {at: Decimal(rng.randrange(300, 304)) for at in rng.sample(instants, rng.randrange(1, 4))}
        kind = rng.choice(["send", "import", "replace", "undo"])
        if kind == "send":
            new = {at: value for at, value in chosen.items() if at not in sent}
            if new:
                records = [record("U1", at, int(value) * 1000) for at, value in sorted(new.items())]
                deliver(store, [payload_of(sequence, records)])
                sent |= new
        elif kind == "undo" and imports:
            undo(store, number := rng.choice(sorted(imports)))
            del imports[number]
        elif kind in ("import", "replace"):
            there = counting()
            rows = "".join(f"U1,{format_time(at)},{value}\n" for at, value in chosen.items())
            added = {at: value for at, value in chosen.items() if at not in there}
            replacing = {at: value for at, value in chosen.items() if there.get(at, value) != value}
            text = f"unit,time,active_power_mw\n{rows}"
            if replacing and kind == "import":
                assert len(refusal(store, text)) == len(replacing)
            else:
                done = give(store, text, replacing=kind == "replace")
                assert (done.added, done.replaced) == (len(added), len(replacing))
                if done.import_id is not None:
                    imports[done.import_id] = (added, replacing)
        assert {at: value for at, (value, _) in power(store).items()} == counting()


def test_an_import_and_a_receiver_at_once_lose_nothing_and_wait_for_each_other(
    store: CenterStore, tmp_path: Path
) -> None:
    hours = [NOON + n * 3_600_000 for n in range(-24, 24)]  # three days
    text = HEADER + "".join(f"{unit},{format_time(at + 1000)},7,1\n" for unit in ("U1", "U2") for at in hours)
    with new_store(tmp_path / "state") as receiver, ThreadPoolExecutor(1) as pool:

        def receive() -> int:
            return sum(
                deliver(receiver, [payload_of(n, [record("U1", at), record("U2", at)])]).committed
                for n, at in enumerate(reversed(hours), 1)
            )

        receiving = pool.submit(receive)
        numbers = []
        for _ in range(4):
            numbers.append(give(store, text).import_id)
            undo(store, numbers[-1] or 0)
        give(store, text)
        assert receiving.result() == len(hours)
    for unit in ("U1", "U2"):
        assert power(store, unit).keys() == {at + late for at in hours for late in (0, 1000)}
